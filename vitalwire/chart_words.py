"""How commands show an entry of a chart: to people, and to scripts."""

from __future__ import annotations

from typing import Any

from clinical.chart import Entry, Version
from clinical.chart_versions import Proposal
from emr_store.instants import moment
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from vitalwire.output import as_json, cell, console

UNSIGNED = "unsigned"


def print_entry(entry: Entry, *, json: bool) -> None:
    """What it says now."""
    if json:
        as_json(plain(entry, None))
        return
    said = entry.now
    signed = f", {UNSIGNED}" if said.act_id is not None else ""
    text = f"{item_name(entry.key.item)} {shown(said)} {said.unit}".rstrip()
    at = cell(moment(entry.key.at_us))
    console.print(cell(f"{text} at {at}: {said.status}{signed} ({entry.entry})"), markup=False)


def shown(version: Version) -> str:
    """The value with the decimals that it was sent or written with, or the text."""
    return version.text if version.value is None else f"{version.value:.{version.decimals}f}"


def item_name(item: str) -> str:
    """Of a metric its short name."""
    metric = METRIC_BY_REFERENCE_ID.get(item)
    return metric.short if metric else item


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
