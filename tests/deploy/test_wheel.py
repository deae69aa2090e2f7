"""What is published: source archive and wheel, built offline, installed into a clean environment, and run."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = ("changeover", "cdc", "consumers")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"


IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(error.name)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made from what is in the repository alone."""
    folder = tmp_path_factory.mktemp("sdist")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    return _built("sdist", source, folder)


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive, as whoever installs that one gets it."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return _built("wheel", folder / f"changeover-{VERSION}", folder)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, and with what its own metadata asks for, no more."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    asked = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run([*asked, "install", "--no-index", "--no-deps", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for needed in _needed_by(Distribution.at(next(site.glob("changeover-*.dist-info")))):
        _link(needed, site)
    subprocess.run([*asked, "check"], check=True)
    return folder / "bin"


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    """Types, pages, statements: what is no Python needs to be named to get there."""
    ours = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == ours
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed


def test_every_module_of_it_can_be_imported_with_what_its_metadata_asks_for(
    wheel: Path, environment: Path
) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in names
        if not name.endswith("__main__.py")
    )
    assert len(modules) > 100
    lacking = _run(environment / "python", "-P", "-c", IMPORT, *modules).stdout.split()
    assert lacking == ["sqlalchemy"]  # of an application that has it: changeover.dualwrite.sqlalchemy_session


def test_it_says_its_version(environment: Path) -> None:
    assert _run(environment / "changeover", "--version").stdout == f"changeover {VERSION}\n"


@pytest.mark.parametrize("part", ["cdc", "consumers"])
def test_each_daemon_starts(environment: Path, part: str) -> None:
    assert "usage" in _run(environment / "python", "-P", "-m", part, "--help").stdout.lower()


def test_a_source_that_is_not_there_is_one_line_and_nothing_is_made(
    environment: Path, tmp_path: Path
) -> None:
    config = tmp_path / "changeover.toml"
    config.write_text(
        'pipeline = "shop"\n[source]\nurl = "mysql://nobody@127.0.0.1:1"\ninclude = ["shop.*"]\n'
        '[log]\nurl = "sqlite:log.db"\n[target]\nurl = "sqlite:target.db"\n'
    )
    done = _run(environment / "changeover", "doctor", "--config", config, exit_status=75)
    assert re.fullmatch(r"changeover: the source at nobody@127\.0\.0\.1:1 did not answer: .+\n", done.stderr)
    assert list(tmp_path.iterdir()) == [config]


def _built(kind: str, source: Path, folder: Path) -> Path:
    """What the build backend makes of the source, without a network and without an environment of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD.format(kind=kind), folder],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    return folder / done.stdout.splitlines()[-1]


def _needed_by(root: Distribution) -> Iterator[Distribution]:
    """The distributions that this one asks for, and all that they ask for, as the tests have them."""
    seen: set[tuple[str, str]] = set()
    waiting = [(root, "")]
    while waiting:
        asking, extra = waiting.pop()
        for line in asking.requires or ():
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            needed = distribution(requirement.name)
            for wanted in (*requirement.extras, ""):
                if (needed.name, wanted) not in seen:
                    seen.add((needed.name, wanted))
                    waiting.append((needed, wanted))
    return map(distribution, sorted({name for name, _ in seen}))


def _link(needed: Distribution, site: Path) -> None:
    """The files of a distribution, each at its place in another environment."""
    for file in needed.files or ():
        if ".." in file.parts or file.suffix == ".pyc":
            continue  # programs, which nobody starts here
        place = site / file
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(Path(str(needed.locate_file(file))))


def _run(*command: object, exit_status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
    )
    assert done.returncode == exit_status, done.stderr
    return done
