"""`vitalwire registry edge`: which edges are believed, and their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from emr_store import registry
from emr_store.acts import this_user
from runtime.keys import fingerprint, read_public
from stream_processors.validation import KEY_GRACE_US
from vitalwire.on_demand import on_demand
from vitalwire.output import cell, console, listed
from vitalwire.record import Database, Json, Why, connect

IN_OTHER_MODULES = {
    "invite": "vitalwire.edge_invitations:invite",
    "pending": "vitalwire.edge_invitations:pending",
    "agree": "vitalwire.edge_invitations:agree",
    "refuse": "vitalwire.edge_invitations:refuse",
    "revoke": "vitalwire.edge_revoke:revoke",
}
app = typer.Typer(cls=on_demand(IN_OTHER_MODULES), help="Which edges are believed.", no_args_is_help=True)
registry_app = typer.Typer(help="Who is believed.", no_args_is_help=True)
registry_app.add_typer(app, name="edge")
EdgeArgument = Annotated[UUID, typer.Argument(help="the id that `vitalwire edge keygen` printed")]
ValidDays = Annotated[int | None, typer.Option(min=1, max=36_500, help="no end when left out")]
OVERLAP_DAYS = 30
DAY_US = 24 * 3600 * 1_000_000


@app.command("add")
def edge_add(
    edge: EdgeArgument,
    public_key: Annotated[Path, typer.Argument(help="the .pub file beside the key")],
    label: Annotated[str, typer.Option(help="for people, e.g. 'ICU box 2'")],
    valid_days: ValidDays = None,
    why: Why = "",
    database: Database = "",
) -> None:
    """Register an edge's key, and compare the fingerprint that is printed with what the box shows."""
    public = read_public(public_key)
    with connect(database) as conn:
        registry.add_edge(conn, edge, label, public, _until(valid_days), author=this_user(why))
    console.print(cell(f"registered {label}: {fingerprint(public)}"), markup=False)


@app.command("renew")
def edge_renew(
    edge: EdgeArgument,
    public_key: Annotated[Path, typer.Option(help="the .pub file of its new key")],
    overlap: Annotated[
        int, typer.Option(min=0, max=366, help="days that the older keys are still valid")
    ] = OVERLAP_DAYS,
    valid_days: ValidDays = None,
    why: Why = "",
    database: Database = "",
) -> None:
    """Give an edge a new key without a gap: both are valid until the overlap ends.

    vitalwire registry edge renew 0b7c2f3e-... --public-key edge-2027.pub --overlap 14

    Then name the new key in the edge's file and start it again, before the overlap is over. Where the old key has
    expired already, start the edge with the new one first: what it sealed until the renewal is accepted.
    """
    public = read_public(public_key)
    with connect(database) as conn:
        renewal = registry.renew_edge(
            conn, edge, public, timedelta(days=overlap), _until(valid_days), author=this_user(why)
        )
    text = f"registered {fingerprint(public)}; older keys that are valid end {cell(renewal.older_valid_until)}"
    if renewal.expired_key is not None:
        text += (
            f"; {_key_words(renewal.expired_key)} had expired: what it sealed until now is accepted for"
            f" {KEY_GRACE_US // DAY_US} days, what it seals from now on is not"
        )
    console.print(cell(text), markup=False)


def _key_words(key_id: bytes) -> str:
    """As its fingerprint begins."""
    return f"{key_id.hex()[:4]} {key_id.hex()[4:8]}"


def _until(valid_days: int | None) -> datetime | None:
    return None if valid_days is None else datetime.now(UTC) + timedelta(days=valid_days)


@app.command("list")
def edge_list(database: Database = "", json: Json = False) -> None:
    """Every edge, a row a key; `key` begins as its fingerprint does."""
    with connect(database) as conn:
        found = registry.edges(conn)
    listed(json, "Edges", ("label", "edge", "key", "valid"), found, lambda e: (
        e.label, e.edge, _key_words(e.key_id),
        f"revoked {e.revoked_at:%Y-%m-%d}" if e.revoked_at else
        "without end" if e.valid_until == "infinity" else f"until {e.valid_until[:10]}",
    ))  # fmt: skip
