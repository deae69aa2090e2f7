"""Epochs: the stretches of the source's numbering, in a list that only grows.

Numbering can restart when the source becomes another server, so each switch of identity opens a new epoch,
A to B and back to A too. The list lives in the control schema; an epoch is written there before its first
record enters the log, and after a crash it is found again by the last version before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from changeover.errors import OrderBroken
from changeover.version import Version


@dataclass(frozen=True, slots=True)
class Epoch:
    """One server's numbering, from `first_sequence` on.

    `identity` is the domain and server id of MariaDB's GTIDs ("0-1") or the uuid of a MySQL server;
    `after` the last version of the epoch before, None for the first.
    """

    number: int
    identity: str
    first_sequence: int
    after: Version | None


def epoch_of(epochs: Sequence[Epoch], identity: str, sequence: int, last: Version) -> Epoch:
    """The epoch to which the transaction `sequence` of `identity` belongs, right behind `last`.

    One that is not in `epochs` is new, and is to be written down before it is used. Raises `OrderBroken`
    where the numbers do not tell the order of the commits.
    """
    current = next((epoch for epoch in epochs if epoch.number == last.epoch), None)
    if current is None:
        message = f"the log is in epoch {last.epoch}, which the control schema does not know"
        raise OrderBroken(message, hint="Was the control schema removed, or is this another server's?")
    _check_order(current, identity, sequence, last)
    newest = epochs[-1]
    if newest == current and identity == current.identity:
        return current
    if newest != current and (newest.identity, newest.after) == (identity, last):
        return newest  # opened before a crash, and no record of it is in the log yet
    # Also where `identity` is that of `current`, and another server's epoch was opened in between: reads may
    # carry that one by now, and would go over whatever comes under the older one.
    return Epoch(newest.number + 1, identity, sequence, last)


def _check_order(current: Epoch, identity: str, sequence: int, last: Version) -> None:
    domain = domain_of(current.identity)
    has_one_numbering = identity == current.identity or (domain is not None and domain == domain_of(identity))
    if has_one_numbering and sequence <= last.sequence:
        message = (
            f"the source's numbering went back: transaction {identity}-{sequence} "
            f"comes behind {current.identity}-{last.sequence}"
        )
        raise OrderBroken(message, hint=AFTER_RESET)
    if domain != domain_of(identity):
        message = f"the source writes in several GTID domains: {identity} beside {current.identity}"
        raise OrderBroken(message, hint="Their commits have no common order; use one domain.")


AFTER_RESET = (
    "RESET MASTER, or a failover that lost transactions? Changes may be missing: start a pipeline under a "
    "new name, with a new log, target and import."
)


def domain_of(identity: str) -> str | None:
    """The GTID domain of an identity of MariaDB, whose servers share one numbering; None for a uuid.

    >>> domain_of('0-1'), domain_of('3e11fa47-71ca-11e1-9e33-c80aa9429562')
    ('0', None)
    """
    domain, _, server = identity.partition("-")
    return domain if domain.isdecimal() and server.isdecimal() else None
