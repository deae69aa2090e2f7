"""The compose file without an engine: all that it names exists, and says what the product understands."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from changeover.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PARTS = ("capture", "snapshot", "apply")


def test_every_file_that_it_mounts_or_builds_from_is_in_the_repository() -> None:
    files = [
        *(volume.split(":")[0] for volume in COMPOSE["services"]["mysql"]["volumes"] if volume[0] == "."),
        *(config["file"] for config in COMPOSE["configs"].values()),
        *(COMPOSE["services"][part]["build"]["dockerfile"] for part in PARTS),
    ]
    assert len(files) == 5
    assert all((ROOT / file).is_file() for file in files)


def test_every_volume_and_secret_that_a_service_uses_is_declared() -> None:
    for service in COMPOSE["services"].values():
        named = [volume.split(":")[0] for volume in service["volumes"] if volume[0] != "."]
        assert set(named) <= set(COMPOSE["volumes"])
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_every_service_that_another_waits_for_is_there_and_can_say_that_it_is_ready() -> None:
    for service in COMPOSE["services"].values():
        for name, wait in service.get("depends_on", {}).items():
            awaited = COMPOSE["services"][name]
            assert "healthcheck" in awaited or wait["condition"] == "service_completed_successfully"


def test_the_topics_are_made_by_a_command_that_there_is() -> None:
    module, *command = COMPOSE["services"]["topics"]["command"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *command[:2], "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("part", PARTS)
def test_each_part_runs_a_command_that_there_is(part: str) -> None:
    module, name, *options = COMPOSE["services"][part]["command"]
    assert (ROOT / module / "__main__.py").is_file()
    assert f'"{name}"' in (ROOT / module / "__main__.py").read_text()
    assert options[:2] == ["--config", "/etc/changeover/changeover.toml"]


def test_its_settings_are_settings_of_this_release() -> None:
    settings = Settings.load(ROOT / "deploy/compose/changeover.toml")
    assert settings.source.host in COMPOSE["services"]
    assert (settings.log.servers or "").partition(":")[0] in COMPOSE["services"]
    replication = COMPOSE["services"]["kafka"]["environment"]["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"]
    assert settings.log.replication == replication
    assert str(settings.source.password_file) == "/run/secrets/source_password"


def test_the_server_it_starts_meets_what_the_product_requires() -> None:
    given = COMPOSE["services"]["mysql"]["command"]
    full = {"--gtid-mode=ON", "--binlog-format=ROW", "--binlog-row-image=FULL", "--binlog-row-metadata=FULL"}
    assert full <= set(given)


def test_the_image_copies_only_what_is_there() -> None:
    copied = [
        source
        for line in (ROOT / "deploy/Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert {"changeover", "cdc", "consumers"} <= set(copied)
    assert all((ROOT / source).exists() for source in copied)


def test_the_versions_of_image_package_and_code_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert COMPOSE["services"]["capture"]["image"] == f"changeover:{project['version']}"
