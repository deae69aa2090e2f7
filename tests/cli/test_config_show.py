"""`changeover config show`: values, origins, and no secret of any section."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from changeover.cli import app
from changeover.errors import SettingsInvalid
from changeover.riak.access import Node
from changeover.settings import Settings, with_target
from changeover.settings_table import HIDDEN, rows
from changeover.wiring import riak_access

TOML = """
pipeline = "shop"
[source]
url = "mysql://u:very-secret@h"
include = ["shop.*"]
[log]
url = "sqlite:log.db"
[target]
url = "riak://one:8087,two"
user = "mover"
password = "very-secret"
ca_file = "ca.pem"
[mapping.tables."shop.customer"]
bucket = "people"
rename = { cpr = "id" }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = tmp_path / "changeover.toml"
    config.write_text(TOML)
    return config


def test_a_riak_target_is_shown_without_its_password_and_with_its_rules(config: Path) -> None:
    shown = {row.name: row.value for row in rows(Settings.load(config), config)}
    assert shown["target.password"] == HIDDEN
    assert shown["target.user"] == "mover"
    assert shown["mapping.tables"] == "shop.customer = {'bucket': 'people', 'rename': {'cpr': 'id'}}"
    assert "very-secret" not in str(shown)


def test_no_setting_is_cut_on_a_narrow_terminal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(config)]).stdout
    for row in rows(Settings.load(config), config):
        assert f"{row.name} = {row.value}".rstrip() + f"  ({row.origin})\n" in shown
    assert "very-secret" not in shown


def test_nodes_have_riaks_own_port_unless_they_name_another_and_files_are_found_beside_the_settings(
    config: Path,
) -> None:
    config.write_text(TOML.replace("one:8087", "one:9087"))
    target = Settings.load(config).target
    assert riak_access(target.model_copy(update={"user": None, "ca_file": None})).nodes == (
        Node("one", 9087),
        Node("two", 8087),
    )
    assert target.ca_file == config.parent / "ca.pem"
    assert target.secret() == "very-secret"


def test_the_password_may_come_from_a_file_or_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.parent / "secret").write_text("from a file\n")
    config.write_text(TOML.replace('password = "very-secret"', 'password_file = "secret"'))
    assert Settings.load(config).target.secret() == "from a file"
    config.write_text(TOML.replace('password = "very-secret"', ""))
    monkeypatch.setenv("CHANGEOVER_TARGET__PASSWORD", "from outside")
    assert Settings.load(config).target.secret() == "from outside"


@pytest.mark.parametrize("url", ["riak://", "riak://u:very-secret@h:1", "riak://h:port"])
def test_another_target_is_refused_as_in_the_settings_and_without_its_secrets(config: Path, url: str) -> None:
    with pytest.raises(SettingsInvalid, match="url: it must look like riak://") as refusal:
        with_target(Settings.load(config), url, config.parent)
    assert "very-secret" not in str(refusal.value)


def test_another_target_keeps_what_else_is_said_of_targets(config: Path) -> None:
    target = with_target(Settings.load(config), "riak://three:1", config.parent).target
    assert (target.nodes, target.user) == ((("three", 1),), "mover")
