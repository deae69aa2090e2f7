"""What tests run in processes of their own: importable, so that a new interpreter finds it."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

from changeover.envelope import encode_key
from changeover.log import Entry, Log
from tests.support.tables import CITIZEN, citizen


def spawned(work: Callable[..., None], *arguments: object) -> SpawnProcess:
    """A new interpreter that does the work, started."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    return process


def numbered(number: int, value: bytes = b"{}") -> Entry:
    """An entry under the key of citizen `number`."""
    return Entry(CITIZEN, encode_key(CITIZEN, citizen(number)), value)


def append_each(open_log: Callable[[], Log], first: int, count: int) -> None:
    """Append `count` entries, each alone."""
    with open_log() as log:
        for number in range(first, first + count):
            log.append([numbered(number)])


def append_and_die(open_log: Callable[[], Log], number: int) -> None:
    """Append one entry, and be gone before anything can be closed."""
    open_log().append([numbered(number)])
    os._exit(0)
