"""Our own few objects in Riak, in the bucket `changeover`: whose a bucket is, the mappings, and the proof.

| key | says |
|---|---|
| `bucket.NAME` | the pipeline that writes into the bucket NAME, and in which order |
| `mapping.PIPELINE.TABLE` | the fingerprint of the mapping that has made the table's objects |
| `proof.RELEASE` | doctor has proved that this release of Riak orders by its merge |
| `note.PIPELINE.NAME` | a note: it has a version, and a later one replaces it, as with the objects of rows |
| `note.PIPELINE.format` | by the `sequence` of its version, the format of all this; 1 where there is none |

Each of the first three is written once. Two writers who begin at one moment may both find nothing, so each
reads again what it has written; the same settings say the same.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from changeover.errors import MappingChanged, OrderUnproven, TargetUnusable
from changeover.formats import require_known
from changeover.mapping.mapping import RESERVED
from changeover.riak.client import Client
from changeover.riak.objects import Content, Get, Put
from changeover.riak.request import Bucket
from changeover.targets import Note
from changeover.targets.riak.objects import VERSION, Object, latest
from changeover.targets.riak.ordering import QUORUM

FORMAT = 1
"""Of objects, their metadata, and ours here. Who raises it writes `FORMAT_NOTE` before anything else."""

FORMAT_NOTE = "format"
"""The note whose version is `(0, format, 0)`: of two that are written the higher one counts."""

Said = Mapping[str, Any]


class Control:
    """A pipeline's objects of that kind, for the buckets of one type."""

    def __init__(self, client: Client, pipeline: str, bucket_type: str, ordering: str) -> None:
        self._client = client
        self._pipeline = pipeline
        self._type = bucket_type
        self._claim = {"format": FORMAT, "pipeline": pipeline, "ordering": ordering}
        self.bucket = Bucket(RESERVED.encode(), bucket_type.encode())

    def require_known(self) -> None:
        """Return if the pipeline's objects are of a format that this release knows, else `StateNewer`."""
        note = self.noted(FORMAT_NOTE)
        if note is not None:
            store = f"what pipeline {self._pipeline!r} keeps in Riak, in the bucket type {self._type!r},"
            require_known(store, note.version.sequence, FORMAT)

    def is_claimed(self, bucket: str) -> bool:
        """Whether the pipeline writes into the bucket already; `TargetUnusable` if another one does."""
        held = self._read(f"bucket.{bucket}")
        if held is None or held == self._claim:
            return held is not None
        require_known(f"the bucket {bucket}", held.get("format"), FORMAT)
        if held.get("pipeline") != self._pipeline or held.get("format") != FORMAT:
            message = (
                f"the bucket {bucket} belongs to pipeline {held.get('pipeline')!r} in format "
                f"{held.get('format')}, not to {self._pipeline!r} in format {FORMAT}"
            )
            raise TargetUnusable(
                message, hint="Its versions mean nothing here: move into another bucket type."
            )
        message = f"the bucket {bucket} has been written with target.ordering = {held.get('ordering')!r}"
        raise TargetUnusable(message, hint="Put that setting back, or move into another bucket type.")

    def claim(self, bucket: str) -> None:
        """Make the bucket the pipeline's own; `TargetUnusable` if another one was faster."""
        self._write(f"bucket.{bucket}", self._claim)
        self.is_claimed(bucket)

    def check_mapping(self, table: str, fingerprint: str) -> bool:
        """Whether the table's objects are made by this mapping already; `MappingChanged` if by another."""
        held = self._read(f"mapping.{self._pipeline}.{table}")
        if held is not None and held.get("fingerprint") != fingerprint:
            raise MappingChanged(f"the objects of {table} were made by another mapping than the settings'")
        return held is not None

    def keep_mapping(self, table: str, fingerprint: str) -> None:
        """Remember the mapping that the table's objects are made by."""
        said = {"format": FORMAT, "fingerprint": fingerprint}
        self._write(f"mapping.{self._pipeline}.{table}", said)
        self.check_mapping(table, fingerprint)

    def keep_proof(self, release: str, said: Said) -> None:
        """Remember that this release of Riak has been seen to order."""
        self._write(f"proof.{release}", {"format": FORMAT, **said})

    def require_proof(self, release: str) -> None:
        """Return if there is a proof for the release, else raise `OrderUnproven`."""
        held = self._read(f"proof.{release}")
        if held is None or held.get("format") != FORMAT:
            raise OrderUnproven(
                f"that Riak {release} orders writes by their versions has not been proved here"
            )

    def note(self, name: str, note: Note) -> Object:
        """The note as an object, to be written in the order of versions."""
        content = Content(note.text.encode(), b"application/json", ((VERSION, note.version.text.encode()),))
        return Object(self.bucket, self._note_key(name), note.version, content)

    def noted(self, name: str) -> Note | None:
        """The note of that name; of siblings the latest."""
        found = self._client.call(Get(self.bucket, self._note_key(name), r=QUORUM, pr=QUORUM))
        held = latest(found.contents)
        return Note(held[0], held[1].value.decode()) if held else None

    def _note_key(self, name: str) -> bytes:
        return f"note.{self._pipeline}.{name}".encode()

    def _read(self, key: str) -> Said | None:
        found = self._client.call(Get(self.bucket, key.encode(), r=QUORUM, pr=QUORUM))
        values = {content.value for content in found.contents if not content.is_tombstone}
        if not values:
            return None
        try:
            said = [orjson.loads(value) for value in values]
        except orjson.JSONDecodeError:
            said = []
        if len(said) != 1 or not isinstance(said[0], dict):
            message = (
                f"the object {key} in the bucket {self.bucket} says several things, or none that can be read"
            )
            raise TargetUnusable(
                message, hint="Another program has written there, or two pipelines: remove it."
            )
        found_here: Said = said[0]
        return found_here

    def _write(self, key: str, said: Said) -> None:
        content = Content(orjson.dumps(said), b"application/json")
        self._client.call(Put(self.bucket, key.encode(), content, w=QUORUM, dw=QUORUM, pw=QUORUM))
