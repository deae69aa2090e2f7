"""What the facts mean for who looks at them."""

from dataclasses import replace

import pytest

from changeover.mysql.imports import TableProgress
from changeover.page.answers import answers_of, headline_of
from changeover.page.facts import Facts
from changeover.page.painter import Painter
from changeover.page.picture import Answers, Tone
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Gate
from tests.page.seen import FACTS, STATUS


def answers(facts: Facts = FACTS, eta_s: int | None = None, **status: object) -> Answers:
    return answers_of(replace(facts, status=replace(STATUS, **status)), eta_s)  # type: ignore[arg-type]


def in_phase(phase: Phase, gates: list[Gate] | None = None) -> Facts:
    return replace(FACTS, phase=PhaseState(phase=phase, attempt=1, since_ms=1), gates=gates)


def gate(name: str, *, holds: bool) -> Gate:
    return Gate(name=name, holds=holds, figure="1", limit="0", reason="" if holds else "it is behind")


def test_a_pipeline_in_step_says_so() -> None:
    found = answers()
    assert (found.how_far.tone, found.how_far.words) == (Tone.GOOD, "All rows copied")
    assert (found.how_far_behind.tone, found.how_far_behind.words) == (Tone.GOOD, "148 ms")
    assert headline_of(FACTS, found).words == "In step"


def test_while_it_copies_it_says_how_much_is_left() -> None:
    half = [TableProgress("shop.customer", 1_000, 430, 1, is_cut=False)]
    found = answers(tables=half, is_import_logged=False, is_import_applied=False, eta_s=720)
    assert (found.how_far.words, found.how_far.detail) == (
        "43 % copied",
        "430 of about 1,000 rows, about 12 min left",
    )
    found = answers(tables=half, is_import_logged=False, is_import_applied=False)
    assert found.how_far.detail == "430 of about 1,000 rows, time left unknown"


def test_an_import_that_is_only_in_the_log_is_not_done() -> None:
    found = answers(is_import_applied=False)
    assert (found.how_far.tone, found.how_far.words) == (Tone.BUSY, "All copied")


@pytest.mark.parametrize(
    ("lag_ms", "tone"),
    [(0, Tone.GOOD), (10_000, Tone.GOOD), (10_001, Tone.WARN), (60_000, Tone.WARN), (60_001, Tone.BAD)],
)
def test_lag_is_judged_by_its_size(lag_ms: int, tone: Tone) -> None:
    assert answers(lag_ms=lag_ms).how_far_behind.tone is tone


def test_an_unknown_lag_is_never_a_small_one() -> None:
    found = answers(lag_ms=None)
    assert (found.how_far_behind.tone, found.how_far_behind.words) == (Tone.UNKNOWN, "Unknown")
    assert headline_of(FACTS, found).tone is Tone.UNKNOWN


def test_lag_while_the_import_is_applied_is_no_alarm() -> None:
    assert answers(lag_ms=3_600_000, is_import_applied=False).how_far_behind.tone is Tone.BUSY


def test_gates_that_were_not_judged_do_not_let_anybody_on() -> None:
    assert answers().may_i_go_on.tone is Tone.UNKNOWN


def test_one_shut_gate_is_enough_to_wait_and_is_named() -> None:
    facts = in_phase(Phase.OLD, [gate("import", holds=True), gate("lag", holds=False)])
    said = answers_of(facts, None).may_i_go_on
    assert (said.tone, said.words) == (Tone.WARN, "Not yet")
    assert said.detail == "1 of 2 gates to BOTH_READ_OLD are shut; lag: it is behind."


def test_with_every_gate_open_one_may_go_on() -> None:
    said = answers_of(in_phase(Phase.BOTH_READ_OLD, [gate("lag", holds=True)]), None).may_i_go_on
    assert (said.tone, said.words) == (Tone.GOOD, "Yes")


@pytest.mark.parametrize("phase", Phase)
def test_one_can_go_back_until_new(phase: Phase) -> None:
    said = answers_of(in_phase(phase), None).can_i_go_back
    expected = {Phase.NEW: "No", Phase.FENCED: "Perhaps"}  # its deadline is long over
    assert said.words == expected.get(phase, "Yes")


def fenced(left_ms: int) -> Facts:
    deadline_ms = STATUS.now_ms + left_ms
    state = PhaseState(phase=Phase.FENCED, attempt=3, since_ms=1, deadline_ms=deadline_ms)
    return replace(FACTS, phase=state, gates=())


def test_a_fence_within_its_time_is_on_the_way_and_no_alarm() -> None:
    facts = fenced(left_ms=0)
    found = answers_of(facts, None)
    assert (found.may_i_go_on.tone, found.may_i_go_on.words) == (Tone.BUSY, "On the way")
    assert found.can_i_go_back.words == "Until it is decided"
    assert headline_of(facts, found).tone is Tone.BUSY


def test_a_fence_that_was_left_standing_is_an_alarm_with_the_command_to_type() -> None:
    facts = fenced(left_ms=-1)
    found = answers_of(facts, None)
    assert (found.may_i_go_on.tone, found.may_i_go_on.words) == (Tone.BAD, "Left standing")
    assert "changeover phase back" in found.may_i_go_on.detail
    assert "changeover phase back" in found.can_i_go_back.detail
    assert headline_of(facts, found).tone is Tone.BAD


def test_in_new_nothing_is_behind_though_the_daemons_are_ended() -> None:
    facts = replace(in_phase(Phase.NEW, []), status=replace(STATUS, lag_ms=86_400_000))
    found = answers_of(facts, None)
    assert found.how_far_behind.tone is Tone.GOOD
    assert found.may_i_go_on.words == "Arrived"
    assert headline_of(facts, found).words == "The new database has taken over"


def test_a_blank_picture_knows_nothing() -> None:
    blank = Painter("shop", "db:3306", "SQLite shop.db").blank("the source did not answer.", 1)
    assert (blank.progress, blank.phase, blank.processes) == (None, None, None)
    said = (
        blank.answers.how_far,
        blank.answers.how_far_behind,
        blank.answers.is_it_right,
        blank.answers.may_i_go_on,
        blank.answers.can_i_go_back,
    )
    assert {one.tone for one in said} == {Tone.UNKNOWN}
    assert {one.words for one in said} == {"Unknown"}
