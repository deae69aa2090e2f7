"""Masks: what must not leave the source is in no log, no target and no word that is said."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.events import RowsChanged
from cdc.masked import MaskedStream
from changeover.demo.server import PrivateMariaDB
from changeover.errors import SettingsInvalid
from changeover.masks import Masks, hashed
from changeover.settings import MasksSettings
from changeover.table import Column, Kind, Table
from changeover.values import Row
from tests.support.binlog import ScriptedStream, rows, transaction
from tests.support.pipeline import Pipeline, schema_of, write_settings
from tests.support.tables import EVERY_KIND
from tests.support.tables import rows as rows_of

SECRET = "a secret of more than sixteen"

PERSON = Table(
    schema="shop",
    name="person",
    columns=(
        Column(name="cpr", kind=Kind.TEXT, sql_type="char(11)", nullable=False, charset="latin1"),
        Column(name="name", kind=Kind.TEXT, sql_type="varchar(50)", nullable=True, charset="utf8mb4"),
        Column(name="age", kind=Kind.INTEGER, sql_type="int(11)", nullable=True),
        Column(name="photo", kind=Kind.BYTES, sql_type="blob", nullable=True),
    ),
    key=("cpr",),
)
ADA: Row = {"cpr": "100190-1234", "name": "Ada", "age": 36, "photo": b"\xff"}


def masks(table: Table = PERSON, secret: str = SECRET, **settings: Any) -> Masks:  # noqa: ANN401 - settings
    return Masks(MasksSettings(**{"secret": secret, **settings}), [table])


def test_without_masks_a_table_and_its_rows_are_as_they_are() -> None:
    mask = masks().of(PERSON)
    assert mask.to is PERSON
    assert mask.row(ADA) is ADA


def test_a_hash_is_text_that_depends_on_value_and_secret_alone() -> None:
    mask = masks(hash=["shop.person.cpr"]).of(PERSON)
    first = mask.row(ADA)["cpr"]
    assert mask.row(ADA) == {**ADA, "cpr": first}
    assert isinstance(first, str)
    assert len(first) == 32
    assert masks(hash=["*.*.cpr"]).of(PERSON).row({**ADA, "name": None})["cpr"] == first
    assert masks(hash=["*.*.cpr"], secret=SECRET + "!").of(PERSON).row(ADA)["cpr"] != first
    assert mask.row({**ADA, "cpr": "100190-1235"})["cpr"] != first


def test_a_reference_is_hashed_as_the_key_that_it_refers_to() -> None:
    hash_of_key = masks(hash=["shop.person.cpr"]).of(PERSON).row(ADA)["cpr"]
    hash_of_reference = masks(hash=["shop.person.name"]).of(PERSON).row({**ADA, "name": ADA["cpr"]})["name"]
    assert hash_of_key == hash_of_reference


def test_null_stays_null_under_a_hash_and_not_under_a_constant() -> None:
    nobody = {**ADA, "name": None, "age": None}
    mask = masks(hash=["shop.person.name"], constants={"shop.person.age": 0}).of(PERSON)
    assert mask.row(nobody) == {**ADA, "name": None, "age": 0}


def test_what_is_left_out_is_no_column_any_more() -> None:
    mask = masks(leave_out=["shop.person.ph*"]).of(PERSON)
    assert mask.to.column_names == ("cpr", "name", "age")
    assert mask.row(ADA) == {name: value for name, value in ADA.items() if name != "photo"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"hash": ["shop.person.name"]}),
        ({"hash": ["shop.person.name"]}, {"hash": ["shop.person.name"], "secret": SECRET + "!"}),
        ({"constants": {"shop.person.name": "A"}}, {"constants": {"shop.person.name": "B"}}),
        ({}, {"leave_out": ["shop.person.photo"]}),
    ],
)
def test_another_mask_makes_another_table(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    tables = [masks(**settings).of(PERSON).to for settings in (one, other)]
    assert tables[0].fingerprint != tables[1].fingerprint


def test_one_mask_makes_one_table_whoever_makes_it() -> None:
    settings: dict[str, Any] = {"hash": ["shop.person.cpr"], "constants": {"shop.person.name": "A"}}
    assert masks(**settings).of(PERSON).to.fingerprint == masks(**settings).of(PERSON).to.fingerprint


@given(rows_of(EVERY_KIND))
def test_a_value_of_every_kind_can_be_hashed(row: Row) -> None:
    mask = masks(EVERY_KIND, hash=["*.*.c*"]).of(EVERY_KIND)
    masked = mask.row(row)
    assert masked["id"] == row["id"]
    for name in EVERY_KIND.column_names[1:]:
        assert (masked[name] is None) == (row[name] is None)
        assert masked[name] is None or len(str(masked[name])) == 32


@given(st.lists(st.integers() | st.text() | st.binary(), unique_by=lambda value: (type(value), value)))
def test_different_values_have_different_hashes(values: list[int | str | bytes]) -> None:
    assert len({hashed(b"secret", value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hash": ["shop.person.nothing"]}, "masks name shop.person.nothing, and no captured table has such"),
        ({"leave_out": ["shop.*.cpr"]}, "masks take shop.person.cpr away, which is in the primary key"),
        ({"constants": {"shop.person.cpr": "x"}}, "masks take shop.person.cpr away, which is in the primary"),
        ({"constants": {"shop.person.age": "x"}}, "masks give shop.person.age (int(11)) a constant that it"),
        ({"constants": {"shop.person.name": 7}}, "masks give shop.person.name (varchar(50)) a constant"),
        ({"constants": {"shop.person.photo": "x"}}, "masks give shop.person.photo (blob) a constant"),
        (
            {"hash": ["shop.person.name"], "leave_out": ["shop.*.name"]},
            "masks say of shop.person.name more than one thing",
        ),
        ({"hash": ["shop.person.cpr"], "secret": "short"}, "masks.hash needs a secret of 16 characters"),
        ({"hash": ["shop.person.cpr"], "secret": None}, "masks.hash needs a secret of 16 characters"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(settings: Mapping[str, Any], said: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        masks(**settings)
    assert str(refused.value).startswith(said)


def test_a_stream_gives_masked_rows_of_the_masked_table() -> None:
    found = masks(hash=["shop.person.cpr"], leave_out=["shop.person.photo"])
    older = {**ADA, "age": 37}
    script = transaction(11, rows((None, ADA), (ADA, older), (older, None), table=PERSON))
    stream = MaskedStream(ScriptedStream(script, "nowhere"), found)
    events = [stream.next(0) for _ in script]
    mask = found.of(PERSON)
    assert events[0] == script[0]
    assert events[1] == RowsChanged(
        mask.to, [(None, mask.row(ADA)), (mask.row(ADA), mask.row(older)), (mask.row(older), None)]
    )


# -- a whole pipeline --------------------------------------------------------------------------------------

SECRETS = ("100190-1234", "110290-2345", "120390-3456", "130490-4567", "Ada Lovelace", "Grace Hopper")
MASKS = """
[masks]
hash = ["masked.*.cpr"]
leave_out = ["masked.person.note"]
constants = { "masked.person.name" = "Somebody" }
"""


@pytest.fixture
def with_secret() -> Iterator[None]:
    os.environ["CHANGEOVER_MASKS__SECRET"] = SECRET
    yield
    del os.environ["CHANGEOVER_MASKS__SECRET"]


def bytes_in(folder: Path) -> bytes:
    """All that the pipeline left: log, target, what the daemons said."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def hash_of(table: Table) -> Callable[[str], str]:
    mask = masks(table, hash=["*.*.cpr"]).of(table)
    return lambda cpr: str(mask.row({**ADA, "cpr": cpr})["cpr"])


@pytest.mark.usefixtures("with_secret")
def test_nothing_that_is_masked_leaves_the_source(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    first, second, third, fourth = SECRETS[:4]
    statements = (
        "CREATE TABLE person (cpr CHAR(11) PRIMARY KEY, name VARCHAR(50), age INT, note TEXT)",
        "CREATE TABLE visit (id INT PRIMARY KEY, cpr CHAR(11) CHARACTER SET latin1)",
        f"INSERT INTO person VALUES ('{first}', 'Ada Lovelace', 36, 'Ada Lovelace')",
        f"INSERT INTO person VALUES ('{second}', 'Grace Hopper', 37, 'Grace Hopper')",
        f"INSERT INTO visit VALUES (1, '{first}')",
    )
    with schema_of(mariadb, "masked", *statements) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path, extra=MASKS)
        with pipeline, mariadb.connect(database=schema) as root, root.cursor() as cursor:
            pipeline.until(lambda now: now.is_import_applied)
            cursor.execute(f"INSERT INTO visit VALUES (2, '{first}')")
            cursor.execute(f"UPDATE person SET age = 40 WHERE cpr = '{first}'")
            cursor.execute(f"UPDATE person SET cpr = '{third}' WHERE cpr = '{second}'")
            cursor.execute(f"INSERT INTO person VALUES ('{fourth}', 'Ada Lovelace', 1, NULL)")
            cursor.execute(f"DELETE FROM person WHERE cpr = '{fourth}'")
            pipeline.drain()
    hash_ = hash_of(PERSON)
    assert rows_in(tmp_path, "SELECT cpr, name, age FROM person ORDER BY age") == [
        (hash_(third), "Somebody", 37),
        (hash_(first), "Somebody", 40),
    ]
    assert rows_in(tmp_path, "SELECT * FROM visit") == [(1, hash_(first)), (2, hash_(first))]
    left = bytes_in(tmp_path)
    assert hash_(first).encode() in left
    assert not [secret for secret in (*SECRETS, SECRET) if secret.encode() in left]


def rows_in(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "target.db")) as target:
        return target.execute(sql).fetchall()


def test_a_mask_that_cannot_be_is_one_clear_line_and_nothing_is_touched(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    mask = '[masks]\nhash = ["masked.person.nothing"]\nsecret = "a secret of more than sixteen"\n'
    with schema_of(mariadb, "masked", "CREATE TABLE person (id INT PRIMARY KEY)") as schema:
        config = write_settings(mariadb, schema, tmp_path, extra=mask)
        for part in ("capture", "snapshot"):
            command = [sys.executable, "-P", "-m", "cdc", part, "--config", str(config)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            said = ended.stdout + ended.stderr
            assert ended.returncode == 3, said
            assert "masks name masked.person.nothing, and no captured table has such a column" in said
            assert "Traceback" not in said
            assert SECRET not in said
    assert not (tmp_path / "log.db").exists()
