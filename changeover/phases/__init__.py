"""Moves from phase to phase: the table of them, the gates before them, and how each is made durable."""
