"""Which beds there are, which devices stand at them, and where their rows' values belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from emr_store.registry import DeviceRow
from gateway.access import Bed

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
        known = {d.shown_as: d for d in devices}
        shown = {d.shown_as for d in devices if d.bed} | rows.keys() | set(alarming)
        labels_of: dict[UUID, dict[str, str]] = {}
        for (device, code, channel), label in labels.items():
            labels_of.setdefault(device, {})[f"{code}-{channel}"] = label
        before, self.shown, self.of_device = self.shown, {}, {}
        order = {d.shown_as: place for place, d in enumerate(devices)}
        for device in sorted(shown, key=lambda uuid: (order.get(uuid, len(order)), uuid)):
            bed, row = bed_of(device, known.get(device)), known.get(device)
            self.of_device[device] = bed
            structure = self.shown.setdefault(
                bed, {"key": bed.key, "label": bed.label, "assigned": bed.assigned, "devices": []}
            )
            structure["devices"].append({
                "id": device, "claim": row and row.claim, "name": row and row.name, "bed": row and row.bed,
                "since": _ms(row and row.since), "registered": bool(row and row.registered_at),
                "foreign": (row.edge_label or str(row.edge)) if row and row.foreign_edge else None,
                "rows": [[r.number, r.columns] for r in rows.get(device, ())], "labels": labels_of.get(device, {}),
            })  # fmt: skip
        return {bed for bed in before.keys() | self.shown.keys() if before.get(bed) != self.shown.get(bed)}


def bed_of(device: UUID, row: DeviceRow | None) -> Bed:
    """Where it stands; only a person puts a device on a bed: what it claims to be never does. None: nobody knows it."""
    if row is not None and row.bed:
        return Bed(f"bed {row.bed}", row.bed, True)
    return Bed(f"device {device}", row.claim or str(device) if row is not None else str(device), False)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
