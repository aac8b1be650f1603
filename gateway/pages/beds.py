"""Which beds there are, which devices stand at them, and where their rows' values belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from emr_store.registry import DeviceRow
from gateway.access.beds import Bed
from gateway.pages.moments import milliseconds

Structure = dict[str, Any]
Labels = Mapping[tuple[UUID, int, int], str]  # by device, code and channel


@dataclass(frozen=True)
class Row:
    """A row of `latest`: the numbers by which a picture names it and its columns."""

    number: int
    columns: int


class Beds:
    """What changes seldom: who stands where, and which rows there are. Beds keep their numbers."""

    def __init__(self) -> None:
        self.shown: dict[Bed, Structure] = {}
        self.of_device: dict[UUID, Bed] = {}
        self._numbers: dict[Bed, int] = {}

    def number(self, bed: Bed) -> int:
        """By which fragments name it."""
        return self._numbers.setdefault(bed, len(self._numbers))

    def arrange(
        self, devices: Sequence[DeviceRow], rows: Mapping[UUID, Sequence[Row]], labels: Labels, alarming: Iterable[UUID]
    ) -> set[Bed]:
        """Take these as what there is now: beds that are new, changed or gone.

        Shown is a device that stands at a bed, that has a row, or that alarms.
        """
        known = {device.shown_as: device for device in devices}
        at_a_bed = {device.shown_as for device in devices if device.bed}
        shown = at_a_bed | rows.keys() | set(alarming)
        labels_of = _by_device(labels)
        before, self.shown, self.of_device = self.shown, {}, {}
        for uuid in _in_order(shown, devices):
            bed = bed_of(uuid, known.get(uuid))
            self.of_device[uuid] = bed
            structure = self.shown.setdefault(
                bed, {"key": bed.key, "label": bed.label, "assigned": bed.assigned, "devices": []}
            )
            structure["devices"].append({
                **_device(uuid, known.get(uuid)),
                "rows": [[row.number, row.columns] for row in rows.get(uuid, ())],
                "labels": labels_of.get(uuid, {}),
            })  # fmt: skip
        return {bed for bed in before.keys() | self.shown.keys() if before.get(bed) != self.shown.get(bed)}


def _in_order(shown: Iterable[UUID], devices: Sequence[DeviceRow]) -> list[UUID]:
    """As the registry lists them; behind these, by id, those that it does not know."""
    place_of = {device.shown_as: place for place, device in enumerate(devices)}
    return sorted(shown, key=lambda uuid: (place_of.get(uuid, len(place_of)), uuid))


def _by_device(labels: Labels) -> dict[UUID, dict[str, str]]:
    """Each device's labels, by "code-channel"."""
    found: dict[UUID, dict[str, str]] = {}
    for (device, code, channel), label in labels.items():
        found.setdefault(device, {})[f"{code}-{channel}"] = label
    return found


def _device(uuid: UUID, row: DeviceRow | None) -> Structure:
    """What a page is told of a device; `row` None: the registry does not know it."""
    if row is None:
        return {
            "id": uuid, "claim": None, "name": None, "bed": None, "since": None, "registered": False, "foreign": None
        }  # fmt: skip
    return {
        "id": uuid, "claim": row.claim, "name": row.name, "bed": row.bed,
        "since": None if row.since is None else milliseconds(row.since),
        "registered": row.registered_at is not None,
        "foreign": (row.edge_label or str(row.edge)) if row.foreign_edge else None,
    }  # fmt: skip


def bed_of(device: UUID, row: DeviceRow | None) -> Bed:
    """Where it stands; only a person puts a device on a bed: what it claims to be never does. None: nobody knows it."""
    if row is not None and row.bed:
        return Bed(key=f"bed {row.bed}", label=row.bed, assigned=True)
    claim = row.claim if row is not None else None
    return Bed(key=f"device {device}", label=claim or str(device), assigned=False)
