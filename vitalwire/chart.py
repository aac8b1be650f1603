"""`vitalwire chart`: what an encounter's chart says, and what people say of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from clinical.chart import Entry, Gap, Status, Version
from clinical.chart_items import Item, ItemForm, item_of
from clinical.chart_policy import Policies, read_policies
from clinical.chart_totals import total
from clinical.chart_versions import Proposal
from emr_store import chart_acts, chart_entries, chart_gaps, chart_policies, chart_proposals
from emr_store.acts import this_user
from emr_store.chart_acts import Person
from emr_store.chart_entries import Kept
from emr_store.instants import moment, us_of
from emr_store.patients import find_encounter
from runtime.errors import UserError
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Database, Json, connect, since_moment
from vitalwire.whose import instant_or_now

app = typer.Typer(help="The chart: what it says of an encounter, and what people say of it.", no_args_is_help=True)
Encounter = Annotated[str, typer.Argument(help="a visit's number, or its key in `patients list --json`")]
EntryId = Annotated[str, typer.Argument(metavar="ENTRY", help="its id in `chart show`, or the beginning of it")]
By = Annotated[str, typer.Option(help="who says so, until people can sign in")]
Since = Annotated[str, typer.Option(help="an instant (2026-11-24T10:00Z) or a span back from now (24h)")]
Until = Annotated[str, typer.Option(help="an instant; else now")]
Value = Annotated[str, typer.Argument(help="a number, a choice or words, as the item is written")]
UNSIGNED = "unsigned"


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
    with connect(database) as conn:
        key = find_encounter(conn, encounter)
        entries = chart_entries.flowsheet(conn, key, from_at, until_at + timedelta(microseconds=1))
        proposals = chart_proposals.proposals_of(conn, [entry.entry for entry in entries])
    if json:
        as_json([plain(entry, proposals.get(entry.entry)) for entry in entries])
        return
    rows = [
        row for entry in entries
        for row in _rows(entry, proposals.get(entry.entry), whole=versions)
    ]  # fmt: skip
    table(f"Chart of {key}", ("at", "item", "value", "unit", "status", "by", "entry", ""), rows, "nothing is charted")


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
    with connect(database) as conn:
        key = find_encounter(conn, encounter)
        entries = chart_entries.flowsheet(conn, key, since_at, until_at + timedelta(microseconds=1))
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
    with connect(database) as conn:
        key = find_encounter(conn, encounter)
        now_us = us_of(datetime.now(UTC))
        found = chart_gaps.gaps(conn, _policies(conn), key, from_at, until_at, now_us, item or ())
    if json:
        as_json([
            {"item": slot.item, "at": moment(slot.at_us), "gaps": [_plain_gap(gap) for gap in slot.gaps]}
            for slot in found
        ])  # fmt: skip
        return
    rows = [
        (moment(slot.at_us), _name(slot.item), gap.reason.value, (gap.device or "")[:8],
         ", ".join(f"{kind} {reference[:40]}" for kind, reference in gap.evidence))
        for slot in found for gap in slot.gaps
    ]  # fmt: skip
    table(f"Empty slots of {key}", ("at", "item", "why", "device", "evidence"), rows, "no slot is empty")


@app.command("enter")
def chart_enter(
    encounter: Encounter,
    item: Annotated[str, typer.Argument(help="what it is: pain, urine, acvpu, ..., or a metric's reference id")],
    value: Value,
    by: By,
    at: Annotated[str, typer.Option(help="when it was measured: 2026-11-24T10:00Z, or now")] = "now",
    why: Annotated[str, typer.Option(help="a remark, kept with the act")] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Write a value by hand: vitalwire chart enter V4711 urine 120 --at 2026-11-24T10:00Z --by Li."""
    number, text = _value(item_of(item), value)
    with connect(database) as conn:
        kept = chart_acts.enter(conn, encounter, item, number, text, instant_or_now(at), _person(by, why))
    _print(kept, json=json)


@app.command("take")
def chart_take(
    encounter: Encounter,
    metric: Annotated[str, typer.Argument(help="a metric's reference id")],
    by: By,
    at: Annotated[str, typer.Option(help="as it was measured by then; else now")] = "now",
    why: Annotated[str, typer.Option(help="a remark, kept with the act")] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Chart what a device measures now: vitalwire chart take V4711 MDC_TEMP --by Li.

    Which value counts is as the policy of the ward says.
    """
    with connect(database) as conn:
        kept = chart_acts.take(conn, _policies(conn), encounter, metric, instant_or_now(at), _person(by, why))
    _print(kept, json=json)


@app.command("confirm")
def chart_confirm(
    entry: EntryId, by: By, why: Annotated[str, typer.Option(help="a remark, kept with the act")] = "",
    database: Database = "", json: Json = False,
) -> None:  # fmt: skip
    """Stand behind what an entry says: vitalwire chart confirm 0198c2f1-77aa --by Li."""
    with connect(database) as conn:
        kept = chart_acts.confirm(conn, entry, _person(by, why))
    _print(kept, json=json)


@app.command("correct")
def chart_correct(
    entry: EntryId, value: Value, by: By, why: Annotated[str, typer.Option(help="why, kept with the entry")],
    database: Database = "", json: Json = False,
) -> None:  # fmt: skip
    """Say that it was otherwise: vitalwire chart correct 0198c2f1-77aa 118 --by Li --why 'by hand, cuff too small'."""
    with connect(database) as conn:
        item = chart_entries.find_entry(conn, entry).entry.key.item
        number, text = _value(item_of(item), value)
        kept = chart_acts.correct(conn, entry, number, text, _person(by, why))
    _print(kept, json=json)


@app.command("accept")
def chart_accept(
    entry: EntryId, by: By, why: Annotated[str, typer.Option(help="a remark, kept with the entry")] = "",
    database: Database = "", json: Json = False,
) -> None:  # fmt: skip
    """Take the device's value that is proposed: vitalwire chart accept 0198c2f1-77aa --by Li.

    It is a correction whose value and sources are the proposal's.
    """
    with connect(database) as conn:
        kept = chart_acts.accept(conn, entry, _person(by, why))
    _print(kept, json=json)


@app.command("withdraw")
def chart_withdraw(
    entry: EntryId, by: By, why: Annotated[str, typer.Option(help="why, kept with the entry")],
    database: Database = "", json: Json = False,
) -> None:  # fmt: skip
    """Say that it should not stand there: vitalwire chart withdraw 0198c2f1-77aa --by Li --why 'of the next bed'.

    It stays readable, as entered in error.
    """
    with connect(database) as conn:
        kept = chart_acts.withdraw(conn, entry, _person(by, why))
    _print(kept, json=json)


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


def _policies(conn: psycopg.Connection) -> Policies:
    """By which the processors chart. Raises VitalwireError where they chart nothing."""
    text = chart_policies.noted_policies(conn)
    if not text:
        raise VitalwireError("nothing is charted here: name a file in [chart] policies of processors.toml")
    return read_policies(text)


def _person(by: str, why: str) -> Person:
    if not by.strip():
        raise VitalwireError("say who: --by NAME")
    return Person(this_user(why), by.strip())


def _value(item: Item, text: str) -> tuple[float | None, str]:
    """As the item is written: a number, or words. Raises VitalwireError."""
    if item.form is not ItemForm.NUMBER:
        return None, text
    try:
        return float(text), ""
    except ValueError:
        raise VitalwireError(f"{item.en}: {text!r} is no number") from None


def _print(kept: Kept, *, json: bool) -> None:
    entry = kept.entry
    if json:
        as_json(plain(entry, None))
        return
    said = entry.now
    signed = f", {UNSIGNED}" if said.act_id is not None else ""
    text = f"{_name(entry.key.item)} {shown(said)} {said.unit}".rstrip()
    console.print(
        cell(f"{text} at {cell(moment(entry.key.at_us))}: {said.status}{signed} ({entry.entry})"), markup=False
    )  # fmt: skip


def shown(version: Version) -> str:
    """The value with the decimals that it was sent or written with, or the text."""
    return version.text if version.value is None else f"{version.value:.{version.decimals}f}"


def _name(item: str) -> str:
    metric = METRIC_BY_REFERENCE_ID.get(item)
    return metric.short if metric else item


def _rows(entry: Entry, proposal: Proposal | None, *, whole: bool) -> list[tuple[Any, ...]]:
    listed = entry.versions if whole else entry.versions[-1:]
    return [
        (moment(entry.key.at_us), _name(entry.key.item), shown(version), version.unit, _status(version),
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


def plain(entry: Entry, proposal: Proposal | None) -> dict[str, Any]:
    """For scripts: an entry with all that it said."""
    chosen = proposal.chosen if proposal else None
    return {
        "entry": entry.entry,
        "encounter": entry.key.encounter,
        "item": entry.key.item,
        "at": moment(entry.key.at_us),
        "versions": [_plain_version(version) for version in entry.versions],
        "proposed": None if proposal is None else {"value": chosen.value if chosen else None},
    }


def _plain_version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "status": version.status.value,
        "origin": version.origin.value,
        "value": version.value,
        "text": version.text,
        "unit": version.unit,
        "decimals": version.decimals,
        "observed_at": moment(version.observed_at_us),
        "sources": [source._asdict() for source in version.sources],
        "reason": version.reason,
        "act": version.act_id,
        "signed": False,
        "by_time": version.by_time,
        "recorded_at": moment(version.recorded_at_us),
    }


def _plain_gap(gap: Gap) -> dict[str, Any]:
    return {
        "reason": gap.reason.value,
        "from": moment(gap.from_us),
        "until": moment(gap.until_us),
        "device": gap.device,
        "evidence": [{"kind": kind, "reference": reference} for kind, reference in gap.evidence],
    }
