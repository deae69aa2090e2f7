"""Whether a Riak cluster can be the target: nodes, buckets, mapping, and the proof that it orders writes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from changeover.errors import ChangeoverError, TargetUnavailable
from changeover.finding import Finding, Severity, refusals
from changeover.mapping import ObjectMapping
from changeover.riak.access import Access
from changeover.riak.buckets import GetBucket
from changeover.riak.client import Client
from changeover.riak.request import Bucket
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets.riak import fitness
from changeover.targets.riak.control import Control
from changeover.targets.riak.proof import prove
from changeover.wiring import mapping_of, riak_access

SUBJECT = "target"


def riak_findings(settings: Settings, tables: Sequence[Table]) -> Iterator[Finding]:
    """What stands against the cluster, its buckets and the mapping.

    Where nothing does and Riak's merge is to order, that is proved and the proof is kept: the one thing that
    doctor writes.
    """
    try:
        mapping = mapping_of(settings)
        mapping.check(tables)
        access = riak_access(settings.target)
        with Client(access) as client:
            looking = _Looking(client, settings, mapping)
            found = [*looking.findings(tables), *_of_nodes(access)]
            yield from found
            if settings.target.ordering == "merge" and not refusals(found):
                looking.prove(access)
    except ChangeoverError as error:
        yield _refusal(error)


class _Looking:
    """One look at a cluster."""

    def __init__(self, client: Client, settings: Settings, mapping: ObjectMapping) -> None:
        self._client = client
        self._target = settings.target
        self._mapping = mapping
        self._control = Control(client, settings.pipeline, self._target.bucket_type, self._target.ordering)

    def findings(self, tables: Sequence[Table]) -> Iterator[Finding]:
        """What stands against the buckets, and what the mapping has made before."""
        names = sorted({self._mapping.bucket(table) for table in tables})
        yield from _tried(partial(self._require_fit, self._control.bucket))
        yield from _tried(self._control.require_known)
        for name in names:
            yield from _tried(partial(self._look_at, name))
        for table in tables:
            fingerprint = self._mapping.fingerprint(table)
            yield from _tried(partial(self._control.check_mapping, table.full_name, fingerprint))
        yield from self._doubts(names)

    def prove(self, access: Access) -> None:
        """Prove that the cluster orders writes, and keep that for the releases that its nodes run."""
        releases = fitness.releases(access)
        prove(access, self._control.bucket)
        for release in sorted(releases):
            self._control.keep_proof(release, {"nodes": [str(node) for node in access.nodes]})

    def _look_at(self, name: str) -> None:
        """A bucket that is ours already has been looked through."""
        self._require_fit(self._bucket(name))
        if not self._control.is_claimed(name) and not self._target.adopt:
            fitness.require_no_foreign(self._client, self._bucket(name))

    def _require_fit(self, bucket: Bucket) -> None:
        fitness.require(self._client, bucket, self._target.ordering)

    def _doubts(self, names: Sequence[str]) -> Iterator[Finding]:
        doubted: dict[str, list[str]] = {}
        for name in names:
            for doubt in fitness.doubts(self._client.call(GetBucket(self._bucket(name)))):
                doubted.setdefault(doubt, []).append(name)
        for doubt, of in doubted.items():
            what = f"in the buckets {', '.join(of)} {doubt}"
            yield Finding(severity=Severity.WARN, subject=SUBJECT, what=what, mend="")

    def _bucket(self, name: str) -> Bucket:
        return Bucket(name.encode(), self._target.bucket_type.encode())


def _of_nodes(access: Access) -> Iterator[Finding]:
    if len(access.nodes) == 1:
        what = "target.url names one node: while that is away nothing is written"
        mend = (
            "name several, as riak://one:8087,two:8087; each takes part in the proof that writes are ordered"
        )
        yield Finding(severity=Severity.NOTE, subject=SUBJECT, what=what, mend=mend)


def _tried(look: Callable[[], object]) -> Iterator[Finding]:
    """What the look refuses; that nobody answers ends all looking."""
    try:
        look()
    except TargetUnavailable:
        raise
    except ChangeoverError as error:
        yield _refusal(error)


def _refusal(error: ChangeoverError) -> Finding:
    return Finding(severity=Severity.REFUSE, subject=SUBJECT, what=str(error.args[0]), mend=error.mend)
