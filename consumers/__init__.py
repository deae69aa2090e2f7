"""The apply side: the log into the new database."""
