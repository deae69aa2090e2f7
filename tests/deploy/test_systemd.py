"""The units for systemd: what they say fits what the program does, and systemd finds them sound."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from changeover.exits import NOT_RESTARTED, OK, REFUSED, UNAVAILABLE
from changeover.settings import FILES, MetricsSettings
from changeover.settings.credentials import credential_of

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
EXPOSURE_MAX = 1.5
PYTHON = "/opt/changeover/bin/python"


def directives(unit: Path) -> dict[str, list[str]]:
    """What the unit says, by directive."""
    found = defaultdict(list)
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def analyzed(*arguments: str) -> str:
    """What systemd-analyze says."""
    program = shutil.which("systemd-analyze")
    assert program, "run `scripts/need systemd-analyze`"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_there_is_a_unit_for_each_part() -> None:
    names = ["changeover-apply@", "changeover-capture", "changeover-page", "changeover-snapshot@"]
    assert [unit.stem for unit in UNITS] == names
    told = (ROOT / "docs/operation.md").read_text()
    assert all(re.search(rf"systemctl enable .*\b{name}", told) for name in names)


def test_the_units_differ_in_what_they_start_and_in_nothing_else() -> None:
    own = {"Description", "ExecStart"}
    rest = [{name: said for name, said in directives(unit).items() if name not in own} for unit in UNITS]
    assert all(one == rest[0] for one in rest)
    assert own < set(directives(UNITS[0]))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_again_after_what_may_be_started_again_and_after_nothing_else(unit: Path) -> None:
    says = directives(unit)
    assert {int(status) for status in says["RestartPreventExitStatus"][0].split()} == NOT_RESTARTED - {OK}
    assert [int(status) for status in says["RestartForceExitStatus"]] == [UNAVAILABLE]
    assert says["Restart"] == ["on-failure"]
    assert says["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_units_watchdog_waits_as_long_as_the_probes_do(unit: Path) -> None:
    says = directives(unit)
    assert says["Type"] == ["notify"]
    assert [float(seconds) for seconds in says["WatchdogSec"]] == [MetricsSettings().stalled_s]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_hands_over_credentials_that_are_settings_and_holds_no_secret(unit: Path) -> None:
    known = {credential_of(*file) for file in FILES}
    handed = {value.partition(":")[0] for value in directives(unit)["LoadCredential"]}
    assert handed == {"source-password"}
    (others,) = re.findall(r"where there are such: (.*)\.", unit.read_text())
    assert handed | set(others.split(", ")) <= known
    assert "Environment" not in directives(unit)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_units_command_is_one_of_the_program_and_refuses_missing_settings(
    unit: Path, tmp_path: Path
) -> None:
    (command,) = directives(unit)["ExecStart"]
    missing = str(tmp_path / "none.toml")
    words = command.replace("%i", "1").replace("/etc/changeover/changeover.toml", missing).split()
    assert words[0] == PYTHON
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == REFUSED
    assert missing in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_in_a_unit_and_little_that_it_may_do(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(PYTHON, sys.executable))
    assert analyzed("verify", str(here)) == ""
    said = analyzed("security", "--offline=true", str(here))
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure) <= EXPOSURE_MAX


def test_systemd_would_say_what_is_wrong(tmp_path: Path) -> None:
    unit = tmp_path / UNITS[0].name
    loose = UNITS[0].read_text().replace("ProtectSystem=strict", "ProtectSistem=strict")
    unit.write_text(loose.replace(PYTHON, sys.executable).replace("CapabilityBoundingSet=\n", ""))
    assert "ProtectSistem" in analyzed("verify", str(unit))
    said = analyzed("security", "--offline=true", str(unit))
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure) > EXPOSURE_MAX
