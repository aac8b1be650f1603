"""What ties somebody to a stay beyond his ward: grants, broken glass, a shift on another ward, supervision.

Each has a reason and an end, and its act in the same transaction. The limits are named here, for pages and commands.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
from emr_store.viewers import StaffFacts, staff_facts
from evidence.act import Act

REASON_CHARS_MAX = 500
GLASS_MAX = timedelta(hours=8)
GRANT_MAX = timedelta(days=31)
SHIFT_MAX = timedelta(hours=16)
SUPERVISION_MAX = timedelta(days=366)
GIVEN = ("team", "consulted")  # gateway/access/words.py: Relation
BREAK_GLASS = "break_glass"


class Refusal(StrEnum):
    """Why nothing was done."""

    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    NO_RELATION = "no_relation"  # that somebody can give
    NOT_THERE = "not_there"
    NO_STAFF = "no_staff"  # nobody of this number works here
    TO_ONESELF = "to_oneself"  # for that there is breaking the glass
    ENDS_TOO_EARLY = "ends_too_early"
    ENDS_TOO_LATE = "ends_too_late"
    ENDED_ALREADY = "ended_already"
    NOT_IN_POOL = "not_in_pool"
    NO_TRAINEE = "no_trainee"
    NO_LICENCE = "no_licence"  # to answer for somebody else's entries
    RESTRICTED_ALREADY = "restricted_already"
    NOT_RESTRICTED = "not_restricted"


class GrantRefusedError(Exception):
    """Nothing was done."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class GrantRow(NamedTuple):
    """A grant as kept; `until` as it was given, `ended_at` before its time."""

    grant: UUID
    relation: str
    staff: str
    name: str
    encounter: str
    by: str
    reason: str
    since: datetime
    until: datetime
    ended_at: datetime | None


class Shift(NamedTuple):
    """A ward that somebody declared to be his for a while."""

    ward: str
    since: datetime
    until: datetime


class Trainee(NamedTuple):
    """Somebody whose entries another one answers for."""

    staff: str
    name: str
    until: datetime


def give(
    conn: psycopg.Connection, relation: str, staff: str, encounter: str, *, until: datetime, by: str, reason: str
) -> UUID:
    """A person (`by`, a number) gives another one a relation to a stay. Raises GrantRefusedError.

    Whether he may is asked before (gateway/access: Action.GRANT).
    """
    if relation not in GIVEN:
        raise GrantRefusedError(Refusal.NO_RELATION)
    if staff == by:
        raise GrantRefusedError(Refusal.TO_ONESELF)
    with conn.transaction():
        at = acts.now(conn)
        _check_end(at, until, GRANT_MAX)
        author = Author(f"staff:{by}", reason_of(reason))
        given = _NewGrant(uuid4(), relation, staff, encounter, until)
        return _keep(conn, given, at, acts.act("grant.give", author, at, **given.details))


def break_glass(conn: psycopg.Connection, staff: str, encounter: str, *, until: datetime, reason: str) -> UUID:
    """By one's own word. The auditor's review is opened with it. Raises GrantRefusedError."""
    with conn.transaction():
        at = acts.now(conn)
        _check_end(at, until, GLASS_MAX)
        author = Author(f"staff:{staff}", reason_of(reason))
        taken = _NewGrant(uuid4(), BREAK_GLASS, staff, encounter, until)
        _keep(conn, taken, at, acts.act("glass.break", author, at, **taken.details))
        conn.execute(
            "INSERT INTO review (review, kind, person, role, patient, encounter, look, detail, opened_at)"
            " SELECT %(review)s, 'break_glass', staff, role,"
            " (SELECT patient FROM encounter e WHERE e.encounter = %(encounter)s AND upper_inf(e.recorded) LIMIT 1),"
            " %(encounter)s, NULL, %(reason)s, %(at)s FROM staff WHERE staff = %(staff)s",
            {"review": uuid4(), "encounter": encounter, "reason": author.why, "at": at, "staff": staff},
        )
    return taken.grant


def end(conn: psycopg.Connection, grant: UUID, *, by: str, reason: str) -> None:
    """It ends now, before its time. Raises GrantRefusedError."""
    author = Author(f"staff:{by}", reason_of(reason))
    try:
        with conn.transaction():
            at = acts.now(conn)
            found = find(conn, grant)
            if found is None:
                raise GrantRefusedError(Refusal.NOT_THERE)
            if found.until <= at or found.ended_at is not None:
                raise GrantRefusedError(Refusal.ENDED_ALREADY)
            act_id = acts.record(conn, acts.act("grant.end", author, at, grant=str(grant)))
            conn.execute(
                "INSERT INTO access_grant_end (grant_id, ended_at, act_id) VALUES (%s, %s, %s)", (grant, at, act_id)
            )
    except psycopg.errors.UniqueViolation:  # somebody was faster
        raise GrantRefusedError(Refusal.ENDED_ALREADY) from None


_GRANTS_SQL = """
SELECT g.grant_id AS "grant", g.relation, g.staff, s.name, g.encounter, g.by, g.reason, lower(g.valid) AS since,
    upper(g.valid) AS until, e.ended_at
FROM access_grant g JOIN staff s USING (staff) LEFT JOIN access_grant_end e USING (grant_id)
"""


def find(conn: psycopg.Connection, grant: UUID) -> GrantRow | None:
    """Of this id."""
    cursor = conn.cursor(row_factory=class_row(GrantRow))
    return cursor.execute(f"{_GRANTS_SQL} WHERE g.grant_id = %s".encode(), (grant,)).fetchone()


def of_encounter(conn: psycopg.Connection, encounter: str) -> list[GrantRow]:
    """All that there ever were, the newest first."""
    sql = f"{_GRANTS_SQL} WHERE g.encounter = %s ORDER BY since DESC, g.grant_id"
    return conn.cursor(row_factory=class_row(GrantRow)).execute(sql.encode(), (encounter,)).fetchall()


def of_staff(conn: psycopg.Connection, staff: str, at: datetime) -> list[GrantRow]:
    """Those of somebody that hold at this moment, those that end first before the others."""
    sql = (
        f"{_GRANTS_SQL} WHERE g.staff = %(staff)s AND g.valid @> %(at)s::timestamptz"
        " AND (e.ended_at IS NULL OR e.ended_at > %(at)s) ORDER BY until, g.grant_id"
    )
    cursor = conn.cursor(row_factory=class_row(GrantRow))
    return cursor.execute(sql.encode(), {"staff": staff, "at": at}).fetchall()


def supervise(
    conn: psycopg.Connection, supervisor: str, trainee: str, *, until: datetime, author: Author
) -> None:  # fmt: skip
    """Somebody answers for a trainee's entries. Raises GrantRefusedError."""
    with conn.transaction():
        at = acts.now(conn)
        _check_end(at, until, SUPERVISION_MAX)
        if supervisor == trainee:
            raise GrantRefusedError(Refusal.TO_ONESELF)
        answers, learns = _working(conn, supervisor, at), _working(conn, trainee, at)
        if answers.licence == "none" or answers.role == "trainee":
            raise GrantRefusedError(Refusal.NO_LICENCE)
        if learns.licence != "none" and learns.role != "trainee":
            raise GrantRefusedError(Refusal.NO_TRAINEE)
        act_id = acts.record(conn, acts.act(
            "supervision.give", author, at, supervisor=supervisor, trainee=trainee,
            until=until.isoformat(),
        ))  # fmt: skip
        conn.execute(
            "INSERT INTO supervision (supervisor, trainee, valid, act_id) VALUES (%s, %s, tstzrange(%s, %s), %s)",
            (supervisor, trainee, at, until, act_id),
        )


def declare_ward(conn: psycopg.Connection, staff: str, ward: str, *, until: datetime) -> None:
    """ "Today I work on this ward": by somebody who floats, within her pool. Raises GrantRefusedError.

    Her wards are then those that she declared, until the end, and no others.
    """
    with conn.transaction():
        at = acts.now(conn)
        _check_end(at, until, SHIFT_MAX)
        _working(conn, staff, at)
        if ward not in pool_of(conn, staff):
            raise GrantRefusedError(Refusal.NOT_IN_POOL)
        act_id = acts.record(conn, acts.act(
            "ward.declare", Author(f"staff:{staff}"), at, staff=staff, ward=ward, until=until.isoformat()
        ))  # fmt: skip
        conn.execute(
            "INSERT INTO ward_shift (staff, ward, valid, act_id) VALUES (%s, %s, tstzrange(%s, %s), %s)",
            (staff, ward, at, until, act_id),
        )


def pool_of(conn: psycopg.Connection, staff: str) -> list[str]:
    """Where somebody may declare himself: his pool, and his own wards."""
    row = conn.execute("SELECT wards || pool FROM staff WHERE staff = %s", (staff,)).fetchone()
    return sorted(set(row[0])) if row is not None else []


def shifts_of(conn: psycopg.Connection, staff: str, at: datetime) -> list[Shift]:
    """What somebody declared, as far as it holds at this moment."""
    return conn.cursor(row_factory=class_row(Shift)).execute(
        "SELECT ward, lower(valid) AS since, upper(valid) AS until FROM ward_shift"
        " WHERE staff = %s AND valid @> %s::timestamptz ORDER BY until, ward", (staff, at),
    ).fetchall()  # fmt: skip


def trainees_of(conn: psycopg.Connection, supervisor: str, at: datetime) -> list[Trainee]:
    """For whom somebody answers at this moment."""
    return conn.cursor(row_factory=class_row(Trainee)).execute(
        "SELECT trainee AS staff, name, max(upper(u.valid)) AS until FROM supervision u JOIN staff s ON staff = trainee"
        " WHERE supervisor = %s AND u.valid @> %s::timestamptz GROUP BY 1, 2 ORDER BY 1", (supervisor, at),
    ).fetchall()  # fmt: skip


class _NewGrant(NamedTuple):
    grant: UUID
    relation: str
    staff: str
    encounter: str
    until: datetime

    @property
    def details(self) -> dict[str, str]:
        """Of its act."""
        return {
            "grant": str(self.grant), "relation": self.relation, "staff": self.staff, "encounter": self.encounter,
            "until": self.until.isoformat(),
        }  # fmt: skip


def _keep(conn: psycopg.Connection, new: _NewGrant, at: datetime, act: Act) -> UUID:
    _working(conn, new.staff, at)
    sql = "SELECT FROM encounter WHERE encounter = %s AND upper_inf(recorded)"
    if conn.execute(sql, (new.encounter,)).rowcount == 0:
        raise GrantRefusedError(Refusal.NOT_THERE)
    conn.execute(
        "INSERT INTO access_grant (grant_id, relation, staff, encounter, by, reason, valid, act_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, tstzrange(%s, %s), %s)",
        (new.grant, new.relation, new.staff, new.encounter, act.by.removeprefix("staff:"), act.why, at, new.until,
         acts.record(conn, act)),
    )  # fmt: skip
    return new.grant


def _working(conn: psycopg.Connection, staff: str, at: datetime) -> StaffFacts:
    facts = staff_facts(conn, staff, at)
    if facts is None or not facts.works:
        raise GrantRefusedError(Refusal.NO_STAFF)
    return facts


def _check_end(at: datetime, until: datetime, most: timedelta) -> None:
    if until <= at:
        raise GrantRefusedError(Refusal.ENDS_TOO_EARLY)
    # Whoever asks for the longest reckons from the moment before he asked, by a clock that may be ahead.
    if until > at + most + _CLOCKS:
        raise GrantRefusedError(Refusal.ENDS_TOO_LATE)


_CLOCKS = timedelta(seconds=10)


def reason_of(text: str) -> str:
    """Trimmed; raises GrantRefusedError where there is none, or too much."""
    reason = text.strip()
    if not reason:
        raise GrantRefusedError(Refusal.NO_REASON)
    if len(reason) > REASON_CHARS_MAX:
        raise GrantRefusedError(Refusal.REASON_TOO_LONG)
    return reason
