"""`vitalwire hold`: what retention must leave alone, because a court or an inquiry may ask for it."""

from __future__ import annotations

from typing import Annotated

import typer

from emr_store import holds
from emr_store.acts import this_user
from vitalwire.output import cell, console, listed
from vitalwire.record import Database, Json, Why, connect

app = typer.Typer(help="Legal holds: what retention leaves alone.", no_args_is_help=True)
Partition = Annotated[str, typer.Argument(help="its name in `vitalwire hold partitions`, e.g. report_2026_11")]


@app.command("list")
def hold_list(database: Database = "", json: Json = False) -> None:
    """What is held, since when, by whom and why."""
    with connect(database) as conn:
        found = holds.holds(conn)
    listed(json, "Holds", ("partition", "since", "by", "why"), found, lambda h: (h.partition, h.since, h.by, h.why),
           "none")  # fmt: skip


@app.command("partitions")
def hold_partitions(database: Database = "", json: Json = False) -> None:
    """What can be held: a month or chunk of rows, or a range of batches with their signed bytes."""
    with connect(database) as conn:
        found = holds.partitions(conn)
    listed(json, "Partitions", ("partition", "what it spans", ""), found, lambda p: (
        p.partition, p.bounds, "held" if p.held else ""
    ))  # fmt: skip


@app.command("add")
def hold_add(partition: Partition, why: Why = "", database: Database = "") -> None:
    """Keep a partition, whatever its age: vitalwire hold add report_2026_11 --why 'case 2026-117'."""
    with connect(database) as conn:
        holds.add(conn, partition, this_user(why))
    console.print(cell(f"{partition} is kept until `vitalwire hold release`"), markup=False)


@app.command("release")
def hold_release(partition: Partition, why: Why = "", database: Database = "") -> None:
    """Let retention have a partition again: vitalwire hold release report_2026_11 --why 'case closed'."""
    with connect(database) as conn:
        holds.release(conn, partition, this_user(why))
    console.print(cell(f"{partition} is no longer held"), markup=False)
