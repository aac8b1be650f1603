"""Deliveries as rows: what is new of charts becomes messages, and what became of each message.

The order of things is that of COMMIT (emr_store/chart_sequence.py): a destination has a position up to which all was
taken into messages. A message is `waiting` until it is `accepted`, `skipped` (there is nothing to say) or `parked`
(people look at it). Two messages of one slot never overtake each other, so that no version comes before an earlier one;
behind one that is parked those of the same entries are parked too. Which of the others goes next: docs/adr/0018.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from emr_store import chart_sequence
from emr_store.session_lock import held_alone

_LOCK = 0x76_77_64_6C << 16  # and the destination's number: one process at a time serves it
TAKE_POSITIONS = 5000  # of the order, taken into messages in one transaction
LIVE_S = 60.0  # a message of a version that is not older goes before those that have waited for longer
SCAN = 1000  # messages, oldest first, among which the next ones are looked for
SCAN_LIVE = 500  # likewise, newest first
BEHIND = "an earlier message of the same entries is parked"


class Destination(NamedTuple):
    """A destination as it stands; `paused_at` None: it is served."""

    destination: int
    paused_at: datetime | None


class Message(NamedTuple):
    """A message that waits. `body` None: its bytes are not made yet; else it may have been sent already."""

    delivery: int
    patient: str
    encounter: str
    slot: datetime
    entries: list[UUID]
    versions: list[int]
    attempts: int
    control_id: str
    body: bytes | None
    said: list[UUID]
    said_versions: list[int]
    is_live: bool = False  # recorded within LIVE_S


class Delivered(NamedTuple):
    """What a destination has of an entry, or of a panel: `receiver_version` is its own number, "" unknown."""

    id: UUID
    version: int
    receiver_version: str


class Made(NamedTuple):
    """The bytes of a message, and what they say: entries, and the ids under which the receiver will have them."""

    delivery: int
    control_id: str
    body: bytes
    entries: list[UUID]
    versions: list[int]
    said: list[UUID]
    said_versions: list[int]


class Accepted(NamedTuple):
    """The receiver has it. `delivered`: what it has by this message."""

    delivery: int
    code: str
    delivered: list[Delivered]


class Retry(NamedTuple):
    """It is to be sent again, not before `next_at`; `attempts`: how many this was, 0 where the receiver was away."""

    delivery: int
    attempts: int
    code: str
    reason: str
    next_at: datetime


class Parked(NamedTuple):
    """People look at it; `answer`: what the receiver said, b"" where it was never sent or it said nothing.

    `forget`: its bytes must not be kept.
    """

    delivery: int
    attempts: int
    code: str
    reason: str
    answer: bytes
    forget: bool = False


class Skipped(NamedTuple):
    """There is nothing to say."""

    delivery: int
    reason: str


Result = Accepted | Retry | Parked | Skipped


# --- destinations ----------------------------------------------------------------------------------------------------


def open_destination(conn: psycopg.Connection, name: str, since: datetime | None) -> int:
    """The number of a destination. One that is new begins at this moment of the record; None: now."""
    row = conn.execute("SELECT destination FROM destination WHERE name = %s", (name,)).fetchone()
    if row is None:
        if since is None:
            position = chart_sequence.newest_position(conn)
        else:
            position = chart_sequence.position_before(conn, since)
        conn.execute(
            "INSERT INTO destination (name, position, began_at) VALUES (%s, %s, clock_timestamp())"
            " ON CONFLICT DO NOTHING",
            (name, position),
        )
        row = conn.execute("SELECT destination FROM destination WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return int(row[0])


def served_alone(conn: psycopg.Connection, destination: int) -> AbstractContextManager[bool]:
    """Whether we are the one that serves this destination; see `held_alone`."""
    return held_alone(conn, _LOCK + destination)


def destination_now(conn: psycopg.Connection, destination: int) -> Destination:
    """As it stands."""
    cursor = conn.cursor(row_factory=class_row(Destination))
    found = cursor.execute(
        "SELECT destination, paused_at FROM destination WHERE destination = %s", (destination,)
    ).fetchone()
    assert found is not None
    return found


def note_away(conn: psycopg.Connection, destination: int, reason: str) -> None:
    """That it does not answer, and why; "": it does."""
    if reason:
        conn.execute(_AWAY_SQL, {"destination": destination, "reason": reason})
    else:
        conn.execute(
            "UPDATE destination SET away_since = NULL, away_reason = ''"
            " WHERE destination = %s AND away_since IS NOT NULL",
            (destination,),
        )


# --- into messages ---------------------------------------------------------------------------------------------------


def take(conn: psycopg.Connection, destination: int, *, preliminary: bool) -> bool:
    """Take what is new into messages, at most TAKE_POSITIONS; whether there may be more.

    One message for an encounter and slot, two where an entry has two new versions. Preliminary versions are taken where
    the destination wants them; an entry in error only where an earlier version of it was taken.
    """
    with conn.transaction():
        named: dict[str, Any] = {"destination": destination, "preliminary": preliminary, "take": TAKE_POSITIONS}
        row = conn.execute(_NEW_POSITION_SQL, named).fetchone()
        assert row is not None
        named["position"], named["until"] = row
        if named["until"] is None:
            return False
        made = [each[0] for each in conn.execute(_TAKE_SQL, named).fetchall()]
        _park_behind(conn, destination, made)
        conn.execute("UPDATE destination SET position = %(until)s WHERE destination = %(destination)s", named)
        return bool(named["until"] - named["position"] >= TAKE_POSITIONS)


# --- what goes next --------------------------------------------------------------------------------------------------


class _Candidate(NamedTuple):
    delivery: int
    patient: str
    encounter: str
    slot: datetime
    due: bool


def next_messages(conn: psycopg.Connection, destination: int, taken: Collection[int], limit: int) -> list[Message]:
    """Up to `limit` messages that may be sent now beside those that are `taken` already.

    Of a patient one at a time, in order; new ones first, then those that have waited longest. A patient whose message
    is to be sent again later waits with it, but for what is new.
    """
    named = {
        "destination": destination, "taken": list(taken), "scan": SCAN, "scan_live": SCAN_LIVE, "live_s": LIVE_S,
    }  # fmt: skip
    busy = {row[0] for row in conn.execute(_PATIENTS_SQL, named).fetchall()}
    chosen: list[int] = []
    for sql in (_LIVE_SQL, _OLDEST_SQL):
        cursor = conn.cursor(row_factory=class_row(_Candidate))
        chosen += _choose(cursor.execute(sql, named).fetchall(), {*taken, *chosen}, busy, limit - len(chosen))
    if not chosen:
        return []
    messages = conn.cursor(row_factory=class_row(Message)).execute(_MESSAGES_SQL, (LIVE_S, chosen)).fetchall()
    by_id = {message.delivery: message for message in messages}
    return [by_id[delivery] for delivery in chosen]


def _choose(listed: Iterable[_Candidate], taken: Collection[int], busy: set[str], limit: int) -> list[int]:
    """The first due message of each patient, unless an earlier one of its slot is listed; `busy` grows by them."""
    chosen: list[int] = []
    patients: set[str] = set()  # of which an earlier message is listed
    slots: set[tuple[str, datetime]] = set()
    for each in listed:
        if len(chosen) == limit:
            break
        is_next = each.patient not in patients and (each.encounter, each.slot) not in slots
        patients.add(each.patient)
        slots.add((each.encounter, each.slot))
        if is_next and each.due and each.patient not in busy and each.delivery not in taken:
            chosen.append(each.delivery)
            busy.add(each.patient)
    return chosen


def delivered(conn: psycopg.Connection, destination: int, ids: Collection[UUID]) -> dict[UUID, Delivered]:
    """What the destination has of these entries and panels."""
    cursor = conn.cursor(row_factory=class_row(Delivered))
    rows = cursor.execute(
        "SELECT id, version, receiver_version FROM delivered WHERE destination = %s AND id = ANY(%s)",
        (destination, list(ids)),
    )
    return {row.id: row for row in rows}


def keep_bodies(conn: psycopg.Connection, made: Sequence[Made]) -> None:
    """Before they are sent first, so that whatever happens the same bytes are sent again."""
    with conn.cursor() as cursor:
        cursor.executemany(_BODY_SQL, [each._asdict() for each in made])


# --- what became of them ---------------------------------------------------------------------------------------------


def settle(conn: psycopg.Connection, destination: int, results: Sequence[Result]) -> None:
    """Write what became of messages, in one transaction. What is no longer waiting stays as people left it."""
    by_kind: dict[type, list[Any]] = {kind: [] for kind in (Accepted, Retry, Parked, Skipped)}
    for result in results:
        by_kind[type(result)].append(result)
    with conn.transaction():
        _accept(conn, destination, by_kind[Accepted])
        with conn.cursor() as cursor:
            cursor.executemany(_RETRY_SQL, [each._asdict() for each in by_kind[Retry]])
            cursor.executemany(_SKIP_SQL, [each._asdict() for each in by_kind[Skipped]])
            cursor.executemany(_PARK_SQL, [each._asdict() for each in by_kind[Parked]])
        parked = [each.delivery for each in by_kind[Parked]]
        if parked:
            followers = conn.execute(_SAME_SLOT_SQL, {"deliveries": parked}).fetchall()
            _park_behind(conn, destination, [row[0] for row in followers])


def _accept(conn: psycopg.Connection, destination: int, accepted: Sequence[Accepted]) -> None:
    if not accepted:
        return
    codes = [each.code for each in accepted]
    settled = conn.execute(_ACCEPT_SQL, ([each.delivery for each in accepted], codes)).rowcount
    conn.execute(_COUNT_SQL, {"destination": destination, "settled": settled})
    newest: dict[UUID, Delivered] = {}  # a statement may write a row once
    for each in accepted:
        for had in each.delivered:
            if had.id not in newest or newest[had.id].version <= had.version:
                newest[had.id] = had
    conn.execute(_DELIVERED_SQL, (
        destination, list(newest), [had.version for had in newest.values()],
        [had.receiver_version for had in newest.values()],
    ))  # fmt: skip


def _park_behind(conn: psycopg.Connection, destination: int, deliveries: Sequence[int]) -> None:
    """Of these, park those that wait behind a parked one of the same entries: until none is left, for one may wait
    behind another that was parked just now."""
    named = {"destination": destination, "deliveries": list(deliveries), "reason": BEHIND}
    while deliveries and conn.execute(_PARK_BEHIND_SQL, named).rowcount:
        pass


def release(conn: psycopg.Connection, destination: int, deliveries: Sequence[int]) -> int:
    """Let parked messages wait again, and what is parked behind them; how many. Inside the caller's transaction.

    Behind another that stays parked they are parked anew.
    """
    named = {"destination": destination, "deliveries": list(deliveries)}
    released = [row[0] for row in conn.execute(_RELEASE_SQL, named).fetchall()]
    _park_behind(conn, destination, released)
    return len(released)


_AWAY_SQL = """
UPDATE destination SET away_since = coalesce(away_since, clock_timestamp()), away_reason = %(reason)s
WHERE destination = %(destination)s AND (away_since IS NULL OR away_reason <> %(reason)s)
"""
_NEW_POSITION_SQL = """
SELECT d.position, (SELECT max(position) FROM (
    SELECT position FROM chart_sequence s WHERE s.position > d.position ORDER BY position LIMIT %(take)s) AS n)
FROM destination d WHERE destination = %(destination)s
"""
_TAKE_SQL = """
WITH new AS (
    SELECT s.position, s.entry, s.version, s.encounter, s.slot, c.recorded_at, c.status
    FROM chart_sequence s JOIN chart_entry c USING (entry, version)
    WHERE s.position > %(position)s AND s.position <= %(until)s
        AND (c.status <> 'preliminary' OR %(preliminary)s AND NOT EXISTS (
            SELECT FROM act a WHERE a.act_id = c.act_id
                AND convert_from(a.body, 'UTF8')::jsonb -> 'details' ->> 'pending' = 'true'))),
told AS (
    SELECT n.*, row_number() OVER (PARTITION BY n.entry ORDER BY n.position) AS nth FROM new n
    WHERE n.status <> 'entered-in-error'
        OR EXISTS (SELECT FROM new b WHERE b.entry = n.entry AND b.position < n.position)
        OR EXISTS (SELECT FROM delivered h WHERE h.destination = %(destination)s AND h.id = n.entry)
        OR EXISTS (SELECT FROM delivery d WHERE d.destination = %(destination)s AND d.encounter = n.encounter
            AND d.slot = n.slot AND d.state IN ('waiting', 'parked') AND n.entry = ANY (d.entries)))
INSERT INTO delivery (destination, patient, encounter, slot, entries, versions, recorded_at, state)
SELECT %(destination)s, coalesce(e.patient, t.encounter), t.encounter, t.slot,
    array_agg(t.entry ORDER BY t.position), array_agg(t.version ORDER BY t.position), max(t.recorded_at), 'waiting'
FROM told t LEFT JOIN encounter e ON e.encounter = t.encounter AND upper_inf(e.recorded)
GROUP BY t.encounter, t.slot, t.nth, e.patient ORDER BY min(t.position), t.nth
RETURNING delivery
"""
_PATIENTS_SQL = "SELECT DISTINCT patient FROM delivery WHERE delivery = ANY(%(taken)s)"
_DUE = "coalesce(next_at <= clock_timestamp(), true) AS due"
# The newest ones alone are looked at: among those that have waited for hours none is new.
_LIVE_SQL = f"""
SELECT delivery, patient, encounter, slot, {_DUE} FROM (
    SELECT delivery, patient, encounter, slot, next_at, recorded_at FROM delivery
    WHERE destination = %(destination)s AND state = 'waiting' ORDER BY delivery DESC LIMIT %(scan_live)s) AS n
WHERE recorded_at >= clock_timestamp() - %(live_s)s * interval '1 s' AND NOT EXISTS (
    SELECT FROM delivery b WHERE b.destination = %(destination)s AND b.encounter = n.encounter AND b.slot = n.slot
        AND b.state = 'waiting' AND b.delivery < n.delivery)
ORDER BY delivery
"""
_OLDEST_SQL = f"""
SELECT delivery, patient, encounter, slot, {_DUE} FROM delivery
WHERE destination = %(destination)s AND state = 'waiting' ORDER BY delivery LIMIT %(scan)s
"""
_MESSAGES_SQL = """
SELECT delivery, patient, encounter, slot, entries, versions, attempts, control_id, body, said, said_versions,
    recorded_at >= clock_timestamp() - %s * interval '1 s' AS is_live
FROM delivery WHERE delivery = ANY(%s)
"""
_BODY_SQL = """
UPDATE delivery SET control_id = %(control_id)s, body = %(body)s, entries = %(entries)s, versions = %(versions)s,
    said = %(said)s, said_versions = %(said_versions)s
WHERE delivery = %(delivery)s AND state = 'waiting'
"""
_ACCEPT_SQL = """
UPDATE delivery d SET state = 'accepted', settled_at = clock_timestamp(), attempts = attempts + 1, code = u.code,
    reason = '', next_at = NULL, body = NULL, answer = NULL
FROM unnest(%s::int8[], %s::text[]) AS u(delivery, code) WHERE d.delivery = u.delivery AND d.state = 'waiting'
"""
_COUNT_SQL = """
UPDATE destination SET accepted = accepted + %(settled)s, last_accepted_at = clock_timestamp()
WHERE destination = %(destination)s AND %(settled)s > 0
"""
_DELIVERED_SQL = """
INSERT INTO delivered (destination, id, version, receiver_version)
SELECT %s, id, version, receiver FROM unnest(%s::uuid[], %s::int4[], %s::text[]) AS u(id, version, receiver)
ON CONFLICT (destination, id) DO UPDATE SET version = excluded.version, receiver_version = excluded.receiver_version
WHERE delivered.version <= excluded.version
"""
_RETRY_SQL = """
UPDATE delivery SET attempts = attempts + %(attempts)s, code = %(code)s, reason = %(reason)s, next_at = %(next_at)s
WHERE delivery = %(delivery)s AND state = 'waiting'
"""
_SKIP_SQL = """
UPDATE delivery SET state = 'skipped', settled_at = clock_timestamp(), reason = %(reason)s, body = NULL, next_at = NULL
WHERE delivery = %(delivery)s AND state = 'waiting'
"""
_PARK_SQL = """
UPDATE delivery SET state = 'parked', settled_at = clock_timestamp(), attempts = attempts + %(attempts)s,
    code = %(code)s, reason = %(reason)s, answer = %(answer)s, next_at = NULL,
    body = CASE WHEN NOT %(forget)s THEN body END
WHERE delivery = %(delivery)s AND state = 'waiting'
"""
_SAME_SLOT_SQL = """
SELECT w.delivery FROM delivery p JOIN delivery w USING (destination, encounter, slot)
WHERE p.delivery = ANY(%(deliveries)s) AND w.state = 'waiting'
"""
_PARK_BEHIND_SQL = """
UPDATE delivery w SET state = 'parked', settled_at = clock_timestamp(), reason = %(reason)s,
    behind = coalesce(p.behind, p.delivery)
FROM delivery p
WHERE w.delivery = ANY(%(deliveries)s) AND w.state = 'waiting' AND p.destination = %(destination)s
    AND p.encounter = w.encounter AND p.slot = w.slot AND p.state = 'parked' AND p.delivery < w.delivery
    AND p.entries && w.entries
"""
_RELEASE_SQL = """
UPDATE delivery SET state = 'waiting', settled_at = NULL, behind = NULL, attempts = 0, next_at = NULL, reason = '',
    code = '', answer = NULL
WHERE destination = %(destination)s AND state = 'parked'
    AND (delivery = ANY(%(deliveries)s) OR behind = ANY(%(deliveries)s))
RETURNING delivery
"""
