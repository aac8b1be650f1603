"""A second opinion on ADT: for each second anew, from what was said, in the order in which it happened.

Knows nothing of ours. Beds are numbers (0: none was sent, 9: one that nobody knows), visits and patients too. No PV1-45
and no plans: those have tests of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LAST = 110
STRIKES = {
    "A11": ("A01", "A04"),
    "A12": ("A02",),
    "A13": ("A03",),
    "A32": ("A10",),
    "A33": ("A09",),
    "A52": ("A21",),
    "A53": ("A22",),
}
PATIENT_OF = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3}  # visit -> patient


@dataclass(frozen=True)
class SentGroup:
    """One group. A swap is two, with one number."""

    event: str
    visit: int
    bed: int
    at: int  # when it happened; of a cancel, when it was recorded
    recorded: int
    sent: int  # no two are alike
    struck_at: int | None = None  # EVN-6 of a cancel
    swap_with: int | None = None  # the other visit
    retired: int | None = None  # A40: the patient whose number goes


@dataclass
class VisitNow:
    """At one second."""

    open: int = 0  # which time it was opened; 0: it is not
    opened: int = 0
    closed: bool = False
    admitted: bool = False
    kept: int = 0
    entry: int = 0  # which time somebody was put into a bed; 0: in none
    entries: int = 0
    on_leave: bool = False

    def put(self, bed: int, *, returns: bool = False) -> None:
        """Into a bed, or into none."""
        if self.on_leave and not returns:
            self.kept = bed
            return
        if self.entry and self.kept == bed:
            return
        self.on_leave = False
        self.entry = 0
        self.kept = bed
        if bed:
            self.entries += 1
            self.entry = self.entries

    def start(self) -> None:
        if not self.open:
            self.opened += 1
            self.open = self.opened
            self.closed = False

    def stop(self) -> None:
        self.open = self.entry = self.kept = 0
        self.closed, self.admitted, self.on_leave = True, False, False


@dataclass(frozen=True)
class Scan:
    """A device and a visit, from then on."""

    visit: int
    at: int


@dataclass(frozen=True)
class Said:
    """What a person said, after all else was known: a device is a visit's, or nobody's (0), during [at, until)."""

    visit: int
    at: int
    until: int


@dataclass
class Hospital:
    """Who was where, whatever the messages' order."""

    emitted: Sequence[SentGroup]
    struck: dict[int, SentGroup] = field(default_factory=dict)  # by `sent`: the cancel that strikes it
    aim: dict[int, int] = field(default_factory=dict)  # cancel -> the latest that it strikes

    def __post_init__(self) -> None:
        for cancel in sorted((s for s in self.emitted if s.event in STRIKES), key=lambda s: (s.recorded, s.sent)):
            mine = [
                s
                for s in self.emitted
                if s.visit == cancel.visit and s.event in STRIKES[cancel.event] and s.sent not in self.struck
            ]
            if cancel.struck_at is not None:
                hit = [s for s in mine if cancel.struck_at in (s.at, s.recorded)]
            else:
                before = [s for s in mine if s.recorded < cancel.recorded]
                before = before or [s for s in mine if s.recorded == cancel.recorded]
                latest = max(before, key=lambda s: (s.recorded, s.sent), default=None)
                hit = [s for s in mine if latest and (s.event, s.at, s.bed) == (latest.event, latest.at, latest.bed)]
            for one in hit:
                self.struck[one.sent] = cancel
            if hit:
                self.aim[cancel.sent] = max(hit, key=lambda s: (s.recorded, s.sent)).sent
        self.label = {patient: patient for patient in PATIENT_OF.values()}
        for merge in sorted((s for s in self.emitted if s.retired is not None), key=lambda s: (s.at, s.sent)):
            gone, stays = self.label[merge.retired or 0], self.label[PATIENT_OF[merge.visit]]
            self.label = {patient: stays if label == gone else label for patient, label in self.label.items()}
        self.seconds = [self._at(second) for second in range(-1, LAST + 1)]

    def at(self, second: int) -> dict[int, VisitNow]:
        return self.seconds[second + 1]

    def patient(self, visit: int) -> int:
        return self.label[PATIENT_OF[visit]]

    def _at(self, second: int) -> dict[int, VisitNow]:
        now = {visit: VisitNow() for visit in PATIENT_OF}
        restored: dict[int, int] = {}
        ends = ("A03", "A09", "A21")
        for emitted in sorted(self.emitted, key=lambda s: (s.at, s.event not in ends, s.sent, s.swap_with or 0)):
            if emitted.at > second:
                break
            visit = now[emitted.visit]
            if emitted.sent in self.struck:
                for cancel, aimed in self.aim.items():
                    if aimed == emitted.sent:
                        restored[cancel] = visit.kept
                if emitted.event in ("A01", "A04") and not visit.open:
                    visit.closed = True
            else:
                self._take(emitted, visit, now, restored)
        return now

    def _take(self, emitted: SentGroup, visit: VisitNow, now: dict[int, VisitNow], restored: dict[int, int]) -> None:
        bed = 0 if emitted.bed == 9 else emitted.bed
        gone = visit.closed and not visit.open
        if emitted.event == "A01":
            if not (visit.open and visit.admitted and visit.kept == bed):
                visit.start()
                visit.put(bed)
                visit.admitted = True
        elif emitted.event == "A04":
            visit.start()
            if emitted.bed:
                visit.put(bed)
        elif emitted.event == "A06":
            self._change_class(emitted, visit, now)
        elif emitted.event == "A03":
            visit.stop()
        elif emitted.event in ("A09", "A21") and not gone:
            visit.start()
            visit.entry = 0
            visit.on_leave = emitted.event == "A21"
        elif emitted.event == "A22" and not emitted.bed and visit.kept and visit.on_leave:
            visit.put(visit.kept, returns=True)
        elif emitted.event in ("A02", "A10", "A17", "A22") and not gone:
            visit.start()
            visit.put(bed, returns=emitted.event == "A22")
        elif emitted.event in ("A12", "A13") and not gone and emitted.bed and restored.get(emitted.sent, bed) != bed:
            visit.start()
            visit.put(bed)

    def _change_class(self, emitted: SentGroup, visit: VisitNow, now: dict[int, VisitNow]) -> None:
        bed = 0 if emitted.bed == 9 else emitted.bed
        if not visit.open:
            others = [
                other
                for number, other in now.items()
                if number != emitted.visit
                and other.open
                and other.kept
                and self.patient(number) == self.patient(emitted.visit)
            ]
            same_bed = [other for other in others if other.kept == bed]
            if len(same_bed) == 1:
                others = same_bed
            if len(others) == 1:
                bed = bed if emitted.bed else others[0].kept
                others[0].stop()
        visit.start()
        visit.put(bed)

    def in_bed(self, second: int) -> dict[int, int]:
        """visit -> bed."""
        return {number: visit.kept for number, visit in self.at(second).items() if visit.entry}

    def is_open(self, second: int) -> set[int]:
        return {number for number, visit in self.at(second).items() if visit.open}

    def whose(
        self,
        second: int,
        *,
        stood: Sequence[int],
        shown: Sequence[int],
        scans: Sequence[Scan],
        trusted: bool,
        said: Sequence[Said] = (),
        ends: Sequence[int] = (),
    ) -> tuple[str, int | None]:
        """(state or basis, visit). `stood`, `shown`: the device's bed and the patient it names, by second; 0: none."""
        opened, in_bed = self.is_open(second), self.in_bed(second)
        for one in reversed(said):  # what was said last counts
            if one.at <= second < one.until and not self._moved(one.visit, one.at, second, stood):
                if not one.visit:
                    return "act", None
                if one.visit in opened:
                    return "act", one.visit
        others = [*(scan.at for scan in scans), *(one.at for one in said), *ends]
        alive = [s for s in scans if s.at <= second and s.visit in opened and not self._cut(s, second, stood, others)]
        if alive:
            return "scan", max(alive, key=lambda scan: scan.at).visit
        occupants = [visit for visit, bed in in_bed.items() if bed == stood[second]]
        patients = {self.patient(visit) for visit in occupants}
        named = self.label.get(shown[second])
        if len(occupants) == 1:
            if named is None:
                return "bed", occupants[0]
            return ("bed+pid", occupants[0]) if named in patients else ("conflict", None)
        if named is not None and trusted:
            mine = [visit for visit in opened if self.patient(visit) == named]
            if occupants and named not in patients:
                return "conflict", None
            if len(mine) == 1:
                return "pid", mine[0]
        return "nobody", None

    def _cut(self, scan: Scan, second: int, stood: Sequence[int], others: Sequence[int]) -> bool:
        """Somebody or something changed its place since, or something else was scanned or said of the device."""
        if any(scan.at < other <= second for other in others):
            return True
        return self._moved(scan.visit, scan.at, second, stood)

    def _moved(self, number: int, since: int, second: int, stood: Sequence[int]) -> bool:
        """The device, or the visit (0: none)."""
        for now in range(since + 1, second + 1):
            if stood[now] != stood[now - 1]:
                return True
            if number:
                before, after = self.at(now - 1)[number], self.at(now)[number]
                if before.entry != after.entry or before.open not in (0, after.open):
                    return True
        return False
