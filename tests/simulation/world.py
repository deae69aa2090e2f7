"""One world in one thread: processes that run until their next step outside, and one scheduler that picks.

A process is a greenlet that runs real code of the product over fakes. Whatever reaches outside (a statement,
an append, a write) is one step: the process stops before it, and the scheduler says when it goes on and how
the step ends. So every order of steps is possible, and a run is a function of its choices alone.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

from greenlet import getcurrent, greenlet

from changeover.errors import ChangeoverError, Unavailable
from tests.simulation.chance import Choices
from tests.simulation.history import History

STEPS_MAX = 6_000
"""A schedule that takes more than ten times the usual number of steps is stuck."""

PAUSE = 4
PAUSE_STEPS_MAX = 250
"""How long a process halts at most, as under SIGSTOP: long enough for others to take its work over."""

STEPS_BETWEEN_LOOKS = 8
"""How often it is asked whether the schedule is over, which costs more than a step."""

FAULT_ONE_IN = 30
RESTART_S = 0.02

T = TypeVar("T")


class Killed(BaseException):
    """The process is no more: no `except Exception` of the code that runs may notice."""


class Stuck(Exception):
    """The schedule did not come to its end."""


class Process:
    """A process of the world: `main` runs until it ends, is started again after a kill or an outage."""

    def __init__(self, world: "World", name: str, main: Callable[["Process"], None]) -> None:
        self.world = world
        self.name = name
        self.is_over = False
        self.is_halted = False
        """Whether it is halted in the middle of something: others may take it for dead."""
        self._is_dying = False
        self._main = main
        self._greenlet = greenlet(self._live, parent=getcurrent())
        self._ready: Callable[[], bool] | None = None
        self._wake_ms = 0
        self._at_death: list[Callable[[], None]] = []

    def is_ready(self, now_ms: int) -> bool:
        """Whether it would do something if it ran now."""
        if self.is_over or self._wake_ms > now_ms:
            return False
        ready = self._ready
        return ready is None or ready()

    @property
    def wake_ms(self) -> int | None:
        """When its sleep ends; None if it does not sleep."""
        return self._wake_ms if not self.is_over and self._wake_ms > self.world.now_ms else None

    def resume(self) -> None:
        """Let it run until its next step."""
        self._greenlet.switch()

    def halt(self, steps: int) -> None:
        """Somebody halts it for so long, wherever it is."""
        self._wake_ms = max(self._wake_ms, self.world.now_ms + steps)

    def at_death(self, act: Callable[[], None]) -> None:
        """What the world does when this life ends, such as closing its connections."""
        self._at_death.append(act)

    def end(self) -> None:
        """End it for good, as the schedule is over."""
        self.is_over = self._is_dying = True
        if self._greenlet and not self._greenlet.dead:
            self._greenlet.throw(Killed)

    # -- what the fakes call

    def step(self, what: str, act: Callable[[], T], failure: Callable[[str], ChangeoverError]) -> T:
        """Do `act` once the scheduler says so; it may fail before or after, or the process may die there."""
        if self._is_dying:  # what code does on its way out after a kill never happened
            raise Killed
        self._pause()
        world = self.world
        if world.faults_left and world.choices.rarely(FAULT_ONE_IN):
            return self._fail(what, act, failure)
        return act()

    def wait(self, ready: Callable[[], bool], s_max: float | None = None) -> None:
        """Be silent until the condition holds, or for so long."""
        self._ready = ready if s_max is None else self._or_after(ready, s_max)
        self._pause()
        self._ready = None

    def clock(self) -> float:
        """The time, in seconds."""
        return self.world.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        """Be silent for so long."""
        self._wake_ms = self.world.now_ms + max(1, int(seconds * 1000))
        self._pause()

    def _or_after(self, ready: Callable[[], bool], s_max: float) -> Callable[[], bool]:
        until_ms = self.world.now_ms + max(1, int(s_max * 1000))
        self.world.alarms.append(until_ms)
        return lambda: ready() or self.world.now_ms >= until_ms

    def _fail(self, what: str, act: Callable[[], T], failure: Callable[[str], ChangeoverError]) -> T:
        world = self.world
        world.faults_left -= 1
        fault = world.choices.below(5)
        if fault == PAUSE:
            world.history.note("fault", who=self.name, what=f"halts before {what}")
            self.is_halted = True
            self.sleep(world.choices.below(PAUSE_STEPS_MAX) / 1000)
            self.is_halted = False
            return act()
        if fault in {1, 3}:
            act()
        when = ("before", "after")[fault % 2]
        if fault >= 2:
            world.history.note("fault", who=self.name, what=f"{what} fails, {when} it is done")
            raise failure(f"{what}: no answer")
        world.history.note("killed", who=self.name, what=f"{when} {what}")
        self._is_dying = True
        raise Killed

    def _pause(self) -> None:
        self.world.scheduler.switch()

    def _live(self) -> None:
        with suppress(Killed):  # at the end of the schedule, between two lives
            self._live_on()

    def _live_on(self) -> None:
        while not self.is_over:
            self._is_dying = False
            try:
                self._main(self)
                self.is_over = True
            except Killed:
                pass
            except Unavailable as error:
                self.world.history.note("ended", who=self.name, why=str(error))
            except ChangeoverError as error:
                self.world.history.note(
                    "stopped", who=self.name, kind=type(error).__name__, why=str(error).partition(".")[0]
                )
                self.world.stops.append(error)
                self.is_over = True
            self._die()
            if not self.is_over:
                self.sleep(RESTART_S)

    def _die(self) -> None:
        acts, self._at_death = self._at_death, []
        for act in acts:
            act()


Action = tuple[str, Callable[[], None]]
"""Something that happens by itself: a commit becomes visible, a replica catches up."""


class World:
    """The scheduler and what all share: time, choices, faults that are left, and the history."""

    def __init__(self, choices: Choices, history: History, faults: int) -> None:
        self.choices = choices
        self.history = history
        self.faults_left = faults
        self.now_ms = 1_000
        self.alarms: list[int] = []
        self.stops: list[ChangeoverError] = []
        """What made a process stop for good."""
        self.processes: list[Process] = []
        self.scheduler = getcurrent()
        self.running: Process | None = None
        self._sources: list[Callable[[], list[Action]]] = []
        self._last: Process | Action | None = None

    def start(self, name: str, main: Callable[[Process], None]) -> Process:
        """A new process, which has not run yet."""
        process = Process(self, name, main)
        self.processes.append(process)
        return process

    def happens(self, actions: Callable[[], list[Action]]) -> None:
        """Ask here, before each step, what may happen by itself."""
        self._sources.append(actions)

    def run(self, until: Callable[[], bool]) -> None:
        """Take steps until the condition holds; `Stuck` if it never does."""
        for _ in range(STEPS_MAX // STEPS_BETWEEN_LOOKS):
            if until():
                return
            for _ in range(STEPS_BETWEEN_LOOKS):
                self.now_ms += 1
                self._step()
        raise Stuck

    def close(self) -> None:
        """End every process."""
        for process in self.processes:
            process.end()

    def _step(self) -> None:
        # The one that ran last comes first: choice 0 goes on with it, and the plainest schedule is calm.
        now_ms = self.now_ms
        ready: list[Process | Action] = [process for process in self.processes if process.is_ready(now_ms)]
        for source in self._sources:
            if actions := source():
                ready += actions
        if not ready:
            self._pass_time()
            return
        last = self._last
        if last is not None and last in ready:
            ready.insert(0, ready.pop(ready.index(last)))
        chosen = ready[self.choices.below(len(ready))]
        self._last = chosen
        if isinstance(chosen, Process):
            self.running = chosen
            chosen.resume()
        else:
            chosen[1]()

    def _pass_time(self) -> None:
        """Nothing can happen before the next alarm."""
        times = [wake for process in self.processes if (wake := process.wake_ms) is not None]
        times += [alarm for alarm in self.alarms if alarm > self.now_ms]
        self.alarms = [alarm for alarm in self.alarms if alarm > self.now_ms]
        if not times:
            self._deadlock()
        self.now_ms = min(times)

    def _deadlock(self) -> NoReturn:
        raise Stuck


class Free:
    """In place of a process, for contract tests: every step is done at once and succeeds."""

    is_halted = False

    def step(self, what: str, act: Callable[[], T], failure: Callable[[str], ChangeoverError]) -> T:
        """Do it."""
        del what, failure
        return act()

    def wait(self, ready: Callable[[], bool], s_max: float | None = None) -> None:
        """Nobody else is there to wait for."""
        del ready, s_max

    def at_death(self, act: Callable[[], None]) -> None:
        """It never dies."""
        del act
