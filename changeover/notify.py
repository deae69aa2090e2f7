"""What systemd wants to be told: ready, how it is, alive because there is progress, stopping.

The protocol of sd_notify(3) is a datagram of lines to the socket that $NOTIFY_SOCKET names.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

STATUS_CHARACTERS_MAX = 400
"""`systemctl status` shows one line."""


class Notifier:
    """Tells the service manager, if there is one that listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment)
        """Within this time it wants a sign of progress, None if it does not."""

    def ready(self) -> None:
        """The work has begun."""
        self._tell("READY=1")

    def status(self, line: str) -> None:
        """How it is, for people."""
        self._tell(f"STATUS={' '.join(line.split())[:STATUS_CHARACTERS_MAX]}")

    def progress(self) -> None:
        """There was progress since the last time."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if self._address is None:
            return
        # It is no reason to stop moving data that nobody listens.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(0)
            to.sendto(line.encode(), self._address)


def _address(path: str) -> str | None:
    if path.startswith("@"):  # in Linux' abstract namespace
        return "\0" + path[1:]
    return path if path.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """What systemd has set for this process; another's, handed down through a shell, is none of ours."""
    wanted = environment.get("WATCHDOG_USEC", "")
    if not wanted.isdigit() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(wanted) / 1_000_000
