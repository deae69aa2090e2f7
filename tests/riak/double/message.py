"""Messages as a node reads them: every field's values, by its number."""

from changeover.riak.wire import Malformed, fields

Message = dict[int, list[int | bytes]]


def read(body: bytes) -> Message:
    """The fields of a message; one that comes twice has two values."""
    message: Message = {}
    for field, value in fields(body):
        message.setdefault(field, []).append(value)
    return message


def number(message: Message, field: int) -> int | None:
    """The field's number, None where it is not said."""
    value = message.get(field, [None])[-1]
    if isinstance(value, bytes):
        raise Malformed(f"field {field} holds bytes")
    return value


def text(message: Message, field: int) -> bytes:
    """The field's bytes, empty where it is not said."""
    value = message.get(field, [b""])[-1]
    if isinstance(value, int):
        raise Malformed(f"field {field} holds a number")
    return value
