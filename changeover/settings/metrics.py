"""Settings of what each daemon tells about itself over HTTP."""

import re
from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator, model_validator

from changeover.settings.links import is_local
from changeover.settings.section import Section

MEMBERS_MAX = 99
"""Members of one kind on one host; their ports stand side by side."""

PORTS_FROM = {"capture": 0, "apply": 0, "snapshot": 100, "serve": 200}
"""How far behind the first port those of each part begin."""


class MetricsSettings(Section):
    """/metrics, /healthz and /readyz of each daemon."""

    listen: str | None = Field(
        None,
        description="HOST:PORT to answer at; off by default. Capture takes the port, apply N the Nth behind "
        "it, snapshot worker N the (100 + N)th, serve the 201st: all fit on one host. Port 0 takes a free "
        "one, and logs it.",
    )
    beyond_loopback: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to say a default
        description="Let listen be off loopback: whoever reaches it reads figures and names of tables.",
    )
    behind_s: PositiveFloat = Field(
        60.0, description="Seconds of lag from which a part says it is not ready."
    )
    stalled_s: PositiveFloat = Field(
        120.0, description="Seconds without progress after which a part says it is not healthy."
    )
    hold_stop_s: NonNegativeFloat = Field(
        60.0,
        description="Seconds for which a part that has stopped loudly still answers with its reason before "
        "it exits: long enough for a scrape. With listen alone.",
    )

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str | None) -> str | None:
        host, _, port = (listen or "localhost:0").rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535 - 3 * MEMBERS_MAX:
            message = "it must look like 127.0.0.1:9470, with room for the ports behind it"
            raise ValueError(message)
        return listen

    @model_validator(mode="after")
    def _check_loopback(self) -> Self:
        if self.listen and not (self.beyond_loopback or is_local(self.host)):
            message = "listen is no address of loopback; set metrics.beyond_loopback = true if that is meant"
            raise ValueError(message)
        return self

    @property
    def host(self) -> str:
        """The address to listen at."""
        return (self.listen or "").rpartition(":")[0].strip("[]")

    def port(self, part: str, member: int = 1) -> int:
        """The port of this part's member, counted from 1; 0 for any."""
        first = int((self.listen or ":0").rpartition(":")[2])
        if first == 0 or part == "capture":
            return first
        return first + PORTS_FROM[part] + member


def member_of(name: str) -> int:
    """The member that a worker of this name is: its number if that is its name, else the only one, 1."""
    return int(name) if re.fullmatch("[1-9][0-9]?", name) else 1
