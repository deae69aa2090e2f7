"""Secrets that the service manager hands over as files: systemd's LoadCredential=, in a folder of their own.

A credential is named for the setting whose file it is: `source-password` for `source.password_file`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = "CREDENTIALS_DIRECTORY"


def credential_of(section: str, name: str) -> str:
    """The name of the credential that is the file of this setting.

    >>> credential_of("masks", "secret_file")
    'masks-secret'
    """
    return f"{section}-{name.removesuffix('_file')}"


def handed_over(
    environment: Mapping[str, str], files: Iterable[tuple[str, str]]
) -> dict[str, dict[str, Path]]:
    """The settings of these files whose credentials there are."""
    found: dict[str, dict[str, Path]] = {}
    folder = environment.get(FOLDER)
    if not folder:
        return found
    for section, name in files:
        path = Path(folder) / credential_of(section, name)
        if path.is_file():
            found.setdefault(section, {})[name] = path
    return found
