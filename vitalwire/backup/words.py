"""What a restore says to people: counts, what is missing, and what comes again by itself."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from vitalwire.backup.plan import RestorePlan
from vitalwire.backup.restoring import COUNTED, OF_PEOPLE, Restored
from vitalwire.output import cell, console, table

NAMES = {"reports": "reports", "batches": "batches", "acts": "acts of people and of the store",
         "chart_entries": "versions of chart entries", "log_size": "entries of the log"}  # fmt: skip
FINDINGS_SHOWN = 10


def findings(restored: Restored, plan: RestorePlan, receipt_hold_h: float, now: datetime) -> list[str]:
    """What somebody has to look at; empty: nothing is lost that does not come again, and all that was held, holds.

    Who restores to a moment has given up what came after it: that is no finding.
    """
    found = []
    for name in OF_PEOPLE:
        if plan.until is None and restored.missing.get(name):
            found.append(f"{restored.missing[name]} {NAMES[name]} are missing: no edge sends them again")
    if until := restored.not_held_until(receipt_hold_h, now):
        found.append(
            f"what the store lacks of before {cell(until)} no edge holds any more (receipt_hold {receipt_hold_h:g} h)"
        )
    if restored.verification is not None:
        found += [f"{finding.where}: {finding.what}" for finding in restored.verification.findings]
    return found


def as_plain(restored: Restored, plan: RestorePlan, receipt_hold_h: float, now: datetime) -> dict[str, Any]:
    """For scripts."""
    found = findings(restored, plan, receipt_hold_h, now)
    return {
        "holds": not found,
        "findings": found,
        "into": str(restored.target),
        "backup": plan.backup.name,
        "until": plan.until,
        "replayed_until": restored.replayed_until,
        "timeline": restored.timeline,
        "counts": restored.counts,
        "known": restored.known,
        "missing": restored.missing,
        "missing_segments": [segment.name(plan.backup.segment_bytes) for segment in plan.lost],
        "verified": None if restored.verification is None else dict(restored.verification.counts),
        "not_proved": [] if restored.verification is None else restored.verification.not_proved,
        "streams": [stream._asdict() for stream in restored.streams],
        "act": restored.act == "",
        "act_trouble": restored.act or "",
        "seconds": restored.seconds,
    }


def print_restored(restored: Restored, plan: RestorePlan, receipt_hold_h: float, now: datetime) -> None:
    """Counts, what edges send again, what was verified, and what is wrong."""
    known = restored.known
    table("Restored", ("what", "there", "last known", "missing"), [
        (NAMES[name], getattr(restored.counts, name), getattr(known, name) if known else "not noted",
         restored.missing.get(name, "?"))
        for name in COUNTED
    ])  # fmt: skip
    if known is not None:
        _line(f"last known: of {cell(known.at)}")
    _line(f"the last transaction in it: {cell(restored.replayed_until or plan.backup.ended_at)}")
    if plan.lost:
        _line(f"{len(plan.lost)} segments of the log are missing after that: what came later is given up")
    _print_edges(restored, receipt_hold_h, now)
    if restored.verification is None:
        _line("not verified: vitalwire verify")
    else:
        counts = restored.verification.counts
        _line(f"verified: {counts['batches']} batches with {counts['reports']} reports, {counts['acts']} acts")
    if restored.act:
        _line(f"the act store.restored could not be recorded in it: {restored.act}")
    elif restored.act is not None:
        _line("an act store.restored in it says so: vitalwire acts list")
    found = findings(restored, plan, receipt_hold_h, now)
    for each in found[:FINDINGS_SHOWN]:
        _line(f"WRONG  {each}")
    if len(found) > FINDINGS_SHOWN:
        _line(f"and {len(found) - FINDINGS_SHOWN} more")


def _print_edges(restored: Restored, receipt_hold_h: float, now: datetime) -> None:
    """Which edges will send what again, without anybody's doing."""
    newest: dict[str, datetime] = {}
    lanes: dict[str, int] = defaultdict(int)
    for stream in restored.streams:
        name = stream.label or str(stream.edge)
        newest[name] = max(newest.get(name, stream.updated_at), stream.updated_at)
        lanes[name] += 1
    table("Edges send again", ("edge", "streams", "the store has all until about"), [
        (name, lanes[name], moment) for name, moment in sorted(newest.items())
    ], empty="none is known to this store")  # fmt: skip
    if newest:
        _line(
            f"they hold what they sent in the last {receipt_hold_h:g} h, notice the new timeline"
            f" ({restored.timeline}) by its first receipt, and send all of it again: nothing is stored twice"
        )


def _line(text: str) -> None:
    console.print(cell(text), markup=False)
