"""Riak's errors in our own words.

An error that is not on the closed list of refusals counts as unavailable: a node that starts up or leaves
answers with many kinds, none of which says anything about the object.
"""

from typing import NamedTuple

from changeover.errors import ChangeoverError, TargetUnavailable, TargetUnusable
from changeover.riak.access import Node


class NodeUnavailable(TargetUnavailable):
    """A node did not answer, or could not; another one may."""

    def __init__(self, node: Node, what: str) -> None:
        super().__init__(f"Riak at {node} {what}")
        self.node = node


class Refusal(NamedTuple):
    """An error that repeating does not mend: by what it is known, and what to do."""

    begins: str
    mend: str


REFUSALS = (
    Refusal("no_type", "Make the bucket type: riak-admin bucket-type create, then activate."),
    Refusal("Permission denied", "Grant the user what it needs: riak-admin security grant."),
    Refusal("Authentication failed", "Check the user and its password."),
    Refusal("Security is enabled", "Give the user and its password: this node talks over TLS only."),
    Refusal("Security not enabled", "Leave user and password out, or switch on Riak's security."),
    Refusal("{n_val_violation", "Ask for no more replicas than the bucket has."),
    Refusal("{too_large", "The object is larger than Riak's max_object_size."),
    Refusal("{indexes_not_supported", "Use a backend with secondary indexes (leveldb, leveled, memory)."),
)


def translated(said: str, node: Node) -> ChangeoverError:
    """The error that a node answered with."""
    for refusal in REFUSALS:
        if said.startswith(refusal.begins):
            return TargetUnusable(f"Riak at {node} refuses: {said}", hint=refusal.mend)
    return NodeUnavailable(node, f"answers with an error: {said}")
