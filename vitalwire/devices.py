"""`vitalwire devices`: where devices stand, through which edges they are believed, what they call their channels."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from clinical.key_words import visit_words
from emr_store import channels, patient_acts, patients, places, registry
from emr_store.acts import this_user
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_CODE
from vitalwire import device_quality
from vitalwire.output import age, cell, console, listed
from vitalwire.record import Database, Json, Why, connect, since_moment

app = typer.Typer(help="Devices and beds.", no_args_is_help=True)
Device = Annotated[
    str, typer.Argument(help="its id, the beginning of it, its claim, its name, or a bed where it alone stands")
]
Bed = Annotated[str, typer.Option(help="label of the bed, e.g. 'ICU-07'")]
Since = Annotated[
    str, typer.Option(help="since when: an instant (2026-11-24T10:00Z) or a span (30m); else from now on")
]


@app.callback(invoke_without_command=True)
def devices(
    context: typer.Context,
    quality: Annotated[bool, typer.Option("--quality", help="what each driver carries, and what it sends")] = False,
    json: Json = False,
) -> None:
    """Devices and beds; what the drivers carry of them: vitalwire devices --quality."""
    if context.invoked_subcommand is not None:
        return
    if not quality:
        raise VitalwireError("nothing to do: give --quality, or a command of `vitalwire devices --help`")
    device_quality.show(json=json)


@app.command("list")
def devices_list(database: Database = "", json: Json = False) -> None:
    """Every device and the edge it is heard through, those that nobody has registered first."""
    with connect(database) as conn:
        found = registry.devices_that_measure(conn)
    listed(json, "Devices", ("id", "bed", "since", "name", "claims to be", "edge", "first seen"), found, lambda d: (
        str(d.uuid)[:8], d.bed or ("(no bed)" if d.registered_at else "(not registered)"), d.since, d.name, d.claim,
        f"{d.edge_label or d.edge}{' (not its own)' if d.foreign_edge else ''}", f"{age(d.first_seen_at)} ago",
    ))  # fmt: skip


@app.command("assign")
def devices_assign(
    device: Device,
    bed: Bed,
    name: Annotated[str, typer.Option(help="name of the device, e.g. '监护仪7'")] = "",
    since: Since = "",
    edge: Annotated[UUID | None, typer.Option(help="which it is connected to, where several speak of it")] = None,
    why: Why = "",
    database: Database = "",
) -> None:
    """Put a device on a bed: vitalwire devices assign 3f2a --bed 'ICU-07' --name '监护仪7'.

    What it said before `--since` stays without a bed: vitalwire devices assign 3f2a --bed 'ICU-07' --since 2h.
    """
    moment = since_moment(since) if since else None
    with connect(database) as conn:
        _print_placed(places.assign(conn, device, bed, name=name, since=moment, edge=edge, author=this_user(why)))


@app.command("move")
def devices_move(device: Device, bed: Bed, since: Since = "", why: Why = "", database: Database = "") -> None:
    """Take a device to another bed; its past stays where it was: vitalwire devices move 3f2a --bed 'ICU-08'.

    A time that lies back corrects what was believed since then: vitalwire devices move 3f2a --bed 'ICU-08' --since
    2026-11-24T10:00Z --why 'moved with the patient, told late'.
    """
    moment = since_moment(since) if since else None
    with connect(database) as conn:
        _print_placed(places.move(conn, device, bed, since=moment, author=this_user(why)))


@app.command("release")
def devices_release(device: Device, since: Since = "", why: Why = "", database: Database = "") -> None:
    """Take a device from its bed: vitalwire devices release 3f2a --why 'to the workshop'."""
    moment = since_moment(since) if since else None
    with connect(database) as conn:
        _print_placed(places.release(conn, device, since=moment, author=this_user(why)))


def _print_placed(placed: places.Placed) -> None:
    called = placed.name or placed.claim
    where = f"is {called} at {placed.bed}" if placed.bed else f"({called}) is on no bed"
    console.print(cell(f"{placed.uuid} {where} since {cell(placed.since)}"), markup=False)
    for stay in placed.replaced:
        console.print(cell(f"no longer believed: at {stay.bed} since {cell(stay.since)}"), markup=False)


@app.command("rename")
def devices_rename(
    device: Device,
    name: Annotated[str, typer.Argument(help="what people call it, e.g. '监护仪7'")],
    why: Why = "",
    database: Database = "",
) -> None:
    """Give a registered device another name: vitalwire devices rename 3f2a '监护仪7'."""
    with connect(database) as conn:
        uuid = places.rename(conn, device, name, author=this_user(why))
    console.print(cell(f"{uuid} is {name.strip()}"), markup=False)


@app.command("agree")
def devices_agree(
    device: Device,
    edge: Annotated[UUID, typer.Option(help="the edge that speaks of it too; `vitalwire devices list --json` has it")],
    since: Annotated[str, typer.Option(help="believed since then; else all that it ever said through it")] = "",
    why: Why = "",
    database: Database = "",
) -> None:
    """Believe a device through another edge than its own, for it was plugged in there.

    vitalwire devices agree 3f2a --edge 0b7c2f3e-... --since 2026-11-24T10:00Z --why 'moved to ward 4'
    """
    moment = since_moment(since) if since else None
    with connect(database) as conn:
        uuid = places.agree(conn, device, edge, since=moment, author=this_user(why))
    console.print(f"{uuid} is believed through {edge}")


@app.command("channels")
def devices_channels(
    device: Annotated[
        str, typer.Argument(help="its id, the beginning of it, or its claim; all devices if left out")
    ] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Which of a device's like values is which, in its own words: vitalwire devices channels 3f2a."""
    with connect(database) as conn:
        only = registry.find_device(conn, device) if device else None
        found = [c for c in channels.channels(conn) if only is None or c.device == only]
    columns = ("device", "channel", "metric", "label", "its words", "since")
    short = {code: metric.short for code, metric in METRIC_BY_CODE.items()}
    listed(json, "Channels", columns, found, lambda c: (
        c.bed or c.claim or c.device, str(c.channel), short.get(c.code, c.code), c.label, _words(c.words), c.since
    ))  # fmt: skip


def _words(words: dict[str, Any]) -> str:
    """A channel's words in one line."""
    path = "/".join(words.get("path", ()))
    return ", ".join(
        filter(None, [path, *(str(words.get(k, "")) for k in ("label", "body_site", "handle", "ordinals"))])
    )


@app.command("label")
def devices_label(
    device: Device,
    channel: Annotated[int, typer.Argument(min=1, help="its number in `vitalwire devices channels`")],
    label: Annotated[str, typer.Argument(help="what people call it, e.g. 'T axilla'; empty: as its sender does")],
    why: Why = "",
    database: Database = "",
) -> None:
    """Say what people call a channel: vitalwire devices label 3f2a 2790145613 'T axilla'."""
    with connect(database) as conn:
        if not registry.label_channel(conn, device, channel, label.strip(), author=this_user(why)):
            raise VitalwireError(f"{device!r} has described no channel {channel}: see `vitalwire devices channels`")
    console.print(cell(f"channel {channel} is {label.strip() or 'what its sender calls it'}"), markup=False)


@app.command("associate")
def devices_associate(
    device: Device,
    encounter: Annotated[str, typer.Argument(help="its key or visit number; or nobody")],
    why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    since: Since = "",
    until: Annotated[str, typer.Option(help="until when; else until the device or the patient changes place")] = "",
    database: Database = "",
) -> None:
    """Say whose a device's values are: vitalwire devices associate 3f2a V4711 --why 'scanned at the bed'.

    It outranks beds and numbers that were known when it is said; a later one that contradicts opens an item.
    vitalwire devices associate 3f2a nobody --since 10m --why 'being cleaned'.
    """
    moment = since_moment(since) if since else None
    end = since_moment(until) if until else None
    with connect(database) as conn:
        key = None if encounter == "nobody" else patients.find_encounter(conn, encounter)
        said = patient_acts.associate(conn, device, key, since=moment, until=end, author=this_user(why))
    ends = f" until {cell(said.until)}" if said.until else ""
    whose = f"of {visit_words(said.encounter).en}" if said.encounter else "nobody's"
    console.print(cell(f"{said.device} is {whose} since {cell(said.since)}{ends}"), markup=False)
    if said.until != said.asked_until:
        console.print(cell(
            f"cut at {cell(said.until)}, when one of the two changed place: say whose the values after that are by"
            " another associate --since"
        ), markup=False)  # fmt: skip
