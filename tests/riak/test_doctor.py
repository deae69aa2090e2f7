"""doctor on a Riak target: what stands against it, with the mend; the proof, and what may then begin."""

from pathlib import Path

import pytest

from changeover.doctor.riak import riak_findings
from changeover.errors import ChangeoverError, OrderUnproven, SettingsInvalid
from changeover.finding import Finding, Severity, refusals
from changeover.riak.buckets import Properties, SetBucket
from changeover.riak.client import Client
from changeover.riak.objects import Content, Put
from changeover.riak.request import Bucket
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets.riak.fitness import Way
from changeover.targets.riak.target import RiakTarget
from changeover.wiring import check_mapping, check_target_of, open_target
from tests.contracts.target import PASSPORT, change, held, put, state
from tests.riak.certificates import Authority
from tests.riak.double import replica
from tests.riak.double.running import Running
from tests.riak.objects import TYPES
from tests.riak.test_login import PASSWORD, Secured
from tests.support.tables import CITIZEN, citizen, named

TABLES = [CITIZEN, PASSPORT]


def settings_for(
    double: Running, folder: Path, way: Way = "merge", more: str = "", rules: str = ""
) -> Settings:
    nodes = ",".join(str(node.address) for node in double.nodes)
    config = folder / "changeover.toml"
    config.write_text(
        f"""
pipeline = "test"
[source]
url = "mysql://u@h"
include = ["records.*"]
[log]
url = "sqlite:log.db"
[target]
url = "riak://{nodes}"
bucket_type = "{TYPES[way]}"
ordering = "{way}"
{more}
{rules}
"""
    )
    return Settings.load(config)


def refused(settings: Settings, *tables: Table) -> list[Finding]:
    return refusals(riak_findings(settings, tables or TABLES))


def test_a_fit_cluster_is_proved_and_then_the_target_opens(three: Running, tmp_path: Path) -> None:
    settings = settings_for(three, tmp_path)
    with pytest.raises(OrderUnproven):
        check_target_of(settings)
    assert [*riak_findings(settings, TABLES)] == []
    check_target_of(settings)
    with open_target(settings) as target:
        target.write([put(1, change(5))])
        assert held(target, 1) == state(target, change(5), citizen(1))
    assert refused(settings) == [], "doctor again, beside a pipeline that runs"


def test_by_siblings_nothing_is_proved_and_nothing_is_written(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path, "siblings")
    assert refused(settings) == []
    assert not any(node.held for node in double.cluster.replicas)
    check_target_of(settings)


def test_a_cluster_that_does_not_order_is_refused_with_the_other_way_and_nothing_begins(
    double: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(double, tmp_path)
    monkeypatch.setattr(replica, "replicated", lambda _held, new, _rules: new)
    (finding,) = refused(settings)
    assert "does not order writes" in finding.what
    assert 'target.ordering = "siblings"' in finding.mend
    with pytest.raises(OrderUnproven):
        check_target_of(settings)


def test_wrong_properties_of_type_or_bucket_are_refused_with_the_command_that_mends(
    double: Running, tmp_path: Path
) -> None:
    settings = settings_for(double, tmp_path)
    with Client(double.access) as client:
        client.call(SetBucket(Bucket(b"citizen", b"plain3"), Properties(allow_mult=True)))
    (finding,) = refused(settings)
    assert (
        finding.what
        == "the bucket plain3/citizen is not fit: allow_mult is true, and ordering by merge needs false"
    )
    assert (
        'riak admin bucket-type create plain3 \'{"props":{"allow_mult":false,"last_write_wins":false}}'
        in finding.mend
    )
    double.cluster.set_properties(b"plain3", b"", Properties(last_write_wins=True))
    assert len(refused(settings)) == 3


def test_a_bucket_type_that_is_not_there_is_refused(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path)
    absent = settings.model_copy(update={"target": settings.target.model_copy(update={"bucket_type": "x"})})
    assert all("no_type" in finding.what for finding in refused(absent))


def test_fewer_than_three_replicas_are_warned_of(three: Running, tmp_path: Path) -> None:
    three.cluster.set_properties(b"plain3", b"passport", Properties(n_val=1))
    (finding,) = riak_findings(settings_for(three, tmp_path), TABLES)
    assert finding.severity is Severity.WARN
    assert finding.what.startswith("in the buckets passport n_val is 1")


def test_one_node_alone_is_noted(double: Running, tmp_path: Path) -> None:
    (finding,) = riak_findings(settings_for(double, tmp_path), TABLES)
    assert finding.severity is Severity.NOTE


def test_objects_of_others_are_refused_unless_they_are_adopted(double: Running, tmp_path: Path) -> None:
    with Client(double.access) as client:
        client.call(Put(Bucket(b"passport", b"plain3"), b"7", Content(b"theirs")))
    (finding,) = refused(settings_for(double, tmp_path))
    assert finding.what == "the bucket plain3/passport has an object 7 that changeover did not write"
    assert "adopt" in finding.mend
    assert refused(settings_for(double, tmp_path, more="adopt = true")) == []


def test_a_bucket_of_another_pipeline_is_refused(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path)
    assert refused(settings) == []
    with open_target(settings.model_copy(update={"pipeline": "other"})) as target:
        target.write([put(1, change(5))])
    (finding,) = refused(settings)
    assert "belongs to pipeline 'other'" in finding.what


def test_tables_that_would_meet_in_one_object_are_refused(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path)
    both = [CITIZEN, named("citizen", "archive")]
    (finding,) = refused(settings, *both)
    assert "rows of archive.citizen and of records.citizen could become one object" in finding.what
    with pytest.raises(ChangeoverError, match="one object"):
        check_mapping(settings, both)
    rules = '[mapping.tables."archive.citizen"]\nbucket = "old"'
    assert refused(settings_for(double, tmp_path, rules=rules), *both) == []


def test_rules_that_do_not_fit_are_refused(double: Running, tmp_path: Path) -> None:
    rules = '[mapping.tables."records.citizen"]\nleave_out = ["nme"]'
    (finding,) = refused(settings_for(double, tmp_path, rules=rules))
    assert "it has no column nme" in finding.what


def test_another_mapping_than_the_one_that_wrote_is_refused(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path)
    assert refused(settings) == []
    with open_target(settings) as target:
        target.write([put(1, change(5))])
    rules = '[mapping.tables."records.citizen"]\nleave_out = ["name"]'
    (finding,) = refused(settings_for(double, tmp_path, rules=rules))
    assert "were made by another mapping" in finding.what


def test_a_cluster_that_does_not_answer_is_one_finding(double: Running, tmp_path: Path) -> None:
    settings = settings_for(double, tmp_path)
    double.nodes[0].kill()
    (finding,) = refused(settings)
    assert "Riak at 127.0.0.1" in finding.what


def test_user_password_and_authority_of_the_settings_reach_the_cluster(
    double: Running, tmp_path: Path
) -> None:
    secured = Secured(double, tmp_path)
    secured.security.pause_s = 0
    (tmp_path / "secret").write_text(PASSWORD)
    login = 'user = "ann"\npassword_file = "secret"\nca_file = "authority.pem"'
    settings = settings_for(double, tmp_path, more=login)
    assert refused(settings) == []
    with open_target(settings) as target:
        target.write([put(1, change(5))])
        assert held(target, 1) == state(target, change(5), citizen(1))
    (finding,) = refused(settings_for(double, tmp_path))
    assert "Security is enabled" in finding.what
    (tmp_path / "secret").write_text("wrong")
    (finding,) = refused(settings)
    assert "Authentication failed" in finding.what
    secured.show(Authority("another").issue(tmp_path))
    (finding,) = refused(settings)
    assert "certificate" in finding.what
    assert PASSWORD not in str(finding)


def test_the_rules_of_the_settings_reach_the_target(
    double: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_shape.py").write_text(
        "from changeover.mapping import Body\ndef shape(row): return Body(row['full'].encode(), 'text/plain')"
    )
    (tmp_path / "own_shape.py").chmod(0o644)
    tmp_path.chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)
    rules = """
[mapping.tables."records.citizen"]
bucket = "people"
key_prefix = "dk-"
rename = { name = "full" }
function = "own_shape:shape"
[mapping.tables."records.passport"]
leave_out = ["name"]
constants = { land = "dk", version = 2 }
index = ["id"]
"""
    settings = settings_for(double, tmp_path, rules=rules)
    assert refused(settings) == []
    with open_target(settings) as target:
        assert isinstance(target, RiakTarget)
        assert target.body_of(CITIZEN, citizen(1)).value == b"Ada"
        body = target.body_of(PASSPORT, citizen(1))
        assert body.value == b'{"id":1,"land":"dk","version":2}'
        assert body.indexes == (("id_int", "1"),)
        target.write([put(1, change(5))])
    assert any(place[1:] == (b"people", b"dk-1") for place in double.cluster.replicas[0].held)


def test_rules_are_refused_where_the_target_takes_rows_as_they_are(double: Running, tmp_path: Path) -> None:
    rules = '[mapping.tables."records.citizen"]\nbucket = "x"'
    settings = settings_for(double, tmp_path, rules=rules)
    on_sqlite = settings.model_copy(
        update={"target": settings.target.model_copy(update={"url": "sqlite:x.db"})}
    )
    with pytest.raises(SettingsInvalid, match=r"mapping\.tables"):
        open_target(on_sqlite)
