"""What a session has written, so that it never reads older: its own writes, key by key.

An answer of the new database counts if its version is at or above what the session wrote to that key, or if
the target has applied through all that the session wrote. A commit whose place is not known, or whose outcome
is not, is above every version. Keys that the session did not write are free.
"""

import base64
import binascii
import threading
from collections import OrderedDict
from typing import Any

import orjson

from changeover.dualwrite.tables import Place
from changeover.errors import ValueRefused
from changeover.version import Version

KEYS_MAX = 10_000
"""Keys that are remembered one by one, in some 3 MB; of older ones only the last version is."""

KEYS_IN_TOKEN_MAX = 50
"""A token of so many keys of 40 bytes still goes into a cookie."""

UNKNOWN = Version(2**32 - 1, 2**64 - 1, 2**32 - 1)
"""Above every version that there can be."""

NOTHING = Version(0, 0, 0)


class Session:
    """The writes of one user, one request or one process; for any number of threads."""

    def __init__(self, token: str = "") -> None:
        self._lock = threading.Lock()
        self._written: OrderedDict[Place, Version] = OrderedDict()
        self._forgotten = NOTHING
        """The last version of those keys that are not remembered one by one."""
        if token:
            self._forgotten, self._written = _parsed(token)

    def wrote(self, place: Place, version: Version | None) -> None:
        """The session has committed a write of this version to the key; None: not known which, or whether.

        A later commit to the key goes over an unknown one: it held the row's lock, so it came behind. Of two
        whose versions are known, the one that committed first may get here last.
        """
        with self._lock:
            held = self._written.pop(place, UNKNOWN)
            if version is not None and held != UNKNOWN:
                version = max(version, held)
            self._written[place] = version or UNKNOWN
            while len(self._written) > KEYS_MAX:
                _, oldest = self._written.popitem(last=False)
                self._forgotten = max(self._forgotten, oldest)

    def needs(self, place: Place) -> Version:
        """The version that an answer for this key must have at least, unless it is applied through."""
        with self._lock:
            return self._written.get(place, self._forgotten)

    def delivered(self, through: Version) -> None:
        """The target has applied through this version: what is not above it can be forgotten."""
        with self._lock:
            for place in [place for place, version in self._written.items() if version <= through]:
                del self._written[place]
            if self._forgotten <= through:
                self._forgotten = NOTHING

    @property
    def token(self) -> str:
        """All of it as a text for a cookie or a header, so that another process can go on with it."""
        with self._lock:
            keys = list(self._written.items())
            shown, hidden = keys[-KEYS_IN_TOKEN_MAX:], keys[:-KEYS_IN_TOKEN_MAX]
            forgotten = max([self._forgotten, *(version for _, version in hidden)])
        said = [
            forgotten.text,
            [[place.table_name, place.key.decode(), version.text] for place, version in shown],
        ]
        return base64.urlsafe_b64encode(orjson.dumps(said)).decode()


def accepts(needed: Version, held: Version | None, through: Version | None) -> bool:
    """Whether an answer of that version shows all that the session wrote to its key.

    >>> one, two = Version(1, 1, 0), Version(1, 2, 0)
    >>> accepts(two, one, None), accepts(two, two, None), accepts(two, one, two), accepts(NOTHING, None, None)
    (False, True, True, True)
    """
    return (
        needed == NOTHING
        or (held is not None and held >= needed)
        or (through is not None and through >= needed)
    )


def _parsed(token: str) -> tuple[Version, "OrderedDict[Place, Version]"]:
    try:
        said: Any = orjson.loads(base64.urlsafe_b64decode(token))
        forgotten, keys = said
        written = OrderedDict((Place(name, key.encode()), Version.parse(text)) for name, key, text in keys)
        return Version.parse(forgotten), written
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        message = "that is no token of a session"
        raise ValueRefused(message, hint="Take it from `session.token`, or begin without one.") from error
