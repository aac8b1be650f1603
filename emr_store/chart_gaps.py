"""Why slots are empty: what was heard of devices, their edges and the patient meanwhile, out of the store.

`gaps` explains each slot of an encounter in which nothing stands; `clinical.chart_gaps.explain` says by which rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from clinical.chart import EntryKey, Gap, GapReason, Status
from clinical.chart_gaps import Heard, HeardKind, explain
from clinical.chart_policy import Policies
from emr_store import chart_entries
from emr_store.chart_plan import Plan, Task
from emr_store.chart_windows import Asked, ValueReader, wards_of
from emr_store.instants import moment, us_of
from emr_store.rows import MINUTE_US
from schemas.report import Kind

EDGE_SILENT_AFTER_US = MINUTE_US  # an edge says its counts every ten seconds
LOOK_BACK_US = 24 * 60 * MINUTE_US  # for the event that began what lasts
# The event that begins something, and those that end it.
_OF_DEVICE = {"silent": frozenset({"heard-again", "connected"})}
_OF_EDGE = {
    "broker-lost": frozenset({"broker-reached", "started"}),
    "spool-full": frozenset({"spool-keeps-again", "started"}),
    "batches-refused": frozenset({"batches-taken-again"}),
}
_OVER_US = MINUTE_US  # how long a rejected frame explains


class SlotGap(NamedTuple):
    """An empty slot of an encounter, and each reason why, the strongest first."""

    item: str
    at_us: int
    gaps: tuple[Gap, ...]


def gaps(
    conn: psycopg.Connection, policies: Policies, encounter: str, since: datetime, until: datetime, now_us: int,
    items: Collection[str] = (),
) -> list[SlotGap]:  # fmt: skip
    """Every slot that ends in [since, until) and in which nothing stands; `items`: of these metrics, else of all."""
    since_us, until_us = us_of(since), us_of(until)
    plan = Plan(policies)
    stays = wards_of(conn, [encounter])[encounter]
    tasks = {task.asked.key: task for task in plan.ending(encounter, stays, since_us, until_us)}
    entries = chart_entries.flowsheet(conn, encounter, since, until)
    standing = {entry.key for entry in entries if entry.now.status is not Status.ENTERED_IN_ERROR}
    empty = [
        task for key, task in sorted(tasks.items())
        if key not in standing and (not items or key.item in items)
    ]  # fmt: skip
    return list(_explained(conn, encounter, empty, now_us))


def explain_slot(
    conn: psycopg.Connection, policies: Policies, encounter: str, item: str, at: datetime, now_us: int
) -> tuple[Gap, ...]:
    """Why nothing stands in this slot; of one that no policy asks for, that."""
    stays = wards_of(conn, [encounter])[encounter]
    key = EntryKey(encounter, item, us_of(at))
    task = Plan(policies).at(key, stays)
    if task is None:
        (window,) = ValueReader(conn).windows([Asked(key, key.at_us, key.at_us)])
        return explain(window, None, (), now_us)
    return next(iter(_explained(conn, encounter, [task], now_us))).gaps


def _explained(
    conn: psycopg.Connection, encounter: str, tasks: Sequence[Task], now_us: int
) -> Iterator[SlotGap]:  # fmt: skip
    if not tasks:
        return
    windows = ValueReader(conn).whole_windows([task.asked for task in tasks])
    from_us, until_us = min(w.from_us for w in windows), max(w.until_us for w in windows)
    devices = {belonging.device for window in windows for belonging in window.belongings}
    found = heard(conn, encounter, devices, moment(from_us), moment(until_us))
    for task, window in zip(tasks, windows, strict=True):
        reasons = explain(window, task.policy, found, now_us)
        if not reasons:  # a value is there, and the charter has not come to it
            reasons = (Gap(reason=GapReason.NOT_YET, from_us=window.from_us, until_us=window.until_us, device=None),)
        yield SlotGap(window.key.item, window.key.at_us, reasons)


# --- what was heard --------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    """An event or a rejection."""

    device: UUID
    at: datetime
    code: str
    batch_id: bytes | None
    leaf: int

    @property
    def evidence(self) -> tuple[tuple[str, str], ...]:
        batch = () if self.batch_id is None else (("report", f"{self.batch_id.hex()}:{self.leaf}"),)
        return (("event", self.code), *batch)


@dataclass(frozen=True)
class _Through:
    """A device, and the edge that it is heard through."""

    device: str
    edge: UUID


def heard(
    conn: psycopg.Connection, encounter: str, devices: Collection[str], since: datetime, until: datetime
) -> list[Heard]:
    """What can have kept values of these devices away from an encounter in [since, until)."""
    asked = {"devices": [UUID(device) for device in devices], "since": since, "until": until}
    asked["from"] = moment(us_of(since) - LOOK_BACK_US)
    through = [_Through(str(device), edge) for device, edge in conn.execute(_THROUGH_SQL, asked)]
    asked["edges"] = list({each.edge for each in through})
    by_edge: dict[UUID, list[str]] = defaultdict(list)
    for each in through:
        by_edge[each.edge].append(each.device)
    found = list(_absences(conn, encounter))
    found += _lasting(conn.execute(_DEVICE_EVENTS_SQL, asked), _OF_DEVICE, HeardKind.DISCONNECTED, None)
    found += _lasting(conn.execute(_EDGE_EVENTS_SQL, asked), _OF_EDGE, HeardKind.NOT_SENT_YET, by_edge)
    found += _silences(conn, asked, by_edge)
    for row in conn.execute(_REJECTED_SQL, asked):
        said = _Said(*row)
        at_us = us_of(said.at)
        found += [
            Heard(kind=HeardKind.REJECTED, device=device, from_us=at_us, until_us=at_us + _OVER_US,
                  evidence=said.evidence)
            for device in by_edge[said.device]
        ]  # fmt: skip
    return found


def _absences(conn: psycopg.Connection, encounter: str) -> Iterator[Heard]:
    rows = conn.execute(
        "SELECT lower(a), upper(a) FROM encounter, unnest(absent) AS a WHERE encounter = %s AND upper_inf(recorded)",
        (encounter,),
    )
    for from_at, until_at in rows:
        yield Heard(
            kind=HeardKind.ABSENT, device=None, from_us=us_of(from_at), until_us=us_of(until_at),
            evidence=(("encounter", encounter),),
        )  # fmt: skip


def _lasting(
    rows: Iterable[tuple[object, ...]], ended_by: dict[str, frozenset[str]], kind: HeardKind,
    devices_of: dict[UUID, list[str]] | None,
) -> Iterator[Heard]:  # fmt: skip
    """From an event that begins something until one that ends it; rows of one device or edge by time."""
    began: dict[tuple[UUID, str], _Said] = {}
    done: list[tuple[_Said, int | None]] = []
    for row in rows:
        said = _Said(*row)  # type: ignore[arg-type]
        for code, ends in ended_by.items():
            first = began.pop((said.device, code), None) if said.code in ends else None
            if first is not None:
                done.append((first, us_of(said.at)))
        if said.code in ended_by:
            began.setdefault((said.device, said.code), said)
    done += [(said, None) for said in began.values()]
    for said, until_us in done:
        devices = [str(said.device)] if devices_of is None else devices_of[said.device]
        for device in devices:
            yield Heard(
                kind=kind, device=device, from_us=us_of(said.at), until_us=until_us, evidence=said.evidence
            )  # fmt: skip


def _silences(conn: psycopg.Connection, asked: dict[str, object], devices_of: dict[UUID, list[str]]) -> Iterator[Heard]:
    """Where an edge said nothing of itself for longer than it ever is silent."""
    for edge, from_at, until_at in conn.execute(_SILENCES_SQL, asked):
        for device in devices_of[edge]:
            yield Heard(
                kind=HeardKind.EDGE_SILENT, device=device, from_us=us_of(from_at), until_us=us_of(until_at),
                evidence=(("edge", str(edge)), ("silent since", from_at.isoformat(timespec="seconds"))),
            )  # fmt: skip


_THROUGH_SQL = "SELECT uuid, edge FROM device WHERE uuid = ANY(%(devices)s)"
_SAID = """r.observed_at, t ->> 'code', b.batch_id, r.leaf
FROM device d JOIN report r ON r.device = d.device LEFT JOIN batch b USING (batch)
CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t"""
_IN_TIME = "r.observed_at >= %(from)s AND r.observed_at < %(until)s"
_DEVICE_EVENTS_SQL = f"""
SELECT d.uuid, {_SAID}
WHERE d.uuid = ANY(%(devices)s) AND r.kind = {int(Kind.EVENT)} AND {_IN_TIME} AND t ->> 'system' = 'vitalwire'
ORDER BY d.uuid, r.observed_at, r.batch, r.leaf
"""
_EDGE_EVENTS_SQL = f"""
SELECT d.edge, {_SAID}
WHERE d.edge = ANY(%(edges)s) AND d.claim = 'edge:' || d.edge AND r.kind = {int(Kind.EVENT)} AND {_IN_TIME}
    AND NOT r.texts @> '[{{"system": "vitalwire", "code": "counts"}}]' AND t ->> 'system' = 'vitalwire'
ORDER BY d.edge, r.observed_at, r.batch, r.leaf
"""
_REJECTED_SQL = f"""
SELECT d.edge, {_SAID}
WHERE d.edge = ANY(%(edges)s) AND r.kind = {int(Kind.REJECTED)} AND r.observed_at >= %(since)s
    AND r.observed_at < %(until)s AND t ->> 'system' = 'vitalwire'
ORDER BY r.observed_at, r.batch, r.leaf
"""
_SILENCES_SQL = f"""
SELECT edge, at, next FROM (
    SELECT d.edge, r.observed_at AS at, lead(r.observed_at) OVER (PARTITION BY d.edge ORDER BY r.observed_at) AS next
    FROM device d JOIN report r USING (device)
    WHERE d.edge = ANY(%(edges)s) AND d.claim = 'edge:' || d.edge AND r.kind = {int(Kind.EVENT)}
        AND r.observed_at >= %(since)s::timestamptz - interval '1 hour'
        AND r.observed_at < %(until)s::timestamptz + interval '1 hour') AS said
WHERE coalesce(next, least(now(), %(until)s::timestamptz + interval '1 hour')) - at
    > {EDGE_SILENT_AFTER_US} * interval '1 microsecond'
"""
