"""Settings: one TOML file, with the source's password from a file or the environment.

Each setting has a unit, a default and a sentence; an unknown one is an error. They are read once, by the
composition roots; everything else is handed what it needs.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from changeover.errors import SettingsInvalid
from changeover.settings import links
from changeover.settings.application import ApplicationSettings
from changeover.settings.credentials import handed_over
from changeover.settings.logs import LogsSettings
from changeover.settings.masks import MasksSettings
from changeover.settings.metrics import MetricsSettings, member_of
from changeover.settings.page import PageSettings
from changeover.settings.phases import PhasesSettings
from changeover.settings.section import Name, Pattern, SchemaName, Section, file_of, path_in, secret_in
from changeover.settings.target import MappingSettings, TableMappingSettings, TargetSettings
from changeover.settings.verify import VerifySettings
from changeover.start import OF_CAPTURE, Start

__all__ = [
    "ApplicationSettings",
    "LogSettings",
    "LogsSettings",
    "MasksSettings",
    "MetricsSettings",
    "PageSettings",
    "PhasesSettings",
    "Settings",
    "SourceSettings",
    "TableMappingSettings",
    "TargetSettings",
    "VerifySettings",
    "file_of",
    "member_of",
    "of_application",
    "path_in",
    "with_target",
]


class SourceSettings(Section):
    """The database that is moved."""

    url: str = Field(description="mysql://user@host:port of the primary; the password may stand in it.")
    password: SecretStr | None = Field(
        None, description="The user's password; better in password_file or CHANGEOVER_SOURCE__PASSWORD."
    )
    password_file: Path | None = Field(None, description="A file that holds the user's password.")
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the server's authority. Default: those that the machine trusts.",
    )
    allow_plain_text: bool = Field(False, description=links.ALLOWED)  # noqa: FBT003 - a default
    include: tuple[Pattern, ...] = Field(
        description='Tables to move as "schema.table"; * and ? match any text.', min_length=1
    )
    exclude: tuple[Pattern, ...] = Field((), description="Tables of these not to move.")
    control_schema: SchemaName = Field(
        "changeover",
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

    @property
    def needs_tls(self) -> bool:
        """Whether nothing may be said to the server before it has shown its certificate."""
        return self.ca_file is not None or not (self.allow_plain_text or links.is_local(self.host))

    def secret(self) -> str:
        """The user's password from wherever it is kept; empty if nowhere."""
        if self.password_file:
            return secret_in(self.password_file)
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
    allow_plain_text: bool = Field(False, description=links.ALLOWED)  # noqa: FBT003 - a default

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        away = links.leaving(self.hosts)
        if away and not self.allow_plain_text and (lacking := _lacking_of_tls(self.options)):
            message = f"{lacking}, and {away[0]} is not this machine; or set log.allow_plain_text = true"
            raise ValueError(message)
        return self

    @property
    def servers(self) -> str | None:
        """The brokers of a kafka: URL, None for another kind of URL."""
        scheme, _, rest = self.url.partition("://")
        return rest.strip("/") if scheme == "kafka" and rest.strip("/") else None

    @property
    def hosts(self) -> list[str]:
        """The hosts of the brokers; an IPv6 address stands in brackets before its port."""
        addresses = self.servers.split(",") if self.servers else []
        return [address.strip().rpartition(":")[0].strip("[]") or address.strip() for address in addresses]

    def client_options(self) -> dict[str, str]:
        """Settings for librdkafka, with the password from its file."""
        if self.password_file is None:
            return dict(self.options)
        return {**self.options, "sasl.password": secret_in(self.password_file)}


def _lacking_of_tls(options: Mapping[str, str]) -> str:
    """What librdkafka's options lack for TLS that looks at certificates; empty if nothing."""
    if options.get("security.protocol", "plaintext").lower() not in {"ssl", "sasl_ssl"}:
        return 'log.options must set "security.protocol" to "ssl" or "sasl_ssl"'
    if options.get("enable.ssl.certificate.verification", "true").lower() != "true":
        return 'log.options must leave "enable.ssl.certificate.verification" on'
    if options.get("ssl.endpoint.identification.algorithm", "https").lower() != "https":
        return 'log.options must leave "ssl.endpoint.identification.algorithm" at "https"'
    return ""


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
    mapping: MappingSettings = MappingSettings()
    masks: MasksSettings = MasksSettings()
    capture: CaptureSettings = CaptureSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    phases: PhasesSettings = PhasesSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogsSettings = LogsSettings()
    page: PageSettings = PageSettings()
    verify: VerifySettings = VerifySettings()
    application: ApplicationSettings = ApplicationSettings()

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
            return cls(**_with_credentials(_with_absolute_paths(found, path.resolve().parent)))
        except ValidationError as error:
            message = f"the settings file {path}: {_mistakes(error)}"
            raise SettingsInvalid(
                message, hint="Mend these; docs/settings.md lists every setting."
            ) from error


def with_target(settings: Settings, url: str, folder: Path) -> Settings:
    """The settings with another target, whose path is relative to the folder."""
    path = file_of(url)
    update = {"url": f"sqlite:{folder / path}" if path else url}
    try:
        target = TargetSettings.model_validate(settings.target.model_dump() | update)
    except ValidationError as error:
        raise SettingsInvalid(f"the other target: {_mistakes(error)}") from error
    return settings.model_copy(update={"target": target})


def of_application(settings: Settings) -> SourceSettings:
    """The source as the application logs in to it."""
    own = settings.application
    if own.url is None:
        return settings.source
    parts = urlsplit(own.url)
    update = {
        "url": f"mysql://{parts.username}@{parts.hostname}:{parts.port or 3306}",
        "password": SecretStr(own.secret()),
        "password_file": None,
    }
    return settings.source.model_copy(update=update)


FILES = (
    ("application", "password_file"),
    ("source", "password_file"),
    ("source", "ca_file"),
    ("log", "password_file"),
    ("target", "password_file"),
    ("target", "ca_file"),
    ("masks", "secret_file"),
    ("page", "token_file"),
    ("page", "certificate_file"),
    ("page", "key_file"),
)
"""Settings that are paths relative to the settings file."""


def _with_absolute_paths(found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with each file path made absolute: daemons may be started from anywhere."""
    absolute = dict(found)
    for section in ("log", "target"):
        values = found.get(section)
        if isinstance(values, dict) and (path := file_of(str(values.get("url")))):
            absolute[section] = {**values, "url": f"sqlite:{folder / path}"}
    for section, name in FILES:
        values = absolute.get(section)
        if isinstance(values, dict) and name in values:
            absolute[section] = {**values, name: folder / str(values[name])}
    return absolute


def _with_credentials(found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the files that the service manager has handed over, in place of others."""
    joined = dict(found)
    for section, files in handed_over(os.environ, FILES).items():
        values = joined.get(section, {})
        if isinstance(values, dict):
            joined[section] = {**values, **files}
    return joined


def _mistakes(error: ValidationError) -> str:
    """Every mistake in one line; never the value, which may hold a secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    inside = {mistake["loc"][:-1] for mistake in found}
    return "; ".join(
        f"{'.'.join(str(part) for part in mistake['loc'])}: {_said_plainly(mistake['type'], mistake['msg'])}"
        for mistake in found
        if mistake["loc"] not in inside  # a list whose items are wrong is also too short, for pydantic
    )


def _said_plainly(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such setting"
        case "missing":
            return "this setting is required"
        case "tuple_type":
            return 'it must be a list: ["one", "two"]'
        case "model_type":
            return "it must be a section, whose name stands in [ ] in a line of its own"
        case _:
            return message.removeprefix("Value error, ")
