"""The settings as a table: each with its value, where that comes from, and what it means; secrets hidden."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

from changeover.settings import Settings
from changeover.settings.credentials import credential_of, handed_over

HIDDEN = "(hidden)"
SECRET_OPTIONS = ("password", "secret", "key.pem")
"""Parts of the names of librdkafka's options whose values are secrets."""


class Row(NamedTuple):
    """One setting as it is."""

    name: str
    value: str
    origin: str
    description: str


def rows(settings: Settings, config: Path) -> list[Row]:
    """Every setting, in the order in which the settings are declared."""
    return list(_rows(settings, tomllib.loads(config.read_text()), ()))


def _rows(section: BaseModel, found: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Row]:
    for name, field in type(section).model_fields.items():
        value, place = getattr(section, name), (*path, name)
        if isinstance(value, BaseModel):
            inner = found.get(name)
            yield from _rows(value, inner if isinstance(inner, dict) else {}, place)
        else:
            yield Row(".".join(place), _shown(name, value), _origin(found, place), field.description or "")


def _origin(found: Mapping[str, Any], place: tuple[str, ...]) -> str:
    variable = "CHANGEOVER_" + "__".join(place).upper()
    if place[-1] in handed_over(os.environ, [(place[0], place[-1])]).get(place[0], {}):
        return f"credential {credential_of(place[0], place[-1])}"
    if variable in {name.upper() for name in os.environ}:
        return f"environment {variable}"
    return "file" if place[-1] in found else "default"


def _shown(name: str, value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return HIDDEN
        case dict():
            return ", ".join(f"{key} = {_shown_option(key, of)}" for key, of in value.items())
        case tuple():
            return ", ".join(map(str, value))
        case str() if name == "url":
            return _without_password(value)
        case _:
            return str(value)


def _shown_option(name: str, value: object) -> str:
    if isinstance(value, BaseModel):
        return str(value.model_dump(exclude_defaults=True))
    return HIDDEN if any(part in name for part in SECRET_OPTIONS) else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{HIDDEN}@{host}"))
