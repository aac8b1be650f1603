"""The ward of a simulated hospital that nobody here wrote: its messages, and what a naive reader makes of them.

The naive reader knows nothing of ours. It keeps a dictionary visit -> bed and replays, for each second anew, what was
not cancelled; it holds for this sender alone (EVN-6 on cancels, no ZBE, times to the second).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from schemas.adt import AdtGroup, Identifier, Merge, SentBed, Visit

SIMHOSPITAL = Path(__file__).parents[1].parent / "shared" / "data" / "simhospital"
CANCELS = {"A11": "A01", "A12": "A02", "A13": "A03"}


def seconds(text: str) -> int | None:
    """Since 1970; the simulated hospital sends no zone: UTC."""
    return int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()) if text else None


@dataclass(frozen=True)
class Group:
    """A PID and what follows it, as fields."""

    pid: list[str]
    pv1: list[str]
    mrg: list[str]

    @property
    def patient(self) -> str:
        return self.pid[3].split("^")[0]

    @property
    def visit(self) -> str:
        return self.pv1[19].split("^")[0]

    @property
    def bed(self) -> str:
        """ward/bed; "" where PV1-3 has no bed."""
        parts = [*self.pv1[3].split("^"), "", ""]
        return f"{parts[0]}/{parts[2]}" if parts[2] else ""


class Message:
    """One message, split at bars."""

    def __init__(self, text: str) -> None:
        self.text = text
        rows = [[*line.split("|"), *[""] * 60] for line in text.strip().split("\r")]
        self.msh = rows[0]
        self.event = rows[0][8].removeprefix("ADT^")
        self.sent = seconds(rows[0][6])
        self.evn = next((row for row in rows if row[0] == "EVN"), [""] * 60)
        self.observed = seconds(next((row[7] for row in rows if row[0] == "OBR"), ""))
        self.groups: list[Group] = []
        for row in rows:
            if row[0] == "PID":
                self.groups.append(Group(pid=row, pv1=[""] * 60, mrg=[""] * 60))
            elif row[0] == "PV1":
                self.groups[-1].pv1[:] = row
            elif row[0] == "MRG":
                self.groups[-1].mrg[:] = row

    @cached_property
    def adt_groups(self) -> list[AdtGroup]:
        """As the driver would make them."""
        return [self._adt_group(index, group) for index, group in enumerate(self.groups)]

    def _adt_group(self, index: int, group: Group) -> AdtGroup:
        visit = None
        if group.pv1[0]:
            visit = Visit(
                patient_class=group.pv1[2],
                bed=_bed(group.pv1[3]),
                prior_bed=_bed(group.pv1[6]),
                temporary_bed=_bed(group.pv1[11]),
                number=_identifier(group.pv1[19]),
                admitted_at_us=_us(group.pv1[44]),
                discharged_at_us=_us(group.pv1[45]),
            )
        retired = _identifier(group.mrg[1])
        patients = [_identifier(repetition) for repetition in group.pid[3].split("~")]
        return AdtGroup(
            event=self.event,
            control=self.msh[9],
            digest=hashlib.sha256(self.text.encode()).digest(),
            group=index,
            groups=len(self.groups),
            facility=self.msh[3],
            processing_id=self.msh[10],
            sent_at_us=_us(self.msh[6]),
            recorded_at_us=_us(self.evn[2]),
            planned_at_us=_us(self.evn[3]),
            happened_at_us=_us(self.evn[6]),
            patients=tuple(patient for patient in patients if patient is not None),
            visit=visit,
            merges=(Merge(patients=(retired,)),) if retired else (),
        )


def _us(text: str) -> int | None:
    at = seconds(text)
    return None if at is None else at * 1_000_000


def _identifier(text: str) -> Identifier | None:
    value, _, _, authority, kind = [*text.split("^"), *[""] * 5][:5]
    return Identifier(value=value, authority=authority, type=kind) if value else None


def _bed(text: str) -> SentBed | None:
    ward, room, bed, facility = [*text.split("^"), *[""] * 4][:4]
    return SentBed(ward=ward, room=room, bed=bed, facility=facility) if ward else None


def read_messages(path: Path) -> list[Message]:
    """In the order in which they were sent."""
    text = path.read_bytes().decode()
    return [Message(part) for part in text.split("\n\n") if part.strip()]


NaiveStay = tuple[str, str, int, int | None]  # visit, bed, from, until


class Naive:
    """Who was where, second by second."""

    def __init__(self, messages: list[Message], *, away_counts: bool = True) -> None:
        self.away_counts = away_counts
        adt = [message for message in messages if message.event.startswith("A")]
        cancelled = {
            (CANCELS[m.event], m.groups[0].visit, m.evn[6]) for m in adt if m.event in CANCELS and m.groups[0].visit
        }
        alive = [m for m in adt if (m.event, m.groups[0].visit, m.evn[2]) not in cancelled]
        self.by_second: dict[int, list[Message]] = defaultdict(list)
        for message in sorted(alive, key=lambda m: m.event not in ("A03", "A09")):
            self.by_second[seconds(message.evn[2]) or 0].append(message)
        self.first, self.last = min(self.by_second), max(self.by_second)
        self.survivor_of = {
            group.mrg[1].split("^")[0]: group.patient for m in adt for group in m.groups if group.mrg[1]
        }
        self.patient_of: dict[str, str] = {g.visit: g.patient for m in alive for g in m.groups if g.visit}
        self.beds_at: dict[int, dict[str, str]] = {}
        self.open_at: dict[int, set[str]] = {}
        beds: dict[str, str] = {}
        opened: set[str] = set()
        for second in range(self.first, self.last + 1):
            for message in self.by_second.get(second, []):
                for group in message.groups:
                    self._take(message.event, group, beds, opened)
            self.beds_at[second], self.open_at[second] = dict(beds), set(opened)

    def _take(self, event: str, group: Group, beds: dict[str, str], opened: set[str]) -> None:
        if not group.visit:
            return
        if event in ("A01", "A02", "A10", "A17") and group.bed:
            beds[group.visit] = group.bed
        if event in ("A01", "A04"):
            opened.add(group.visit)
        if event == "A03":
            opened.discard(group.visit)
        if event == "A03" or (event == "A09" and self.away_counts):
            beds.pop(group.visit, None)

    def survivor(self, patient: str) -> str:
        """After all merges."""
        while patient in self.survivor_of:
            patient = self.survivor_of[patient]
        return patient

    def stays(self) -> list[NaiveStay]:
        """Runs of seconds in one bed; what lasts beyond the end has no end."""
        found: list[NaiveStay] = []
        since: dict[str, tuple[str, int]] = {}
        for second in range(self.first, self.last + 1):
            now = self.beds_at[second]
            for visit, (bed, begun) in list(since.items()):
                if now.get(visit) != bed:
                    found.append((visit, bed, begun, second))
                    del since[visit]
            for visit, bed in now.items():
                since.setdefault(visit, (bed, second))
        found += [(visit, bed, begun, None) for visit, (bed, begun) in since.items()]
        return sorted(found, key=str)

    def owner(self, bed: str, patient: str, second: int) -> tuple[str, str | None]:
        """(state or basis, visit) of a value that names its bed and its patient, which is trusted."""
        if second < self.first:
            return "nobody", None
        second = min(second, self.last)
        patient = self.survivor(patient)
        in_bed = [visit for visit, occupied in self.beds_at[second].items() if bed and occupied == bed]
        mine = [v for v in self.open_at[second] if self.survivor(self.patient_of[v]) == patient]
        owners = {self.survivor(self.patient_of[visit]) for visit in in_bed}
        if in_bed and patient not in owners:
            return "conflict", None
        if len(in_bed) == 1:
            return "bed+pid", in_bed[0]
        if len(mine) == 1:
            return "pid", mine[0]
        return "nobody", None
