"""Every schedule of a small case, within a few switches and faults."""

import pytest

from tests.simulation.chance import Seeded
from tests.simulation.explore import all_within
from tests.simulation.schedule import Shape, run
from tests.simulation.server import Kind
from tests.simulation.story import complaint

SMALL = Shape(events=("nothing",), workers_max=1, consumers_max=1, writers_max=1, transactions_max=2, keys=2)
WITH_FAILOVER = Shape(
    kinds=(Kind.MARIADB, Kind.GTID),
    events=("failover",),
    workers_max=1,
    consumers_max=1,
    writers_max=1,
    transactions_max=2,
    keys=2,
)


def setup_of(seed: int, shape: Shape) -> list[int]:
    """The choices of a seed up to the first step: the kind of server, its rows, and what is written."""
    outcome = run(Seeded(seed), shape)
    return outcome.choices[: outcome.setup]


def explored(setup: list[int], shape: Shape, deviations: int) -> int:
    """How many schedules there are within so many deviations, all of which hold."""
    count = 0
    for outcome in all_within(setup, shape, deviations):
        assert outcome.broken is None, complaint("explored", outcome, shape)
        count += 1
    return count


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [SMALL, WITH_FAILOVER], ids=["steady", "with a failover"])
def test_every_single_switch_and_fault_of_a_small_case_does_no_harm(shape: Shape, seed: int) -> None:
    assert explored(setup_of(seed, shape), shape, deviations=1) > 200


@pytest.mark.full
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("shape", [SMALL, WITH_FAILOVER], ids=["steady", "with a failover"])
def test_every_pair_of_switches_and_faults_of_a_small_case_does_no_harm(shape: Shape) -> None:
    assert explored(setup_of(1, shape), shape, deviations=2) > 40_000
