"""By which policies charts are made: each change of a site's file is an act, which holds its text."""

from __future__ import annotations

from hashlib import sha256

import psycopg

from emr_store import acts
from evidence.act import parse_act

KIND = "chart.policies"


def note_policies(conn: psycopg.Connection, text: str) -> bool:
    """Record that charts are made by these from now on, where they are others than the last act says; whether they are.

    Raises VitalwireError where they are too long for an act.
    """
    digest = sha256(text.encode()).digest()
    author = acts.this_user("read from the policies' file")
    return acts.record_change(conn, "chart.policies", author, digest, policies=text)


def noted_policies(conn: psycopg.Connection) -> str:
    """The text by which charts are made, as the last act says; "" where there is none."""
    row = conn.execute("SELECT body FROM act WHERE kind = %s ORDER BY at DESC LIMIT 1", (KIND,)).fetchone()
    return "" if row is None else str(parse_act(bytes(row[0])).details["policies"])
