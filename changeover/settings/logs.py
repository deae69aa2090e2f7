"""Settings of what programs log."""

from enum import StrEnum

from pydantic import Field

from changeover.settings.section import Section


class LogFormat(StrEnum):
    """How a line of a log looks."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogsSettings(Section):
    """What programs write to standard error: one event a line."""

    format: LogFormat = Field(
        LogFormat.AUTO, description="console: for people; json: for programs; auto: by what it is written to."
    )
    debug: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to say a default
        description="Log each chunk and each retry too.",
    )
