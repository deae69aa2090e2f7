"""Gates: each fails by its own figure alone, what is unknown does not hold, and the words say what to do."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from changeover.phase import Phase
from changeover.phases.gates import GATES, HOUR_MS, Facts, Gate, Process, Proved, failing, judge
from changeover.phases.transitions import way_ahead
from changeover.settings import PhasesSettings
from changeover.version import Version

NOW_MS = 1_900_000_000_000
LIMITS = PhasesSettings()
PROCESS = Process(
    name="web-1",
    phase=Phase.BOTH_READ_NEW,
    seen_ms=NOW_MS - 1_000,
    direct_writes=1_000,
    direct_failed=3,
    compared=10_000,
    compared_mismatch=0,
    puts=400,
    put_mismatch=0,
    changed_calls=0,
)
CLEAN = Proved(state="clean", is_clean=True, why="", as_of_ms=NOW_MS - HOUR_MS)
GOOD = Facts(
    now_ms=NOW_MS,
    phase=Phase.BOTH_READ_NEW,
    fence=Version.of_change(1, 40),
    applied_through=Version.of_change(1, 41),
    is_imported=True,
    lag_ms=120,
    findings_open=0,
    proved=CLEAN,
    retention_left_s=math.inf,
    processes=(PROCESS,),
    lacking=(),
    is_read_only=False,
)


def failed(facts: Facts, to: Phase = Phase.FENCED, limits: PhasesSettings = LIMITS) -> list[str]:
    return [gate.name for gate in failing(judge(to, facts, limits))]


def one(facts: Facts, name: str) -> Gate:
    (gate,) = [gate for gate in judge(Phase.FENCED, facts, LIMITS) if gate.name == name]
    return gate


def with_process(**changes: object) -> Facts:
    return replace(GOOD, processes=(replace(PROCESS, **changes),))  # type: ignore[arg-type] # by name


@pytest.mark.parametrize("to", GATES)
def test_where_all_is_well_every_gate_holds_and_names_figure_and_limit(to: Phase) -> None:
    gates = judge(to, GOOD, LIMITS)
    assert failing(gates) == []
    assert all(gate.figure and gate.limit and not gate.reason and not gate.mend for gate in gates)
    assert len({gate.name for gate in gates}) == len(gates)


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (replace(GOOD, is_imported=False), ["import"]),
        (replace(GOOD, lag_ms=LIMITS.lag_ms_max + 1), ["lag"]),
        (replace(GOOD, lag_ms=None), ["lag"]),
        (replace(GOOD, findings_open=1), ["findings"]),
        (replace(GOOD, findings_open=None), ["findings"]),
        (replace(GOOD, proved=None), ["verdict"]),
        (replace(GOOD, proved=replace(CLEAN, is_clean=False, state="gap")), ["verdict"]),
        (replace(GOOD, proved=replace(CLEAN, as_of_ms=NOW_MS - 25 * HOUR_MS)), ["verdict"]),
        (replace(GOOD, proved=replace(CLEAN, as_of_ms=None)), ["verdict"]),
        (replace(GOOD, retention_left_s=3_600.0), ["retention"]),
        (replace(GOOD, retention_left_s=None), ["retention"]),
        (replace(GOOD, processes=()), ["processes", "compared reads", "direct writes"]),
        (with_process(seen_ms=NOW_MS - 31_000), ["processes"]),
        (with_process(phase=Phase.BOTH_READ_OLD), ["processes"]),
        (with_process(unreported=("puts",)), ["processes"]),
        (with_process(compared=99), ["compared reads"]),
        (with_process(compared_mismatch=1), ["compared reads"]),
        (with_process(put_mismatch=1), ["values of tx.put"]),
        (with_process(direct_writes=989, direct_failed=11), ["direct writes"]),
        (with_process(direct_writes=0, direct_failed=0), ["direct writes"]),
        (with_process(changed_calls=1), ["tx.changed"]),
        (replace(GOOD, lacking=("CONNECTION_ADMIN",)), ["fence"]),
        (replace(GOOD, lacking=None), ["fence"]),
        (replace(GOOD, is_read_only=True), ["fence"]),
    ],
)
def test_a_fact_that_is_not_as_it_must_be_closes_its_gate_and_no_other(
    facts: Facts, names: Sequence[str]
) -> None:
    assert failed(facts) == names
    for gate in failing(judge(Phase.FENCED, facts, LIMITS)):
        assert gate.reason
        assert gate.mend


def writes_of_old(facts: Facts) -> Gate:
    (gate,) = [gate for gate in judge(Phase.BOTH_READ_NEW, facts, LIMITS) if gate.name == "writes of OLD"]
    return gate


@pytest.mark.parametrize(
    ("fence", "through", "holds"),
    [
        (Version.of_change(1, 40), Version.of_change(1, 39), False),
        (Version.of_change(1, 40), Version.of_change(1, 40), True),
        (Version.of_change(1, 40), Version.of_change(2, 3), True),  # another server has taken over since
        (Version.of_change(2, 3), Version.of_change(1, 40), False),
        (Version.of_change(1, 40), None, False),
        (None, Version.of_change(1, 40), False),
    ],
)
def test_nothing_is_read_from_the_new_database_before_it_has_what_was_written_in_old(
    fence: Version | None, through: Version | None, *, holds: bool
) -> None:
    both = replace(GOOD, phase=Phase.BOTH_READ_OLD, fence=fence, applied_through=through)
    facts = replace(both, processes=(replace(PROCESS, phase=Phase.BOTH_READ_OLD),))
    assert failed(facts, Phase.BOTH_READ_NEW) == ([] if holds else ["writes of OLD"])
    gate = writes_of_old(facts)
    assert gate.figure == ("applied" if holds else "unknown" if None in {fence, through} else "not applied")
    if not holds:
        assert "who wrote in OLD could read" in gate.reason  # whoever forces it reads what it costs
        assert ("changeover phase advance looks" in gate.mend) is (fence is None)


def test_behind_the_move_to_reading_the_new_database_nobody_asks_for_the_writes_of_old_again() -> None:
    assert failed(replace(GOOD, fence=None, applied_through=None)) == []


def test_a_figure_at_its_limit_still_holds() -> None:
    at_the_limit = replace(
        with_process(seen_ms=NOW_MS - 30_000, compared=100, direct_writes=990, direct_failed=10),
        lag_ms=LIMITS.lag_ms_max,
        proved=replace(CLEAN, as_of_ms=NOW_MS - 24 * HOUR_MS),
        retention_left_s=86_400.0,
    )
    assert failed(at_the_limit) == []


def test_a_process_that_has_been_silent_for_long_counts_as_ended() -> None:
    ended = replace(PROCESS, name="old", seen_ms=NOW_MS - HOUR_MS - 1, changed_calls=9, compared_mismatch=5)
    assert failed(replace(GOOD, processes=(PROCESS, ended))) == []
    silent = replace(ended, seen_ms=NOW_MS - HOUR_MS)
    assert (
        "old has been silent for 3600 s"
        in one(replace(GOOD, processes=(PROCESS, silent)), "processes").reason
    )


def test_mismatches_are_judged_in_a_million_of_all_processes_together() -> None:
    two = (
        replace(PROCESS, compared=1_999_999, compared_mismatch=2),
        replace(PROCESS, name="web-2", compared=1, compared_mismatch=0),
    )
    assert failed(replace(GOOD, processes=two), limits=PhasesSettings(mismatch_per_million_max=1)) == []
    assert failed(replace(GOOD, processes=two)) == ["compared reads"]


def test_a_fence_that_stands_has_no_gates_for_it_was_judged_before() -> None:
    fenced = replace(GOOD, phase=Phase.FENCED, is_read_only=True)  # by the move itself
    assert judge(Phase.NEW, fenced, LIMITS) == []


def test_before_anything_is_read_from_the_new_database_no_proof_is_asked_for() -> None:
    facts = replace(
        GOOD, phase=Phase.OLD, proved=None, processes=(replace(PROCESS, phase=Phase.OLD, compared=0),)
    )
    assert failed(facts, Phase.BOTH_READ_OLD) == []
    assert "verdict" in failed(facts, Phase.BOTH_READ_NEW)


def test_without_direct_writes_and_without_the_library_the_gates_can_be_set_so() -> None:
    without = PhasesSettings(processes_min=0, compared_min=0, direct_success_percent_min=0)
    assert failed(replace(GOOD, processes=()), limits=without) == []


def test_every_reason_is_given_and_not_the_first_alone() -> None:
    bad = replace(GOOD, is_imported=False, lag_ms=None, findings_open=3, lacking=None)
    assert failed(bad) == ["import", "lag", "findings", "fence"]


def test_every_phase_ahead_has_gates_and_those_of_new_are_the_fences() -> None:
    for phase in Phase:
        assert all(GATES[ahead] for ahead in way_ahead(phase))
    assert GATES[Phase.NEW] == GATES[Phase.FENCED]
