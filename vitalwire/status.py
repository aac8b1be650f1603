"""`vitalwire status`: one page over SSH, 80 columns and 24 lines for a ward in order."""

from __future__ import annotations

import json as text_json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from emr_store import alarms, conservation, deliver_status, fleet, registry
from emr_store import events as edge_events
from emr_store.connect import one_moment
from emr_store.deliver_status import DestinationRow
from emr_store.latest import LatestValue, intervals, latest
from emr_store.registry import devices_that_measure
from schemas.edge_status import duration_en
from schemas.report import device_id
from vitalwire.deliver import state_of
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
        destinations = deliver_status.destinations(conn)
        boxes = fleet.fleet(conn)
    if json:
        tables: list[tuple[str, Sequence[Any]]] = [("devices", devices), ("edges", edges), ("streams", streams)]
        tables += [("alarms", open_alarms), ("sources_in_trouble", troubles), ("destinations", destinations)]
        since = fleet.unheard_since(boxes, datetime.now(UTC))
        boxes_in_trouble = [{"edge": box.label, "trouble": words} for box, words in _boxes_in_trouble(boxes)]
        return as_json(
            {name: [row._asdict() for row in rows] for name, rows in tables}
            | {"edges_in_trouble": boxes_in_trouble, "nothing_stored_since": since}
        )
    _print_devices(devices)
    _print_hospital(boxes)
    _print_edges(edges)
    in_trouble = _boxes_in_trouble(boxes)
    if in_trouble:
        table("Edges in trouble", ("edge", "what"), [
            (box.label, words) for box, words in in_trouble
        ], most=ROWS_MAX)  # fmt: skip
    if troubles:
        labels = {edge.edge: edge.label for edge in edges}
        table("Sources in trouble", ("edge", "source", "why", "since"), [
            (labels.get(trouble.edge, trouble.edge), trouble.source, trouble.why, trouble.since and age(trouble.since))
            for trouble in troubles
        ], most=ROWS_MAX)  # fmt: skip
    _print_destinations(destinations)
    table("Open alarms", ("priority", "device", "alarm", "since"), [
        (alarm.priority, names.get(alarm.device, alarm.device), alarm.message, age(alarm.opened_at))
        for alarm in open_alarms
    ], empty="none", most=ROWS_MAX)  # fmt: skip
    return table("Events", ("ago", "of", "event"), [
        (age(event.observed_at), names.get(event.device, event.claim), _words(event.texts)) for event in events
    ])  # fmt: skip


def _print_devices(devices: list[DeviceNow]) -> None:
    speaking = [device.name for device in devices if not device.silent]
    summary = f"{len(speaking)} of {len(devices)} devices speak"
    if speaking:
        summary += ": " + ", ".join(speaking[:NAMES_MAX])
    if len(speaking) > NAMES_MAX:
        summary += f", and {len(speaking) - NAMES_MAX} more"
    console.print(cell(summary), markup=False)
    table("Silent", ("device", "since", "ago"), [
        (device.name, device.heard_at or "never a value with a code", device.heard_at and age(device.heard_at))
        for device in devices if device.silent
    ], empty="none", most=ROWS_MAX)  # fmt: skip


def _print_hospital(boxes: list[fleet.Box]) -> None:
    """Where no box at all is heard it is not the boxes."""
    now = datetime.now(UTC)
    since = fleet.unheard_since(boxes, now)
    if since is not None:
        away = duration_en((now - since).total_seconds())
        console.print(cell(f"Nothing of any box was stored for {away}"), markup=False)
        console.print("  broker, processors and database, and their disks: vitalwire doctor", markup=False)


def _print_edges(edges: list[EdgeNow]) -> None:
    table("Edges", ("edge", "heard", "lag", "waiting", "no receipt", "oldest", "gaps", "clock"), [
        (edge.label, age(edge.heard_at) if edge.heard_at else "never", _seconds(edge.lag_s), edge.waiting_reports,
         edge.unreceipted_batches, _seconds(edge.oldest_waiting_s), edge.gaps, _offset(edge.clock_offset_ms))
        for edge in edges
    ], most=ROWS_MAX)  # fmt: skip


def _boxes_in_trouble(boxes: list[fleet.Box]) -> list[tuple[fleet.Box, str]]:
    """Those of which something waits, in the words of the fleet's page and of the box itself."""
    now = datetime.now(UTC)
    sentences = [(box, fleet.trouble_of(box, now)) for box in boxes]
    return [(box, sentence.en) for box, sentence in sentences if sentence is not None]


def _print_destinations(destinations: list[DestinationRow]) -> None:
    """Those alone that somebody has to look at."""
    in_trouble = [each for each in destinations if each.paused_at or each.away_since or each.parked]
    if in_trouble:
        table("Deliveries in trouble", ("destination", "state", "waiting", "oldest", "parked"), [
            (each.name, state_of(each), each.behind + each.waiting, each.oldest_waiting and age(each.oldest_waiting),
             each.parked + each.parked_behind) for each in in_trouble
        ], most=ROWS_MAX)  # fmt: skip


def _devices(
    values: list[LatestValue], known: list[registry.DeviceRow], intervals: dict[tuple[UUID, int, int], int]
) -> list[DeviceNow]:
    """Those that have said a value, and those that somebody has registered; who fell silent last comes first."""
    by_reception = sorted(values, key=lambda value: value.received_at)
    newest_value = {(value.device, value.edge): value for value in by_reception}
    usual_ms: dict[UUID, int] = {}  # of each device's channel that speaks most often
    for (uuid, _, _), interval_ms in intervals.items():
        usual_ms[uuid] = min(interval_ms, usual_ms.get(uuid, interval_ms))
    now = datetime.now(UTC)
    found = []
    for device in known:
        value = newest_value.get((device.uuid, device.edge))
        if value is None and device.registered_at is None:
            continue
        patience_s = max(SILENT_AFTER_S, SILENT_PAUSES * usual_ms.get(device.shown_as, 0) / 1000)
        heard_at = value.received_at if value is not None else None
        found.append(DeviceNow(
            device=device.shown_as,
            name=_name_of(device),
            edge=device.edge,
            heard_at=heard_at,
            lag_s=(value.stored_at - value.received_at).total_seconds() if value is not None else None,
            silent=heard_at is None or (now - heard_at).total_seconds() > patience_s,
        ))  # fmt: skip
    return sorted(found, key=_fell_silent_at, reverse=True)


def _name_of(device: registry.DeviceRow) -> str:
    """Its bed and its name, else what it claims to be; and the edge, where that is not its own."""
    name = " ".join(part for part in (device.bed, device.name) if part) or device.claim or str(device.uuid)
    if device.foreign_edge:
        name += f" (heard through {device.edge_label or device.edge})"
    return name


def _fell_silent_at(device: DeviceNow) -> datetime:
    """Behind all others who speaks, and who never spoke."""
    return device.heard_at if device.heard_at is not None and device.silent else NEVER


def _edges(
    streams: list[conservation.Stream], registered: list[registry.EdgeRow], counts: list[tuple[UUID, datetime, str]],
    devices: list[DeviceNow], clocks: dict[UUID, float],
) -> list[EdgeNow]:  # fmt: skip
    """Those that are registered, and those that were once."""
    labels = {stream.edge: stream.label or str(stream.edge) for stream in streams}
    labels |= {edge.edge: edge.label for edge in registered if not edge.revoked_at}
    stated_by = {edge: text_json.loads(text) for edge, _, text in counts}
    found = []
    for edge, label in labels.items():
        own_streams = [stream for stream in streams if stream.edge == edge]
        stated = stated_by.get(edge, {})
        found.append(EdgeNow(
            edge=edge,
            label=label,
            heard_at=max((stream.updated_at for stream in own_streams), default=None),
            lag_s=_newest_lag_s(devices, edge),
            waiting_reports=stated.get("waiting_reports"),
            unreceipted_batches=stated.get("unreceipted_batches"),
            oldest_waiting_s=stated.get("oldest_waiting_s"),
            gaps=sum(stream.gaps for stream in own_streams),
            clock_offset_ms=clocks.get(edge),
        ))  # fmt: skip
    return found


def _newest_lag_s(devices: list[DeviceNow], edge: UUID) -> float | None:
    """Of the value that the edge received last; None before the first."""
    heard = [(device.heard_at, device.lag_s) for device in devices if device.edge == edge and device.heard_at]
    if not heard:
        return None
    _, lag_s = max(heard, key=lambda of_device: of_device[0])
    return lag_s


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
