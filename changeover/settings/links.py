"""Which links leave this machine: those go over TLS, unless plain text is allowed by name."""

import ipaddress
from collections.abc import Iterable

ALLOWED = (
    "Allow plain text on this link, which leaves this machine: whoever is on the way can read and change it."
)
"""What the setting of each link says."""


def is_local(host: str) -> bool:
    """Whether what is sent to the host stays on this machine, by its name alone.

    >>> [is_local(host) for host in ("localhost", "127.0.0.2", "::1", "10.0.0.1", "db.internal")]
    [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name is not looked up: what it means now, it may not mean at the next connection


def leaving(hosts: Iterable[str]) -> list[str]:
    """The hosts that are not on this machine."""
    return [host for host in hosts if not is_local(host)]
