"""The settings of the application's library, `changeover.dualwrite`."""

from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, field_validator

from changeover.settings.section import Section, secret_in


class ApplicationSettings(Section):
    """The application, which writes and reads both databases by the library `changeover.dualwrite`."""

    url: str | None = Field(
        None, description="mysql://user@host:port/schema of its own login. Default: source.url and its user."
    )
    password: SecretStr | None = Field(
        None, description="The user's password; better in password_file or CHANGEOVER_APPLICATION__PASSWORD."
    )
    password_file: Path | None = Field(None, description="A file that holds the user's password.")
    direct_writes: bool = Field(
        True,  # noqa: FBT003 - pydantic's way to say a default
        description="Whether it writes to the new database itself; without, the binlog alone delivers.",
    )
    write_timeout_s: PositiveFloat = Field(
        0.5, description="Seconds that a transaction waits for its direct write; then the binlog delivers."
    )
    read_timeout_s: PositiveFloat = Field(
        0.5, description="Seconds that a read waits for the new database; then the old one is asked."
    )
    new_timeout_s: PositiveFloat = Field(
        10.0, description="Seconds that both wait for it in NEW, where nothing stands in for it."
    )
    workers: PositiveInt = Field(
        4, le=64, description="Threads of each process that write to the new database, and as many that read."
    )
    when_new_fails: Literal["go on", "wait"] = Field(
        "go on",
        description="In BOTH_READ_NEW, after a failed direct write: go on, or wait until the binlog has it.",
    )
    wait_s_max: PositiveFloat = Field(5.0, description="Seconds to wait for the binlog at most.")
    fence_wait_s_max: PositiveFloat = Field(
        15.0, description="Seconds that a transaction waits for the end of FENCED; then it fails."
    )
    compared_share: NonNegativeFloat = Field(
        0.01, le=1, description="Share of reads that are made from both databases and compared."
    )
    compared_per_s_max: PositiveFloat = Field(
        10.0, description="Reads of a process compared a second at most."
    )
    report_s: PositiveFloat = Field(
        5.0, description="Seconds between the reports of a process to the control schema."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "mysql://user@host")
        if parts.scheme != "mysql" or not parts.hostname or not parts.username:
            message = "it must look like mysql://user@host:3306/schema"
            raise ValueError(message)
        return url

    @property
    def database(self) -> str | None:
        """The schema in which its statements look for tables, None where the URL names none."""
        return unquote(urlsplit(self.url or "").path.strip("/")) or None

    def secret(self) -> str:
        """The user's password from wherever it is kept; empty if nowhere."""
        if self.password_file:
            return secret_in(self.password_file)
        if self.password:
            return self.password.get_secret_value()
        return unquote(urlsplit(self.url or "").password or "")
