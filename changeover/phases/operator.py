"""What an operator does with the phase: look, plan, advance, go back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from changeover.errors import MoveRefused
from changeover.log import Log
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import BEFORE_THE_FIRST_MOVE, PhaseMove, moves_of, phase_now
from changeover.phase import Phase, PhaseState
from changeover.phases.facts import gather
from changeover.phases.gates import Gate, failing, judge
from changeover.phases.move import Mover
from changeover.phases.takeover import Takeover
from changeover.phases.transitions import Step, after, way_ahead, why_not
from changeover.phases.wiring import freezer_of, open_deciding_target
from changeover.settings import Settings
from changeover.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The phase, and every move that has led to it."""

    state: PhaseState
    moves: Sequence[PhaseMove]
    is_fence_left_standing: bool = False
    """See `PhaseState.is_left_standing`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A phase that is still to come, with the gates before it as they are now."""

    to: Phase
    gates: Sequence[Gate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a step: the phase after it, and the gates that it was judged by."""

    is_made: bool
    before: Phase
    state: PhaseState
    gates: Sequence[Gate]
    why: str = ""
    """Why it was not made, where gates do not tell."""


class Operator:
    """The phase of one pipeline, in the hands of an operator."""

    def __init__(self, settings: Settings, control: ControlSchema, log: Log) -> None:
        self._settings = settings
        self._control = control
        self._log = log
        self._mover = Mover(control, tries=settings.phases.lock_tries)

    def plan(self) -> list[Ahead]:
        """The way ahead, each phase with its gates."""
        self._control.require_known()
        facts = gather(self._settings, self._control, self._log)
        limits = self._settings.phases
        return [Ahead(to=to, gates=judge(to, facts, limits)) for to in way_ahead(facts.phase)]

    def advance(self, forced: str | None = None) -> Answer:
        """One step towards the new database, if its gates hold or it is forced."""
        state = self._mover.with_fence(self._begin())
        if state.phase.is_frozen:
            return self._resolve(state, Step.ADVANCE)
        to = _neighbour(state.phase, Step.ADVANCE)
        gates = judge(to, gather(self._settings, self._control, self._log), self._settings.phases)
        if failing(gates) and not forced:
            return Answer(is_made=False, before=state.phase, state=state, gates=gates)
        forced = forced if failing(gates) else None
        if to is Phase.FENCED:
            ended, why = self._takeover().run(state, gates, forced)
            return Answer(
                is_made=ended.phase is Phase.NEW, before=state.phase, state=ended, gates=gates, why=why
            )
        made = self._mover.move(state, to, gates, forced=forced)
        return Answer(is_made=True, before=state.phase, state=made, gates=gates)

    def back(self, forced: str | None = None) -> Answer:
        """One step towards the old database: always open until NEW. Nothing is copied."""
        state = self._begin()
        if state.phase.is_frozen:
            return self._resolve(state, Step.BACK)
        made = self._mover.move(state, _neighbour(state.phase, Step.BACK), (), forced=forced)
        return Answer(is_made=True, before=state.phase, state=made, gates=())

    def _begin(self) -> PhaseState:
        self._control.make()
        self._mover.begin()
        return phase_now(self._control)

    def _resolve(self, state: PhaseState, step: Step) -> Answer:
        """Finish or undo what a mover has left behind; whichever it is, the new store decides."""
        ended = self._takeover().resolve()
        wanted = _neighbour(state.phase, step)  # after it: what is left behind NEW is to be finished too
        why = "" if ended.phase is wanted else LEFT.get(ended.phase, OVERTAKEN)
        return Answer(is_made=not why, before=state.phase, state=ended, gates=(), why=why)

    def _takeover(self) -> Takeover:
        return self._takeover_by(self._mover)

    def _takeover_by(self, mover: Mover) -> Takeover:
        group = self._settings.consumer.group

        def applied_through() -> Version | None:
            through = self._log.progress_of(group).through
            return through.version if through else None

        return Takeover(
            mover,
            freezer_of(self._settings),
            lambda: open_deciding_target(self._settings),
            applied_through,
            fence_s=self._settings.phases.fence_s,
            reopened=self._reopened,
        )

    @contextmanager
    def _reopened(self) -> Iterator[Takeover]:
        with Connection(self._settings.source) as connection:
            mover = Mover(
                ControlSchema(connection, self._settings.pipeline), tries=self._settings.phases.lock_tries
            )
            mover.begin()
            yield self._takeover_by(mover)


LEFT = {
    Phase.NEW: "the mover that was here before had decided for NEW, so that was finished",
    Phase.BOTH_READ_NEW: "the mover that was here before had not decided, so its fence is undone",
}
OVERTAKEN = "another mover came first, and undid the fence: see `changeover phase show`"


def standing(control: ControlSchema) -> Standing:
    """The phase and its record, touching nothing."""
    if not control.exists():
        return Standing(state=BEFORE_THE_FIRST_MOVE, moves=())
    state = phase_now(control)
    is_left = state.is_left_standing(control.now_ms())
    return Standing(state=state, moves=moves_of(control), is_fence_left_standing=is_left)


def _neighbour(phase: Phase, step: Step) -> Phase:
    to = after(phase, step)
    if to is None:
        raise MoveRefused(why_not(phase, step))
    return to
