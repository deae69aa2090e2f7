"""`changeover explain`: one key's way from the source to the target, as a picture of text."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from changeover.commands.options import CONFIG, AsJson, Config
from changeover.explain import Explanation, Fate, Logged, explain
from changeover.mapping import Body
from changeover.repair.repair import refuse_hidden_keys
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets import UNVERSIONED, Held
from changeover.values import row_to_json
from changeover.verify.keys import parse_key
from changeover.verify.verifier import verifying
from changeover.version import ROW_MAX, ROW_OF_BINLOG, Version

WAIT_S_MAX = 10.0
"""For the target to apply what was read: beyond that the picture shows how far it is."""

SHOWN_MAX = 200
"""Characters of a row that are shown to people; programs get all of it."""


def explain_key(
    table: Annotated[str, typer.Argument(help="schema.table")],
    key: Annotated[str, typer.Argument(help='{"id": 7}, or the value alone where the key has one column.')],
    config: Config = CONFIG,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a key in the source, in the log and in the target, and what has become of each change of it."""
    settings = Settings.load(config)
    with verifying(settings) as verifier:
        (chosen,) = verifier.chosen([table])
        refuse_hidden_keys(verifier.source, chosen)
        found = explain(verifier, chosen, parse_key(chosen, key), WAIT_S_MAX)
    said = found.conclusion(adopts=settings.target.adopt)
    if as_json:
        typer.echo(json.dumps({**plain(found), "conclusion": said}, indent=2))
    else:
        for line in picture(found):
            typer.echo(line)
        typer.echo(f"└─ {said}")


def picture(found: Explanation) -> Iterator[str]:
    """The lines for people."""
    table = found.seen.table
    yield f"{table.full_name} {found.key.decode()}"
    yield f"├─ source  {_shown(_row(table, found.row))}"
    yield f"│          read at {_version(found.seen.bound)}"
    yield from _log_lines(found)
    held = found.held
    yield f"├─ target  {_shown(_body(table, held))}"
    if held is not None:
        position = f" of {held.position}" if held.position else ""
        yield f"│          holds {_version(held.version)}{position}"
    yield f"│          applied through {found.through.text if found.through else 'unknown'}"


def _log_lines(found: Explanation) -> Iterator[str]:
    if found.partition is None:
        yield "├─ log     has nothing of the table"
        return
    where = f"{found.partition.topic}/{found.partition.number}"
    yield f"├─ log     {where}, applied up to offset {found.committed:,}"
    if found.left_out:
        yield f"│          ({found.left_out:,} earlier changes are left out)"
    if not found.changes:
        yield "│          holds no change of it"
    for change, fate in zip(found.changes, found.fates, strict=True):
        yield f"│    {change.offset:>8,}  {change.op}  {_version(change.version)}"
        yield f"│              {_time(change.at_ms)}  {change.transaction or 'a read'}  {fate}"


def plain(found: Explanation) -> dict[str, Any]:
    """The same for programs."""
    table, held = found.seen.table, found.held
    return {
        "table": table.full_name,
        "key": json.loads(found.key),
        "source": {"row": _row(table, found.row), "bound": found.seen.bound.text},
        "log": {
            "partition": found.partition and f"{found.partition.topic}/{found.partition.number}",
            "committed": found.committed,
            "left_out": found.left_out,
            "changes": [
                _plain_change(change, fate) for change, fate in zip(found.changes, found.fates, strict=True)
            ],
        },
        "target": {
            "holds": "nothing" if held is None else "marker" if held.body is None else "row",
            "body": _body(table, held),
            "version": held and held.version.text,
            "transaction": held and held.position,
            "applied_through": found.through and found.through.text,
            "is_ahead": found.is_ahead,
        },
    }


def _plain_change(change: Logged, fate: Fate) -> dict[str, Any]:
    return {
        "offset": change.offset,
        "op": change.op.value,
        "version": change.version.text,
        "at_ms": change.at_ms,
        "transaction": change.transaction,
        "fate": fate.name.lower(),
    }


def _version(version: Version) -> str:
    """The version with a word for who has made it."""
    if version == UNVERSIONED:
        return "no version: changeover did not write it"
    writer = {ROW_MAX: "a bounded read", ROW_OF_BINLOG: "the binlog"}.get(version.row, "a direct write")
    return f"{version.text}  {writer}, epoch {version.epoch}, sequence {version.sequence:,}"


def _row(table: Table, row: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - JSON
    return None if row is None else dict(row_to_json(table, row))


def _body(table: Table, held: Held[Any] | None) -> Any:  # noqa: ANN401 - JSON
    if held is None or held.body is None:
        return None
    if isinstance(held.body, Body):
        return {
            "value": held.body.value.decode(errors="backslashreplace"),
            "content_type": held.body.content_type,
            "indexes": dict(held.body.indexes),
        }
    return _row(table, held.body)


def _shown(value: object) -> str:
    if value is None:
        return "no row"
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}… ({len(text):,} characters)"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
