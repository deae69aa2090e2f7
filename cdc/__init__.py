"""The capture side: the binlog and the tables of the source into the log."""
