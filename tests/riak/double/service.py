"""A node's side of the messages: a request in, what the cluster says out, as a node encodes it."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping

from changeover.riak import buckets, keys, objects, session
from changeover.riak.buckets import Properties
from changeover.riak.clock import Clock, decode, encode
from changeover.riak.request import ERROR
from changeover.riak.wire import Frame, Malformed, bytes_field, fields, frame, number_field
from tests.riak.double.cluster import Cluster, Failure, Quorum
from tests.riak.double.index import Query
from tests.riak.double.message import Message, number, read, text
from tests.riak.double.objects import Stored, Value
from tests.riak.double.replica import Place

GET_CLIENT_ID, CLIENT_ID, SET_CLIENT_ID, CLIENT_ID_SET = 3, 4, 5, 6

KEYS_PER_FRAME = 100
"""A listing is answered in frames of so many keys."""

CHECK_TO_PUT_S = 0.0005
"""Between looking whether a condition holds and the put: two round trips of a real node's between vnodes."""

CONTENT_KEPT = frozenset({1, 2, 3, 4, 6, 9, 10})
"""The fields of a content that are the client's: value, kinds of it, links, user metadata, indexes."""


def error(said: str) -> bytes:
    """An error as a node sends it."""
    return frame(ERROR, bytes_field(1, said.encode()) + number_field(2, 0))


class Service:
    """Answers the requests that come to one node."""

    def __init__(self, cluster: Cluster, node: int, name: str, version: str) -> None:
        self._cluster = cluster
        self._node = node
        self._name = name
        self._version = version

    def answer(self, request: Frame) -> Iterator[bytes]:
        """Each frame of the answer."""
        handler = HANDLERS.get(request.code)
        if handler is None:
            yield error(f"Unknown message code: {request.code}")
            return
        try:
            yield from handler(self, read(request.body))
        except Failure as failure:
            yield error(str(failure))
        except Malformed as broken:
            yield error(f"Message decoding error: {broken}")

    def key_of(self, request: Frame) -> bytes:
        """The key that a request is about; empty if it is about none."""
        about_key = request.code in {objects.GET, objects.PUT, objects.DELETE}
        return text(read(request.body), 2) if about_key else b""

    # -- the node

    def ping(self, _: Message) -> Iterator[bytes]:
        yield frame(session.PONG)

    def server_info(self, _: Message) -> Iterator[bytes]:
        said = bytes_field(1, self._name.encode()) + bytes_field(2, self._version.encode())
        yield frame(session.SERVER_INFO_SAID, said)

    def get_client_id(self, _: Message) -> Iterator[bytes]:
        yield frame(CLIENT_ID, bytes_field(1, secrets.token_bytes(4)))

    def set_client_id(self, _: Message) -> Iterator[bytes]:
        yield frame(CLIENT_ID_SET)

    # -- objects

    def get(self, message: Message) -> Iterator[bytes]:
        found = self._cluster.get(_place(message, 13), r=number(message, 3), pr=number(message, 4))
        if found is None or (found.is_deleted and not number(message, 9)):
            yield frame(objects.GOT)
        elif found.is_deleted:
            yield frame(objects.GOT, bytes_field(2, encode(found.clock)))
        elif found.clock == _clock(message, 7):
            # What was put as it is without a clock has an empty one, and so has who knows none.
            yield frame(objects.GOT, number_field(3, 1))
        else:
            yield frame(objects.GOT, _said(found, head=bool(number(message, 8))))

    def put(self, message: Message) -> Iterator[bytes]:
        place = _place(message, 16)
        self._check_condition(message, place)
        stored = self._cluster.put(
            place,
            Stored(_clock(message, 3), (self._value(text(message, 4)),)),
            as_is=bool(number(message, 13)),
            node=self._node,
            quorum=Quorum(number(message, 5), number(message, 6), number(message, 8)),
        )
        head, body = bool(number(message, 11)), bool(number(message, 7))
        made_key = b"" if 2 in message else bytes_field(3, place[2])
        yield frame(objects.PUT_DONE, (_said(stored, head=head) if head or body else b"") + made_key)

    def delete(self, message: Message) -> Iterator[bytes]:
        clock = _clock(message, 4) if 4 in message else None
        self._cluster.delete(_place(message, 13), clock, node=self._node)
        yield frame(objects.DELETED)

    def _check_condition(self, message: Message, place: Place) -> None:
        """A get before the put, and nothing between the two that keeps others out: as Riak has it."""
        only_same, only_absent = number(message, 9), number(message, 10)
        found = self._cluster.get(place) if only_same or only_absent else None
        is_there = found is not None and not found.is_deleted
        if only_absent and is_there:
            raise Failure("match_found")
        if only_same and not is_there:
            raise Failure("notfound")
        if only_same and found is not None and found.clock != _clock(message, 3):
            raise Failure("modified")
        if only_same or only_absent:
            time.sleep(CHECK_TO_PUT_S)

    def _value(self, content: bytes) -> Value:
        kept = [(field, value) for field, value in fields(content) if field in CONTENT_KEPT]
        return self._cluster.value(tuple((field, value) for field, value in kept if isinstance(value, bytes)))

    # -- buckets

    def get_bucket(self, message: Message) -> Iterator[bytes]:
        said = self._cluster.properties(text(message, 2) or b"default", text(message, 1))
        yield frame(buckets.BUCKET_SAID, bytes_field(1, _properties(said)))

    def get_type(self, message: Message) -> Iterator[bytes]:
        said = self._cluster.properties(text(message, 1))
        yield frame(buckets.BUCKET_SAID, bytes_field(1, _properties(said)))

    def set_bucket(self, message: Message) -> Iterator[bytes]:
        said = buckets.decode_properties(text(message, 2))
        self._cluster.set_properties(text(message, 3) or b"default", text(message, 1), said)
        yield frame(buckets.BUCKET_SET)

    def set_type(self, message: Message) -> Iterator[bytes]:
        said = buckets.decode_properties(text(message, 2))
        self._cluster.set_properties(text(message, 1), b"", said)
        yield frame(buckets.BUCKET_SET)

    # -- keys

    def list_keys(self, message: Message) -> Iterator[bytes]:
        found = [key for key, _ in self._cluster.places(text(message, 3) or b"default", text(message, 1))]
        for start in range(0, len(found), KEYS_PER_FRAME):
            part = found[start : start + KEYS_PER_FRAME]
            yield frame(keys.KEYS_LISTED, b"".join(bytes_field(1, key) for key in part))
        yield frame(keys.KEYS_LISTED, number_field(2, 1))

    def index(self, message: Message) -> Iterator[bytes]:
        if not self._cluster.has_indexes:
            raise Failure("{indexes_not_supported,riak_kv_bitcask_backend}")
        query = Query(message)
        found = query.found(self._cluster.places(text(message, 12) or b"default", text(message, 1)))
        if not number(message, 8):
            yield frame(keys.INDEX_SAID, query.said(found) + query.continuation(found))
            return
        for start in range(0, len(found), KEYS_PER_FRAME):
            yield frame(keys.INDEX_SAID, query.said(found[start : start + KEYS_PER_FRAME]))
        yield frame(keys.INDEX_SAID, query.continuation(found) + number_field(4, 1))


HANDLERS: Mapping[int, Callable[[Service, Message], Iterator[bytes]]] = {
    session.PING: Service.ping,
    GET_CLIENT_ID: Service.get_client_id,
    SET_CLIENT_ID: Service.set_client_id,
    session.SERVER_INFO: Service.server_info,
    objects.GET: Service.get,
    objects.PUT: Service.put,
    objects.DELETE: Service.delete,
    keys.LIST_KEYS: Service.list_keys,
    buckets.GET_BUCKET: Service.get_bucket,
    buckets.SET_BUCKET: Service.set_bucket,
    keys.INDEX: Service.index,
    buckets.GET_TYPE: Service.get_type,
    buckets.SET_TYPE: Service.set_type,
}


def _place(message: Message, type_field: int) -> Place:
    """Where the object is that a message is about; a put without a key gets one."""
    key = text(message, 2) if 2 in message else secrets.token_hex(16).encode()
    for name, value in (("Bucket", text(message, 1)), ("Key", key)):
        if not value:
            raise Failure(f"{name} cannot be zero-length")
    return text(message, type_field) or b"default", text(message, 1), key


def _clock(message: Message, field: int) -> Clock:
    said = text(message, field)
    return decode(said) if said else {}


def _said(stored: Stored, *, head: bool) -> bytes:
    """The contents and the clock."""
    contents = b"".join(bytes_field(1, _content(value, head=head)) for value in stored.values)
    return contents + bytes_field(2, encode(stored.clock))


def _content(value: Value, *, head: bool) -> bytes:
    """A content in the order in which a node says its fields."""
    sent = sorted(value.fields) or [(1, b"")]
    shown = [(field, b"" if head and field == 1 else said) for field, said in sent]
    seconds, micros = divmod(value.modified_us, 1_000_000)
    return b"".join(
        (
            *(bytes_field(field, said) for field, said in shown if field < 5),
            bytes_field(5, value.vtag),
            *(bytes_field(field, said) for field, said in shown if field == 6),
            number_field(7, seconds) + number_field(8, micros),
            *(bytes_field(field, said) for field, said in shown if field > 6),
            number_field(11, 1) if value.is_tombstone else b"",
        )
    )


def _properties(said: Properties) -> bytes:
    """The properties as a node says them: with its own that are no matter to us."""
    others: dict[int, int | bytes] = {
        8: bytes_field(1, b"riak_core_util") + bytes_field(2, b"chash_std_keyfun"),
        9: bytes_field(1, b"riak_kv_wm_link_walker") + bytes_field(2, b"mapreduce_linkfun"),
        10: 86_400,
        11: 20,
        12: 50,
        13: 50,
    }
    fields_ = [*fields(buckets.encode_properties(said)), *others.items()]
    return b"".join(
        number_field(field, value) if isinstance(value, int) else bytes_field(field, value)
        for field, value in sorted(fields_, key=lambda item: item[0])
    )
