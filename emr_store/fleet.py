"""Every box as the hospital knows it: what came of its devices, and what it said last of itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import psycopg

from emr_store import conservation, events, latest, registry
from schemas.edge_status import (
    EdgeStatus,
    Sentence,
    certificate_ends,
    device_clocks_off,
    edge_late,
    edge_unheard,
    joined,
    read_status,
)
from schemas.errors import VitalwireError

VALUES_AFTER_S = 120.0  # since the newest value of any device of a box: then its data does not flow
UNHEARD_AFTER_S = 60.0  # an edge says its counts every ten seconds
CERTIFICATE_ENDS_S = 14 * 86_400.0  # left of a box's certificate when people are told
LATE_S = 30.0  # as the edge's own /readyz
END_OF_KEY = "infinity"


class BoxState(StrEnum):
    """FLOWS: values of its devices come, and come at once. That the agent lives makes no box more than NO_VALUES."""

    FLOWS = "flows"
    LATE = "late"
    REFUSED = "refused"  # its batches: the key has expired, or was revoked
    NO_VALUES = "no_values"
    UNHEARD = "unheard"
    NEVER = "never"


@dataclass(frozen=True)
class BoxDevice:
    """A device that a box speaks of; `heard_at` None: never a value."""

    name: str
    bed: str | None
    heard_at: datetime | None


@dataclass(frozen=True)
class Box:
    """An edge that is registered. `status_at`, `heard_at` None: nothing ever came."""

    edge: UUID
    label: str
    key_ends_at: datetime | None  # None: never
    heard_at: datetime | None
    status_at: datetime | None
    status: EdgeStatus
    clock_offset_ms: float | None
    devices: list[BoxDevice] = field(default_factory=list)

    @property
    def newest_value_at(self) -> datetime | None:
        """Of any of its devices."""
        return max((device.heard_at for device in self.devices if device.heard_at), default=None)


def fleet(conn: psycopg.Connection) -> list[Box]:
    """Every box with a key that is not revoked, by label."""
    heard: dict[UUID, datetime] = {}
    for stream in conservation.streams(conn):
        heard[stream.edge] = max(stream.updated_at, heard.get(stream.edge, stream.updated_at))
    stated = {edge: (at, text) for edge, at, text in events.edge_counts(conn)}
    clocks, devices = events.edge_clocks(conn), _devices(conn)
    boxes: dict[UUID, Box] = {}
    for key in registry.edges(conn):  # the newest key of an edge comes last
        if key.revoked_at is not None:
            continue
        at, text = stated.get(key.edge, (None, "{}"))
        boxes[key.edge] = Box(
            edge=key.edge,
            label=key.label,
            key_ends_at=_moment_or_never(key.valid_until),
            heard_at=heard.get(key.edge),
            status_at=at,
            status=_status(text),
            clock_offset_ms=clocks.get(key.edge),
            devices=devices.get(key.edge, []),
        )
    return list(boxes.values())


def state_of(box: Box, now: datetime) -> BoxState:
    """The worst that holds."""
    if box.heard_at is None:
        return BoxState.NEVER
    if box.status.refused_batches:
        return BoxState.REFUSED
    if _age_s(box.heard_at, now) > UNHEARD_AFTER_S:
        return BoxState.UNHEARD
    if (box.status.oldest_waiting_s or 0.0) > LATE_S:
        return BoxState.LATE
    newest = box.newest_value_at
    return BoxState.FLOWS if newest and _age_s(newest, now) <= VALUES_AFTER_S else BoxState.NO_VALUES


def sentence_of(box: Box, now: datetime) -> Sentence | None:
    """What waits where, as the box's own events say it, else which device's clock is off; None where neither is."""
    match state_of(box, now):
        case BoxState.UNHEARD if box.heard_at is not None:
            return edge_unheard(box.status, _age_s(box.heard_at, now))
        case BoxState.LATE:
            return edge_late(box.status)
        case _:
            return device_clocks_off(box.status.device_clocks_off_ms)


def trouble_of(box: Box, now: datetime) -> Sentence | None:
    """The same, and a certificate that ends, which the fleet's page has in a line of its own."""
    sentences = [sentence_of(box, now)]
    if (ends_at_s := box.status.certificate_ends_at_s) is not None:
        left_s = ends_at_s - now.timestamp()
        sentences.append(certificate_ends(left_s) if left_s <= CERTIFICATE_ENDS_S else None)
    found = [sentence for sentence in sentences if sentence is not None]
    return joined(found) if found else None


def unheard_since(boxes: list[Box], now: datetime) -> datetime | None:
    """Since when no box is heard, so that it is the hospital's side; None where one is, or none ever was."""
    newest = max((box.heard_at for box in boxes if box.heard_at is not None), default=None)
    return None if newest is None or _age_s(newest, now) <= UNHEARD_AFTER_S else newest


def _age_s(at: datetime, now: datetime) -> float:
    return (now - at).total_seconds()


def _status(text: str) -> EdgeStatus:
    try:
        return read_status(text)
    except VitalwireError:  # of a version that says it in another way: it is not known
        return EdgeStatus()


def _moment_or_never(text: str) -> datetime | None:
    return None if text == END_OF_KEY else datetime.fromisoformat(text).astimezone(UTC)


def _devices(conn: psycopg.Connection) -> dict[UUID, list[BoxDevice]]:
    received = latest.last_received(conn)
    found = defaultdict[UUID, list[BoxDevice]](list)
    for row in registry.devices_that_measure(conn):
        name = row.name or row.claim or str(row.uuid)
        found[row.edge].append(BoxDevice(name, row.bed, received.get(row.shown_as)))
    return found
