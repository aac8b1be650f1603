"""`vitalwire chart`: what an encounter's chart says, and what people say of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from clinical.chart import Entry, Gap, Status, Version
from clinical.chart_items import item_of
from clinical.chart_policy import Policies, read_policies
from clinical.chart_totals import total
from clinical.chart_versions import Proposal
from emr_store import chart_policies
from emr_store.instants import moment, us_of
from emr_store.patients import find_encounter
from gateway.command_reading import CHART, GAPS, ChartShown, GapsShown, read_chart, read_gaps
from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire import chart_acts
from vitalwire.chart_words import UNSIGNED, item_name, plain, shown
from vitalwire.gateway_client import gateway_or_database
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Database, Json, connect, since_moment
from vitalwire.whose import instant_or_now

app = typer.Typer(help="The chart: what it says of an encounter, and what people say of it.", no_args_is_help=True)
app.command("enter")(chart_acts.chart_enter)
app.command("take")(chart_acts.chart_take)
app.command("confirm")(chart_acts.chart_confirm)
app.command("correct")(chart_acts.chart_correct)
app.command("accept")(chart_acts.chart_accept)
app.command("withdraw")(chart_acts.chart_withdraw)
Encounter = chart_acts.Encounter
Since = Annotated[str, typer.Option(help="an instant (2026-11-24T10:00Z) or a span back from now (24h)")]
Until = Annotated[str, typer.Option(help="an instant; else now")]


@app.command("show")
def chart_show(
    encounter: Encounter,
    since: Since = "24h",
    until: Until = "now",
    versions: Annotated[bool, typer.Option("--versions", help="also what was said before")] = False,
    database: Database = "",
    json: Json = False,
) -> None:
    """What the chart says: vitalwire chart show V4711 --since 8h.

    What nobody confirmed is preliminary; what was entered in error stays readable.
    """
    from_at, until_at = since_moment(since), instant_or_now(until)
    found = _read(encounter, from_at, until_at, database)
    if json:
        as_json([plain(entry, found.proposals.get(entry.entry)) for entry in found.entries])
        return
    rows = [
        row for entry in found.entries
        for row in _rows(entry, found.proposals.get(entry.entry), whole=versions)
    ]  # fmt: skip
    table(
        f"Chart of {found.encounter}",
        ("at", "item", "value", "unit", "status", "by", "entry", ""),
        rows,
        "nothing is charted",
    )


@app.command("totals")
def chart_totals(
    encounter: Encounter,
    item: Annotated[str, typer.Argument(help="intake, output, urine, drain or vomit")],
    until: Until = "now",
    database: Database = "",
    json: Json = False,
) -> None:
    """The volumes of 24 hours: vitalwire chart totals V4711 urine.

    A total only where no stretch of an hour is left out; else what is there, and from when to when.
    """
    until_at = instant_or_now(until)
    since_at = until_at - timedelta(hours=24)
    if not item_of(item).is_volume:
        raise VitalwireError(f"{item} is no volume: totals are of intake, output, urine, drain and vomit")
    entries = _read(encounter, since_at, until_at, database).entries
    found = total(entries, item, us_of(since_at), us_of(until_at))
    if json:
        as_json(None if found is None else {
            "volume_ml": found.volume_ml, "complete": found.is_complete,
            "from": moment(found.from_us), "until": moment(found.until_us),
        })  # fmt: skip
        return
    if found is None:
        console.print(f"no {item} was written in these 24 hours")
        return
    span = f"from {cell(moment(found.from_us))} to {cell(moment(found.until_us))}"
    kept = f"{found.volume_ml:g} mL in 24 hours" if found.is_complete else f"incomplete: {found.volume_ml:g} mL"
    console.print(cell(f"{item_of(item).en}: {kept}, {span}"), markup=False)


@app.command("gaps")
def chart_gaps_of(
    encounter: Encounter,
    item: Annotated[list[str] | None, typer.Option(help="a metric's reference id; else all")] = None,
    since: Since = "4h",
    until: Until = "now",
    database: Database = "",
    json: Json = False,
) -> None:
    """Why slots are empty: vitalwire chart gaps V4711 --item MDC_PULS_OXIM_SAT_O2 --since 2h."""
    from_at, until_at = since_moment(since), instant_or_now(until)
    gateway = gateway_or_database(database)
    if gateway is not None:
        asked = {"encounter": encounter, "since": from_at, "until": until_at, "item": item}
        shown_gaps = gateway.get(GAPS, GapsShown, asked)
    else:
        with connect(database) as conn:
            key = find_encounter(conn, encounter)
            shown_gaps = read_gaps(conn, _policies(conn), key, from_at, until_at, item or ())
    found = shown_gaps.slots
    if json:
        as_json([
            {"item": slot.item, "at": moment(slot.at_us), "gaps": [_plain_gap(gap) for gap in slot.gaps]}
            for slot in found
        ])  # fmt: skip
        return
    rows = [
        (moment(slot.at_us), item_name(slot.item), gap.reason.value, (gap.device or "")[:8],
         ", ".join(f"{kind} {reference[:40]}" for kind, reference in gap.evidence))
        for slot in found for gap in slot.gaps
    ]  # fmt: skip
    table(
        f"Empty slots of {shown_gaps.encounter}", ("at", "item", "why", "device", "evidence"), rows, "no slot is empty"
    )


@app.command("check")
def chart_check(file: Annotated[Path, typer.Argument(help="a chart.toml", show_default=False)]) -> None:
    """Whether a file of policies can be used: vitalwire chart check chart.toml. A slip is said with its line."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from None
    try:
        found = read_policies(text)
    except VitalwireError as error:
        raise UserError(f"{file}: {error}") from None
    console.print(f"{len(list(found))} policies, days of {found.zone.key}")


def _read(encounter: str, since: datetime, until: datetime, database: str) -> ChartShown:
    gateway = gateway_or_database(database)
    if gateway is not None:
        return gateway.get(CHART, ChartShown, {"encounter": encounter, "since": since, "until": until})
    with connect(database) as conn:
        return read_chart(conn, find_encounter(conn, encounter), since, until)


def _policies(conn: psycopg.Connection) -> Policies:
    """By which the processors chart. Raises VitalwireError where they chart nothing."""
    text = chart_policies.noted_policies(conn)
    if not text:
        raise VitalwireError("nothing is charted here: name a file in [chart] policies of processors.toml")
    return read_policies(text)


def _rows(entry: Entry, proposal: Proposal | None, *, whole: bool) -> list[tuple[Any, ...]]:
    listed = entry.versions if whole else entry.versions[-1:]
    return [
        (moment(entry.key.at_us), item_name(entry.key.item), shown(version), version.unit, _status(version),
         version.origin.value, entry.entry[:13], _remark(version, proposal if version is entry.now else None))
        for version in listed
    ]  # fmt: skip


def _status(version: Version) -> str:
    if version.confirmed:
        return f"{version.status}, {UNSIGNED}"
    return f"{version.status}, by time" if version.by_time else version.status.value


def _remark(version: Version, proposal: Proposal | None) -> str:
    remark = version.reason if version.status in (Status.AMENDED, Status.ENTERED_IN_ERROR) else ""
    if proposal is None:
        return remark
    value = "none" if proposal.chosen is None else f"{proposal.chosen.value:g}"
    return f"{remark}; proposed: {value}".removeprefix("; ")


def _plain_gap(gap: Gap) -> dict[str, Any]:
    return {
        "reason": gap.reason.value,
        "from": moment(gap.from_us),
        "until": moment(gap.until_us),
        "device": gap.device,
        "evidence": [{"kind": kind, "reference": reference} for kind, reference in gap.evidence],
    }
