"""What people say of patients: whose a device is, that a question is dealt with, that a name is to be erased."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from clinical.association import first_change_us
from clinical.timeline import Span
from clinical.worklist import Item, ItemKind
from emr_store import acts, worklist
from emr_store.acts import Author
from emr_store.instants import moment as moment_of
from emr_store.instants import us_of
from emr_store.patients import believed
from emr_store.registry import find_device
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class Associated:
    """A device and the encounter that it is of; None: nobody's."""

    device: UUID
    encounter: str | None
    since: datetime
    until: datetime | None
    asked_until: datetime | None  # later than `until` where one of the two changed place before


def associate(
    conn: psycopg.Connection, device: str, encounter: str | None, *, since: datetime | None = None,
    until: datetime | None = None, author: Author | None = None,
) -> Associated:  # fmt: skip
    """Say whose a device's values are from `since` (None: now) to `until` (None: the next change of place of either).

    `encounter` None: nobody's. It outranks what was known when it was said. An `until` beyond a change of place that is
    known is cut there: of the device or of the encounter; of nobody's, of the device alone. Raises VitalwireError for a
    range that ends before it begins, and one that lies ahead.
    """
    with conn.transaction():
        uuid, at = find_device(conn, device), acts.now(conn)
        moment = since or at
        if moment > at:
            raise VitalwireError(f"--since {moment.isoformat()} lies ahead: say it when it has happened")
        if until is not None and until <= moment:
            raise VitalwireError(f"--until {until.isoformat()} is not after the beginning: name a later moment")
        details: dict[str, Any] = {"device": str(uuid), "encounter": encounter, "since": moment.isoformat()}
        holds_until = until
        if until is not None:
            holds_until = _first_change(conn, uuid, encounter, moment, until) or until
            details["until"] = holds_until.isoformat()
            details |= {"asked_until": until.isoformat()} if holds_until != until else {}
        act_id = acts.record(conn, acts.act("device.associate", author, at, **details))
        conn.execute(
            "INSERT INTO device_encounter VALUES (%s, %s, tstzrange(%s, %s), tstzrange(%s, NULL), false, %s)",
            (uuid, encounter, moment, holds_until, at, act_id),
        )
        return Associated(uuid, encounter, moment, holds_until, until)


def _first_change(
    conn: psycopg.Connection, device: UUID, encounter: str | None, since: datetime, until: datetime
) -> datetime | None:
    """When the device or the encounter changed place between the two, as believed now."""
    rows = conn.execute(_CHANGES_SQL, {"device": device, "encounter": encounter}).fetchall()
    changes_us = {us_of(bound) for row in rows for bound in row if bound is not None}
    return moment_of(first_change_us(Span(us_of(since), us_of(until)), changes_us))


_CHANGES_SQL = """
SELECT lower(valid), upper(valid) FROM device_bed JOIN registered_device USING (registered_device)
WHERE uuid = %(device)s AND upper_inf(recorded)
UNION ALL SELECT lower(valid), upper(valid) FROM encounter_bed
WHERE encounter = %(encounter)s AND upper_inf(recorded)
UNION ALL SELECT NULL, upper(period) FROM (
    SELECT unnest(open) AS period FROM encounter WHERE encounter = %(encounter)s AND upper_inf(recorded)) AS periods
"""


# --- the worklist ----------------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """An item as people see it; `resolved_by` is an act in hexadecimal."""

    item: int
    kind: str
    subject: str
    since: datetime
    announce_at: datetime
    until: datetime | None
    facts: list[bytes]
    detail: str
    resolved_by: str | None

    @property
    def as_item(self) -> Item:
        """As the domain has it."""
        return worklist.item_of(self[1:8])


def _questions_sql(believed_at: datetime | None) -> LiteralString:
    return f"""
SELECT i.item, i.kind, i.subject, i.since, i.announce_at, i.until, i.facts, i.detail,
    (SELECT encode(r.act_id, 'hex') FROM worklist_resolution r JOIN act a USING (act_id)
     WHERE r.kind = i.kind AND r.subject = i.subject AND r.since = i.since AND r.facts = i.facts
        AND a.at <= coalesce(%(believed_at)s::timestamptz, 'infinity') LIMIT 1) AS resolved_by
FROM worklist_item i
WHERE {believed(believed_at, "i.recorded")}
    AND i.announce_at <= coalesce(%(believed_at)s::timestamptz, clock_timestamp())
    AND (i.until IS NULL OR i.until > i.announce_at)
"""


def questions(conn: psycopg.Connection, believed_at: datetime | None = None, *, whole: bool = False) -> list[Question]:
    """What is asked of people now, or was at a time, the oldest first; `whole`: also what ceased or is resolved."""
    found = conn.cursor(row_factory=class_row(Question)).execute(
        f"SELECT * FROM ({_questions_sql(believed_at)}) AS q WHERE %(whole)s OR (resolved_by IS NULL AND until IS NULL)"
        " ORDER BY since, item",
        {"believed_at": believed_at, "whole": whole},
    )
    asked = found.fetchall()
    if whole and believed_at is None:
        ceased = conn.cursor(row_factory=class_row(Question)).execute(
            _CEASED_SQL, {"item": None, "scope": worklist.MEASURING}
        )
        asked = sorted([*asked, *ceased], key=lambda each: (each.since, each.item))
    return asked


# Who measures for nobody is asked while it lasts: its row ends with it.
_CEASED_SQL = """
SELECT i.item, i.kind, i.subject, i.since, i.announce_at, upper(i.recorded) AS until, i.facts, i.detail,
    (SELECT encode(r.act_id, 'hex') FROM worklist_resolution r
     WHERE r.kind = i.kind AND r.subject = i.subject AND r.since = i.since AND r.facts = i.facts LIMIT 1) AS resolved_by
FROM worklist_item i WHERE i.scope = %(scope)s AND NOT upper_inf(i.recorded) AND upper(i.recorded) > i.announce_at
    AND i.item = coalesce(%(item)s::bigint, i.item)
"""


def question_or_ceased(conn: psycopg.Connection, item: int) -> Question:
    """One that is asked now or was; raises VitalwireError where there is none of this number."""
    ceased = (
        conn.cursor(row_factory=class_row(Question))
        .execute(_CEASED_SQL, {"item": item, "scope": worklist.MEASURING})
        .fetchone()
    )
    return ceased or question(conn, item)


def open_questions(conn: psycopg.Connection) -> int:
    """How many are asked now."""
    row = conn.execute(
        f"SELECT count(*) FROM ({_questions_sql(None)}) AS q WHERE resolved_by IS NULL AND until IS NULL",
        {"believed_at": None},
    ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


class About(NamedTuple):
    """Whom a question is about; names are "" where none is known or kept."""

    subject: str
    patient: str | None
    family: str
    given: str
    name: str


_ABOUT_SQL = """
SELECT e.encounter AS subject, e.patient, coalesce(p.family, '') AS family, coalesce(p.given, '') AS given,
    coalesce(p.name, '') AS name
FROM encounter e LEFT JOIN patient_person p ON p.patient = e.patient
WHERE e.encounter = ANY(%(subjects)s) AND upper_inf(e.recorded)
UNION SELECT patient, patient, family, given, name FROM patient_person WHERE patient = ANY(%(subjects)s)
"""


def about(conn: psycopg.Connection, subjects: Iterable[str]) -> dict[str, About]:
    """Of those subjects that are a visit's or a patient's key."""
    found = conn.cursor(row_factory=class_row(About)).execute(_ABOUT_SQL, {"subjects": list(subjects)})
    return {each.subject: each for each in found}


def question(conn: psycopg.Connection, item: int) -> Question:
    """One that is asked now; raises VitalwireError where there is none of this number."""
    sql = f"SELECT * FROM ({_questions_sql(None)}) AS q WHERE item = %(item)s"
    row = conn.cursor(row_factory=class_row(Question)).execute(sql, {"believed_at": None, "item": item}).fetchone()
    if row is None:
        raise VitalwireError(f"no item {item} is on the worklist now: `vitalwire worklist list` has those that are")
    return row


def resolve(
    conn: psycopg.Connection, item: int, *, adt_is_right: bool = False, author: Author | None = None
) -> Question:
    """Say that an item is dealt with. `adt_is_right`: and that the number on the monitor says nothing until it changes.

    Raises VitalwireError where there is no such item, where it is resolved, and where it is about no monitor.
    """
    with conn.transaction():
        asked, at = question(conn, item), acts.now(conn)
        if asked.resolved_by is not None:
            raise VitalwireError(f"item {item} is resolved already, by the act {asked.resolved_by[:12]}")
        if adt_is_right and asked.kind != ItemKind.BED_AND_MONITOR_DISAGREE:
            raise VitalwireError(f"item {item} is about no number on a monitor: leave --adt-is-right out")
        details: dict[str, Any] = {"question": asked.kind, "subject": asked.subject, "since": asked.since.isoformat()}
        details["facts"] = [fact.hex() for fact in asked.facts]
        details |= {"adt_is_right": True} if adt_is_right else {}
        act_id = acts.record(conn, acts.act("worklist.resolve", author, at, **details))
        conn.execute(
            "INSERT INTO worklist_resolution VALUES (%s, %s, %s, %s, %s)",
            (asked.kind, asked.subject, asked.since, asked.facts, act_id),
        )
        if adt_is_right:
            conn.execute(
                "INSERT INTO pid_mute VALUES (%s, %s, tstzrange(%s, NULL), %s)",
                (UUID(asked.subject), asked.since, at, act_id),
            )
        return asked._replace(resolved_by=act_id.hex())


# --- names -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sealed:
    """Messages whose bytes are kept: how many, when the first and the last came, whether a legal hold pins any."""

    messages: int
    stored_from: datetime | None
    stored_to: datetime | None
    held: bool

    def gone_by(self, keep_days: int | None) -> datetime | None:
        """When retention will have dropped the last of them; None: never as things are, or nobody can tell."""
        if self.stored_to is None or self.held or not keep_days:
            return None
        return self.stored_to + timedelta(days=keep_days)


@dataclass(frozen=True)
class Erased:
    """What was erased, and what holds the name still, or may: sealed bytes, dropped by retention alone.

    `unread` are the batches of admission offices in which no name can be looked for: rejected frames and messages kept
    whole. `dead_letters` could not be validated at all. `keep_days` is how long retention keeps all these; 0: for ever,
    None: no processors have said so yet.
    """

    patients: tuple[str, ...]  # numbers that are this patient
    persons: int
    reports: int
    sealed: Sealed
    unread: Sealed
    dead_letters: Sealed
    keep_days: int | None


def erase(conn: psycopg.Connection, patient: str, *, author: Author | None = None) -> Erased:
    """Take a patient's name out of all that can be read, and keep none that comes; facts and numbers stay."""
    with conn.transaction():
        at = acts.now(conn)
        numbers = [row[0] for row in conn.execute(_LINKED_SQL, {"patient": patient})]
        act_id = acts.record(conn, acts.act("patient.erase", author, at, patients=numbers))
        conn.execute(
            "INSERT INTO patient_erased SELECT unnest(%s::text[]), %s ON CONFLICT DO NOTHING", (numbers, act_id)
        )
        persons = conn.execute("DELETE FROM patient_person WHERE patient = ANY(%s)", (numbers,)).rowcount
        conn.execute(_FORGET_MESSAGES_SQL, (numbers,))
        named = conn.execute(_REPORTS_SQL, {"numbers": numbers}).fetchall()
        batches, leaves = [row[0] for row in named], [row[1] for row in named]
        erased = conn.execute(_ERASE_REPORTS_SQL, (batches, leaves)).fetchone()
        kept = conn.execute("SELECT keep_days FROM adt_retention").fetchone()
        assert erased is not None
        return Erased(
            patients=tuple(numbers),
            persons=persons,
            reports=erased[0],
            sealed=_sealed(conn, _SEALED_SQL, {"batches": batches}),
            unread=_sealed(conn, _UNREAD_SQL, {"batches": batches}),
            dead_letters=_sealed(conn, _DEAD_LETTERS_SQL, {}),
            keep_days=None if kept is None else kept[0],
        )


def _sealed(conn: psycopg.Connection, sql: LiteralString, asked: dict[str, Any]) -> Sealed:
    row = conn.execute(sql, asked).fetchone()
    assert row is not None
    return Sealed(*row)


_LINKED_SQL = """
WITH RECURSIVE p (key) AS (SELECT %(patient)s::text UNION
    SELECT CASE l.retired WHEN p.key THEN l.survivor ELSE l.retired END
    FROM p JOIN patient_link l ON l.retired = p.key OR l.survivor = p.key)
SELECT key FROM p ORDER BY key
"""
# A message that came again is the same fact, and another report.
_REPORTS_SQL = """
WITH named AS (SELECT batch_id, leaf, encode(digest, 'base64') AS digest, grp FROM adt_fact
    WHERE patient = ANY(%(numbers)s))
SELECT b.batch, n.leaf FROM named n JOIN batch b USING (batch_id)
UNION SELECT r.batch, r.leaf
FROM report r JOIN batch b USING (batch) CROSS JOIN jsonb_array_elements(r.texts) AS t
JOIN named n ON n.digest = substring(t ->> 'text' FROM '"digest":"([^"]*)"')
    AND n.grp::text = substring(t ->> 'text' FROM '"group":([0-9]+)')
WHERE r.kind = 7 AND b.lane = 4 AND t ->> 'code' = 'adt-group' AND t ->> 'system' = 'vitalwire'
"""
# What is to be sent, or was refused, names the patient: it is never sent now (emr_store/deliver.py).
_FORGET_MESSAGES_SQL = """
UPDATE delivery SET body = NULL, answer = NULL
WHERE patient = ANY(%s) AND state IN ('waiting', 'parked') AND (body IS NOT NULL OR answer IS NOT NULL)
"""
_ERASE_REPORTS_SQL = """
SELECT count(*) FILTER (WHERE erase_person(batch, leaf)) FROM unnest(%s::int8[], %s::int4[]) AS n (batch, leaf)
"""
_OF_SEALED: LiteralString = """
SELECT count(*), min(b.stored_at), max(b.stored_at), coalesce(bool_or(EXISTS (
    SELECT FROM legal_hold h WHERE h.partition = format('batch_body_4_%%s', b.batch >> 24))), false)
FROM batch b JOIN batch_body y ON y.lane = b.lane AND y.batch = b.batch
WHERE y.lane = 4
"""
_SEALED_SQL: LiteralString = f"{_OF_SEALED} AND b.batch = ANY(%(batches)s)"
# No fact is of it; or it holds a rejected frame, or a message that was kept whole.
_UNREAD_SQL: LiteralString = f"""{_OF_SEALED} AND b.batch <> ALL(%(batches)s) AND (
    NOT EXISTS (SELECT FROM adt_fact f WHERE f.batch_id = b.batch_id)
    OR b.batch IN (SELECT r.batch FROM device d JOIN report r USING (device)
        WHERE d.claim LIKE '%%/rejected' AND r.kind = 8)
    OR b.batch IN (SELECT r.batch FROM report r WHERE r.kind = 7 AND jsonb_path_exists(r.texts, '$[*].frame')))
"""
_DEAD_LETTERS_SQL = """
SELECT count(*), min(at), max(at), false FROM dead_letter WHERE topic IN ('adt.raw', 'adt.signed') AND message <> ''
"""
