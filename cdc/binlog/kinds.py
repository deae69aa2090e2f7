"""Types of events by their numbers: those that are decoded, and the closed list of those that may be ignored.

Any other one could carry a change, and is an error. That a server marks an event as ignorable says that a
replica can do without it, not that a reader of rows can: the mark counts for nothing here.
"""

QUERY, STOP, ROTATE, FORMAT_DESCRIPTION, XID, TABLE_MAP = 2, 3, 4, 15, 16, 19
INCIDENT = 26
GTID, ANONYMOUS_GTID, XA_PREPARE, PARTIAL_UPDATE_ROWS = 33, 34, 38, 39
TRANSACTION_PAYLOAD, GTID_TAGGED = 40, 42
MARIADB_GTID, MARIADB_QUERY_COMPRESSED = 162, 165

IGNORED = frozenset(
    {
        STOP,  # the server shut down here
        5,  # INTVAR, 13 RAND and 14 USER_VAR belong to a statement that follows, and is judged
        13,
        14,
        27,  # HEARTBEAT, of the connection only
        29,  # ROWS_QUERY: the text of the statement whose rows follow
        35,  # PREVIOUS_GTIDS
        41,  # HEARTBEAT_V2
        160,  # MariaDB's ANNOTATE_ROWS: as ROWS_QUERY
        161,  # MariaDB's BINLOG_CHECKPOINT: for its own recovery
        163,  # MariaDB's GTID_LIST: as PREVIOUS_GTIDS
        164,  # MariaDB's START_ENCRYPTION: of the file; what is sent is plain
    }
)

INSERT, UPDATE, DELETE = "insert", "update", "delete"

ROWS = {
    23: INSERT,
    24: UPDATE,
    25: DELETE,
    30: INSERT,
    31: UPDATE,
    32: DELETE,
    PARTIAL_UPDATE_ROWS: UPDATE,
    # MariaDB's with log_bin_compress.
    166: INSERT,
    167: UPDATE,
    168: DELETE,
    169: INSERT,
    170: UPDATE,
    171: DELETE,
}

WITH_EXTRA = frozenset({30, 31, 32, PARTIAL_UPDATE_ROWS, 169, 170, 171})
"""Rows events of version 2, which have room for more in their header."""

COMPRESSED = frozenset({166, 167, 168, 169, 170, 171})
