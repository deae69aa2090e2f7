"""A whole move into Riak: parts and nodes killed, connections cut, each row compared by the oracle."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from changeover.demo import oracle, records
from changeover.demo.oracle_riak import RiakSide
from changeover.demo.server import PrivateMariaDB
from changeover.doctor.riak import riak_findings
from changeover.finding import refusals
from changeover.mysql.catalog import captured_tables
from changeover.status import Status
from changeover.targets.riak.fitness import Way
from tests.riak.double.running import Running, running
from tests.riak.objects import TYPES
from tests.support.moving import RATE, Killer, writing
from tests.support.pipeline import Pipeline

ROWS = 8_000
STEADY_S = 3.0
WAIT_S_MAX = 150
CUT_SHARE: dict[Way, float] = {"merge": 0.002, "siblings": 0.001}
"""Of the requests: every third batch of 200 has a connection cut; by siblings each write is two requests."""


class NodeKiller(Killer):
    """Kills the parts as ever, and a node of Riak at a time, which comes back a moment later."""

    def __init__(self, pipeline: Pipeline, riak: Running) -> None:
        super().__init__(pipeline, None)
        self._riak = riak
        self._turn = 0

    def look(self, now: Status) -> bool:
        """Kill what is due."""
        self._turn += 1
        node = self._riak.nodes[self._turn // 40 % len(self._riak.nodes)]
        if self._turn % 40 == 10:
            node.kill()
        if self._turn % 40 == 20:
            node.start()
        return super().look(now) and self._turn > 60 and self._turn % 40 > 20


@pytest.mark.parametrize("way", ["merge", pytest.param("siblings", marks=pytest.mark.full)])
@pytest.mark.timeout(300)
def test_a_database_that_is_written_to_comes_out_equal_in_riak_though_all_is_killed_and_cut(
    way: Way, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        riak = stack.enter_context(running(3))
        server = stack.enter_context(PrivateMariaDB())
        connection = server.connect()
        records.create(connection)
        records.fill(connection, ROWS, 7)
        stop_writing = stack.enter_context(writing(server))
        nodes = ",".join(str(node.address) for node in riak.nodes)
        pipeline = Pipeline(
            server,
            records.SCHEMA,
            tmp_path,
            target=f'url = "riak://{nodes}"\nbucket_type = "{TYPES[way]}"\nordering = "{way}"\n'
            "allow_plain_text = true",
            extra="[snapshot]\nchunk_rows = 500\n[consumer]\nbatch_rows = 200\n",
        )
        with pipeline.connection() as connected:
            assert not refusals(riak_findings(pipeline.settings, captured_tables(connected)))
        for node in riak.nodes:
            node.faults.cut_share = CUT_SHARE[way]
        riak.cluster.late_share = 0.3
        stack.enter_context(pipeline)
        killer = NodeKiller(pipeline, riak)
        pipeline.until(lambda now: killer.look(now) and now.is_import_applied, WAIT_S_MAX)
        time.sleep(STEADY_S)
        totals = stop_writing()
        pipeline.drain(WAIT_S_MAX)
        for node in riak.nodes:
            node.faults.cut_share = 0
        address = riak.nodes[0].address
        side = RiakSide(address.host, address.port, TYPES[way])
        compared = oracle.compare(connection, records.SCHEMA, records.TABLES, side)
    assert compared.difference_count == 0, compared.differences[:3]
    assert sum(compared.rows_source.values()) == sum(compared.rows_target.values()) > ROWS / 2
    assert totals["transactions"] > RATE
    assert {"capture", "apply"} <= set(killer.killed)
    assert "target is tried again" in (tmp_path / "daemons.log").read_text(), "no connection was cut"
