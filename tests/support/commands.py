"""The command line in this process: what it says and its exit status, without the cost of a process."""

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from changeover.cli import main

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Said(NamedTuple):
    """What a command has left."""

    returncode: int
    stdout: str
    stderr: str


def said_by(config: Path, *words: str) -> Said:
    """The command with that settings file, run to its end."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["changeover", *words, "--config", str(config.resolve())])
        patch.setenv("COLUMNS", "200")
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Said(status, out.getvalue(), err.getvalue())
