"""`vitalwire registry edge invite | pending | agree | refuse`: boxes that ask to be let in."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from emr_store import invitations
from emr_store.acts import this_user
from emr_store.invitation_codes import code_hash, new_code
from emr_store.invitations import CODE_LASTS, InvitationRow
from runtime.keys import fingerprint
from schemas.errors import VitalwireError
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Database, Json, Why, connect

COMPARED_CHARS_MIN = 16  # four groups: nobody makes a second key that begins so
Invitation = Annotated[UUID, typer.Argument(help="its id in `vitalwire registry edge pending`")]


def invite(
    label: Annotated[str, typer.Option(help="for people, e.g. 'ICU box 2'")],
    why: Why = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Give out a code by which one box may ask, within an hour: vitalwire registry edge invite --label 'ICU box 2'

    It is shown here once. At the box: vitalwire edge enrol --gateway https://... --code CODE
    """
    code = new_code()
    hashed = code_hash(code)
    assert hashed is not None
    with connect(database) as conn:
        row = invitations.invite(conn, label, hashed, this_user(why))
    if json:
        as_json({"invitation": row.invitation, "label": row.label, "code": code, "open_until": row.open_until})
        return
    console.print(f"code  {code}\n", markup=False)
    minutes = round(CODE_LASTS.total_seconds() / 60)
    console.print(cell(f"for {row.label}, once, within {minutes} minutes (until {cell(row.open_until)}). At the box:"),
                  markup=False)  # fmt: skip
    console.print(f"vitalwire edge enrol --gateway https://... --code {code}", markup=False)


def pending(database: Database = "", json: Json = False) -> None:
    """Boxes that wait for somebody to agree, and codes that nobody used yet: vitalwire registry edge pending"""
    with connect(database) as conn:
        found = invitations.undecided(conn)
    if json:
        as_json([{**row._asdict(), "fingerprint": _fingerprint(row)} for row in found])
        return
    columns = ("id", "label", "fingerprint", "from", "since")
    table("Boxes that wait", columns, [
        (row.invitation, row.label, _fingerprint(row) or "no box has used the code", row.address or None,
         row.asked_at or row.invited_at)
        for row in found
    ])  # fmt: skip


def agree(
    invitation: Invitation,
    compared: Annotated[
        str,
        typer.Option(
            "--fingerprint", help="as the box shows it, four groups or more",
            prompt="the fingerprint that the box shows, its first four groups or more",
        ),
    ],
    why: Why = "",
    database: Database = "",
) -> None:  # fmt: skip
    """Let a box in whose fingerprint you read from the box itself: vitalwire registry edge agree 7f3a0c1e-...

    Type what the box shows: vitalwire registry edge agree 7f3a0c1e-... --fingerprint 'a1b2 c3d4 e5f6 0718'
    """
    typed = "".join(compared.lower().split())
    if len(typed) < COMPARED_CHARS_MIN:
        raise VitalwireError("a fingerprint is compared by four groups of four digits or more, as the box shows them")
    with connect(database) as conn:
        row = next((each for each in invitations.undecided(conn) if each.invitation == invitation), None)
        if row is None or row.key_id is None:
            raise VitalwireError(
                f"no box waits under {invitation}: `vitalwire registry edge pending` lists those that do"
            )
        if not _fingerprint(row).replace(" ", "").startswith(typed):
            raise VitalwireError(
                "the box that waits has another fingerprint: do not agree; find out who used the code, and"
                f" `vitalwire registry edge refuse {invitation} --why ...`"
            )
        edge = invitations.agree(conn, invitation, row.key_id, this_user(why))
    console.print(cell(f"let in {row.label} as {edge}: {_fingerprint(row)}"), markup=False)


def refuse(
    invitation: Invitation,
    why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    database: Database = "",
) -> None:
    """Refuse a box, or take back a code: vitalwire registry edge refuse 7f3a0c1e-... --why 'not ours'"""
    if not why.strip():
        raise VitalwireError("say why it is refused: --why stands in the record")
    with connect(database) as conn:
        invitations.refuse(conn, invitation, this_user(why))
    console.print(f"refused {invitation}", markup=False)


def _fingerprint(row: InvitationRow) -> str:
    return "" if row.public_der is None else fingerprint(row.public_der)
