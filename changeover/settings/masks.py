"""What must not leave the source."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from changeover.errors import SettingsInvalid
from changeover.settings.section import Section, secret_in, shape

ColumnPattern = Annotated[
    str, shape(r"[^.]+\.[^.]+\..+", "it must look like schema.table.column, with * for any text")
]

SECRET_CHARACTERS_MIN = 16
"""A shorter one could be found by trying: it would open every hash."""


class MasksSettings(Section):
    """What must not leave the source: columns as "schema.table.column", * and ? for any text."""

    hash: tuple[ColumnPattern, ...] = Field(
        (), description="Columns whose values are replaced by their keyed hash, keys and references alike."
    )
    leave_out: tuple[ColumnPattern, ...] = Field((), description="Columns that are not taken along at all.")
    constants: dict[ColumnPattern, int | float | str] = Field(
        default_factory=dict, description="Columns that get one value in each row."
    )
    secret: SecretStr | None = Field(
        None, description="The key of the hashes; better in secret_file or CHANGEOVER_MASKS__SECRET."
    )
    secret_file: Path | None = Field(None, description="A file that holds the key of the hashes.")

    def secret_key(self) -> str:
        """The key of the hashes; `SettingsInvalid` if there is none, or one that could be guessed."""
        secret = self.secret.get_secret_value() if self.secret else ""
        if self.secret_file:
            secret = secret_in(self.secret_file)
        if len(secret) < SECRET_CHARACTERS_MIN:
            message = f"masks.hash needs a secret of {SECRET_CHARACTERS_MIN} characters at least"
            raise SettingsInvalid(message, hint="Set masks.secret_file, or CHANGEOVER_MASKS__SECRET.")
        return secret
