"""The order of COMMIT: what commits late stands later, and nobody who reads on misses it."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from emr_store import chart_sequence
from emr_store.migrate import migrate
from emr_store.session_lock import held_alone
from schemas.errors import VitalwireError
from tests.storing import Store

_INSERT_SQL = """
INSERT INTO chart_entry (entry, version, encounter, item, slot, ordinal, status, origin, value, text, unit, decimals,
    observed_at, source_batch, source_leaf, source_record, reason, by_time, recorded_at)
SELECT lpad(e::text, 32, '0')::uuid, v, 'visit:V1', 'item ' || e, '2026-11-24T10:00Z', 1,
    CASE v WHEN 1 THEN 'preliminary' ELSE 'amended' END, 'device', v, '', '%%', 0, '2026-11-24T10:00Z', '{a}', '{0}',
    '{0}', '', false, timestamptz '2026-11-24T11:00Z' + r * interval '1 s'
FROM unnest(%s::int4[], %s::int4[], %s::int4[]) AS u(e, v, r)
"""


def write(conn: psycopg.Connection, *versions: tuple[int, int], recorded_s: int = 0) -> None:
    """Versions (entry, number) in one statement."""
    columns = [[entry for entry, _ in versions], [number for _, number in versions], [recorded_s] * len(versions)]
    conn.execute(_INSERT_SQL, columns)


def order(conn: psycopg.Connection) -> list[tuple[int, int, int]]:
    """Position, entry, version."""
    found = chart_sequence.sequenced_after(conn, 0, 1000)
    return [(each.position, int(each.entry.replace("-", "")), each.version) for each in found]


def test_what_commits_late_stands_later(database: str) -> None:
    store = Store(database)
    with store.open() as slow, store.open() as fast, store.open() as conn:
        with slow.transaction():
            write(slow, (1, 1))  # its number is given, and it is not committed
            write(fast, (2, 1), (3, 1))
            assert chart_sequence.sequence(conn) == 2
        assert chart_sequence.sequence(conn) == 1
        assert chart_sequence.sequence(conn) == 0
        assert order(conn) == [(1, 2, 1), (2, 3, 1), (3, 1, 1)]
        assert chart_sequence.newest_position(conn) == 3
        assert [each.position for each in chart_sequence.sequenced_after(conn, 1, 1)] == [2]


def test_of_an_entry_no_version_stands_before_an_earlier_one(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_sequence, "CHUNK", 2)
    with Store(database).open() as conn:
        write(conn, (2, 1), (1, 1))
        with conn.transaction():
            write(conn, (1, 2), recorded_s=-60)  # a clock that went back
            write(conn, (1, 3))
        assert [chart_sequence.sequence(conn) for _ in range(3)] == [2, 2, 0]
        assert order(conn) == [(1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 1, 3)]


def test_one_works_at_a_time(database: str) -> None:
    store = Store(database)
    with store.open() as other, store.open() as conn:
        write(conn, (1, 1))
        with held_alone(other, chart_sequence._LOCK) as held:
            assert held
            assert chart_sequence.sequence(conn) == 0
        assert chart_sequence.sequence(conn) == 1


def test_a_version_that_is_gone_is_said_and_nothing_is_given(database: str) -> None:
    with Store(database).open() as conn:
        write(conn, (1, 1), (2, 1))
        conn.execute("DELETE FROM chart_entry WHERE item = 'item 1'")
        with pytest.raises(VitalwireError, match="1 rows of `chart_unsequenced` name versions that are not in"):
            chart_sequence.sequence(conn)
        assert order(conn) == []


def test_a_reader_begins_at_a_moment(database: str) -> None:
    with Store(database).open() as conn:
        write(conn, (1, 1), recorded_s=0)
        write(conn, (2, 1), recorded_s=60)
        chart_sequence.sequence(conn)
        (row,) = conn.execute("SELECT recorded_at FROM chart_entry WHERE item = 'item 2'").fetchall()
        assert chart_sequence.position_before(conn, row[0]) == 1
        assert chart_sequence.position_before(conn, row[0] + timedelta(seconds=1)) == 2
        assert chart_sequence.position_before(conn, row[0] - timedelta(days=1)) == 0


def test_entries_that_are_there_already_have_their_places(database: str) -> None:
    with Store(database).open() as conn:
        conn.execute("DROP FUNCTION note_chart_unsequenced CASCADE")
        conn.execute("DROP TABLE chart_unsequenced, chart_sequence, delivered, delivery, destination")
        conn.execute("DELETE FROM schema_version WHERE version = 14")
        write(conn, (1, 1), recorded_s=0)
        write(conn, (2, 1), recorded_s=60)
        write(conn, (1, 2), recorded_s=-60)  # a clock that went back
    migrate(database)
    with Store(database).open() as conn:
        assert [(entry, version) for _, entry, version in order(conn)] == [(1, 1), (1, 2), (2, 1)]
        write(conn, (2, 2))
        chart_sequence.sequence(conn)
        assert order(conn)[-1] == (4, 2, 2)
