"""The one table of transitions: from where a pipeline can move to where, and what has to hold first."""

import enum
from collections.abc import Mapping

from changeover.phase import Phase


class Step(enum.StrEnum):
    """What an operator asks for."""

    ADVANCE = "advance"
    """Towards the new database."""

    BACK = "back"
    """Towards the old one."""


TRANSITIONS: Mapping[tuple[Phase, Step], Phase] = {
    (Phase.OLD, Step.ADVANCE): Phase.BOTH_READ_OLD,
    (Phase.BOTH_READ_OLD, Step.ADVANCE): Phase.BOTH_READ_NEW,
    (Phase.BOTH_READ_OLD, Step.BACK): Phase.OLD,
    (Phase.BOTH_READ_NEW, Step.ADVANCE): Phase.FENCED,
    (Phase.BOTH_READ_NEW, Step.BACK): Phase.BOTH_READ_OLD,
    (Phase.FENCED, Step.ADVANCE): Phase.NEW,
    (Phase.FENCED, Step.BACK): Phase.BOTH_READ_NEW,
}
"""Every move there is. What is not here is refused: there is no step before OLD, and none out of NEW."""


def after(phase: Phase, step: Step) -> Phase | None:
    """Where the step leads, None where there is no such step.

    >>> after(Phase.OLD, Step.ADVANCE).value, after(Phase.NEW, Step.BACK)
    ('BOTH_READ_OLD', None)
    """
    return TRANSITIONS.get((phase, step))


def why_not(phase: Phase, step: Step) -> str:
    """Why there is no such step, for people."""
    if phase is Phase.NEW and step is Step.BACK:
        return (
            "there is no way back from NEW: what was written since then is in the new database alone, "
            "and the old one has none of it"
        )
    place = "NEW is the last phase" if step is Step.ADVANCE else "OLD is the first phase"
    return f"there is no step {step.value} from {phase.value}: {place}"


def way_ahead(phase: Phase) -> list[Phase]:
    """The phases that are still to come, for who plans; FENCED is on the way into NEW and no stay.

    >>> [ahead.value for ahead in way_ahead(Phase.BOTH_READ_OLD)]
    ['BOTH_READ_NEW', 'NEW']
    """
    following = after(phase, Step.ADVANCE)
    if following is None:
        return []
    return [*([] if following is Phase.FENCED else [following]), *way_ahead(following)]
