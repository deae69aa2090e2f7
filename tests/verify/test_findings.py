"""Findings and verdicts in the control schema."""

from dataclasses import replace

from changeover.mysql.control import ControlSchema
from changeover.verify.findings import Difference, Findings, Kind, State
from changeover.verify.verdicts import NEVER, Outcome, Verdicts, whole
from changeover.verify.verdicts import State as Known
from changeover.version import Version

ADA = Difference(
    table_name="shop.citizen",
    key=b'{"id":7}',
    kind=Kind.DIFFERENT,
    columns=("name", "a `strange`, name"),
    source_version=Version.of_read(1, 40),
    target_version=Version.of_change(1, 39),
    source_digest="a" * 32,
    target_digest="b" * 32,
    last_writer="0-1-39",
)


def test_a_finding_has_a_number_and_comes_back_as_it_was_noted(control: ControlSchema) -> None:
    findings = Findings(control)
    findings.note(ADA)
    (found,) = findings.open("shop.citizen")
    assert findings.get(found.number) == found
    assert found.state is State.OPEN
    assert found.first_seen_ms == found.last_seen_ms > 1_700_000_000_000
    for name in Difference.__dataclass_fields__:
        assert getattr(found, name) == getattr(ADA, name)
    assert findings.get(found.number + 1) is None
    assert Findings(ControlSchema(control.connection, "other")).get(found.number) is None


def test_a_key_has_one_finding_that_is_opened_again_when_it_differs_again(control: ControlSchema) -> None:
    findings = Findings(control)
    findings.note(ADA)
    (first,) = findings.open()
    control.connection.execute("DO SLEEP(0.01)")
    findings.note(replace(ADA, kind=Kind.MISSING, columns=(), target_version=None, target_digest=None))
    (again,) = findings.open()
    assert (again.number, again.first_seen_ms, again.kind) == (
        first.number,
        first.first_seen_ms,
        Kind.MISSING,
    )
    assert again.last_seen_ms > first.last_seen_ms
    findings.close_equal("shop.citizen", [b'{"id":8}', ADA.key])
    assert findings.open() == []
    (closed,) = findings.all()
    assert (closed.state, closed.closed_how) == (State.CLOSED, "found equal")
    findings.note(ADA)
    (anew,) = findings.open()
    assert (anew.number, anew.closed_how) == (first.number, None)
    assert anew.first_seen_ms > first.first_seen_ms


def test_a_key_is_its_table_and_its_bytes(control: ControlSchema) -> None:
    findings = Findings(control)
    for other in (ADA, replace(ADA, key=b'{"id":"A"}'), replace(ADA, key=b'{"id":"a"}')):
        findings.note(other)
    findings.note(replace(ADA, table_name="shop.other"))
    assert findings.open_counts() == {"shop.citizen": 3, "shop.other": 1}


def test_a_verdict_follows_the_findings_that_are_open_now(control: ControlSchema) -> None:
    findings, verdicts = Findings(control), Verdicts(control)
    assert verdicts.now() == []
    assert whole([]).state is Known.NOT_FINISHED
    lowest = Version.of_read(1, 30)
    verdicts.write(
        "shop.citizen", Outcome.COMPLETE, "", as_of=lowest, as_of_ms=1_000, rows=5, bytes_compared=70
    )
    (clean,) = verdicts.now()
    assert (clean.state, clean.as_of, clean.as_of_ms, clean.rows) == (Known.CLEAN, lowest, 1_000, 5)
    findings.note(ADA)
    (differing,) = verdicts.now()
    assert (differing.state, differing.findings_open) == (Known.DIFFERENCES, 1)
    findings.close(findings.open()[0].number, "repaired")
    assert verdicts.now() == [clean]


def test_all_tables_together_are_as_good_as_the_worst_and_as_old_as_the_oldest(
    control: ControlSchema,
) -> None:
    verdicts = Verdicts(control)
    for place, name in ((30, "a"), (20, "b")):
        version = Version.of_read(1, place)
        verdicts.write(
            f"shop.{name}", Outcome.COMPLETE, "", as_of=version, as_of_ms=place, rows=1, bytes_compared=1
        )
    both = whole(verdicts.now())
    assert (both.state, both.as_of, both.as_of_ms, both.rows) == (Known.CLEAN, Version.of_read(1, 20), 20, 2)
    with_another = whole(verdicts.now(["shop.c"]))
    assert (with_another.state, with_another.as_of, with_another.why) == (
        Known.NOT_FINISHED,
        None,
        f"shop.c: {NEVER}",
    )
    verdicts.write("shop.a", Outcome.GAP, "lost", as_of=None, as_of_ms=None, rows=1, bytes_compared=1)
    assert whole(verdicts.now(["shop.c"])).state is Known.GAP
