"""Private servers of other kinds: an old MySQL, and a node of Galera, which cannot be moved from."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from changeover.demo.mysql8 import OPTIONS, PrivateMySQL
from changeover.demo.private import HOST, free_ports
from changeover.demo.server import PrivateMariaDB

NEED = Path(__file__).parents[2] / "scripts" / "need"

SINCE_MYSQL_8 = frozenset({"binlog_row_metadata", "mysqlx"})
OPTIONS_57 = {name: value for name, value in OPTIONS.items() if name not in SINCE_MYSQL_8}


class PrivateMySQL57(PrivateMySQL):
    """A MySQL 5.7, which `scripts/need mysql57` gets."""

    version = "5.7.22"
    defaults = OPTIONS_57


def galera_options() -> Mapping[str, str]:
    """What makes a MariaDB the first node of a cluster of its own, on the loopback."""
    found = subprocess.run([NEED, "galera"], capture_output=True, text=True, check=True)
    group, transfer = free_ports(2)
    places = f"gmcast.listen_addr=tcp://{HOST}:{group};ist.recv_addr={HOST}:{transfer};gcache.size=8M"
    return {
        "wsrep_on": "ON",
        "wsrep_provider": found.stdout.strip(),
        "wsrep_cluster_address": "gcomm://",
        "wsrep_node_address": HOST,
        "wsrep_provider_options": places,
        "innodb_autoinc_lock_mode": "2",
    }


def galera_node() -> PrivateMariaDB:
    """A MariaDB with Galera."""
    return PrivateMariaDB(options=galera_options())
