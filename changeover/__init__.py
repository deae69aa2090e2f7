"""Moves a live application from MySQL or MariaDB to another database, without losing a row."""

__version__ = "0.1.0"
