"""How to reach a cluster: its nodes, and the login where its security is on."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from changeover.tls import trusting

PORT = 8087
"""Where Riak's protocol buffers are, by its own default."""


class Node(NamedTuple):
    """Where one node listens for protocol buffers."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user of Riak's security, who is let in over TLS only.

    `ca_file` holds the certificates that a node's has to descend from; None: those that the machine trusts.
    """

    user: str
    password: str = field(repr=False)
    ca_file: Path | None = None

    def tls(self) -> ssl.SSLContext:
        """What a node has to show: a certificate of a known authority, for its name, of today."""
        return trusting(self.ca_file, "Riak's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a cluster, and how long to wait for it.

    `connect_timeout_s` is for each step until a node has said that it is there; `answer_timeout_s` for each
    answer, counted from the one before it: a node that trickles bytes does not get longer.
    """

    nodes: tuple[Node, ...]
    login: Login | None = None
    connect_timeout_s: float = 5
    answer_timeout_s: float = 30

    def __post_init__(self) -> None:
        if not self.nodes or len(set(self.nodes)) < len(self.nodes):
            raise ValueError("a cluster needs a node, and each once")
