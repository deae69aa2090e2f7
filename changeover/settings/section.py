"""What every section of the settings is made of."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from changeover.errors import SettingsInvalid


def shape(pattern: str, words: str) -> AfterValidator:
    """Refuses a text that the pattern does not match as a whole; the words say what it must look like."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(words)
        return text

    return AfterValidator(check)


Name = Annotated[
    str, shape(r"[a-z][a-z0-9_-]{0,31}", "it must be 1 to 32 of a-z, 0-9, _ and -, with a letter first")
]
SchemaName = Annotated[
    str,
    shape(r"[a-zA-Z][a-zA-Z0-9_]{0,63}", "it must be 1 to 64 of a-z, A-Z, 0-9 and _, with a letter first"),
]
Pattern = Annotated[str, shape(r"[^.]+\.[^.]+", "it must look like schema.table, with * for any text")]


class Section(BaseModel):
    """A part of the settings; unknown names are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def file_of(url: str) -> Path | None:
    """The file that a sqlite: URL names, None for another kind of URL."""
    scheme, _, rest = url.partition(":")
    return Path(rest.removeprefix("//")) if scheme == "sqlite" and rest else None


def secret_in(file: Path) -> str:
    """The password that the file holds."""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        message = f"the password file {file} cannot be read: {reason}"
        raise SettingsInvalid(
            message, hint="It must hold the password alone, readable by this user."
        ) from error


def path_in(url: str, setting: str, kinds: str) -> Path:
    """The path of a sqlite: URL; `SettingsInvalid` names the setting and the kinds of URL there are."""
    path = file_of(url)
    if path is None:
        message = f"{setting} is {url!r}, which names no kind of store there is"
        raise SettingsInvalid(message, hint=f"This release has {kinds}.")
    return path
