"""Databases made for a measurement or a test, and dropped after it."""

from __future__ import annotations

import time

import psycopg


def drop_database(server: str, name: str) -> None:
    """Drop it as soon as the server's own workers have left it: those nobody but a superuser may send away."""
    for _ in range(300):
        try:
            with psycopg.connect(server, autocommit=True) as conn:
                conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
                return
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            time.sleep(0.2)
    raise TimeoutError(f"database {name} is still in use")
