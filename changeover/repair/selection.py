"""Which keys are to be repaired: those of findings, or those that are named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from changeover.errors import RepairRefused
from changeover.table import Table
from changeover.verify.findings import Finding, Findings
from changeover.verify.keys import is_key


@dataclass(frozen=True, slots=True)
class Selection:
    """Keys by the names of their tables, and what is named by findings and is no key of its table."""

    keys: Mapping[str, Sequence[bytes]]
    not_ours: Sequence[tuple[str, bytes]] = field(default=())
    """Objects that no row of the table could have become: the source knows nothing of them."""


def of_findings(findings: Sequence[Finding], tables: Sequence[Table]) -> Selection:
    """The keys of these findings; `RepairRefused` where a table of theirs is not captured any more."""
    by_name = {table.full_name: table for table in tables}
    keys: dict[str, list[bytes]] = {}
    not_ours: list[tuple[str, bytes]] = []
    for finding in findings:
        table = by_name.get(finding.table_name)
        if table is None:
            message = f"finding {finding.number} is of {finding.table_name}, which is no captured table"
            raise RepairRefused(message, hint="Name tables with --table, or put it back into source.include.")
        if is_key(table, finding.key):
            keys.setdefault(table.full_name, []).append(finding.key)
        else:
            not_ours.append((table.full_name, finding.key))
    return Selection(keys, not_ours)


def numbered(findings: Findings, numbers: Sequence[int]) -> list[Finding]:
    """The findings of these numbers; `RepairRefused` if there is none of one of them."""
    found = [(number, findings.get(number)) for number in numbers]
    if unknown := [str(number) for number, finding in found if finding is None]:
        message = f"there is no finding {', '.join(unknown)}"
        raise RepairRefused(message, hint="See `changeover findings list`.")
    return [finding for _, finding in found if finding is not None]
