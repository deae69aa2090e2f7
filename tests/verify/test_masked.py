"""Tables with masks are verified as what they become, and nothing masked is kept or shown."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from changeover.cli import app
from changeover.demo.sql import SQLServer
from changeover.verify.findings import Kind
from changeover.verify.verdicts import State
from changeover.verify.verifier import verifying
from tests.support.pipeline import Pipeline
from tests.verify.moved import FAST, moved, target_file

SECRET = "number 7 is secret"
TABLES = (
    "CREATE TABLE patient (ssn VARCHAR(20) PRIMARY KEY, name VARCHAR(40), city VARCHAR(40))",
    f"INSERT INTO patient SELECT CONCAT('ssn ', seq), '{SECRET}', 'Graz' FROM seq_1_to_300",
    "CREATE TABLE nothing (id INT PRIMARY KEY)",  # the target does not even have the table
    "CREATE TABLE visit (id INT PRIMARY KEY, name VARCHAR(40), note TEXT)",
    f"INSERT INTO visit SELECT seq, '{SECRET}', seq FROM seq_1_to_300",
)
MASKS = """[masks]
secret_file = "secret"
hash = ["masked.patient.ssn", "masked.*.name"]
leave_out = ["masked.visit.note"]
"""


@pytest.fixture(scope="module")
def pipeline(mariadb: SQLServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("masked")
    (folder / "secret").write_text("a secret of some length")
    with moved(mariadb, folder, TABLES, name="masked", extra=MASKS + FAST) as pipeline:
        yield pipeline


def test_masked_rows_are_clean_and_each_difference_is_found_though_keys_are_hashed(
    pipeline: Pipeline,
) -> None:
    with (
        verifying(pipeline.settings) as verifier,
        target_file(pipeline) as target,
    ):
        assert {verdict.state for verdict in verifier.scan(verifier.tables)} == {State.CLEAN}
        ssns = [ssn for (ssn,) in target.execute("SELECT ssn FROM patient ORDER BY ssn LIMIT 3")]
        different, missing, copied = ssns
        target.execute("UPDATE patient SET city = 'Wien' WHERE ssn = ?", (different,))
        target.execute("DELETE FROM patient WHERE ssn = ?", (missing,))
        target.execute("INSERT INTO patient SELECT 'f00d', name, city FROM patient WHERE ssn = ?", (copied,))
        target.execute(
            'INSERT INTO changeover_version SELECT table_id, CAST(\'{"ssn":"f00d"}\' AS BLOB), version, 0 '
            "FROM changeover_version WHERE key = CAST('{\"ssn\":\"' || ? || '\"}' AS BLOB)",
            (copied,),
        )
        verifier.scan(verifier.tables)
        found = {
            finding.key.decode(): (finding.kind, finding.columns) for finding in verifier.findings.open()
        }
        assert found == {
            f'{{"ssn":"{different}"}}': (Kind.DIFFERENT, ("city",)),
            f'{{"ssn":"{missing}"}}': (Kind.MISSING, ()),
            '{"ssn":"f00d"}': (Kind.EXTRA, ()),
        }
        target.execute("DELETE FROM patient WHERE ssn = 'f00d'")
        target.execute('DELETE FROM changeover_version WHERE key = CAST(\'{"ssn":"f00d"}\' AS BLOB)')
        target.execute("UPDATE patient SET city = 'Graz' WHERE ssn = ?", (different,))
        verifier.scan(verifier.tables)
        assert [finding.kind for finding in verifier.findings.open()] == [Kind.MISSING]


def test_what_is_masked_is_shown_masked(pipeline: Pipeline) -> None:
    with target_file(pipeline) as target:
        target.execute("UPDATE visit SET name = 'x' WHERE id = 7")
    run = CliRunner()
    config = ["--config", str(pipeline.config)]
    judged = run.invoke(app, ["verify", "--table", "masked.visit", "--keys", "[7, 8]", *config])
    assert (judged.exit_code, judged.exception and str(judged.exception)) == (1, "1"), judged.output
    with verifying(pipeline.settings) as verifier:
        (finding,) = verifier.findings.open("masked.visit")
    shown = run.invoke(app, ["findings", "show", str(finding.number), *config])
    assert shown.exit_code == 0, shown.output
    assert "differs" in shown.stdout
    assert SECRET not in shown.stdout
    assert "note" not in shown.stdout
    refused = run.invoke(app, ["verify", "--table", "masked.patient", "--keys", '["ssn 7"]', *config])
    assert "are masked, so no row can be told by one" in str(refused.exception)
