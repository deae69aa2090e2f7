"""The application's processes, as each of them reports itself to the control schema.

A move of phase asks here whether every process is able to follow. One that is silent is not forgotten: its
row stays, and whoever judges it goes by `seen_ms`, on the source's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from changeover.mysql.control import NOW_MS, ControlSchema
from changeover.phase import Phase

PROCESS = "process"

Report = Mapping[str, int]
"""Counters since the process began, by name (`changeover.dualwrite.counts`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSeen:
    """A process of the application as it last reported itself.

    `version` is that of the library, `phase` the one that the process acts by, `seen_ms` the source's clock.
    """

    name: str
    version: str
    phase: Phase
    seen_ms: int
    report: Report


def processes(control: ControlSchema) -> list[ProcessSeen]:
    """Every process that has ever reported itself, the last seen first."""
    rows = control.connection.query(
        f"SELECT name, version, phase, seen_ms, report FROM {control.table(PROCESS)} "
        "WHERE pipeline = %s ORDER BY seen_ms DESC, name",
        (control.pipeline,),
    )
    return [
        ProcessSeen(
            name=name,
            version=version,
            phase=Phase(phase),
            seen_ms=int(seen_ms),
            report=orjson.loads(report),
        )
        for name, version, phase, seen_ms, report in rows
    ]


def report_process(control: ControlSchema, name: str, version: str, phase: Phase, report: Report) -> None:
    """Note how a process is now, in place of what it said before."""
    control.connection.execute(
        f"INSERT INTO {control.table(PROCESS)} VALUES (%s, %s, %s, %s, {NOW_MS}, %s) "
        "ON DUPLICATE KEY UPDATE version = VALUES(version), phase = VALUES(phase), "
        f"seen_ms = {NOW_MS}, report = VALUES(report)",
        (control.pipeline, name, version, phase.value, orjson.dumps(dict(report)).decode()),
    )
