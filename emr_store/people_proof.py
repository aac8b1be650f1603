"""Who works here, and what ties people to stays, held against the acts of people that the log has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import psycopg

from emr_store import second_person, staff
from emr_store.instants import moment
from emr_store.second_person import Kind
from emr_store.verification import Verification
from evidence.act import Act


class _Row(NamedTuple):
    """A row of one of the tables, as it is kept, or as an act has it; `act_id` names the act."""

    table: str
    where: str  # for people
    content: tuple[object, ...]
    act_id: bytes


class _Grant(msgspec.Struct):
    """What the acts `grant.give` and `glass.break` say; unknown details are passed over, here and below."""

    grant: str
    relation: str
    staff: str
    encounter: str
    until: datetime


class _GrantEnd(msgspec.Struct):
    grant: str


class _Supervision(msgspec.Struct):
    supervisor: str
    trainee: str
    until: datetime


class _Shift(msgspec.Struct):
    staff: str
    ward: str
    until: datetime


class _Restriction(msgspec.Struct):
    patient: str


class _Reopening(msgspec.Struct):
    encounter: str
    until: datetime


class _StaffRows(msgspec.Struct):
    """What an act `staff.rows` says: the SHA-256 of each row, and the act `staff.import` that the rows name."""

    of: str
    rows: dict[str, str]


class _StaffEnd(msgspec.Struct):
    staff: str
    sha256: str


class _Account(msgspec.Struct):
    issuer: str
    subject: str
    staff: str


class _Question(msgspec.Struct):
    request: str
    what: str
    sha256: str
    expires_at: datetime


class _Reply(msgspec.Struct):
    request: str


class _Review(NamedTuple):
    """What an auditor is to look at since somebody broke the glass."""

    person: str
    encounter: str
    reason: str
    opened_at: datetime


@dataclass
class People:
    """What the acts of people come to, one after the other."""

    rows: set[_Row] = field(default_factory=set)
    reviews: set[_Review] = field(default_factory=set)
    staff: dict[str, _Row] = field(default_factory=dict)  # by number: the newest
    restricted: dict[str, _Row] = field(default_factory=dict)  # by patient: those that nobody lifted
    accounts: dict[tuple[str, str], _Row] = field(default_factory=dict)  # by issuer and number: those that are bound

    @classmethod
    def of(cls, acts: Sequence[Act], result: Verification) -> People:
        """The acts in the order in which they were done; one that cannot be read is a finding."""
        people = cls()
        for act in sorted(acts, key=lambda act: act.at_us):
            apply = _APPLY.get(act.kind)
            if apply is None:
                continue
            try:
                apply(people, act, moment(act.at_us))
            except (msgspec.ValidationError, ValueError, OverflowError) as error:
                result.add(f"act {act.act_id.hex()[:16]} ({act.kind})", f"what it says cannot be read: {error}")
        return people

    @property
    def expected(self) -> set[_Row]:
        """All rows that there should be."""
        return self.rows | set(self.staff.values()) | set(self.restricted.values()) | set(self.accounts.values())

    def give(self, act: Act, at: datetime) -> None:
        """A grant, or a broken glass."""
        stated = msgspec.convert(act.details, _Grant)
        by = act.by.removeprefix("staff:")
        content = (stated.relation, stated.staff, stated.encounter, by, act.why, at, _utc(stated.until))
        self.rows.add(_Row("access_grant", f"grant {stated.grant}", content, act.act_id))
        if stated.relation == "break_glass":
            self.reviews.add(_Review(stated.staff, stated.encounter, act.why, at))

    def end_grant(self, act: Act, at: datetime) -> None:
        """Before its time."""
        stated = msgspec.convert(act.details, _GrantEnd)
        self.rows.add(_Row("access_grant_end", f"the end of grant {stated.grant}", (at,), act.act_id))

    def supervise(self, act: Act, at: datetime) -> None:
        """Somebody answers for a trainee."""
        stated = msgspec.convert(act.details, _Supervision)
        where = f"{stated.supervisor} answering for {stated.trainee}"
        self.rows.add(_Row("supervision", where, (at, _utc(stated.until)), act.act_id))

    def declare_ward(self, act: Act, at: datetime) -> None:
        """A shift on another ward."""
        stated = msgspec.convert(act.details, _Shift)
        where = f"the shift of {stated.staff} on {stated.ward}"
        self.rows.add(_Row("ward_shift", where, (at, _utc(stated.until)), act.act_id))

    def restrict(self, act: Act, at: datetime) -> None:
        """A record is a restricted one."""
        patient = msgspec.convert(act.details, _Restriction).patient
        self.restricted[patient] = _Row(
            "restricted_record", f"the record of {patient}", (act.why, at, None), act.act_id
        )

    def lift(self, act: Act, at: datetime) -> None:
        """It is none any more."""
        row = self.restricted.pop(msgspec.convert(act.details, _Restriction).patient, None)
        if row is not None:
            self.rows.add(row._replace(content=(*row.content[:2], at)))

    def reopen(self, act: Act, at: datetime) -> None:
        """The chart of an archived stay."""
        stated = msgspec.convert(act.details, _Reopening)
        content = (act.why, at, _utc(stated.until))
        self.rows.add(_Row("archive_reopening", f"the chart of {stated.encounter}", content, act.act_id))

    def import_staff(self, act: Act, at: datetime) -> None:
        """Rows of a staff file."""
        stated = msgspec.convert(act.details, _StaffRows)
        for number, digest in stated.rows.items():
            self.staff[number] = _staff_row(number, bytes.fromhex(digest), bytes.fromhex(stated.of))

    def end_staff(self, act: Act, at: datetime) -> None:
        """Somebody was ended by hand."""
        stated = msgspec.convert(act.details, _StaffEnd)
        self.staff[stated.staff] = _staff_row(stated.staff, bytes.fromhex(stated.sha256), act.act_id)

    def bind_account(self, act: Act, at: datetime) -> None:
        """Somebody signed in by it first."""
        stated = msgspec.convert(act.details, _Account)
        where = f"the account of {stated.staff} at {stated.issuer}"
        row = _Row("provider_account", where, (stated.subject, at, None), act.act_id)
        self.accounts[stated.issuer, stated.staff] = row

    def unbind_account(self, act: Act, at: datetime) -> None:
        """It is nobody's any more."""
        stated = msgspec.convert(act.details, _Account)
        row = self.accounts.pop((stated.issuer, stated.staff), None)
        if row is not None:
            self.rows.add(row._replace(content=(*row.content[:2], at), act_id=act.act_id))

    def ask(self, act: Act, at: datetime) -> None:
        """A second person is asked."""
        stated = msgspec.convert(act.details, _Question)
        content = (stated.what, stated.sha256, act.by, act.why, at, _utc(stated.expires_at))
        self.rows.add(_Row("second_person", f"request {stated.request}", content, act.act_id))

    def answer(self, act: Act, at: datetime) -> None:
        """He agrees, or declines."""
        stated = msgspec.convert(act.details, _Reply)
        content = (act.kind == "second.agree", act.by, at)
        self.rows.add(_Row("second_person_answer", f"the answer to request {stated.request}", content, act.act_id))


_APPLY: dict[str, Callable[[People, Act, datetime], None]] = {
    "grant.give": People.give,
    "glass.break": People.give,
    "grant.end": People.end_grant,
    "supervision.give": People.supervise,
    "ward.declare": People.declare_ward,
    "record.restrict": People.restrict,
    "record.lift": People.lift,
    "archive.reopen": People.reopen,
    "staff.rows": People.import_staff,
    "staff.end": People.end_staff,
    "account.bind": People.bind_account,
    "account.unbind": People.unbind_account,
    "second.ask": People.ask,
    "second.agree": People.answer,
    "second.decline": People.answer,
}


def check_people(conn: psycopg.Connection, acts: Sequence[Act], result: Verification) -> None:
    """Step 9, people: each row is what an act of somebody says, and every act has its row."""
    kept = _kept(conn)
    for row in kept:
        result.counts["staff" if row.table == "staff" else "people"] += 1
    people = People.of(acts, result)
    expected = people.expected
    for row in sorted(kept - expected, key=str):
        result.add(f"{row.table}: {row.where}", "no act in the log says so")
    for row in sorted(expected - kept, key=str):
        result.add(f"{row.table}: {row.where}", "an act in the log says so, and the table does not")
    reviews = {_Review(*row)._replace(opened_at=_utc(row[3])) for row in conn.execute(_REVIEWS_SQL)}
    for review in sorted(people.reviews - reviews):
        what = "an act in the log broke the glass, and no review of it is there"
        result.add(f"{review.person} on {review.encounter}", what)


def _kept(conn: psycopg.Connection) -> set[_Row]:
    found = {
        _Row(table, where, tuple(_utc(each) if isinstance(each, datetime) else each for each in content), bytes(act_id))
        for table, sql in _KEPT_SQL.items()
        for where, act_id, *content in conn.execute(sql.encode())
    }
    by_staff = {number: bytes(act_id) for number, act_id in conn.execute("SELECT staff, act_id FROM staff")}
    found |= {_staff_row(member.staff, member.digest, by_staff[member.staff]) for member in staff.members(conn)}
    for request, kind, details, act_id, *content in conn.execute(_REQUESTS_SQL):
        known = (
            kind,
            _digest(kind, details),
            *(_utc(each) if isinstance(each, datetime) else each for each in content),
        )
        found.add(_Row("second_person", f"request {request}", known, bytes(act_id)))
    return found


_KEPT_SQL = {
    "access_grant": "SELECT 'grant ' || grant_id, act_id, relation, staff, encounter, by, reason, lower(valid),"
    " upper(valid) FROM access_grant",
    "access_grant_end": "SELECT 'the end of grant ' || grant_id, act_id, ended_at FROM access_grant_end",
    "supervision": "SELECT supervisor || ' answering for ' || trainee, act_id, lower(valid), upper(valid)"
    " FROM supervision",
    "ward_shift": "SELECT 'the shift of ' || staff || ' on ' || ward, act_id, lower(valid), upper(valid)"
    " FROM ward_shift",
    "restricted_record": "SELECT 'the record of ' || patient, act_id, reason, lower(valid), upper(valid)"
    " FROM restricted_record",
    "archive_reopening": "SELECT 'the chart of ' || encounter, act_id, reason, lower(valid), upper(valid)"
    " FROM archive_reopening",
    "provider_account": "SELECT 'the account of ' || staff || ' at ' || issuer, act_id, subject, bound_at, unbound_at"
    " FROM provider_account",
    "second_person_answer": "SELECT 'the answer to request ' || request, act_id, agrees, by, at"
    " FROM second_person_answer",
}
_REVIEWS_SQL = "SELECT person, encounter, detail, opened_at FROM review WHERE kind = 'break_glass'"
_REQUESTS_SQL = "SELECT request::text, kind, details, act_id, by, why, at, expires_at FROM second_person"


def _staff_row(number: str, digest: bytes, act_id: bytes) -> _Row:
    return _Row("staff", number, (digest.hex(),), act_id)


def _digest(kind: str, details: str) -> str:
    """Of what is kept of a request; "" where that is nothing that could be asked."""
    try:
        return second_person.digest_of(Kind(kind), msgspec.json.decode(details, type=dict[str, Any])).hex()
    except (ValueError, msgspec.MsgspecError):
        return ""


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
