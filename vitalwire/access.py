"""`vitalwire access`: who may see and do what, as the table that is shipped says it."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.access.matrix import RELATION_WORDS, matrix, word_of
from gateway.access.table import AccessTable, shipped_table
from gateway.access.words import Answer, Role
from runtime.errors import UserError
from vitalwire.output import as_json, console, table
from vitalwire.record import Json

app = typer.Typer(help="Who may see and do what.", no_args_is_help=True)
RoleWord = Annotated[str, typer.Option(help="one alone, such as nurse or record_office", metavar="ROLE")]
_LEGEND = (
    "yes: allowed    reason: asked for one, breaks the glass    -: refused\n"
    "Columns: what ties the person to the stay; none: nothing does; no bed: values of nobody, from no bed.\n"
    "A restricted record: where 'none' says yes, a reason is asked of who may break the glass; others are refused.\n"
    "The glass may be broken only where a reason is asked. What each word means: docs/access.md"
)


@app.callback()
def access() -> None:
    """Who may see and do what."""


@app.command("show")
def access_show(role: RoleWord = "", json: Json = False) -> None:
    """What each role may do with which data, by its relation to the stay: vitalwire access show.

    One role: vitalwire access show --role nurse. For scripts, a line a cell: vitalwire access show --json.
    """
    known = shipped_table()
    roles = [_role(role)] if role else list(Role)
    if json:
        as_json(_cells(known, roles))
        return
    for each in roles:
        lines = matrix(known, each)
        table(word_of(each), ("data", "acts", *RELATION_WORDS.values()), [line.words for line in lines])
        console.print()
    console.print(_LEGEND, markup=False)
    console.print(f"A stay that left a ward is its ward's for {known.own_ward_after_h} h more.", markup=False)


def _role(word: str) -> Role:
    try:
        return Role(word.strip().lower().replace(" ", "_").replace("-", "_"))
    except ValueError:
        raise UserError(f"{word!r} is no role: it is one of {', '.join(Role)}") from None


def _cells(known: AccessTable, roles: list[Role]) -> list[dict[str, str]]:
    """All that is not denied."""
    return [
        {"role": role, "action": action, "data": data_class, "relation": relation, "answer": answer}
        for (role, action, data_class, relation), answer in known.cells.items()
        if role in roles and answer is not Answer.DENIED
    ]
