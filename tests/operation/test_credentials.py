"""Secrets that systemd hands over as files are settings, and go before all others."""

from pathlib import Path

import pytest

from changeover.settings import FILES, Settings
from changeover.settings.credentials import credential_of
from changeover.settings_table import rows

SETTINGS = """
pipeline = "test"
[source]
url = "mysql://u@127.0.0.1:1"
password_file = "another"
include = ["a.*"]
[log]
url = "sqlite:log.db"
[target]
url = "sqlite:target.db"
[masks]
hash = ["a.b.c"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = tmp_path / "changeover.toml"
    config.write_text(SETTINGS)
    return config


def test_each_credential_is_the_file_of_its_setting(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "source-password").write_text("from systemd\n")
    (folder / "masks-secret").write_text("a secret of the masks\n")
    (folder / "of-somebody-else").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.setenv("CHANGEOVER_SOURCE__PASSWORD", "from the environment")
    settings = Settings.load(config)
    assert settings.source.secret() == "from systemd"
    assert settings.masks.secret_key() == "a secret of the masks"
    assert settings.target.password_file is None
    origins = {row.name: row.origin for row in rows(settings, config)}
    assert origins["source.password_file"] == "credential source-password"
    assert origins["masks.secret_file"] == "credential masks-secret"
    assert origins["log.password_file"] == "default"


def test_without_credentials_the_settings_file_says_where_secrets_are(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert Settings.load(config).source.password_file == config.parent / "another"


def test_no_two_settings_have_one_credential() -> None:
    assert len({credential_of(*file) for file in FILES}) == len(FILES)
