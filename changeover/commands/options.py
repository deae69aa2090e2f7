"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", "-c", help="The settings file.")]
CONFIG = Path("changeover.toml")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
