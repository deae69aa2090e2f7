"""The compose file without an engine: all that it names exists, and says what the product understands."""

import os
import re
import shutil
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
PARTS = ("capture", "snapshot", "apply", "page")
WITH_SETTINGS = ("topics", "doctor", *PARTS, "clinic", "operator")
PAGE = (ROOT / "docs/compose.md").read_text()
BIND = "./"


def test_every_file_that_it_mounts_or_builds_from_is_in_the_repository() -> None:
    files = [
        *(
            volume.split(":")[0]
            for service in COMPOSE["services"].values()
            for volume in service.get("volumes", ())
            if volume.startswith(BIND)
        ),
        *(config["file"] for config in COMPOSE["configs"].values()),
        *(COMPOSE["services"][part]["build"]["dockerfile"] for part in PARTS),
    ]
    assert len(files) == 11
    assert all((ROOT / file).exists() for file in files)


def test_every_volume_and_secret_that_a_service_uses_is_declared() -> None:
    for service in COMPOSE["services"].values():
        named = [volume.split(":")[0] for volume in service["volumes"] if volume[0] != "."]
        assert set(named) <= set(COMPOSE["volumes"])
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_every_service_that_another_waits_for_is_there_and_can_say_that_it_is_ready() -> None:
    for service in COMPOSE["services"].values():
        waits = service.get("depends_on", {})
        for name, wait in waits.items() if isinstance(waits, dict) else ():
            awaited = COMPOSE["services"][name]
            assert "healthcheck" in awaited or wait["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", ["topics", "doctor", *PARTS])
def test_each_part_and_what_comes_before_them_runs_a_command_that_there_is(name: str) -> None:
    module, *command = COMPOSE["services"][name]["command"]
    place = command.index("--config")
    assert command[place + 1] == "/etc/changeover/changeover.toml"
    asked = [sys.executable, "-P", "-m", module, *command[:place], "--help"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_the_application_is_the_example_of_the_repository() -> None:
    module, *options = COMPOSE["services"]["clinic"]["command"]
    folder = options[options.index("--app-dir") + 1]
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert f"\nCOPY examples/fastapi_app {folder}\n" in image
    assert f" AS {COMPOSE['services']['clinic']['build']['target']}\n" in image
    options[options.index(folder)] = str(ROOT / "examples/fastapi_app")
    environment = {**os.environ, "CHANGEOVER_CONFIG": "/nowhere/changeover.toml"}
    started = subprocess.run(
        [sys.executable, "-P", "-m", module, *options, "--workers", "1", "--port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the settings file /nowhere/changeover.toml cannot be read" in started.stderr


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_each_is_given_the_secrets_that_it_needs_and_no_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = COMPOSE["services"][name]
    for variable, value in service["environment"].items():
        if variable != "CHANGEOVER_CONFIG":
            monkeypatch.setenv(variable, value)
    settings = Settings.load(ROOT / "deploy/compose/changeover.toml")
    needed = {
        "clinic": {settings.application.password_file},
        "page": {settings.source.password_file, settings.page.token_file},
    }.get(name, {settings.source.password_file})
    assert needed == {Path("/run/secrets", secret) for secret in service["secrets"]}


def test_every_word_that_its_page_tells_to_type_is_there() -> None:
    asked = re.findall(r"docker compose run --rm operator ([a-z]+)(?: ([a-z]+))?", PAGE)
    assert {first for first, _ in asked} == {"status", "phase", "verify", "finish"}
    for words in asked:
        command = [sys.executable, "-m", "changeover", *filter(None, words), "--help"]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0, words
    named = re.findall(r"docker compose (?:stop|kill|start|logs) ([a-z ]+)", PAGE)
    assert {word for words in named for word in words.split()} <= set(COMPOSE["services"])
    assert len(named) == 4


@pytest.mark.parametrize("text", [PAGE, (ROOT / "docker-compose.yml").read_text()], ids=["page", "file"])
def test_whoever_does_as_it_says_has_made_every_secret(text: str) -> None:
    (made,) = re.findall(r"for secret in (.+); do", text)
    files = {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert {f"deploy/compose/{name}" for name in made.split()} == files


def test_what_the_servers_hold_is_in_a_volume() -> None:
    """Kafka's folder is /tmp/kafka-logs where its settings come by the environment and do not name one."""
    kafka = COMPOSE["services"]["kafka"]
    folders = {volume.split(":")[1] for volume in kafka["volumes"]}
    assert kafka["environment"]["KAFKA_LOG_DIRS"] in folders


@pytest.mark.parametrize("is_broken", [False, True])
def test_prometheus_takes_its_settings(tmp_path: Path, is_broken: bool) -> None:  # noqa: FBT001 - a parameter
    programs = subprocess.run(
        [ROOT / "scripts/need", "prometheus"], check=True, capture_output=True, text=True
    ).stdout.strip()
    shutil.copytree(ROOT / "deploy/prometheus", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "prometheus.yml"
    if is_broken:
        file.write_text(file.read_text().replace("targets", "target"))
    checked = subprocess.run(
        [Path(programs) / "promtool", "check", "config", "--syntax-only", file],
        capture_output=True,
        check=False,
    )
    assert (checked.returncode != 0) is is_broken


def test_the_bucket_type_of_the_settings_is_made_as_its_order_needs_it() -> None:
    target = Settings.load(ROOT / "deploy/compose/changeover.toml").target
    assert target.nodes[0][0] in COMPOSE["services"]
    allow_mult = {"merge": "false", "siblings": "true"}[target.ordering]
    made = (ROOT / "deploy/compose/riak-types.sh").read_text()
    assert re.search(rf"^need_type {target.bucket_type} {allow_mult}\b", made, re.MULTILINE)


def test_riak_counts_as_healthy_once_its_types_are_there(tmp_path: Path) -> None:
    """The script, with a `riak` that keeps its types in a file."""
    riak = tmp_path / "riak"
    riak.write_text(RIAK.format(state=tmp_path / "types"))
    riak.chmod(0o755)
    script = tmp_path / "riak-types.sh"
    script.write_text(
        (ROOT / "deploy/compose/riak-types.sh").read_text().replace("/usr/sbin/riak", str(riak))
    )
    for _ in range(2):
        subprocess.run(["sh", script], check=True, capture_output=True)
        assert (tmp_path / "types").read_text().splitlines() == [
            'create changeover {"props":{"allow_mult":false,"last_write_wins":false}}',
            "activate changeover",
            'create changeover-siblings {"props":{"allow_mult":true,"last_write_wins":false}}',
            "activate changeover-siblings",
        ]


RIAK = """#!/bin/sh
case "$1 $3" in
    "ping ") echo pong ;;
    "admin status") grep -q "^activate $4$" {state} && echo "$4 is active" || {{ echo "no $4"; exit 1; }} ;;
    "admin create") echo "create $4 $5" >>{state} ;;
    "admin activate") echo "activate $4" >>{state} ;;
esac
"""


def test_no_secret_of_it_is_in_the_repository_or_goes_to_the_builder() -> None:
    files = {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert len(files) == 5
    assert files <= {line.removeprefix("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not [line for line in ignored if line.startswith(("!deploy", "!."))]


def test_nothing_of_it_can_be_reached_from_another_machine() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_prometheus_asks_every_part_where_it_answers() -> None:
    settings = Settings.load(ROOT / "deploy/compose/changeover.toml")
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    asked = scraped[0]["static_configs"][0]["targets"]
    kinds = {"capture": "capture", "apply": "apply", "snapshot": "snapshot", "page": "serve"}
    assert set(asked) == {f"{name}:{settings.metrics.port(kind)}" for name, kind in kinds.items()}
    assert set(kinds) == set(PARTS)


def test_grafana_finds_prometheus_and_the_dashboards_folder() -> None:
    provisioned = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioned / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"].removeprefix("http://").partition(":")[0] in COMPOSE["services"]
    (folder,) = yaml.safe_load((provisioned / "dashboards/changeover.yml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert folder["options"]["path"] in mounted


def test_every_image_is_pinned_to_a_version() -> None:
    images = [service["image"] for service in COMPOSE["services"].values()]
    images += re.findall(r"^FROM (\S+:\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert len(images) > 10
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in images)


def test_a_part_that_has_stopped_loudly_is_not_started_again_in_a_loop() -> None:
    assert Settings.load(ROOT / "deploy/compose/changeover.toml").metrics.hold_stop_s >= 365 * 86_400


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


def test_the_versions_of_image_package_and_code_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert COMPOSE["services"]["capture"]["image"] == f"changeover:{project['version']}"
    assert COMPOSE["services"]["clinic"]["image"] == f"changeover-example:{project['version']}"
