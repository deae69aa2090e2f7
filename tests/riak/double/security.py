"""Riak's security as a client meets it: TLS first, then a user with a password, then what he may do."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from changeover.riak import keys, objects
from changeover.riak.wire import Frame
from tests.riak.double.message import read, text

PERMISSIONS = {
    objects.GET: "riak_kv.get",
    objects.PUT: "riak_kv.put",
    objects.DELETE: "riak_kv.delete",
    keys.INDEX: "riak_kv.index",
    keys.LIST_KEYS: "riak_kv.list_keys",
}


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in; `may` is None for everything."""

    name: str
    password: str
    may: frozenset[str] | None = None

    def refusal(self, request: Frame) -> str:
        """What a node says to a request that this user may not make; empty if he may."""
        wanted = PERMISSIONS.get(request.code)
        if wanted is None or self.may is None or wanted in self.may:
            return ""
        return f"Permission denied: User '{self.name}' does not have '{wanted}' on any"


@dataclass(slots=True)
class Security:
    """A node's certificate, and who may log in. A wrong password is answered after a pause, as by Riak."""

    tls: ssl.SSLContext
    users: Mapping[str, User]
    pause_s: float = 5

    def user(self, request: Frame) -> User | None:
        """Who logs in with this message; None if nobody may."""
        message = read(request.body)
        user = self.users.get(text(message, 1).decode())
        return user if user is not None and user.password == text(message, 2).decode() else None
