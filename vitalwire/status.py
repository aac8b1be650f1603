"""`vitalwire status`: one page over SSH, 80 columns and 24 lines for a ward in order."""

from __future__ import annotations

import json as text_json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from emr_store import alarms, conservation, registry
from emr_store import events as edge_events
from emr_store.connect import one_moment
from emr_store.latest import LatestValue, intervals, latest
from schemas.report import device_id
from vitalwire.devices import devices_that_measure
from vitalwire.output import age, as_json, cell, console, table
from vitalwire.record import Database, Json, connect

SILENT_AFTER_S, SILENT_PAUSES = 30.0, 5  # as the page: after five of its usual pauses, and no sooner than this
NEVER = datetime.min.replace(tzinfo=UTC)
SECOND_MS = 1000.0
NAMES_MAX, ROWS_MAX = 20, 4  # of those who speak; of each table


class DeviceNow(NamedTuple):
    """A device (`DeviceRow.shown_as`).

    `heard_at` is when its edge received its newest value, None before the first that has a code.
    """

    device: UUID
    name: str
    edge: UUID
    heard_at: datetime | None
    lag_s: float | None  # from the edge to the store
    silent: bool


class EdgeNow(NamedTuple):
    """An edge: when the store last heard of it, and what it then said of its spool."""

    edge: UUID
    label: str
    heard_at: datetime | None
    lag_s: float | None
    waiting_reports: int | None
    unreceipted_batches: int | None
    oldest_waiting_s: float | None
    gaps: int
    clock_offset_ms: float | None  # edge minus broker


def status(database: Database = "", json: Json = False) -> None:
    """One page over SSH: what is connected, what is silent and since when, what waits, what alarms."""
    with connect(database) as conn, one_moment(conn):
        devices = _devices(latest(conn), devices_that_measure(conn), intervals(conn))
        streams = conservation.streams(conn)
        edges = _edges(
            streams, registry.edges(conn), edge_events.edge_counts(conn), devices, edge_events.edge_clocks(conn)
        )
        troubles = edge_events.sources_in_trouble(conn)
        names = {d.device: d.name for d in devices} | {device_id(f"edge:{e.edge}"): e.label for e in edges}
        open_alarms = alarms.open_now(conn)
        events = edge_events.events(conn, ROWS_MAX)
    if json:
        tables: list[tuple[str, Sequence[Any]]] = [("devices", devices), ("edges", edges), ("streams", streams)]
        tables += [("alarms", open_alarms), ("sources_in_trouble", troubles)]
        return as_json({name: [e._asdict() for e in found] for name, found in tables})
    speak = [d.name for d in devices if not d.silent]
    more = [f"and {len(speak) - NAMES_MAX} more"] if len(speak) > NAMES_MAX else []
    named = ": " + ", ".join([*speak[:NAMES_MAX], *more]) if speak else ""
    console.print(cell(f"{len(speak)} of {len(devices)} devices speak{named}"), markup=False)
    table("Silent", ("device", "since", "ago"), [
        (d.name, d.heard_at or "never a value with a code", d.heard_at and age(d.heard_at)) for d in devices if d.silent
    ], empty="none", most=ROWS_MAX)  # fmt: skip
    table("Edges", ("edge", "heard", "lag", "waiting", "no receipt", "oldest", "gaps", "clock"), [
        (e.label, age(e.heard_at) if e.heard_at else "never", _seconds(e.lag_s), e.waiting_reports,
         e.unreceipted_batches, _seconds(e.oldest_waiting_s), e.gaps, _offset(e.clock_offset_ms)) for e in edges
    ], most=ROWS_MAX)  # fmt: skip
    if troubles:
        labels = {e.edge: e.label for e in edges}
        table("Sources in trouble", ("edge", "source", "why", "since"), [
            (labels.get(t.edge, t.edge), t.source, t.why, t.since and age(t.since)) for t in troubles
        ], most=ROWS_MAX)  # fmt: skip
    table("Open alarms", ("priority", "device", "alarm", "since"), [
        (a.priority, names.get(a.device, a.device), a.message, age(a.opened_at)) for a in open_alarms
    ], empty="none", most=ROWS_MAX)  # fmt: skip
    return table("Events", ("ago", "of", "event"), [
        (age(e.observed_at), names.get(e.device, e.claim), _words(e.texts)) for e in events
    ])  # fmt: skip


def _devices(
    values: list[LatestValue], known: list[registry.DeviceRow], intervals: dict[tuple[UUID, int, int], int]
) -> list[DeviceNow]:
    """Those that have said a value, and those that somebody has registered; who fell silent last comes first."""
    newest = {(v.device, v.edge): v for v in sorted(values, key=lambda v: v.received_at)}
    usual_ms: dict[UUID, int] = {}
    for (device, _, _), ms in intervals.items():
        usual_ms[device] = min(ms, usual_ms.get(device, ms))
    now, found = datetime.now(UTC), []
    for d in known:
        v = newest.get((d.uuid, d.edge))
        if v or d.registered_at:
            name = " ".join(filter(None, (d.bed, d.name))) or d.claim or str(d.uuid)
            name += f" (heard through {d.edge_label or d.edge})" if d.foreign_edge else ""
            lag_s = (v.stored_at - v.received_at).total_seconds() if v else None
            patience_s = max(SILENT_AFTER_S, SILENT_PAUSES * usual_ms.get(d.shown_as, 0) / 1000)
            silent = v is None or (now - v.received_at).total_seconds() > patience_s
            found.append(DeviceNow(d.shown_as, name, d.edge, v and v.received_at, lag_s, silent))
    return sorted(found, key=lambda d: d.heard_at if d.heard_at and d.silent else NEVER, reverse=True)


def _edges(
    streams: list[conservation.Stream], registered: list[registry.EdgeRow], counts: list[tuple[UUID, datetime, str]],
    devices: list[DeviceNow], clocks: dict[UUID, float],
) -> list[EdgeNow]:  # fmt: skip
    """Those that are registered, and those that were once."""
    labels = {s.edge: s.label or str(s.edge) for s in streams}
    labels |= {e.edge: e.label for e in registered if not e.revoked_at}
    stated = {edge: text_json.loads(text) for edge, _, text in counts}
    found = []
    for edge, label in labels.items():
        of, its = [s for s in streams if s.edge == edge], stated.get(edge, {})
        newest = max((d for d in devices if d.edge == edge and d.heard_at), key=lambda d: d.heard_at or 0, default=None)
        found.append(EdgeNow(
            edge, label, max((s.updated_at for s in of), default=None), newest and newest.lag_s,
            its.get("waiting_reports"), its.get("unreceipted_batches"), its.get("oldest_waiting_s"),
            sum(s.gaps for s in of), clocks.get(edge),
        ))  # fmt: skip
    return found


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


def _offset(offset_ms: float | None) -> str | None:
    if offset_ms is None:
        return None
    return f"{offset_ms:+.0f} ms" if abs(offset_ms) < SECOND_MS else f"{offset_ms / SECOND_MS:+.1f} s"


def _words(texts: list[dict[str, object]]) -> str:
    stated = "; ".join(f"{t.get('code', '')} {t.get('text', '')}".strip() for t in texts if "code" in t)
    # The edge says instants in microseconds.
    return re.sub(r"\b(since|from|to) (\d{16})\b", lambda m: f"{m[1]} {cell(_instant(int(m[2])))}", stated)


def _instant(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
