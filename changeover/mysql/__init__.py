"""The source, apart from its binlog: connections, control schema, bounded reads, what tables there are."""
