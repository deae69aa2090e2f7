"""The body of an object: what a row has become."""

from typing import NamedTuple

JSON = "application/json"


class Body(NamedTuple):
    """An object's value, its type, and the secondary indexes that it is found by.

    The value is what a reader of the new database gets, byte for byte. Names of indexes end in `_int` or
    `_bin`, as Riak wants them; their values are texts. A function of one's own returns this.

    >>> Body(b'{"name":"Ada"}', indexes=(("name_bin", "Ada"),)).content_type
    'application/json'
    """

    value: bytes
    content_type: str = JSON
    indexes: tuple[tuple[str, str], ...] = ()
