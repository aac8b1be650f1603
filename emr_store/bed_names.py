"""What the site calls its beds: kept by who attributes, for those who read the key of a bed."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg


def bed_names(conn: psycopg.Connection) -> dict[str, str]:
    """By their keys, as the processors' configuration had them last."""
    return dict(conn.execute("SELECT bed, label FROM bed_name").fetchall())


def keep_bed_names(conn: psycopg.Connection, names: Mapping[str, str]) -> None:
    """Keep these and no others."""
    if bed_names(conn) == dict(names):
        return
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute("DELETE FROM bed_name")
        cursor.executemany("INSERT INTO bed_name VALUES (%s, %s)", list(names.items()))
