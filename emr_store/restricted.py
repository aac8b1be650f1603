"""Restricted records, of staff and of people who are well known: whoever has no relation is asked for a reason."""

from __future__ import annotations

import psycopg

from emr_store import acts
from emr_store.acts import Author
from emr_store.grants import GrantRefusedError, Refusal, reason_of


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
    """The record is as any other from now on. Raises GrantRefusedError."""
    author = Author(f"staff:{by}", reason_of(reason))
    with conn.transaction():
        at = acts.now(conn)
        changed = conn.execute(
            "UPDATE restricted_record SET valid = tstzrange(lower(valid), %s)"
            " WHERE patient = %s AND upper_inf(valid) AND lower(valid) < %s", (at, patient, at),
        ).rowcount  # fmt: skip
        if not changed:
            raise GrantRefusedError(Refusal.NOT_RESTRICTED)
        acts.record(conn, acts.act("record.lift", author, at, patient=patient))


def _is_known(conn: psycopg.Connection, patient: str) -> bool:
    sql = "SELECT FROM encounter WHERE patient = %s AND upper_inf(recorded) LIMIT 1"
    return bool(conn.execute(sql, (patient,)).rowcount)
