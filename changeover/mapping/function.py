"""Getting a mapping function by its import path, from a file that nobody else can write."""

import hashlib
import importlib
import stat
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path

from changeover.errors import MappingUnfit
from changeover.mapping.rules import Own

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def load(path: str) -> Own:
    """The function at `package.module:function`.

    Its file, the folder that holds it and that of its bytecode are looked at before anything in them runs:
    what others can write, others can make run here. Of a package each `__init__.py` on the way likewise.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise _unfit(path, "it must look like package.module:function")
    file = _checked_file(path, module)
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise _unfit(path, f"importing it raises {_shown(error)}") from error
    if not callable(function):
        raise _unfit(path, "it is not a function")
    return Own(path, function, hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest())


def _checked_file(path: str, module: str) -> Path:
    """The module's file. To find a module in a package imports the package, which is checked first."""
    parts = module.split(".")
    file = Path()
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        try:
            spec = find_spec(name)
        except Exception as error:
            raise _unfit(path, f"importing what is before it raises {_shown(error)}") from error
        if spec is None:
            raise _unfit(path, f"there is no module {name} on Python's path (PYTHONPATH)")
        if not isinstance(spec.loader, SourceFileLoader) or spec.origin is None:
            raise _unfit(path, f"{name} is not a Python source file")
        file = Path(spec.origin).resolve()
        for place in (file, file.parent, file.parent / "__pycache__"):
            if place.exists() and place.stat().st_mode & WRITABLE_BY_OTHERS:
                raise _unfit(path, f"{place} can be written by group or others; chmod go-w {place}")
    return file


def _shown(error: Exception) -> str:
    """In one line, however many it has."""
    return " ".join([f"{type(error).__name__}:", *str(error).split()])


def _unfit(path: str, why: str) -> MappingUnfit:
    return MappingUnfit(f"the mapping function {path} cannot be used: {why}")
