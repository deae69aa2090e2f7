"""Mapping: which object of the new database a row becomes: its bucket, its key, its body.

Consumers, dual writes and verification all ask the same mapping. It is pure and deterministic: a state
always becomes the same bytes, so that it may be written twice.
"""

from changeover.mapping.body import Body
from changeover.mapping.mapping import ObjectMapping, Place
from changeover.mapping.rules import Rules

__all__ = ["Body", "ObjectMapping", "Place", "Rules"]
