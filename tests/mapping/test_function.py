"""Mapping functions by import path: found, refused where others could write them, known by their source."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.errors import MappingUnfit
from changeover.mapping import Body
from changeover.mapping.function import load

SOURCE = """
from changeover.mapping import Body

def to_body(row):
    return Body(str(sorted(row)).encode(), "text/plain")

number = 5
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module into a folder on Python's path."""
    monkeypatch.syspath_prepend(tmp_path)
    tmp_path.chmod(0o755)
    before = set(sys.modules)

    def write(name: str, source: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, mode=0o755)
        file.write_text(source)
        file.chmod(0o644)
        return file

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_function_is_found_by_its_import_path(write: Write) -> None:
    write("own_rows.py", SOURCE)
    assert load("own_rows:to_body").function({"b": 1, "a": 2}) == Body(b"['a', 'b']", "text/plain")


def test_another_source_has_another_digest(write: Write) -> None:
    write("own_one.py", SOURCE)
    write("own_two.py", SOURCE.replace("sorted", "list"))
    write("own_three.py", SOURCE)
    digests = [load(f"own_{name}:to_body").digest for name in ("one", "two", "three")]
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused_and_does_not_run(write: Write, mode: int) -> None:
    write("own_open.py", "raise SystemExit('it has run')").chmod(mode)
    with pytest.raises(MappingUnfit, match=r"chmod go-w .*own_open\.py"):
        load("own_open:to_body")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_file_in_a_folder_that_others_can_write_is_refused_and_does_not_run(
    write: Write, mode: int
) -> None:
    file = write("own_held.py", "raise SystemExit('it has run')")
    file.parent.chmod(mode)
    with pytest.raises(MappingUnfit, match="can be written by group or others"):
        load("own_held:to_body")


def test_bytecode_that_others_could_put_beside_a_file_is_refused(write: Write) -> None:
    file = write("own_code.py", "raise SystemExit('it has run')")
    cache = file.parent / "__pycache__"
    cache.mkdir(exist_ok=True)
    cache.chmod(0o775)
    with pytest.raises(MappingUnfit, match="__pycache__ can be written by group or others"):
        load("own_code:to_body")


def test_a_package_on_the_way_is_looked_at_before_it_runs(write: Write) -> None:
    write("own_pack/__init__.py", "raise SystemExit('it has run')").chmod(0o666)
    write("own_pack/rows.py", SOURCE)
    with pytest.raises(MappingUnfit, match=r"own_pack/__init__\.py"):
        load("own_pack.rows:to_body")


def test_a_function_in_a_package_is_found(write: Write) -> None:
    write("own_box/__init__.py", "")
    write("own_box/rows.py", SOURCE)
    assert load("own_box.rows:to_body").function({}).value == b"[]"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("own_mod", "must look like"),
        (":f", "must look like"),
        ("own_mod:", "must look like"),
        ("own_absent:f", "there is no module own_absent"),
        ("own_mod.deeper:f", "importing what is before it raises|there is no module"),
        ("own_mod:absent", "AttributeError"),
        ("own_mod:number", "not a function"),
        ("own_broken:f", "SyntaxError"),
        ("time:sleep", "not a Python source file"),
    ],
)
def test_a_path_that_leads_to_no_function_is_refused_in_one_line(write: Write, path: str, said: str) -> None:
    write("own_mod.py", SOURCE)
    write("own_broken.py", "def")
    with pytest.raises(MappingUnfit, match=said) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)
