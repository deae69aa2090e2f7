"""Settings of the live page."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt

from changeover.errors import SettingsInvalid
from changeover.settings.section import Section, secret_in, shape

TOKEN_CHARACTERS_MIN = 32
"""As many as `openssl rand -hex 16` prints: no guessing finds it, however fast the page answers."""

HostName = Annotated[str, shape(r"[a-zA-Z0-9.:\[\]-]{1,253}", "it must be the name of a host")]


class PageSettings(Section):
    """The live page of `changeover serve`."""

    host: str = Field("127.0.0.1", description="Address to listen at; off loopback a token is needed.")
    port: NonNegativeInt = Field(8740, le=65_535, description="Port to listen at; 0 takes a free one.")
    names: tuple[HostName, ...] = Field(
        (), description="Names by which browsers reach the page, beside its address and localhost."
    )
    token_file: Path | None = Field(
        None, description="A file that holds the token which the page then asks for; 32 characters or more."
    )
    certificate_file: Path | None = Field(None, description="Certificate chain (PEM): the page speaks TLS.")
    key_file: Path | None = Field(None, description="The certificate's private key (PEM).")
    allow_plain_text: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to say a default
        description="Serve off loopback without TLS: something in front of it must have TLS.",
    )

    def token(self) -> str | None:
        """The token that the page asks for, None for none."""
        if self.token_file is None:
            return None
        token = secret_in(self.token_file)
        if len(token) < TOKEN_CHARACTERS_MIN:
            message = f"the token in {self.token_file} has {len(token)} characters"
            raise SettingsInvalid(
                message,
                hint=f"It must have {TOKEN_CHARACTERS_MIN} or more: openssl rand -hex 32 >{self.token_file}",
            )
        return token
