"""How long the source keeps its binlog."""

from collections.abc import Mapping


def binlog_kept_s(variables: Mapping[str, str], *, is_mariadb: bool) -> int:
    """Seconds for which a binlog file is kept at least, by the server's variables; 0: for ever.

    >>> binlog_kept_s({"expire_logs_days": "2"}, is_mariadb=True)
    172800
    """
    if not is_mariadb and variables.get("binlog_expire_logs_auto_purge") == "OFF":
        return 0
    seconds = int(variables.get("binlog_expire_logs_seconds") or 0)
    return seconds or int(float(variables.get("expire_logs_days") or 0) * 86_400)
