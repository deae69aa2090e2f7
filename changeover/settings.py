"""Settings: one TOML file, with the source's password from a file or the environment.

Each setting has a unit, a default and a sentence; an unknown one is an error. They are read once, by the
composition roots; everything else is handed what it needs.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from changeover.errors import SettingsInvalid
from changeover.start import OF_CAPTURE, Start

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Pattern = Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")]


class Section(BaseModel):
    """A part of the settings; unknown names are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    """The database that is moved."""

    url: str = Field(description="mysql://user@host:port of the primary; the password may stand in it.")
    password: SecretStr | None = Field(
        None, description="The user's password; better in password_file or CHANGEOVER_SOURCE__PASSWORD."
    )
    password_file: Path | None = Field(None, description="A file that holds the user's password.")
    include: tuple[Pattern, ...] = Field(
        description='Tables to move as "schema.table"; * and ? match any text.', min_length=1
    )
    exclude: tuple[Pattern, ...] = Field((), description="Tables of these not to move.")
    control_schema: str = Field(
        "changeover",
        pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$",
        description="A schema on the source for our own few rows; made on first use.",
    )
    server_id: PositiveInt | None = Field(
        None,
        lt=2**32,
        description="Replica id capture registers with; unique among replicas. Default: random.",
    )
    heartbeat_s: PositiveFloat = Field(
        1.0, description="Seconds between heartbeats: the resolution of lag and of applied-through."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "mysql" or not parts.hostname or not parts.username or parts.path.strip("/"):
            message = "it must look like mysql://user@host:3306 (no database behind the host)"
            raise ValueError(message)
        try:
            _ = parts.port
        except ValueError as error:
            message = "the port must be a number up to 65535"
            raise ValueError(message) from error
        return url

    @property
    def host(self) -> str:
        """The server's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        return urlsplit(self.url).port or 3306

    @property
    def user(self) -> str:
        """The user to log in as."""
        return unquote(urlsplit(self.url).username or "")

    def secret(self) -> str:
        """The user's password from wherever it is kept; empty if nowhere."""
        if self.password_file:
            return _secret_in(self.password_file)
        if self.password:
            return self.password.get_secret_value()
        return unquote(urlsplit(self.url).password or "")


class LogSettings(Section):
    """The log between capture and consumers; all but URL and replay window is for Kafka."""

    url: str = Field(
        description="sqlite:FILE, relative to the settings file, or kafka://host:port,… of the brokers."
    )
    partitions: PositiveInt = Field(
        6, le=10_000, description="Partitions of each table's topic; fixed for good."
    )
    replication: PositiveInt = Field(3, description="Copies of each partition.")
    min_insync: PositiveInt = Field(
        2, description="Copies that must have a record before it counts as written."
    )
    replay_window_h: PositiveInt = Field(
        168, description="Hours for which records must be kept at least, so that they can be read again."
    )
    record_bytes_max: PositiveInt = Field(
        900_000, description="Bytes of a record at most; larger ones are split, and joined by the reader."
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description='librdkafka\'s own settings, such as "security.protocol" or "ssl.ca.location".',
    )
    password_file: Path | None = Field(None, description="A file that holds the SASL password.")

    @property
    def servers(self) -> str | None:
        """The brokers of a kafka: URL, None for another kind of URL."""
        scheme, _, rest = self.url.partition("://")
        return rest.strip("/") if scheme == "kafka" and rest.strip("/") else None

    def client_options(self) -> dict[str, str]:
        """Settings for librdkafka, with the password from its file."""
        if self.password_file is None:
            return dict(self.options)
        return {**self.options, "sasl.password": _secret_in(self.password_file)}


class TargetSettings(Section):
    """The new database."""

    url: str = Field(description="sqlite:FILE, a path relative to the settings file.")
    adopt: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to say a default
        description="Take tables and rows that another tool put there: each is older than any change.",
    )


class CaptureSettings(Section):
    """Where capture starts, as long as the pipeline has no checkpoint."""

    start: str = Field(
        "now",
        description="now, earliest (all that the binlog still holds), gtid:…, file:NAME:POSITION or "
        "timestamp:2026-11-23T10:00:00Z; the place of the copy, where another tool imports.",
    )

    @field_validator("start")
    @classmethod
    def _check_start(cls, start: str) -> str:
        Start.parse(start, OF_CAPTURE)
        return start

    @property
    def begin(self) -> Start:
        """The start, taken apart."""
        return Start.parse(self.start, OF_CAPTURE)


class SnapshotSettings(Section):
    """The import of what is there at the start."""

    workers: NonNegativeInt = Field(
        2, le=64, description="Processes that copy chunks side by side; 0 if another tool imports."
    )
    chunk_rows: PositiveInt = Field(2_000, le=1_000_000, description="Rows read and logged at a time.")


class ConsumerSettings(Section):
    """The apply side."""

    group: Name = Field("apply", description="Name of the consumer group, to which offsets belong.")
    batch_rows: PositiveInt = Field(2_000, le=100_000, description="Changes applied at a time at most.")


class Settings(BaseSettings):
    """All settings of one pipeline."""

    model_config = SettingsConfigDict(
        env_prefix="CHANGEOVER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    pipeline: Name = Field(description="Name of this migration: prefix of topics, key of control rows.")
    source: SourceSettings
    log: LogSettings
    target: TargetSettings
    capture: CaptureSettings = CaptureSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    consumer: ConsumerSettings = ConsumerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes over the file."""
        return (env_settings, init_settings)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The settings in the file; `SettingsInvalid` names every mistake in it."""
        try:
            found = tomllib.loads(path.read_text())
        except OSError as error:
            message = f"the settings file {path} cannot be read: {error.strerror}"
            raise SettingsInvalid(
                message, hint="Name it with --config; README has one to begin with."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            message = f"the settings file {path} is not valid TOML: {error}"
            raise SettingsInvalid(message, hint="Mend that line: names = values, text in quotes.") from error
        try:
            return cls(**_with_absolute_paths(found, path.resolve().parent))
        except ValidationError as error:
            message = f"the settings file {path}: {_mistakes(error)}"
            raise SettingsInvalid(
                message, hint="Mend these; docs/settings.md lists every setting."
            ) from error


def _secret_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        message = f"the password file {file} cannot be read: {reason}"
        raise SettingsInvalid(
            message, hint="It must hold the password alone, readable by this user."
        ) from error


def file_of(url: str) -> Path | None:
    """The file that a sqlite: URL names, None for another kind of URL."""
    scheme, _, rest = url.partition(":")
    return Path(rest.removeprefix("//")) if scheme == "sqlite" and rest else None


def with_target(settings: Settings, url: str, folder: Path) -> Settings:
    """The settings with another target, whose path is relative to the folder."""
    path = file_of(url)
    target = settings.target.model_copy(update={"url": f"sqlite:{folder / path}" if path else url})
    return settings.model_copy(update={"target": target})


def _with_absolute_paths(found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with each file path made absolute: daemons may be started from anywhere."""
    absolute = dict(found)
    for section in ("log", "target"):
        values = found.get(section)
        if isinstance(values, dict) and (path := file_of(str(values.get("url")))):
            absolute[section] = {**values, "url": f"sqlite:{folder / path}"}
    for section in ("source", "log"):
        values = absolute.get(section)
        if isinstance(values, dict) and "password_file" in values:
            absolute[section] = {**values, "password_file": folder / str(values["password_file"])}
    return absolute


def _mistakes(error: ValidationError) -> str:
    """Every mistake in one line; never the value, which may hold a secret."""
    return "; ".join(
        f"{'.'.join(str(part) for part in mistake['loc'])}: {_said_plainly(mistake['type'], mistake['msg'])}"
        for mistake in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _said_plainly(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such setting"
        case "missing":
            return "this setting is required"
        case _:
            return message.removeprefix("Value error, ")
