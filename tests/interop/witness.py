"""Riak's official client, as it was left in 2016, doing what it is told in lines of JSON.

It runs in an environment of its own (`requirements-witness.lock`) and shares no code with the product: it
tells what an application sees of our objects, and writes as an application writes.

    python witness.py HOST PORT
    {"do": "get", "type": "plain3", "bucket": "b", "key": "k"}
"""

import collections
import collections.abc
import functools
import json
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

Said = Mapping[str, Any]


def mend_python() -> None:
    """Give back what Python 3.7, 3.10 and 3.13 took from under the client."""
    # For HTTP, which it imports and is not asked for here.
    sys.modules["cgi"] = types.ModuleType("cgi")
    sys.modules["cgi"].parse_header = None  # type: ignore[attr-defined]
    for name in collections.abc.__all__:
        setattr(collections, name, getattr(collections.abc, name))
    made = collections.namedtuple  # noqa: PYI024 - the client asks for it

    @functools.wraps(made)
    def namedtuple(*arguments: Any, verbose: bool = False, **named: Any) -> Any:  # noqa: ANN401 - as it is there
        del verbose
        return made(*arguments, **named)

    collections.namedtuple = namedtuple  # noqa: PYI024


mend_python()

import riak  # noqa: E402 - it takes the names at its import


def get(bucket: Any, said: Said) -> Said:  # noqa: ANN401 - the client has no annotations
    """What an application sees."""
    found = bucket.get(said["key"])
    return {
        "siblings": [
            {
                "value": sibling.encoded_data.decode() if sibling.encoded_data else "",
                "content_type": sibling.content_type,
                "metadata": dict(sibling.usermeta),
                "indexes": sorted(sibling.indexes),
            }
            for sibling in found.siblings
            if sibling.exists
        ]
    }


def overwrite(bucket: Any, said: Said) -> Said:  # noqa: ANN401
    """Read, change, write: with the clock that was read, and metadata of one's own."""
    found = bucket.get(said["key"])
    found.content_type = "text/plain"
    found.encoded_data = said["value"].encode()
    found.usermeta = {}
    found.store()
    return {}


def find(bucket: Any, said: Said) -> Said:  # noqa: ANN401
    """The keys under a value of an index."""
    return {"keys": sorted(bucket.get_index(said["index"], said["value"]).results)}


DEEDS: Mapping[str, Callable[[Any, Said], Said]] = {"get": get, "overwrite": overwrite, "find": find}


def main() -> None:
    """Do each line's deed and answer in a line, until there are no more."""
    host, port = sys.argv[1:]
    client = riak.RiakClient(protocol="pbc", nodes=[{"host": host, "pb_port": int(port)}])
    for line in sys.stdin:
        said = json.loads(line)
        bucket = client.bucket_type(said["type"]).bucket(said["bucket"])
        sys.stdout.write(json.dumps(DEEDS[said["do"]](bucket, said)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
