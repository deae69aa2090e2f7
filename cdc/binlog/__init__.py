"""The binlog decoded: pure functions from the server's bytes to canonical rows, exact or `Undecodable`.

`decoder.py` is the way in. Nothing here talks to a server, and nothing that is not captured is decoded.
"""
