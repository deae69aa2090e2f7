"""A pipeline in step into each target there is, for the tests of one module."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.doctor.riak import riak_findings
from changeover.finding import refusals
from changeover.mysql.catalog import captured_tables
from tests.repair.planting import ONE_WORKER, Moved, moved
from tests.riak.double.running import running
from tests.riak.objects import TYPES
from tests.support.pipeline import Pipeline, schema_of

THING = """
CREATE TABLE thing (
    id INT PRIMARY KEY, name VARCHAR(50), other VARCHAR(50), at DATETIME(3),
    price DECIMAL(65,30), data MEDIUMBLOB
)"""
ROWS = 60
FILL = f"""
INSERT INTO thing SELECT seq, IF(seq = 7, '', CONCAT('ž', seq)), CONCAT('other ', seq),
    '2024-03-31 02:30:00.123', seq + 0.123456789012345678901234567890, REPEAT(CHAR(seq), 100)
    FROM seq_1_to_{ROWS}
"""
TARGETS = ("sqlite", "merge", "siblings")


@pytest.fixture(scope="module", params=TARGETS)
def place(
    request: pytest.FixtureRequest, mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moved]:
    with ExitStack() as stack:
        way = request.param
        schema = stack.enter_context(schema_of(mariadb, f"planted_{way}", THING, FILL))
        target, riak = 'url = "sqlite:target.db"', None
        if way != "sqlite":
            riak = stack.enter_context(running(3))
            nodes = ",".join(str(node.address) for node in riak.nodes)
            target = f'url = "riak://{nodes}"\nbucket_type = "{TYPES[way]}"\nordering = "{way}"'
        pipeline = Pipeline(mariadb, schema, tmp_path_factory.mktemp(way), target=target, extra=ONE_WORKER)
        if riak:
            with pipeline.connection() as connection:
                assert not refusals(riak_findings(pipeline.settings, captured_tables(connection)))
        yield stack.enter_context(moved(pipeline, riak))
