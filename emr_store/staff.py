"""The staff file: who works here. A file is imported whole, in one transaction; who is absent from it has ended.

A number (工号) is never given to another person. A known number is taken for another person's where the file has
another name for it, or where it had ended and comes back with another role; then the file is refused until somebody
says that it is the same one (`same_person`). Who was ended by an administrator stays ended, whatever later files say,
until somebody says so too.

A row is kept in the log by its SHA-256, in acts `staff.rows` that stand beside the one act `staff.import`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import psycopg
import rfc8785
from psycopg.rows import class_row

from clinical.wards import ward_of_bed
from emr_store import acts, login_sessions, second_person
from emr_store.acts import Author, this_user
from emr_store.bed_names import bed_names
from emr_store.second_person import Kind, SecondPersonError
from schemas.errors import VitalwireError

_ROWS_PER_ACT = 400  # a digest each, within evidence/act.py: ACT_BYTES_MAX
_LOCK = 0x76_77_73_66  # one import at a time
_NAMED_MAX = 20  # of those who end, in what a second person reads


@dataclass(frozen=True)
class StaffRow:
    """A line of a staff file. Wards are keys (clinical/wards.py). Days are those of this machine's zone; both count.

    None: from ever, without an end.
    """

    staff: str
    name: str
    role: str
    licence: str
    licence_until: date | None = None
    wards: tuple[str, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    pool: tuple[str, ...] = ()


class StaffMember(NamedTuple):
    """A row as kept. `ended_at`: absent from a newer file, or ended by an administrator."""

    staff: str
    name: str
    role: str
    licence: str
    licence_until: date | None
    wards: list[str]
    pool: list[str]
    since: datetime | None
    until: datetime | None
    ended_at: datetime | None

    def works(self, at: datetime) -> bool:
        """By the file, and not ended."""
        is_in_time = (self.since is None or self.since <= at) and (self.until is None or at < self.until)
        return is_in_time and self.ended_at is None

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its canonical JSON: `vitalwire verify` holds the row against it."""
        days = [None if each is None else each.astimezone(UTC).isoformat() for each in (self.since, self.until)]
        licence_until = None if self.licence_until is None else self.licence_until.isoformat()
        ended = None if self.ended_at is None else self.ended_at.astimezone(UTC).isoformat()
        return sha256(rfc8785.dumps(
            [self.staff, self.name, self.role, self.licence, licence_until, self.wards, self.pool, *days, ended]
        )).digest()  # fmt: skip


class AnotherPersonError(VitalwireError):
    """Numbers that the file gives to other people; one of `problems` for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass
class Changes:
    """What a file would change, by numbers. `stops`: who works now and would not."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept_ended: list[str] = field(default_factory=list)  # in the file, and ended by an administrator
    stops: list[str] = field(default_factory=list)
    same_person: list[str] = field(default_factory=list)  # of whom somebody said so
    worked: int = 0  # who works now
    rows: list[StaffMember] = field(default_factory=list)  # as they will be: of the new, the changed and the ended

    @property
    def takes_two(self) -> bool:
        """It would end half of the staff, or more."""
        return bool(self.stops) and 2 * len(self.stops) >= self.worked


def known_wards(conn: psycopg.Connection) -> set[str]:
    """Of the beds that the site registered."""
    return {ward_of_bed(bed) for bed in bed_names(conn)} - {""}


_SELECT_SQL = """
SELECT staff, name, role, licence, licence_until, wards, pool, lower(valid) AS since, upper(valid) AS until, ended_at
FROM staff ORDER BY staff
"""


def members(conn: psycopg.Connection) -> list[StaffMember]:
    """Everybody who ever was in a staff file."""
    return conn.cursor(row_factory=class_row(StaffMember)).execute(_SELECT_SQL).fetchall()


def changes_of(
    conn: psycopg.Connection, rows: Sequence[StaffRow], at: datetime, same_person: Collection[str] = ()
) -> Changes:
    """What an import of this file at this moment would do; raises AnotherPersonError."""
    known = {member.staff: member for member in members(conn)}
    ended_by_administrator = {staff for (staff,) in conn.execute(_ENDED_SQL)}
    found = Changes(worked=sum(member.works(at) for member in known.values()))
    found.same_person = sorted(known.keys() & set(same_person))
    problems = []
    for row in rows:
        member, before = _member_of(row), known.pop(row.staff, None)
        if before is None:
            found.new.append(row.staff)
            found.rows.append(member)
            continue
        if row.staff not in same_person:
            if problem := _another_person(before, member):
                problems.append(problem)
                continue
            if before.ended_at is not None and row.staff in ended_by_administrator:
                found.kept_ended.append(row.staff)
                continue
        if member == before:
            found.unchanged.append(row.staff)
            continue
        found.changed.append(row.staff)
        found.rows.append(member)
        if before.works(at) and not member.works(at):
            found.stops.append(row.staff)
    if problems:
        raise AnotherPersonError(problems)
    for before in known.values():
        if before.ended_at is None:
            found.ended.append(before.staff)
            found.rows.append(before._replace(ended_at=at))
            if before.works(at):
                found.stops.append(before.staff)
    found.stops.sort()
    return found


_ENDED_SQL = "SELECT staff FROM staff JOIN act USING (act_id) WHERE kind = 'staff.end'"


def import_file(
    conn: psycopg.Connection, rows: Sequence[StaffRow], file_sha256: bytes, *, same_person: Collection[str] = (),
    author: Author | None = None,
) -> Changes:  # fmt: skip
    """Import the rows of a file. Raises AnotherPersonError; SecondPersonError where a second person must agree first.

    Sessions of who does not work here any more end with it.
    """
    who = author or this_user()
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        at = acts.now(conn)
        found = changes_of(conn, rows, at, same_person)
        details = _second_details(file_sha256, found)
        request = second_person.agreed(conn, Kind.STAFF_FILE, details, who) if found.takes_two else None
        act_id = _record(conn, found, file_sha256, at, who, request)
        if request is not None:
            second_person.use(conn, request, act_id)
        login_sessions.end_of(conn, found.stops, at, who.by, "no longer in the staff file")
    return found


def add(conn: psycopg.Connection, rows: Sequence[StaffRow], author: Author | None = None) -> list[str]:
    """Those of them whom nobody knows yet work here too: of a demo. Nobody ends; the numbers of the new ones."""
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = {member.staff for member in members(conn)}
        new = [_member_of(row) for row in rows if row.staff not in known]
        if new:
            found = Changes(new=[member.staff for member in new], rows=new)
            written = rfc8785.dumps([member.digest.hex() for member in new])
            _record(conn, found, sha256(written).digest(), acts.now(conn), author or this_user(), None)
    return [member.staff for member in new]


def ask_for(
    conn: psycopg.Connection, rows: Sequence[StaffRow], file_sha256: bytes, *, same_person: Collection[str] = (),
    author: Author | None = None,
) -> SecondPersonError:  # fmt: skip
    """Ask a second person to agree to this file; the error that says how it goes on."""
    with conn.transaction():
        found = changes_of(conn, rows, acts.now(conn), same_person)
        request = second_person.ask(conn, Kind.STAFF_FILE, _second_details(file_sha256, found), author)
    return SecondPersonError(
        f"this file would end {len(found.stops)} of {found.worked} who work here, half or more: if it is right, let a"
        f" second person do `vitalwire people agree {request}`, then import it again",
        request,
    )


def end(conn: psycopg.Connection, staff: str, author: Author) -> StaffMember:
    """Somebody works here no longer, from now on, whatever later files say; sessions end.

    Raises VitalwireError where nobody of this number works here.
    """
    if not author.why.strip():
        raise VitalwireError("who is ended needs a reason: --why 'left the hospital'")
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        at = acts.now(conn)
        known = {member.staff: member for member in members(conn)}
        before = known.get(staff)
        if before is None:
            raise VitalwireError(f"nobody has the number {staff!r}: see `vitalwire people list`")
        if before.ended_at is not None:
            raise VitalwireError(f"{before.name} ({staff}) has ended already: see `vitalwire people list --all`")
        member = before._replace(ended_at=at)
        act_id = acts.record(conn, acts.act("staff.end", author, at, staff=staff, sha256=member.digest.hex()))
        _write(conn, [member], act_id)
        login_sessions.end_of(conn, [staff], at, author.by, author.why)
    return member


def _another_person(before: StaffMember, now: StaffMember) -> str:
    """Why this number would be another person's; "": it would not."""
    ends = f"; if it is one person: --same-person {now.staff}"
    if _plain(before.name) != _plain(now.name):
        return f"{now.staff} is {before.name}, and the file calls it {now.name}: a number is never given again{ends}"
    if before.ended_at is not None and before.role != now.role:
        return (
            f"{now.staff} ({now.name}) had ended as {before.role} and comes back as {now.role}:"
            f" a number is never given again{ends}"
        )
    return ""


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _member_of(row: StaffRow) -> StaffMember:
    return StaffMember(
        row.staff, row.name, row.role, row.licence, row.licence_until, sorted(row.wards), sorted(row.pool),
        _midnight(row.first_day), _midnight(row.last_day, days=1), None,
    )  # fmt: skip


def _midnight(day: date | None, days: int = 0) -> datetime | None:
    """At which a day begins here, or the one so many days later."""
    return None if day is None else datetime.combine(day + timedelta(days=days), time()).astimezone()


def _second_details(file_sha256: bytes, found: Changes) -> Mapping[str, object]:
    """What a second person agrees to: this file, and that these end."""
    stops = sha256("\n".join(found.stops).encode()).hexdigest()
    return {
        "file_sha256": file_sha256.hex(), "stops": len(found.stops), "worked": found.worked, "stops_sha256": stops,
        "first": found.stops[:_NAMED_MAX],
    }  # fmt: skip


def _record(
    conn: psycopg.Connection, found: Changes, file_sha256: bytes, at: datetime, who: Author, request: UUID | None
) -> bytes:
    """The rows, with the acts that say them; the id of the one that the rows name."""
    counts = {kind: len(getattr(found, kind)) for kind in ("new", "changed", "ended", "unchanged", "kept_ended")}
    act_id = acts.record(conn, acts.act(
        "staff.import", who, at, sha256=file_sha256.hex(), second_person=None if request is None else str(request),
        rows=len(found.new) + len(found.changed) + len(found.unchanged) + len(found.kept_ended),
        same_person=found.same_person, **counts,
    ))  # fmt: skip
    _write(conn, found.rows, act_id)
    for start in range(0, len(found.rows), _ROWS_PER_ACT):
        chunk = found.rows[start : start + _ROWS_PER_ACT]
        digests = {member.staff: member.digest.hex() for member in chunk}
        acts.record(conn, acts.act("staff.rows", who, at, file=file_sha256.hex(), of=act_id.hex(), rows=digests))
    return act_id


def _write(conn: psycopg.Connection, rows: Sequence[StaffMember], act_id: bytes) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO staff (staff, name, role, licence, licence_until, wards, pool, valid, ended_at, act_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, tstzrange(%s, %s), %s, %s)"
            " ON CONFLICT (staff) DO UPDATE SET name = excluded.name, role = excluded.role, licence = excluded.licence,"
            " licence_until = excluded.licence_until, wards = excluded.wards, pool = excluded.pool,"
            " valid = excluded.valid, ended_at = excluded.ended_at, act_id = excluded.act_id",
            [(*row, act_id) for row in rows],
        )
