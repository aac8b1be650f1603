"""Accounts at an OpenID provider, each bound to one person at the first sign-in: rows of `provider_account`."""

from __future__ import annotations

import psycopg

from emr_store import acts
from emr_store.acts import Author
from schemas.errors import VitalwireError


def bind(conn: psycopg.Connection, issuer: str, subject: str, staff: str) -> bool:
    """Whether this account and this person are each other's; with an act, where neither was anybody's."""
    bound = _bound(conn, issuer, subject, staff)
    if bound:
        return bound == [(subject, staff)]
    try:
        with conn.transaction():
            at = acts.now(conn)
            author = Author(f"staff:{staff}", "the first sign-in by this account")
            act_id = acts.record(
                conn, acts.act("account.bind", author, at, issuer=issuer, subject=subject, staff=staff)
            )
            conn.execute(
                "INSERT INTO provider_account (issuer, subject, staff, bound_at, act_id) VALUES (%s, %s, %s, %s, %s)",
                (issuer, subject, staff, at, act_id),
            )
    except psycopg.errors.UniqueViolation:  # another sign-in was faster
        return _bound(conn, issuer, subject, staff) == [(subject, staff)]
    return True


def unbind(conn: psycopg.Connection, staff: str, author: Author) -> int:
    """The next account that says this number is bound to it; how many sessions of the one before ended.

    Raises VitalwireError where no account is bound to it, or without a reason.
    """
    if not author.why.strip():
        raise VitalwireError("an account is unbound for a reason: --why 'has a new account since the move'")
    with conn.transaction():
        at = acts.now(conn)
        bound = conn.execute(
            "SELECT issuer, subject FROM provider_account WHERE staff = %s AND unbound_at IS NULL FOR UPDATE", (staff,)
        ).fetchall()
        if not bound:
            raise VitalwireError(f"no account is bound to {staff}: the next sign-in by the provider binds one")
        ended = 0
        for issuer, subject in bound:
            act = acts.act("account.unbind", author, at, issuer=issuer, subject=subject, staff=staff)
            conn.execute(
                "UPDATE provider_account SET unbound_at = %s, act_id = %s"
                " WHERE issuer = %s AND staff = %s AND unbound_at IS NULL",
                (at, acts.record(conn, act), issuer, staff),
            )
            ended += conn.execute(
                "UPDATE login_session SET ended_at = %s, ended_by = %s, end_reason = %s"
                " WHERE issuer = %s AND principal = %s AND ended_at IS NULL",
                (at, author.by, author.why, issuer, staff),
            ).rowcount
    return ended


def _bound(conn: psycopg.Connection, issuer: str, subject: str, staff: str) -> list[tuple[str, str]]:
    return conn.execute(
        "SELECT subject, staff FROM provider_account"
        " WHERE issuer = %s AND unbound_at IS NULL AND (subject = %s OR staff = %s)",
        (issuer, subject, staff),
    ).fetchall()
