"""What repair would write, found without writing anything: no heartbeat, and so no bound."""

from collections.abc import Iterator
from dataclasses import dataclass

from changeover.log import Log
from changeover.mysql.phases import phase_now
from changeover.repair.plan import Step, step_for
from changeover.repair.repair import KEYS_AT_ONCE
from changeover.repair.selection import Selection
from changeover.table import Table
from changeover.verify.verifier import Verifier
from changeover.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of a key. `held` is what the target holds now: None for nothing."""

    table_name: str
    key: bytes
    writes_row: bool
    step: Step
    held: Version | None

    def __str__(self) -> str:
        """One line for people."""
        key = self.key.decode(errors="backslashreplace")
        what = "write the source's row" if self.writes_row else "delete: the source has no such row"
        held = "nothing" if self.held is None else self.held.text
        return f"{self.table_name} {key}: {what}, {self.step.value} (the target holds {held})"

    def plain(self) -> dict[str, str | None]:
        """For programs."""
        return {
            "table": self.table_name,
            "key": self.key.decode(errors="backslashreplace"),
            "write": "row" if self.writes_row else "delete",
            "how": self.step.name.lower(),
            "held": self.held and self.held.text,
        }


def preview(verifier: Verifier, selection: Selection) -> Iterator[Preview]:
    """What repair would do about each key.

    "Ahead" is what capture has not come to: what was committed just now may look so, and will not be.
    """
    for name, keys in selection.keys.items():
        (table,) = verifier.chosen([name])
        for start in range(0, len(keys), KEYS_AT_ONCE):
            yield from _preview(verifier, table, list(keys[start : start + KEYS_AT_ONCE]))


def _preview(verifier: Verifier, table: Table, keys: list[bytes]) -> Iterator[Preview]:
    held = verifier.target.read_many(verifier.source.mask(table).to, keys)
    there = verifier.source.are_there(table, keys)
    bound = _captured(verifier.log)
    new_epoch = phase_now(verifier.control).epoch_in_use
    for key, one in zip(keys, held, strict=True):
        yield Preview(
            table_name=table.full_name,
            key=key,
            writes_row=key in there,
            step=step_for(one, bound, adopts=verifier.settings.target.adopt, new_epoch=new_epoch),
            held=one.version if one else None,
        )


def _captured(log: Log) -> Version:
    checkpoint = log.checkpoint()
    captured = checkpoint.version if checkpoint else Version(0, 0, 0)
    # The next read is from behind what is captured: a heartbeat comes before it.
    return Version.of_read(captured.epoch, captured.sequence + 1)
