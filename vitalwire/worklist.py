"""`vitalwire worklist`: what only a person can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import psycopg
import typer

from clinical.person_names import masked_name
from clinical.question_words import question_words, subject_words
from emr_store import evidence_words, patient_acts, registry
from emr_store.acts import this_user
from emr_store.bed_names import bed_names
from emr_store.patient_acts import Question
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
        names = bed_names(conn)
        about = subjects(conn, [question.subject for question in found], names, language)
    listed(json, "Worklist", ("item", "since", "until", "about", "question", ""), found, lambda q: (
        q.item, q.since, q.until, about[q.subject], sentence(q, names, language), "resolved" if q.resolved_by else ""
    ), "nothing is asked")  # fmt: skip


def sentence(question: Question, names: Mapping[str, str], language: str) -> str:
    """What is asked, in "en" or "zh"."""
    words = question_words(question.as_item, names)
    return words.zh if language == "zh" else words.en


def subjects(conn: psycopg.Connection, keys: Sequence[str], names: Mapping[str, str], language: str) -> dict[str, str]:
    """What each is called: a device with its bed, a visit or a patient with the name in part, a bed."""
    devices = {str(device.uuid): device for device in registry.devices(conn) if not device.foreign_edge}
    people = patient_acts.about(conn, keys)
    called = {}
    for key in keys:
        words = subject_words(key, names)
        called[key] = words.zh if language == "zh" else words.en
        if key in devices:
            device = devices[key]
            called[key] = " ".join(part for part in (device.bed, device.name or device.claim, key[:8]) if part)
        elif key in people:
            person = people[key]
            name = masked_name(family=person.family, given=person.given, name=person.name)
            called[key] = " ".join(part for part in (called[key], name) if part)
    return called


@app.command("show")
def worklist_show(item: Number, language: Language = "en", database: Database = "", json: Json = False) -> None:
    """A question with the facts behind it: vitalwire worklist show 12."""
    with connect(database) as conn:
        found = patient_acts.question_or_ceased(conn, item)
        names = bed_names(conn)
        behind = evidence_words.facts_behind(conn, found.facts, names)
        about = subjects(conn, [found.subject], names, language)[found.subject]
    if json:
        as_json(found._asdict() | {"facts": [fact._asdict() for fact in behind]})
        return
    since = f"{about}，自 {cell(found.since)}：" if language == "zh" else f"{about} since {cell(found.since)}: "
    console.print(cell(f"{since}{sentence(found, names, language)}"), markup=False)
    for fact in behind:
        words = fact.words_zh if language == "zh" else fact.words
        console.print(cell(f"  {cell(fact.at)}  {words}"), markup=False)
    if found.until is not None:
        ceased = "已自行消失：" if language == "zh" else "ceased "
        console.print(cell(f"{ceased}{cell(found.until)}"), markup=False)
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
        names = bed_names(conn)
        about = subjects(conn, [found.subject], names, "en")[found.subject]
    console.print(cell(f"item {item} is resolved: {about}: {sentence(found, names, 'en')}"), markup=False)
