"""`vitalwire people client`: programs that ask the API, by a key of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emr_store import machine_clients
from emr_store.acts import this_user
from gateway.people.json_web_tokens import pinned_key
from gateway.people.scopes import read_scopes
from runtime import keys
from runtime.errors import UserError
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, Why, connect

app = typer.Typer(help="Programs that ask /fhir and /emr: docs/machines.md.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="what the program calls itself: iss and sub of what it signs")]


@app.command("add")
def add(
    name: Name,
    key: Annotated[Path, typer.Option(help="its public key, PEM: P-256, P-384 or RSA from 2048 bits")],
    scope: Annotated[str, typer.Option(help="what it may read, e.g. 'system/Observation.rs system/Patient.rs'")],
    why: Why,
    ward: Annotated[list[str] | None, typer.Option(help="only stays of this ward; may be repeated")] = None,
    database: Database = "",
) -> None:
    """Let a program ask: vitalwire people client add emr --key emr.pub --scope 'system/Observation.rs' --why 'EMR'."""
    public = keys.read_public(key)
    try:
        pinned_key(public)
        scopes = [each.text for each in read_scopes(scope)]
    except ValueError as error:
        raise UserError(str(error)) from None
    with connect(database) as conn:
        machine_clients.register(conn, name, public, scopes, ward or (), this_user(why))
    console.print(cell(f"{name} may ask; its key is {keys.fingerprint(public)}"), markup=False)


@app.command("list")
def list_clients(database: Database = "", json: Json = False) -> None:
    """Show all programs, revoked ones too: vitalwire people client list."""
    with connect(database) as conn:
        found = machine_clients.listed(conn)
    if json:
        as_json([
            {"client": each.client, "key": keys.fingerprint(each.public_key), "scopes": each.scopes,
             "wards": each.wards, "registered_at": each.registered_at, "revoked_at": each.revoked_at} for each in found
        ])  # fmt: skip
        return
    for each in found:
        state = f"revoked {cell(each.revoked_at)}" if each.revoked_at else "may ask"
        wards = ", ".join(each.wards) or "all wards"
        line = f"{each.client}: {state}, {' '.join(each.scopes)}, {wards}, key {keys.fingerprint(each.public_key)}"
        console.print(cell(line), markup=False)


@app.command("revoke")
def revoke(name: Name, why: Why, database: Database = "") -> None:
    """Let it ask no more; its tokens end within seconds: vitalwire people client revoke emr --why 'replaced'."""
    with connect(database) as conn:
        machine_clients.revoke(conn, name, this_user(why))
    console.print(cell(f"{name} asks no longer"), markup=False)
