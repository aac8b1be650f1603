"""`vitalwire worklist`: what only a person can decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from clinical.question_words import question_words
from emr_store import patient_acts
from emr_store.acts import this_user
from emr_store.patient_acts import Question
from gateway.command_reading import QUESTION, QUESTIONS, QuestionsShown, questions_shown
from runtime.errors import UserError
from vitalwire.gateway_client import RefusedError, gateway_or_database
from vitalwire.output import as_json, cell, console, listed
from vitalwire.record import Database, Json, connect
from vitalwire.whose import BelievedAt, instant

app = typer.Typer(help="What only a person can decide.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="its number in `vitalwire worklist list`")]
REFUSED = {
    "not_open": "it is not asked any more: it ceased, or somebody was faster",
    "no_monitor": "--adt-is-right is of a monitor that names another patient than the bed",
}
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
    gateway = gateway_or_database(database)
    if gateway is not None:
        asked = {"believed_at": then, "language": language, "all": "true" if whole else ""}
        shown = gateway.get(QUESTIONS, QuestionsShown, asked)
    else:
        with connect(database) as conn:
            found = patient_acts.questions(conn, then, whole=whole)
            shown = questions_shown(conn, found, language, with_facts=False)
    listed(json, "Worklist", ("item", "since", "until", "about", "question", ""), shown.questions, lambda q: (
        q.item, q.since, q.until, shown.about[q.subject], sentence(q, shown.names, language),
        "resolved" if q.resolved_by else "",
    ), "nothing is asked")  # fmt: skip


def sentence(question: Question, names: Mapping[str, str], language: str) -> str:
    """What is asked, in "en" or "zh"."""
    words = question_words(question.as_item, names)
    return words.zh if language == "zh" else words.en


@app.command("show")
def worklist_show(item: Number, language: Language = "en", database: Database = "", json: Json = False) -> None:
    """A question with the facts behind it: vitalwire worklist show 12."""
    gateway = gateway_or_database(database)
    if gateway is not None:
        shown = gateway.get(QUESTION, QuestionsShown, {"item": item, "language": language})
    else:
        with connect(database) as conn:
            shown = questions_shown(conn, [patient_acts.question_or_ceased(conn, item)], language, with_facts=True)
    (found,) = shown.questions
    behind, names, about = shown.behind, shown.names, shown.about[found.subject]
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
    gateway = gateway_or_database(database)
    if gateway is not None:
        shown = gateway.get(QUESTION, QuestionsShown, {"item": item})
        try:
            gateway.post(f"/worklist/{item}/resolve", {"why": why, "adt_is_right": adt_is_right})
        except RefusedError as refused:
            raise UserError(REFUSED.get(refused.word, str(refused))) from None
    else:
        with connect(database) as conn:
            resolved = patient_acts.resolve(conn, item, adt_is_right=adt_is_right, author=this_user(why))
            shown = questions_shown(conn, [resolved], "en", with_facts=False)
    (found,) = shown.questions
    about = shown.about[found.subject]
    console.print(cell(f"item {item} is resolved: {about}: {sentence(found, shown.names, 'en')}"), markup=False)
