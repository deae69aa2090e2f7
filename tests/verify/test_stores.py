"""Verification over the other stores: MySQL with GTIDs over Kafka, and objects of a mapping in Riak."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.sql import SQLServer
from changeover.doctor.riak import riak_findings
from changeover.finding import refusals
from changeover.mysql.catalog import captured_tables
from changeover.riak.client import Client
from changeover.riak.objects import Content, Get, Put
from changeover.riak.request import Bucket
from changeover.verify.findings import Kind
from changeover.verify.verdicts import State
from changeover.verify.verifier import verifying
from changeover.wiring import create_topics, riak_access
from tests.riak.double.running import running
from tests.support.hot_writer import tables
from tests.support.pipeline import Pipeline, schema_of
from tests.verify.moved import FAST, target_file
from tests.verify.test_under_load import UNSYNCED, VERIFY, loaded


@pytest.fixture
def over_kafka(tmp_path: Path) -> Iterator[Pipeline]:
    with ExitStack() as stack:
        broker = stack.enter_context(PrivateKafka())
        server = stack.enter_context(PrivateMySQL(options=UNSYNCED))
        schema = stack.enter_context(schema_of(server, "busy", *tables()))
        pipeline = Pipeline(server, schema, tmp_path, log=f"kafka://{broker.bootstrap}", extra=VERIFY)
        with pipeline.connection() as connection:
            create_topics(pipeline.settings, captured_tables(connection))
        yield stack.enter_context(pipeline)


@pytest.mark.timeout(300)
def test_over_kafka_hot_keys_raise_no_alarm_and_a_spoilt_one_is_found(over_kafka: Pipeline) -> None:
    pipeline = over_kafka
    pipeline.until(lambda now: now.is_import_applied)
    with verifying(pipeline.settings) as verifier:
        hot = verifier.chosen(["busy.hot"])
        with loaded(pipeline, 5, 500) as load:
            while load.poll() is None:
                assert [verdict.state for verdict in verifier.scan(hot)] == [State.CLEAN]
        assert {verdict.state for verdict in verifier.scan(verifier.tables)} == {State.CLEAN}
        assert verifier.findings.all() == []
        with target_file(pipeline) as target:
            target.execute("UPDATE citizen SET amount = amount || '1' WHERE id = 7")
        verifier.scan(verifier.tables)
        assert [(one.key, one.columns) for one in verifier.findings.open()] == [(b'{"id":7}', ("amount",))]


def test_objects_of_a_mapping_are_compared_byte_for_byte_and_members_that_differ_are_named(
    mariadb: SQLServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        riak = stack.enter_context(running(3))
        statements = (
            "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50), price DECIMAL(10, 2), hidden TEXT)",
            "INSERT INTO item SELECT seq, CONCAT('item ', seq), seq / 7, 'x' FROM seq_1_to_300",
        )
        schema = stack.enter_context(schema_of(mariadb, "mapped", *statements))
        nodes = ",".join(str(node.address) for node in riak.nodes)
        mapping = (
            '[mapping.tables."mapped.item"]\nindex = ["name"]\n'
            'rename = { price = "cost" }\nleave_out = ["hidden"]\n'
        )
        target = f'allow_plain_text = true\nurl = "riak://{nodes}"\nbucket_type = "plain3"'
        pipeline = Pipeline(mariadb, schema, tmp_path, target=target, extra=mapping + FAST)
        with pipeline.connection() as connection:
            assert not refusals(riak_findings(pipeline.settings, captured_tables(connection)))
            stack.enter_context(pipeline)
            pipeline.until(lambda now: now.is_import_applied)
            verifier = stack.enter_context(verifying(pipeline.settings))
            (verdict,) = verifier.scan(verifier.tables)
            assert (verdict.state, verdict.rows) == (State.CLEAN, 300)
            # What is left out differs on one side only, and is nothing to a reader of the new database.
            connection.execute("UPDATE mapped.item SET hidden = 'y' WHERE id = 5")
        bucket = Bucket(b"item", b"plain3")
        client = stack.enter_context(Client(riak_access(pipeline.settings.target)))
        held = client.call(Get(bucket, b"7"))
        (content,) = held.contents
        spoilt = content._replace(value=content.value.replace(b"item 7", b"item 8"), vtag=b"")
        client.call(Put(bucket, b"7", spoilt, held.clock))
        client.call(Put(bucket, b"not a key of ours", Content(b"foreign")))
        verifier.scan(verifier.tables)
        found = {one.key: (one.kind, one.columns) for one in verifier.findings.open()}
        assert found == {
            b'{"id":7}': (Kind.DIFFERENT, ("name",)),
            b"not a key of ours": (Kind.NO_PROVENANCE, ()),
        }
