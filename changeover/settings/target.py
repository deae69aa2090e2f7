"""The settings of the new database, and of what rows become there."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator

from changeover.settings import links
from changeover.settings.section import Pattern, Section, secret_in


class TargetSettings(Section):
    """The new database; all but URL and adopt is for Riak."""

    url: str = Field(
        description="sqlite:FILE, relative to the settings file, or riak://host:port,… of some of the nodes."
    )
    adopt: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to say a default
        description="Take tables, rows and objects of another tool: each is older than any change.",
    )
    user: str | None = Field(None, description="A user of Riak's security; it logs in over TLS.")
    password: SecretStr | None = Field(
        None, description="The user's password; better in password_file or CHANGEOVER_TARGET__PASSWORD."
    )
    password_file: Path | None = Field(None, description="A file that holds the user's password.")
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the nodes' authority. Default: those that the machine trusts.",
    )
    allow_plain_text: bool = Field(False, description=links.ALLOWED)  # noqa: FBT003 - a default
    bucket_type: str = Field(
        "default", min_length=1, description="The bucket type of all buckets that are written to."
    )
    ordering: Literal["merge", "siblings"] = Field(
        "merge",
        description="merge: by Riak's own merge, which doctor proves; siblings: by a read before each write.",
    )
    object_bytes_warn: PositiveInt = Field(
        1_000_000, description="Bytes of an object from which a warning is logged: Riak's own advice."
    )
    object_bytes_max: PositiveInt = Field(
        50_000_000, description="Bytes of an object at most; a larger one is a loud stop."
    )
    connect_timeout_s: PositiveFloat = Field(5.0, description="Seconds to wait for a connection.")
    answer_timeout_s: PositiveFloat = Field(30.0, description="Seconds to wait for each answer.")

    @property
    def nodes(self) -> tuple[tuple[str, int | None], ...]:
        """Host of each node of a riak: URL, and port if it is said; none for another kind of URL."""
        return _nodes_in(self.url)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        _nodes_in(url)
        return url

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        away = links.leaving(host for host, _ in self.nodes)
        if away and not (self.user or self.allow_plain_text):
            message = (
                f"target.user must be set, for Riak talks TLS only with a user, and {away[0]} is not this "
                "machine; or set target.allow_plain_text = true"
            )
            raise ValueError(message)
        return self

    def secret(self) -> str:
        """The user's password from wherever it is kept; empty if nowhere."""
        if self.password_file:
            return secret_in(self.password_file)
        return self.password.get_secret_value() if self.password else ""


def _nodes_in(url: str) -> tuple[tuple[str, int | None], ...]:
    """The nodes that the URL names; `ValueError` for one of Riak that names none, or more than nodes."""
    scheme, _, rest = url.partition(":")
    if scheme != "riak":
        return ()
    message = "it must look like riak://host:8087,host:8087 (the ports of protocol buffers)"
    nodes = []
    for node in rest.removeprefix("//").rstrip("/").split(","):
        try:
            parts = urlsplit(f"//{node}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(message) from error
        if not host or parts.username is not None or parts.path:
            raise ValueError(message)
        nodes.append((host, port))
    return tuple(nodes)


class TableMappingSettings(Section):
    """What the rows of one table become, under [mapping.tables."schema.table"]."""

    bucket: str = Field("", description="The bucket of its objects. Default: the table's name.")
    key_prefix: str = Field(
        "", description="Text before each key, where tables share a bucket: letters, digits, - and _."
    )
    rename: dict[str, str] = Field(default_factory=dict, description="Columns and what they are called.")
    leave_out: tuple[str, ...] = Field((), description="Columns that are not taken along.")
    constants: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="What is the same in each object."
    )
    index: tuple[str, ...] = Field((), description="Columns to be found by: each gets a secondary index.")
    function: str = Field(
        "", description="package.module:function from a row to its body (changeover.mapping.Body)."
    )


class MappingSettings(Section):
    """What a row becomes in Riak. A table that is not named: a JSON object with a member for each column."""

    tables: dict[Pattern, TableMappingSettings] = Field(
        default_factory=dict, description='By "schema.table"; docs/targets.md tells what each can say.'
    )
