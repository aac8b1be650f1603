"""The order in which versions of charts were committed: positions without gaps, given by one sequencer at a time.

`recorded_at` and numbers of rows are given before COMMIT, so that who reads up to one of them may miss what a slower
transaction commits later. Who reads `chart_sequence` up to a position has all that stands before it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store.session_lock import held_alone
from schemas.errors import VitalwireError

_LOCK = 0x76_77_63_73  # one sequencer at a time
CHUNK = 5000  # versions that get their positions in one transaction


class Sequenced(NamedTuple):
    """A version of an entry with its place in the order of COMMIT; positions count from 1."""

    position: int
    entry: str
    version: int
    encounter: str
    slot: datetime


def sequence(conn: psycopg.Connection) -> int:
    """Give positions to what is committed and has none, at most CHUNK of them; how many.

    Does nothing while another process does it. The connection is in autocommit mode. Raises VitalwireError where a
    version is gone that waits for its position.
    """
    with held_alone(conn, _LOCK) as held:
        if not held:
            return 0
        with conn.transaction():
            return _sequence(conn)


def _sequence(conn: psycopg.Connection) -> int:
    # One statement sees one moment: with a version it sees every earlier one of its entry, whose id is lower.
    row = conn.execute(_SEQUENCE_SQL, (CHUNK,)).fetchone()
    assert row is not None
    taken, given = row
    if given != taken:
        raise VitalwireError(
            f"{taken - given} rows of `chart_unsequenced` name versions that are not in `chart_entry`: somebody deleted"
            " them; restore them from a backup, or delete the rows and keep a note of who did"
        )
    return int(given)


def newest_position(conn: psycopg.Connection) -> int:
    """The last one that was given; 0 while there is none."""
    row = conn.execute("SELECT coalesce(max(position), 0) FROM chart_sequence").fetchone()
    assert row is not None
    return int(row[0])


def position_before(conn: psycopg.Connection, since: datetime) -> int:
    """The position before the first version that was recorded at this moment or later; the newest where none was."""
    row = conn.execute(_BEFORE_SQL, (since,)).fetchone()
    return newest_position(conn) if row is None or row[0] is None else int(row[0])


def sequenced_after(conn: psycopg.Connection, position: int, limit: int) -> list[Sequenced]:
    """What stands after this position, in order."""
    cursor = conn.cursor(row_factory=class_row(Sequenced))
    return cursor.execute(_AFTER_SQL, (position, limit)).fetchall()


_SEQUENCE_SQL = """
WITH taken AS (
    DELETE FROM chart_unsequenced WHERE id = ANY (ARRAY(SELECT id FROM chart_unsequenced ORDER BY id LIMIT %s))
    RETURNING id, entry, version),
given AS (
    INSERT INTO chart_sequence (position, entry, version, encounter, slot)
    SELECT (SELECT coalesce(max(position), 0) FROM chart_sequence) + row_number() OVER (ORDER BY t.id),
        t.entry, t.version, c.encounter, c.slot
    FROM taken t JOIN chart_entry c USING (entry, version)
    RETURNING position)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM given)
"""
_BEFORE_SQL = """
SELECT min(s.position) - 1 FROM chart_sequence s JOIN chart_entry c USING (entry, version) WHERE c.recorded_at >= %s
"""
_AFTER_SQL = """
SELECT position, entry::text AS entry, version, encounter, slot FROM chart_sequence
WHERE position > %s ORDER BY position LIMIT %s
"""
