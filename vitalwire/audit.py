"""`vitalwire audit`: who saw a patient, what a person did, and what an auditor is to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import uuid4

import psycopg
import typer

from emr_store import audit_trail, looks, reviews
from emr_store.acts import this_user
from emr_store.audit_trail import AUDIT_PAGE, Span, Trace
from emr_store.looks import Look
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Database, Json, connect, since_moment

LOOK = timedelta(minutes=15)
ID_CHARS = 8
app = typer.Typer(help="Who saw and did what, and what is to be looked at.", no_args_is_help=True)
Since = Annotated[str, typer.Option(help="an instant (2026-11-24T10:00Z) or a span (24h, 7d); else all")]
Until = Annotated[str, typer.Option(help="likewise; else now")]


@app.command("who-saw")
def who_saw(
    patient: Annotated[str, typer.Argument(help="the patient's number")],
    since: Since = "",
    until: Until = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Who saw a patient and did something to the record: vitalwire audit who-saw 00012345 --since 7d.

    Looks and acts together, the oldest first, without a value. That you asked is a look too.
    """
    span = _span(since, until)
    with connect(database) as conn:
        _note(conn, f"who-saw since={since or 'all'} until={until or 'now'}", patients=(patient,))
        found = audit_trail.who_saw(conn, patient, span)
    _show(json, f"Who saw {patient}", found)


@app.command("what-did")
def what_did(
    person: Annotated[str, typer.Argument(help="the staff number")],
    since: Since = "",
    until: Until = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """What a person saw and did: vitalwire audit what-did 1001 --since 24h --json."""
    span = _span(since, until)
    with connect(database) as conn:
        _note(conn, f"what-did person={person} since={since or 'all'} until={until or 'now'}")
        found = audit_trail.what_did(conn, person, span)
    _show(json, f"What {person} did", found)


@app.command("reviews")
def list_reviews(
    whole: Annotated[bool, typer.Option("--all", help="also those that are closed")] = False,
    since: Since = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """What somebody is to look at, the newest first: vitalwire audit reviews."""
    begin = since_moment(since) if since else None
    with connect(database) as conn:
        _note(conn, "reviews")
        found = reviews.reviews(conn, closed_too=whole, since=begin)
    if json:
        as_json([vars(review) for review in found])
        return
    columns = ("id", "opened", "kind", "person", "role", "patient", "detail", "closed", "by", "word")
    table("Reviews", columns, [
        (str(r.review)[:ID_CHARS], r.opened_at, r.kind, _who(r.person, r.name), r.role, r.patient or r.encounter,
         r.detail, r.closed_at, r.closed_by or "", r.word or "") for r in found
    ], "none is open")  # fmt: skip


@app.command("close")
def close(
    review: Annotated[str, typer.Argument(help="its id in `vitalwire audit reviews`, or how it begins")],
    word: Annotated[str, typer.Option(help="what was found, kept with the act in the log")],
    database: Database = "",
) -> None:
    """Say what was found: vitalwire audit close 3f2a91c0 --word 'asked her: called for help by the ward'.

    Nobody closes a review about himself.
    """
    with connect(database) as conn:
        found = reviews.find_review(conn, review)
        reviews.close_review(conn, found, this_user(word))
    console.print(cell(f"review {str(found)[:ID_CHARS]} is closed: {word.strip()}"), markup=False)


def _span(since: str, until: str) -> Span:
    return Span(since_moment(since) if since else None, since_moment(until, "--until") if until else None)


def _note(conn: psycopg.Connection, detail: str, patients: tuple[str, ...] = ()) -> None:
    """Who reads the audit leaves a row, before anything is shown."""
    now = datetime.now(UTC)
    looks.write(conn, Look(
        look=uuid4(), person=this_user().by, role="operator", action="see", page=AUDIT_PAGE, encounters=(),
        patients=patients, stays=0, detail=detail, relation="none", restricted=False, session="",
        address="command line", reason="", from_at=now, until_at=now + LOOK,
    ))  # fmt: skip


def _show(json: bool, title: str, found: list[Trace]) -> None:
    if json:
        as_json([trace._asdict() for trace in found])
        return
    columns = ("at", "until", "person", "role", "what", "page", "patient", "stays", "relation", "reason", "where", "")
    table(title, columns, [
        (t.at, t.until, _who(t.person, t.name), t.role, t.what, t.page, " ".join(t.patients or t.encounters), t.stays,
         t.relation, t.reason, t.where, " ".join(filter(None, (t.detail, "restricted" if t.restricted else ""))))
        for t in found
    ], "nothing", gap=1)  # fmt: skip
    if len(found) == audit_trail.TRACES_MAX:
        console.print(f"the newest {audit_trail.TRACES_MAX}: --since and --until ask for others")


def _who(person: str, name: str) -> str:
    return f"{person} {name}" if name and name != person else person
