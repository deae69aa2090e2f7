"""Fuzzes the decoder with atheris, which is not among what the project installs: see README.md."""

import sys
from importlib import import_module

atheris = import_module("atheris")

with atheris.instrument_imports(include=["cdc.binlog"]):
    from tests.fuzz.decoder import run

SECONDS_MAX = 10
"""For one input, and it is a hang."""

BYTES_MAX = 4_096

atheris.Setup([*sys.argv, f"-timeout={SECONDS_MAX}", f"-max_len={BYTES_MAX}"], run)
atheris.Fuzz()
