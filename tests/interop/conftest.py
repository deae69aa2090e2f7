"""The cluster that the tests of Riak use."""

from tests.riak.conftest import access

__all__ = ["access"]

collect_ignore = ["witness.py"]  # a program of another environment
