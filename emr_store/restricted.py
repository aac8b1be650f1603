"""Restricted records, of staff and of people who are well known: whoever has no relation is asked for a reason."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
from emr_store.grants import GrantRefusedError, Refusal, reason_of
from emr_store.visible_stays import restrictions_of

RECORDS_MAX = 1000


class RestrictedRecord(NamedTuple):
    """One that is restricted now; `by` as its act names him."""

    patient: str
    since: datetime
    by: str
    reason: str


def restrict(conn: psycopg.Connection, patient: str, *, by: str, reason: str) -> None:
    """From now on, by a person (a number). Raises GrantRefusedError. Whether he may is asked before."""
    author = Author(f"staff:{by}", reason_of(reason))
    try:
        with conn.transaction():
            at = acts.now(conn)
            if not _is_known(conn, patient):
                raise GrantRefusedError(Refusal.NOT_THERE)
            act_id = acts.record(conn, acts.act("record.restrict", author, at, patient=patient))
            conn.execute(
                "INSERT INTO restricted_record (patient, valid, reason, act_id) VALUES (%s, tstzrange(%s, NULL), %s,"
                " %s)", (patient, at, author.why, act_id),
            )  # fmt: skip
    except psycopg.errors.ExclusionViolation:
        raise GrantRefusedError(Refusal.RESTRICTED_ALREADY) from None


def lift(conn: psycopg.Connection, patient: str, *, by: str, reason: str) -> None:
    """The record is as any other from now on, under every number of the person. Raises GrantRefusedError."""
    author = Author(f"staff:{by}", reason_of(reason))
    with conn.transaction():
        at = acts.now(conn)
        numbers = restrictions_of(conn, patient)
        if not numbers:
            raise GrantRefusedError(Refusal.NOT_RESTRICTED)
        for number in numbers:
            conn.execute(
                "UPDATE restricted_record SET valid = tstzrange(lower(valid), %s)"
                " WHERE patient = %s AND upper_inf(valid) AND lower(valid) < %s", (at, number, at),
            )  # fmt: skip
            acts.record(conn, acts.act("record.lift", author, at, patient=number))


def restricted_records(conn: psycopg.Connection) -> list[RestrictedRecord]:
    """Those that are restricted now, the newest first; at most RECORDS_MAX."""
    return conn.cursor(row_factory=class_row(RestrictedRecord)).execute(
        "SELECT r.patient, lower(r.valid) AS since, convert_from(a.body, 'UTF8')::jsonb ->> 'by' AS by, r.reason"
        " FROM restricted_record r JOIN act a USING (act_id)"
        " WHERE upper_inf(r.valid) ORDER BY since DESC, r.patient LIMIT %s", (RECORDS_MAX,),
    ).fetchall()  # fmt: skip


def _is_known(conn: psycopg.Connection, patient: str) -> bool:
    sql = "SELECT FROM encounter WHERE patient = %s AND upper_inf(recorded) LIMIT 1"
    return bool(conn.execute(sql, (patient,)).rowcount)
