"""`vitalwire whose`: whose the values of a device are at a moment, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from clinical.attribution import Basis, State, Whose
from clinical.key_words import visit_words
from emr_store.evidence_words import Behind
from emr_store.patients import Believed
from emr_store.registry import find_device
from gateway.command_reading import WHOSE, WhoseShown, read_whose
from schemas.errors import VitalwireError
from vitalwire.gateway_client import gateway_or_database
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, connect

Device = Annotated[
    str, typer.Argument(help="its id, the beginning of it, its claim, its name, or a bed where it alone stands")
]
BelievedAt = Annotated[
    str, typer.Option(help="what was believed at this instant (2026-11-24T10:00Z); else what is believed now")
]
BY = {
    Basis.SCAN: "by a scan",
    Basis.ACT: "because a person said so",
    Basis.BED_AND_PID: "by the bed, and the number on the device agrees",
    Basis.BED: "by the bed alone",
    Basis.PID: "by the number on the device alone",
    Basis.NONE: "",
}


def instant(text: str) -> datetime:
    """As ISO 8601 writes it; without an offset in the local zone. Raises VitalwireError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise VitalwireError(f"{text!r} is no instant: write it as 2026-11-24T10:00Z, or `now`") from None
    return moment if moment.tzinfo else moment.astimezone()


def instant_or_now(text: str) -> datetime:
    """Likewise; "now" is this moment."""
    return datetime.now(UTC) if text == "now" else instant(text)


def whose(
    device: Device,
    time: Annotated[str, typer.Argument(help="the moment of measurement: 2026-11-24T10:00Z, or now")],
    believed_at: BelievedAt = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Whose the values are that a device measures at a moment, with the facts behind it.

    vitalwire whose 3f2a 2026-11-24T10:00Z; what we believed on Tuesday: --believed-at 2026-11-24T18:00Z
    """
    at, then = instant_or_now(time), instant(believed_at) if believed_at else None
    gateway = gateway_or_database(database)
    if gateway is not None:
        shown = gateway.get(WHOSE, WhoseShown, {"device": device, "at": at, "believed_at": then})
    else:
        with connect(database) as conn:
            shown = read_whose(conn, find_device(conn, device), at, then)
    found, behind, person = shown.found, shown.behind, shown.person
    if json:
        as_json(_plain(found, behind))
        return
    if found is None:
        console.print("nothing is known: it stood at no bed, nobody said whose it is, and its sender named nobody")
        return
    console.print(cell(answer(found.whose, person)), markup=False)
    console.print(cell(f"values measured {_span(found.whose)}"), markup=False)
    until = f" until {cell(found.believed_until)}" if found.believed_until else ""
    console.print(cell(f"believed since {cell(found.believed_from)}{until}, because:"), markup=False)
    for fact in behind:
        heard = f" (heard {cell(fact.known_at)})" if fact.known_at and fact.known_at != fact.at else ""
        console.print(cell(f"  {cell(fact.at)}  {fact.words}{heard}"), markup=False)
    if not behind:
        console.print("  no fact says whose they are")


def answer(found: Whose, person: str = "") -> str:
    """In one sentence."""
    if found.state is State.ATTRIBUTED:
        named = f" ({person})" if person else ""
        return f"{found.patient}{named}, {visit_words(found.encounter or '').en}, {BY[found.basis]}"
    offered = f"; they may be of {visit_words(found.proposed).en}: a person decides" if found.proposed else ""
    match found.state:
        case State.CONFLICT:
            return "in conflict: the bed and the number on the device name different patients; nobody gets the values"
        case State.UNDECIDED:
            return f"undecided: what was planned or named is not clear{offered}"
        case _:
            by = ", because a person said so" if found.basis is Basis.ACT else ""
            return f"nobody's{by}{offered}"


def _span(found: Whose) -> str:
    until = f" until {_moment(found.until_us)}" if found.until_us is not None else " and until further notice"
    return f"from {_moment(found.from_us)}{until}"


def _moment(at_us: int) -> str:
    return cell(datetime.fromtimestamp(at_us / 1e6, UTC))


def _plain(found: Believed | None, behind: list[Behind]) -> dict[str, Any] | None:
    if found is None:
        return None
    row = found.whose
    return {
        "device": row.device,
        "state": row.state.value,
        "basis": row.basis.value,
        "patient": row.patient,
        "encounter": row.encounter,
        "proposed": row.proposed,
        "from": datetime.fromtimestamp(row.from_us / 1e6, UTC),
        "until": None if row.until_us is None else datetime.fromtimestamp(row.until_us / 1e6, UTC),
        "believed_from": found.believed_from,
        "believed_until": found.believed_until,
        "facts": [fact._asdict() for fact in behind],
    }
