"""Access: who may see the page, decided without a server.

Three things are asked of a request: that it names a host which is ours (a foreign web site can have its own
name point at 127.0.0.1, but cannot change the name that the browser sends), that it only reads, and that it
has the token where there is one.
"""

import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass

COOKIE = "changeover_page"
COOKIE_S = 12 * 3600
"""How long a sign-in holds: a working day."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    # Scripts and styles are files of ours: no inline code, no other host, no frame around us.
    # With trusted types demanded and none made, text that became markup would be an error in the browser.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""Headers of every answer."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see the page: requests for one of `names`, with the token unless it is None."""

    names: frozenset[str]
    token: str | None

    @classmethod
    def of(cls, host: str, names: Iterable[str], token: str | None) -> "Access":
        """Access at an address, by its loopback names, and by the names given."""
        known = {host.lower(), *(name.lower() for name in names), *LOOPBACK_NAMES}
        return cls(frozenset(known), token)

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names us, at any port.

        >>> access = Access.of("127.0.0.1", ["pages.internal"], None)
        >>> [access.knows_host(name) for name in ("localhost:8740", "[::1]:8740", "Pages.Internal")]
        [True, True, True]
        >>> [access.knows_host(name) for name in ("evil.example", "localhost.evil.example", "", "[::1")]
        [False, False, False, False]
        """
        return _name_in(header) in self.names

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any wrong one."""
        return self.token is not None and hmac.compare_digest(self.token.encode(), given.encode())

    def cookie(self, now_s: float) -> str:
        """A sign-in that holds until its end and says nothing of the token; another token ends it too."""
        return self._signed(math.floor(now_s) + COOKIE_S)

    def admits(self, authorization: str, cookie: str, now_s: float) -> bool:
        """Whether this header or the sign-in, each empty where there is none, lets a request in."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        return self._is_signed_in(cookie, now_s)

    def _is_signed_in(self, cookie: str, now_s: float) -> bool:
        until, _, _ = cookie.partition(".")
        if not until.isascii() or not until.isdigit() or len(until) > len("10000000000"):
            return False
        signed = self._signed(int(until))
        return hmac.compare_digest(signed.encode(), cookie.encode()) and now_s < int(until)

    def _signed(self, until_s: int) -> str:
        key = (self.token or "").encode()
        digest = hmac.new(key, b"changeover page until %d" % until_s, hashlib.sha256).hexdigest()
        return f"{until_s}.{digest}"


def _name_in(header: str) -> str:
    """The host's name in a Host header, without its port; empty if it has none."""
    host = header.strip().lower()
    if host.startswith("["):
        name, closed, _ = host[1:].partition("]")
        return name if closed else ""
    return host.partition(":")[0]
