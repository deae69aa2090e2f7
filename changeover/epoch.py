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

    `identity` is the domain and server id of its GTIDs ("0-1"); `after` the last version of the epoch
    before, None for the first.
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
    current = next(epoch for epoch in epochs if epoch.number == last.epoch)
    if sequence <= last.sequence:
        message = (
            f"the source's numbering went back: transaction {identity}-{sequence} "
            f"comes behind {current.identity}-{last.sequence}"
        )
        raise OrderBroken(message, hint=AFTER_RESET)
    if identity == current.identity:
        return current
    if domain_of(identity) != domain_of(current.identity):
        message = f"the source writes in several GTID domains: {identity} beside {current.identity}"
        raise OrderBroken(message, hint="Their commits have no common order; use one domain.")
    opened = next((epoch for epoch in epochs if epoch.after == last and epoch.identity == identity), None)
    return opened or Epoch(max(epoch.number for epoch in epochs) + 1, identity, sequence, last)


AFTER_RESET = (
    "RESET MASTER, or a failover that lost transactions? Changes may be missing: start a pipeline under a "
    "new name, with a new log, target and import."
)


def domain_of(identity: str) -> str:
    """The GTID domain of an identity."""
    return identity.partition("-")[0]
