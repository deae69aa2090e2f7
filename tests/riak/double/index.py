"""Secondary indexes: a question, the keys that it finds in order, and where the next page begins."""

import base64
import bisect
from collections.abc import Iterable, Iterator

from changeover.riak import erlang
from changeover.riak.keys import ALL_KEYS, BY_KEY, RANGE
from changeover.riak.wire import bytes_field
from tests.riak.double.cluster import Failure
from tests.riak.double.message import Message, number, read, text
from tests.riak.double.objects import Stored

INDEXES = 10
"""The field of a content that holds a pair of index and term."""

Term = int | bytes
Entry = tuple[Term, bytes]
"""A term and a key under it."""


class Query:
    """A question to an index, from what a client sent."""

    def __init__(self, message: Message) -> None:
        self._name = text(message, 2).lower()
        is_range = number(message, 3) == RANGE
        low, high = (text(message, 5), text(message, 6)) if is_range else (text(message, 4),) * 2
        self._low, self._high = self._term(low), self._term(high)
        self._has_terms = is_range and self._name not in {ALL_KEYS, BY_KEY}
        self._shows_terms = self._has_terms and bool(number(message, 7))
        self._after = text(message, 10)
        self.max_results = number(message, 9)

    def found(self, places: Iterable[tuple[bytes, Stored]]) -> list[Entry]:
        """What the index holds within the question, in order, as much as is asked for."""
        entries = sorted({(term, key) for key, stored in places for term in self._terms(key, stored)})
        if self._after:
            entries = entries[bisect.bisect_right(entries, self._continued()) :]
        return entries[: self.max_results]

    def said(self, entries: Iterable[Entry]) -> bytes:
        """The keys, or the terms with their keys, as an answer holds them."""
        if not self._shows_terms:
            return b"".join(bytes_field(1, key) for _, key in entries)
        return b"".join(
            bytes_field(
                2, bytes_field(1, b"%d" % term if isinstance(term, int) else term) + bytes_field(2, key)
            )
            for term, key in entries
        )

    def continuation(self, entries: list[Entry]) -> bytes:
        """The field that says where these end; none if there were fewer than asked for."""
        if not entries or len(entries) != self.max_results:
            return b""
        term, key = entries[-1]
        said = erlang.binary(key)
        if self._has_terms:
            said = (
                erlang.PAIR + (erlang.integer(term) if isinstance(term, int) else erlang.binary(term)) + said
            )
        return bytes_field(3, base64.b64encode(bytes((erlang.START,)) + said))

    def _continued(self) -> Entry:
        terms = erlang.Terms(base64.b64decode(self._after))
        terms.expect(erlang.START)
        if self._has_terms:
            terms.expect(*erlang.PAIR)
            term: Term = terms.binary() if terms.peek() == erlang.BINARY else terms.integer()
            return term, terms.binary()
        key = terms.binary()
        return key if self._name == BY_KEY else self._low, key

    def _terms(self, key: bytes, stored: Stored) -> Iterator[Term]:
        """The object's terms under this index that are asked for. Tombstones have their keys still."""
        if self._name == ALL_KEYS:
            yield self._low
        elif self._name == BY_KEY:
            yield from self._within(key)
        for value in stored.values:
            for field, content in value.fields:
                pair = read(content) if field == INDEXES else {}
                if text(pair, 1).lower() == self._name:
                    yield from self._within(self._term(text(pair, 2)))

    def _within(self, term: Term) -> list[Term]:
        is_within = self._low <= term <= self._high  # type: ignore[operator] # one index has terms of one kind
        return [term] if is_within else []

    def _term(self, said: bytes) -> Term:
        """The term as the index compares it: `_int` by number, the others by their bytes."""
        if self._name.endswith(b"_int"):
            try:
                return int(said)
            except ValueError as error:
                raise Failure(f"{{field_parsing_failed,{{<<{self._name!r}>>,<<{said!r}>>}}}}") from error
        if self._name in {ALL_KEYS, BY_KEY} or self._name.endswith(b"_bin"):
            return said
        raise Failure(f"{{unknown_field_type,<<{self._name!r}>>}}")
