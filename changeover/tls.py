"""TLS as every link has it: a certificate of a known authority, for the name that was asked, of today."""

import ssl
from pathlib import Path

from changeover.errors import SettingsInvalid


def trusting(ca_file: Path | None, whose: str) -> ssl.SSLContext:
    """What the other side has to show; None trusts the authorities that the machine trusts."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        message = f"the certificates of {whose} authority in {ca_file} cannot be read: {error}"
        raise SettingsInvalid(message, hint="Name a PEM file.") from error
