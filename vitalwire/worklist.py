"""`vitalwire worklist`: what only a person can decide."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical.worklist import words
from emr_store import evidence_words, patient_acts
from emr_store.acts import this_user
from vitalwire.output import as_json, cell, console, listed
from vitalwire.record import Database, Json, connect
from vitalwire.whose import BelievedAt, instant

app = typer.Typer(help="What only a person can decide.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="its number in `vitalwire worklist list`")]
Language = Annotated[str, typer.Option(help="en or zh", metavar="en|zh")]


@app.command("list")
def worklist_list(
    whole: Annotated[bool, typer.Option("--all", help="also what ceased by itself, and what is resolved")] = False,
    believed_at: BelievedAt = "",
    language: Language = "en",
    database: Database = "",
    json: Json = False,
) -> None:
    """What is asked of people, the oldest first: vitalwire worklist list."""
    then = instant(believed_at) if believed_at else None
    with connect(database) as conn:
        found = patient_acts.questions(conn, then, whole=whole)
    listed(json, "Worklist", ("item", "since", "until", "about", "question", ""), found, lambda q: (
        q.item, q.since, q.until, q.subject, words(q.as_item, language), "resolved" if q.resolved_by else ""
    ), "nothing is asked")  # fmt: skip


@app.command("show")
def worklist_show(item: Number, language: Language = "en", database: Database = "", json: Json = False) -> None:
    """A question with the facts behind it: vitalwire worklist show 12."""
    with connect(database) as conn:
        found = patient_acts.question(conn, item)
        behind = evidence_words.facts_behind(conn, found.facts)
    if json:
        as_json(found._asdict() | {"facts": [fact._asdict() for fact in behind]})
        return
    console.print(cell(f"{found.subject} since {cell(found.since)}: {words(found.as_item, language)}"), markup=False)
    for fact in behind:
        console.print(cell(f"  {cell(fact.at)}  {fact.words}"), markup=False)
    if found.resolved_by:
        console.print(cell(f"resolved by the act {found.resolved_by[:12]}"), markup=False)


@app.command("resolve")
def worklist_resolve(
    item: Number,
    why: Annotated[str, typer.Option(help="what was found and done, kept with the act in the log")],
    adt_is_right: Annotated[
        bool, typer.Option("--adt-is-right", help="the number on the monitor says nothing until it changes")
    ] = False,
    database: Database = "",
) -> None:
    """Say that a question is dealt with: vitalwire worklist resolve 12 --why 'asked the ward: still in bed 7'.

    Of a monitor that still shows the last patient's number: vitalwire worklist resolve 12 --adt-is-right --why
    'not discharged on the monitor'. Whose values are: `vitalwire devices associate`.
    """
    with connect(database) as conn:
        found = patient_acts.resolve(conn, item, adt_is_right=adt_is_right, author=this_user(why))
    console.print(cell(f"item {item} ({found.kind} of {found.subject}) is resolved"), markup=False)
