"""Riak KV as the new database: one object for each row, ordered by Riak's own merge or by siblings.

Riak has no transactions and no compare-and-set that holds, so each write says by itself where it belongs.
docs/targets.md tells how, and what a cluster has to be like.
"""
