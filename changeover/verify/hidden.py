"""Extra rows of a table whose key is masked: no row of the source can be looked up by what the target has.

So the keys of all rows of the source are masked and remembered, as 8 bytes each, and the target's keys are
looked for among them. A table with more rows than can be remembered is gone through in several parts.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from changeover.table import Table
from changeover.targets import Found, Target
from changeover.verify.applied import Applied
from changeover.verify.findings import Difference, Kind
from changeover.verify.judge import Judgement
from changeover.verify.source import Source
from changeover.version import Version

KEYS_HELD_MAX = 2_000_000
"""Keys remembered at a time, some 150 MB."""

KEYS_AT_ONCE = 10_000

ROUNDS_MAX = 4
"""A key that was written behind a round's bound is looked for in the next one."""


class HiddenKeys:
    """Looks for the rows of a target that no row of the source has become."""

    def __init__(self, source: Source, target: Target[Any], applied: Applied, rows: int) -> None:
        self._source = source
        self._target = target
        self._applied = applied
        self._parts = 1 + rows // KEYS_HELD_MAX

    def extras(self, table: Table, should_stop: Callable[[], bool]) -> Judgement:
        """The extra rows of the table; all of the target's keys in one pass for each part."""
        judgement = Judgement()
        for part in range(self._parts):
            again: Collection[bytes] | None = None
            for _ in range(ROUNDS_MAX):
                found, again = self._round(table, part, again)
                judgement.differences += found
                if not again or should_stop():
                    break
            judgement.unsettled += again or ()
        return judgement

    def _round(
        self, table: Table, part: int, wanted: Collection[bytes] | None
    ) -> tuple[list[Difference], set[bytes]]:
        """What is extra among the wanted keys (None: all), and what was written behind this round's bound."""
        bound = self._source.bound()
        digests = map(_digest, self._source.masked_keys(table, KEYS_AT_ONCE))
        known = {digest for digest in digests if self._is_in(part, digest)}
        self._applied.wait_for(self._source.end())
        extra, again = list[Difference](), set[bytes]()
        for found in self._rows(table):
            key = found.key or b""
            digest = _digest(key)
            if not self._is_in(part, digest) or digest in known or not (wanted is None or key in wanted):
                continue
            (held,) = self._target.read_many(self._source.mask(table).to, [key])
            if held is not None and held.version > bound:
                again.add(key)
            elif held is not None and held.body is not None:
                extra.append(_extra(table, found, bound))
        return extra, again

    def _rows(self, table: Table) -> Iterator[Found]:
        for page in self._target.walk(self._source.mask(table).to):
            yield from (found for found in page.found if found.key is not None and found.is_row)

    def _is_in(self, part: int, digest: int) -> bool:
        return digest % self._parts == part


def _digest(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())


def _extra(table: Table, found: Found, bound: Version) -> Difference:
    return Difference(
        table_name=table.full_name,
        key=found.key or b"",
        kind=Kind.EXTRA,
        columns=(),
        source_version=bound,
        target_version=found.version,
        source_digest=None,
        target_digest=None,
        last_writer=found.position,
    )
