"""The ward: everything the page shows, read by one reader over one connection, and what of it goes out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from emr_store import latest, registry
from emr_store.latest import Changes, LatestRows
from gateway.access.beds import Bed
from gateway.pages import alarms
from gateway.pages.alarms import OpenAlarms
from gateway.pages.beds import Beds, Labels, Row
from gateway.pages.columns import Columns, columns_of
from gateway.pages.frame import Page
from gateway.pages.ledger import ledger
from gateway.pages.patients import Patients
from gateway.pages.places import read_places
from gateway.pages.values import Line, Values
from gateway.picture import Fragment, Fragments, Picture
from gateway.places import Places

PAGE = Page("ward", "/")
DEVICES_EVERY_S = 2.0  # who stands where; at once where a new row comes
LABELS_EVERY_S = 10.0
PLACES_EVERY_S = 5.0  # whose each bed is; at once where an attribution or a place changes
_json = msgspec.json.Encoder()


class Ward:
    """One connection's reader; the first picture must be asked for whole. Its methods raise StoreError."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._changes, self._beds, self._patients = Changes(), Beds(), Patients()
        self._values: Values | None = None
        self._uuids: dict[int, UUID] = {}
        self._sets: dict[int, Columns] = {}
        self._set_numbers: dict[int, int] = {}  # by which a picture names them: the store's own are nobody's business
        self._rows: dict[UUID, list[Row]] = {}
        self._devices: list[registry.DeviceRow] = []
        self._labels: Labels = {}
        self._alarms: OpenAlarms = {}
        self._ledger: dict[str, int] = {}
        self._places = Places()
        self._devices_read_s = self._labels_read_s = self._places_read_s = float("-inf")

    def read(self, number: int, *, whole: bool) -> Picture:
        """The `number`-th picture, with everything there is where `whole`."""
        now_ms = int(time.time() * 1000)
        # `tick` never jumps: by it a page knows how late a picture is.
        head: dict[str, Any] = {"now": now_ms, "tick": int(time.monotonic() * 1000)}
        sets_before = len(self._sets)
        lines = self._read_values(now_ms)
        alarms_before, self._alarms = self._alarms, alarms.open_by_device(self._conn)
        changed = self._arrange(alarms_before.keys() != self._alarms.keys())
        alarming = {self._beds.of_device[d] for d in alarms_before.keys() | self._alarms.keys()
                if alarms_before.get(d) != self._alarms.get(d) and d in self._beds.of_device}  # fmt: skip
        adt_before, known_before = self._patients.last_adt_ms, self._patients.are_known
        attributed = {self._beds.of_device[d] for d in self._patients.read(self._conn) if d in self._beds.of_device}
        if self._patients.last_adt_ms != adt_before:
            head["adt"] = self._patients.last_adt_ms
        if self._patients.are_known != known_before:
            head["patients_known"] = self._patients.are_known
        if len(self._sets) > sets_before:
            head["sets"] = self._structure(list(self._sets)[sets_before:])
        self._read_places(bool(changed or attributed))
        if (counted := ledger(self._conn)) != self._ledger:
            self._ledger = head["ledger"] = counted
        all_lines = self._values_there.whole(now_ms) if whole or changed else {}
        return Picture(
            number, head, list(self._beds.shown), self._differences(lines, all_lines, changed, alarming, attributed),
            {"sets": self._structure(self._sets), "ledger": self._ledger, "adt": self._patients.last_adt_ms,
             "patients_known": self._patients.are_known},
            self._whole(self._beds.shown, all_lines) if whole else None, self._places,
        )  # fmt: skip

    def has_news(self) -> bool:
        """Whether values were stored that no picture has."""
        return self._changes.has_news(self._conn)

    @property
    def _values_there(self) -> Values:
        """With intervals that the store knows of, where nothing was read before."""
        if self._values is None:
            known = {uuid: device for device, uuid in self._uuids.items()}
            self._values = Values({
                (known[uuid], code, channel): ms
                for (uuid, code, channel), ms in latest.intervals(self._conn).items() if uuid in known
            })  # fmt: skip
        return self._values

    def _read_values(self, now_ms: int) -> dict[int, Line]:
        """What changed in `latest`, as lines by row."""
        found = self._changes.read(self._conn)
        self._meet(found)
        values = self._values_there
        lines: dict[int, Line] = {}
        for rows in found:
            if not values.knows_set(rows.channel_set):
                values.add_set(rows.channel_set, self._sets[rows.channel_set])
            before = len(values.device_of_row)
            lines |= values.note(rows, now_ms)
            for row in range(before, len(values.device_of_row)):
                uuid = self._uuids[values.device_of_row[row]]
                self._rows.setdefault(uuid, []).append(Row(row, self._set_numbers[rows.channel_set]))
                self._devices_read_s = float("-inf")
        return lines

    def _meet(self, found: Iterable[LatestRows]) -> None:
        """Ask for the channel sets and devices that are new."""
        sets = {rows.channel_set for rows in found} - self._sets.keys()
        if sets:
            known = latest.channel_sets(self._conn, sets)
            self._sets |= {number: columns_of(of) for number, of in known.items()}
            for number in known:
                self._set_numbers.setdefault(number, len(self._set_numbers))
        devices = {d for rows in found for d in rows.device.tolist()} - self._uuids.keys()
        if devices:
            self._uuids |= latest.device_ids(self._conn, devices)

    def _arrange(self, alarming_changed: bool) -> set[Bed]:
        """The beds whose structure is new, changed or gone."""
        now_s, rearrange = time.monotonic(), alarming_changed
        if now_s - self._devices_read_s >= DEVICES_EVERY_S:
            rearrange |= self._devices_read_s == float("-inf")
            self._devices_read_s = now_s
            before, self._devices = self._devices, registry.devices(self._conn)
            rearrange |= before != self._devices
        if now_s - self._labels_read_s >= LABELS_EVERY_S:
            self._labels_read_s = now_s
            known, self._labels = self._labels, latest.channel_labels(self._conn)
            rearrange |= known != self._labels
        return self._beds.arrange(self._devices, self._rows, self._labels, self._alarms) if rearrange else set()

    def _read_places(self, due: bool) -> None:
        """What is as it was stays the same object: by it who looks on knows that he sees what he saw."""
        if not due and time.monotonic() - self._places_read_s < PLACES_EVERY_S:
            return
        self._places_read_s = time.monotonic()
        found = read_places(self._conn, self._beds.shown, self._stays_of, time.time_ns() // 1000)
        if found != self._places:
            self._places = found

    def _stays_of(self, bed: Bed) -> tuple[frozenset[str], frozenset[str]]:
        return self._patients.stays_of_bed(device["id"] for device in self._beds.shown[bed]["devices"])

    def _structure(self, sets: Iterable[int]) -> dict[int, Any]:
        return {self._set_numbers[number]: self._sets[number].structure for number in sets}

    def _alarms_of(self, bed: Bed) -> list[dict[str, Any]]:
        """The oldest first."""
        devices = self._beds.shown[bed]["devices"]
        found = [a for d in devices for a in self._alarms.get(d["id"], ())]
        return sorted(found, key=lambda a: a["opened_at"]) if len(found) > 1 else found

    def _patient_of(self, bed: Bed) -> dict[str, Any] | None:
        return self._patients.of_bed(device["id"] for device in self._beds.shown[bed]["devices"])

    def _differences(
        self, lines: dict[int, Line], all_lines: dict[int, Line], changed: set[Bed], alarming: set[Bed],
        attributed: set[Bed],
    ) -> Fragments:  # fmt: skip
        """What changed: whole beds where their structure did, else their lines, alarms and patient."""
        fragments = self._whole(changed & self._beds.shown.keys(), all_lines)
        fragments += [
            (bed, Fragment(_json.encode({"bed": self._beds.number(bed), "structure": None})))
            for bed in changed - self._beds.shown.keys()
        ]
        by_bed: dict[Bed, list[Line]] = {bed: [] for bed in alarming | attributed}
        device_of_row = self._values_there.device_of_row
        for row, line in lines.items():
            by_bed.setdefault(self._beds.of_device[self._uuids[device_of_row[row]]], []).append(line)
        for bed, of_bed in by_bed.items():
            if bed not in changed:
                body = _json.encode({"bed": self._beds.number(bed), "lines": of_bed})
                alarms_of = _json.encode(self._alarms_of(bed)) if bed in alarming else b""
                patient = _json.encode(self._patient_of(bed)) if bed in attributed else b""
                fragments.append((bed, Fragment(body, alarms_of, patient)))
        return fragments

    def _whole(self, beds: Iterable[Bed], all_lines: dict[int, Line]) -> Fragments:
        """Everything of these beds."""
        fragments = []
        for bed in beds:
            structure = self._beds.shown[bed]
            rows = [number for device in structure["devices"] for number, _ in device["rows"]]
            body = _json.encode({
                "bed": self._beds.number(bed), "structure": structure | {"ward": self._places.of_bed[bed].ward},
                "lines": [all_lines[row] for row in rows if row in all_lines],
            })  # fmt: skip
            alarms_of, patient = _json.encode(self._alarms_of(bed)), _json.encode(self._patient_of(bed))
            fragments.append((bed, Fragment(body, alarms_of, patient)))
        return fragments
