"""Who is registered and where devices stand, held against the acts of people that the log has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec
import psycopg

from emr_store.verification import Verification
from evidence.act import Act
from evidence.signature import key_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Key(NamedTuple):
    edge: str
    valid_until: datetime | None


class _Stay(NamedTuple):
    """A device on a bed: since and until as in the ward, and as recorded; None: no end."""

    device: str
    bed: str
    since: datetime
    until: datetime | None
    recorded_since: datetime
    recorded_until: datetime | None
    act_id: bytes


class _Through(NamedTuple):
    """An edge through which a device is believed."""

    device: str
    edge: str
    since: datetime | None
    recorded_since: datetime
    recorded_until: datetime | None
    act_id: bytes


class _Registration(msgspec.Struct):
    """What an act `edge.register` says; unknown details of a later program are passed over, here and below."""

    edge: str
    label: str
    key_id: str
    valid_until: datetime | None


class _Renewal(msgspec.Struct):
    """What an act `key.renew` says."""

    edge: str
    key_id: str
    valid_until: datetime | None
    older_keys: list[str]
    older_valid_until: datetime
    expired_key: str | None = None
    expired_valid_until: datetime | None = None


class _Revocation(msgspec.Struct):
    """What an act `key.revoke` says."""

    keys: list[str]


class _Placement(msgspec.Struct):
    """What the acts `device.assign`, `device.move` and `device.release` say; `bed` None: from then on at none."""

    device: str
    since: datetime
    bed: str | None = None
    name: str | None = None
    edge: str | None = None


class _Renaming(msgspec.Struct):
    """What an act `device.rename` says."""

    device: str
    name: str


class _Agreement(msgspec.Struct):
    """What an act `device.agree` says."""

    device: str
    edge: str
    since: datetime | None


class _Labelling(msgspec.Struct):
    """What an act `channel.label` says."""

    device: str
    channel: int
    label: str


@dataclass
class Registry:
    """What the acts of people come to, one after the other."""

    labels: dict[str, str] = field(default_factory=dict)
    keys: dict[bytes, _Key] = field(default_factory=dict)
    revoked: set[bytes] = field(default_factory=set)
    devices: dict[str, tuple[str | None, bytes]] = field(default_factory=dict)  # name, act
    stays: defaultdict[str, list[_Stay]] = field(default_factory=lambda: defaultdict(list))
    through: defaultdict[str, list[_Through]] = field(default_factory=lambda: defaultdict(list))
    channel_labels: dict[tuple[str, int], str] = field(default_factory=dict)

    @classmethod
    def of(cls, acts: Sequence[Act], result: Verification) -> Registry:
        """The acts in the order in which they were done; one that cannot be read is a finding."""
        registry = cls()
        for act in sorted(acts, key=lambda act: act.at_us):
            try:
                registry._apply(act, _EPOCH + timedelta(microseconds=act.at_us))
            except (msgspec.ValidationError, ValueError, OverflowError) as error:
                result.add(f"act {act.act_id.hex()[:16]} ({act.kind})", f"what it says cannot be read: {error}")
        return registry

    def _apply(self, act: Act, at: datetime) -> None:
        match act.kind:
            case "edge.register":
                registration = msgspec.convert(act.details, _Registration)
                self.labels[registration.edge] = registration.label
                key = _Key(registration.edge, registration.valid_until)
                self.keys.setdefault(bytes.fromhex(registration.key_id), key)
            case "key.renew":
                renewal = msgspec.convert(act.details, _Renewal)
                key = _Key(renewal.edge, renewal.valid_until)
                self.keys.setdefault(bytes.fromhex(renewal.key_id), key)
                for older in renewal.older_keys:
                    self.keys[bytes.fromhex(older)] = _Key(renewal.edge, renewal.older_valid_until)
                if renewal.expired_key is not None:
                    expired = bytes.fromhex(renewal.expired_key)
                    self.keys[expired] = _Key(renewal.edge, renewal.expired_valid_until)
            case "key.revoke":
                revocation = msgspec.convert(act.details, _Revocation)
                self.revoked |= {bytes.fromhex(ident) for ident in revocation.keys}
            case "device.assign" | "device.move" | "device.release":
                self._assign(act, msgspec.convert(act.details, _Placement), at)
            case "device.rename":
                renaming = msgspec.convert(act.details, _Renaming)
                _, registered = self.devices.get(renaming.device, (None, b""))
                self.devices[renaming.device] = (renaming.name, registered)
            case "device.agree":
                agreed = msgspec.convert(act.details, _Agreement)
                self._believe(_Through(agreed.device, agreed.edge, agreed.since, at, None, act.act_id))
            case "channel.label":
                labelling = msgspec.convert(act.details, _Labelling)
                self.channel_labels[labelling.device, labelling.channel] = labelling.label

    def _assign(self, act: Act, placement: _Placement, at: datetime) -> None:
        device, since = placement.device, placement.since
        if device not in self.devices:
            self.devices[device] = (placement.name, act.act_id)
        elif placement.name:
            self.devices[device] = (placement.name, self.devices[device][1])
        if placement.edge is not None:
            self._believe(_Through(device, placement.edge, None, at, None, act.act_id))
        kept: list[_Stay] = []
        for stay in self.stays[device]:
            if stay.recorded_until is not None or (stay.until is not None and stay.until <= since):
                kept.append(stay)
                continue
            kept.append(stay._replace(recorded_until=at))
            if stay.since < since:
                kept.append(_Stay(device, stay.bed, stay.since, since, at, None, act.act_id))
        if placement.bed is not None:
            kept.append(_Stay(device, placement.bed, since, None, at, None, act.act_id))
        self.stays[device] = kept

    def _believe(self, now: _Through) -> None:
        known = self.through[now.device]
        for index, each in enumerate(known):
            if each.edge == now.edge and each.recorded_until is None:
                known[index] = each._replace(recorded_until=now.recorded_since)
        known.append(now)


def check_key_ids(conn: psycopg.Connection, result: Verification) -> None:
    """Step 9, keys: each stands under its own id, whoever registered it."""
    for table in ("edge_key", "platform_key"):
        for ident, public_der in conn.execute(f"SELECT key_id, public_der FROM {table}".encode()):
            result.counts[table] += 1
            if key_id(bytes(public_der)) != bytes(ident):
                what = "another key stands under this id: what it signed is not what the edge of this id signed"
                result.add(f"{table} {bytes(ident).hex()[:16]}", what)


def check_registry(conn: psycopg.Connection, acts: Sequence[Act], result: Verification) -> None:
    """Step 9, the rest: registrations, beds and labels were acts of somebody, and every act stands there."""
    registry = Registry.of(acts, result)
    _check_edges(conn, registry, result)
    _check_devices(conn, registry, result)
    _check_assignments(conn, registry, result)
    _check_labels(conn, registry, result)


def _check_edges(conn: psycopg.Connection, registry: Registry, result: Verification) -> None:
    edges = {str(edge): label for edge, label in conn.execute("SELECT edge, label FROM edge")}
    for edge, label in edges.items():
        where = f"edge {edge} ({label})"
        if edge not in registry.labels:
            result.add(where, "no act in the log registered it: its registration was invented")
        elif registry.labels[edge] != label:
            result.add(where, f"the act in the log calls it {registry.labels[edge]}")
    result.add("edge", *(f"{edge} was registered by an act, and is gone" for edge in registry.labels.keys() - edges))
    keys = conn.execute(
        "SELECT key_id, edge::text, CASE WHEN isfinite(valid_until) THEN valid_until END, revoked_at IS NOT NULL"
        " FROM edge_key ORDER BY 1"
    ).fetchall()
    for ident, edge, valid_until, revoked in keys:
        where = f"key {bytes(ident).hex()[:16]} of edge {edge} ({edges.get(edge)})"
        known = registry.keys.pop(bytes(ident), None)
        if known is None:
            result.add(where, "no act in the log registered it: its registration was invented")
        elif known != (edge, valid_until):
            result.add(where, "its edge, or how long it is valid, is not what the act in the log says")
        if revoked != (bytes(ident) in registry.revoked):
            what = "no act in the log revoked it" if revoked else "an act in the log revoked it, and here it is valid"
            result.add(where, what)
    for ident, known in registry.keys.items():
        result.add(f"key {ident.hex()[:16]} of edge {known.edge}", "it was registered by an act, and is gone")


def _check_devices(conn: psycopg.Connection, registry: Registry, result: Verification) -> None:
    rows = conn.execute("SELECT uuid::text, name, act_id FROM registered_device ORDER BY 1").fetchall()
    for device, name, act_id in rows:
        result.counts["registered_device"] += 1
        known = registry.devices.pop(device, None)
        if known is None:
            result.add(f"device {device}", "no act in the log registered it: its registration was invented")
        elif known != (name, bytes(act_id)):
            result.add(f"device {device}", "its name, or the act that it names, is not what the log says")
    for device in registry.devices:
        result.add(f"device {device}", "it was registered by an act, and is gone")


def _check_assignments(conn: psycopg.Connection, registry: Registry, result: Verification) -> None:
    kept = {_Stay(*row)._replace(act_id=bytes(row[6])) for row in conn.execute(_STAYS_SQL)}
    result.counts["device_bed"] += len(kept)
    expected = {stay for stays in registry.stays.values() for stay in stays}
    _compare(
        kept,
        expected,
        where=lambda stay: f"device {stay.device} at bed {stay.bed} since {_text(stay.since)}",
        invented="no act in the log says so",
        missing="an act in the log says so, and the list of beds does not",
        result=result,
    )
    through = {_Through(*row)._replace(act_id=bytes(row[5])) for row in conn.execute(_THROUGH_SQL)}
    result.counts["device_edge"] += len(through)
    _compare(
        through,
        {each for edges in registry.through.values() for each in edges},
        where=lambda each: f"device {each.device} through edge {each.edge}",
        invented="no act in the log agreed to it",
        missing="an act in the log agreed to it, and the list of edges does not have it",
        result=result,
    )


_Row = TypeVar("_Row", _Stay, _Through)


def _compare(
    kept: set[_Row], expected: set[_Row], *, where: Callable[[_Row], str], invented: str, missing: str,
    result: Verification,
) -> None:  # fmt: skip
    """What is kept and no act says, and what an act says and is not kept."""
    for row in sorted(kept - expected, key=str):
        result.add(where(row), invented)
    for row in sorted(expected - kept, key=str):
        result.add(where(row), missing)


def _check_labels(conn: psycopg.Connection, registry: Registry, result: Verification) -> None:
    rows = conn.execute(
        "SELECT d.uuid::text, c.channel, c.label FROM channel c JOIN device d USING (device)"
        " WHERE c.label IS NOT NULL ORDER BY 1, 2"
    )
    kept = rows.fetchall()
    for device, channel, label in kept:
        if registry.channel_labels.get((device, channel)) != label:
            result.add(f"channel {channel} of device {device}", f"no act in the log called it {label}")
    # A channel that came later through another edge has none: one row with it is enough.
    for (device, channel), label in registry.channel_labels.items():
        if label and (device, channel, label) not in kept:
            what = f"an act in the log called it {label}, and here it has no such label"
            result.add(f"channel {channel} of device {device}", what)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


_STAYS_SQL = """
SELECT g.uuid::text, b.bed, lower(b.valid), upper(b.valid), lower(b.recorded), upper(b.recorded), b.act_id
FROM device_bed b JOIN registered_device g USING (registered_device)
"""
_THROUGH_SQL = """
SELECT d.uuid::text, d.edge::text, lower(e.valid), lower(e.recorded), upper(e.recorded), e.act_id
FROM device_edge e JOIN device d USING (device)
"""
