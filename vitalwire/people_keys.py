"""`vitalwire people key` and `vitalwire people display`: a first key, and the screens of wards, by the server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from emr_store import security_keys, station_displays, viewers
from emr_store.acts import this_user
from gateway.people.key_ring import code_hash, new_code
from gateway.people.security_keys import KeySite
from runtime.errors import UserError
from vitalwire.output import cell, console, listed
from vitalwire.record import Database, Json, Why, connect

LABEL_CHARS_MAX = 60
keys = typer.Typer(help="Security keys: docs/security-keys.md.", no_args_is_help=True)
displays = typer.Typer(help="Screens of wards: one ward, no acts, until revoked.", no_args_is_help=True)
Origin = Annotated[str, typer.Option(help="under which browsers find the pages")]
_LOCAL = "http://localhost:8420"


@keys.command("open")
def key_open(
    staff: Annotated[str, typer.Argument(help="the number (工号) of who has no key yet")],
    origin: Origin = _LOCAL,
    why: Why = "",
    database: Database = "",
) -> None:
    """Print a link by which somebody enrols a first key within 15 minutes: vitalwire people key open 10023.

    Whoever has a key and lost it needs two administrators, on the page of people.
    """
    code, author = new_code(), this_user(why)
    _check(origin)
    with connect(database) as conn:
        facts = viewers.staff_facts(conn, staff, datetime.now(UTC))
        if facts is None or not facts.works:
            raise UserError(f"nobody with the number {staff!r} works here: see `vitalwire people list`")
        if any(key.revoked_at is None for key in security_keys.keys_of(conn, staff)):
            raise UserError(
                f"{staff} has a security key: a lost one is replaced by two administrators on the page {origin}/people"
            )
        row = security_keys.open_enrolment(conn, staff, author.by, author, code_hash(code))
    console.print(cell(f"{facts.name} opens this once, until {row.open_until:%H:%M}:"), markup=False)
    console.print(f"{origin}/sign-in/enrol/{code}", markup=False, soft_wrap=True)


@displays.command("add")
def display_add(
    ward: Annotated[str, typer.Option(help="as the site writes it: ICU, or ICU^FACILITY")],
    label: Annotated[str, typer.Option(help="what people call the screen, e.g. 'ICU corridor'")],
    origin: Origin = _LOCAL,
    why: Why = "",
    database: Database = "",
) -> None:
    """Print the link that makes a browser a screen: vitalwire people display add --ward ICU --label wall."""
    code = new_code()
    _check(origin)
    if not label.strip() or len(label) > LABEL_CHARS_MAX:
        raise UserError(f"--label: 1 to {LABEL_CHARS_MAX} characters")
    with connect(database) as conn:
        key = ward_key(ward, station_displays.wards(conn))
        row = station_displays.add(conn, key, label.strip(), this_user(why), code_hash(code))
    console.print(cell(f"open this once, on the screen, until {row.open_until:%H:%M}:"), markup=False)
    console.print(f"{origin}/sign-in/display/{code}", markup=False, soft_wrap=True)


@displays.command("list")
def display_list(database: Database = "", json: Json = False) -> None:
    """Every screen, revoked ones too."""
    with connect(database) as conn:
        found = station_displays.displays(conn)
    listed(json, "Screens", ("display", "ward", "label", "enrolled", "revoked"), found, lambda row: (
        row.display, row.ward, row.label, row.enrolled_at, row.revoked_at
    ), "none")  # fmt: skip


@displays.command("revoke")
def display_revoke(
    display: Annotated[UUID, typer.Argument(help="its id in `vitalwire people display list`")],
    why: Why = "",
    database: Database = "",
) -> None:
    """It shows nothing any more: vitalwire people display revoke ID --why 'sold'."""
    with connect(database) as conn:
        if not station_displays.revoke(conn, display, this_user(why)):
            raise UserError(f"there is no screen {display} that is not revoked: see `vitalwire people display list`")
    console.print(f"{display} shows nothing any more", markup=False)


def ward_key(text: str, known: list[str]) -> str:
    """facility^ward of a ward as the site writes it; raises UserError with those that there are."""
    ward, _, facility = text.partition("^")
    found = [key for key in known if key.partition("^")[2].lower() == ward.lower()
             and facility.lower() in ("", key.partition("^")[0].lower())]  # fmt: skip
    if len(found) == 1:
        return found[0]
    there = ", ".join("^".join(reversed(key.split("^"))) for key in found or known) or "none: no bed is configured yet"
    raise UserError(f"--ward {text!r} is {'more than one ward' if found else 'no ward'}; there are: {there}")


def _check(origin: str) -> None:
    try:
        KeySite(origin)
    except ValueError as error:
        raise UserError(f"--origin: {error}") from None
