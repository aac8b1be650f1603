r"""An admission office that sends ADT over MLLP: it admits, moves, swaps, discharges, takes back and merges, seeded.

HL7 2.5, chapter 3: MSH-7 and EVN-2 say when it was written, EVN-6 when it happened where that was earlier, or of a
cancel the time of what is cancelled; PV1-3 is the bed after the event, of A09 empty. A letter may be late (entered by
hand minutes after), doubled (the same bytes again), out of order (overtaken by those after it), missed (an A03 that
nobody sends) or of a bed that there is not. Who really lies where is `Office.lies`, whatever the letters say.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from simulators.hl7_oru import Message, Sender, dialler, dtm

FAMILIES = ("张", "李", "王", "赵", "陈", "Doe", "Müller", "Novák")
GIVEN = ("三", "四", "五", "六", "静", "Jane", "Max", "Eva")
UNKNOWN = ("无名氏", "")
NO_SUCH_BED = "bed-99"
POLL_S = 0.25
LAST_S = 2.0  # at the end, for letters that wait
_WEIGHTS = {
    "admit": 5,
    "move": 4,
    "discharge": 3,
    "swap": 2,
    "leave": 2,
    "back": 3,
    "update": 1,
    "merge": 3,
    "cancel": 2,
}


@dataclass(frozen=True)
class HospitalPlan:
    """What the office does: an event each `every_s` on average, and of all letters these shares go wrong.

    `late_s` is the longest that a late letter waits; its EVN-6 says when it happened.
    """

    beds: tuple[str, ...]
    ward: str = "ICU"
    seed: int = 1
    every_s: float = 20.0
    late: float = 0.0
    late_s: float = 120.0
    doubled: float = 0.0
    disordered: float = 0.0
    wrong: float = 0.0
    empty: float = 0.15  # of the beds, at the beginning

    def __post_init__(self) -> None:
        if len(self.beds) < 2 or self.every_s <= 0:
            raise ValueError("two beds or more, and every_s above 0")
        if not all(0 <= share <= 1 for share in (self.late, self.doubled, self.disordered, self.wrong, self.empty)):
            raise ValueError("shares are from 0 to 1")


def beds_of(count: int) -> tuple[str, ...]:
    """bed-01 and so on, as the simulated ward has them."""
    return tuple(f"bed-{n + 1:02}" for n in range(count))


@dataclass(frozen=True)
class Stay:
    """A patient in the ward; `bed` is "" while they are away (A09)."""

    number: str  # PID-3
    family: str
    given: str
    born: str
    sex: str
    visit: str  # PV1-19
    admitted_us: int
    bed: str

    @property
    def person(self) -> tuple[str, str]:
        """As a monitor has it: the number, and the name as PID-5."""
        return self.number, f"{self.family}^{self.given}".rstrip("^")


class Letter(NamedTuple):
    """One ADT message: when it goes out, and which event it tells; `sent` counts how often."""

    due_us: int
    event: str
    message: Message
    sent: int = 1


@dataclass(frozen=True)
class _Done:
    """What can be taken back: A01, A02 or A03, when it happened, the stay that it made or ended, the bed before."""

    event: str
    at_us: int
    stay: Stay
    bed: str


@dataclass
class Office:
    """Who lies where, and the letters about it. Nothing in it looks at a clock or opens a socket."""

    plan: HospitalPlan
    stays: dict[str, Stay] = field(default_factory=dict)  # by visit
    reserved: dict[str, str] = field(default_factory=dict)  # the bed of who is away, by visit

    def __post_init__(self) -> None:
        self._random = Random(self.plan.seed)
        self._number = self._control = 0
        self._last: _Done | None = None
        self._shares = self.plan  # of letters that go wrong: none of the first ones

    @property
    def lies(self) -> dict[str, Stay]:
        """Who lies where at this moment."""
        return {stay.bed: stay for stay in self.stays.values() if stay.bed}

    @property
    def letters(self) -> int:
        """How many were written."""
        return self._control

    def whose(self, bed: str) -> tuple[str, str] | None:
        """Who lies there, as a monitor has it; None: nobody."""
        stay = self.lies.get(bed)
        return stay.person if stay else None

    def wristband(self, bed: str) -> str | None:
        """What is on the wristband of who lies there: the patient's number; None: nobody does."""
        stay = self.lies.get(bed)
        return _identifier(stay.number, "MR").replace("^^^", "^") if stay else None

    def begin(self, at_us: int) -> list[Letter]:
        """The ward as it is found: as it was left, else a patient in most beds; these letters do not go wrong."""
        letters: list[Letter] = []
        if self.stays:
            return letters
        self._shares = replace(self.plan, late=0.0, doubled=0.0, disordered=0.0, wrong=0.0)
        for number, bed in enumerate(self.plan.beds):
            if self._random.random() >= self.plan.empty or number == 0:
                letters += self._admit(at_us + number * 1000, bed)
        self._last, self._shares = None, self.plan
        return letters

    def act(self, at_us: int) -> list[Letter]:
        """Something happens in the ward."""
        acts = self._possible()
        names = list(acts)
        (name,) = self._random.choices(names, [_WEIGHTS[name] for name in names])
        return acts[name](at_us)

    # --- what can happen

    def _possible(self) -> dict[str, Callable[[int], list[Letter]]]:
        lies, free = self.lies, self._free()
        acts: dict[str, Callable[[int], list[Letter]]] = {}
        if free:
            acts["admit"] = lambda at_us: self._admit(at_us, self._random.choice(free))
        if free and lies:
            acts["move"] = self._move
        if lies:
            acts |= {"discharge": self._discharge, "update": self._update, "leave": self._leave}
        if len(lies) > 1:
            acts["swap"] = self._swap
        if self.reserved:
            acts["back"] = self._back
        if any(stay.family == UNKNOWN[0] for stay in self.stays.values()):
            acts["merge"] = self._merge
        last = self._last
        if last is not None and self._can_cancel(last):
            acts["cancel"] = lambda at_us: self._cancel(at_us, last)
        return acts

    def _free(self) -> list[str]:
        taken = self.lies.keys() | self.reserved.values()
        return [bed for bed in self.plan.beds if bed not in taken]

    def _admit(self, at_us: int, bed: str) -> list[Letter]:
        self._number += 1
        unknown = self._random.random() < 0.2
        family, given = UNKNOWN if unknown else (self._random.choice(FAMILIES), self._random.choice(GIVEN))
        number = f"{'T' if unknown else ''}{self.plan.seed * 1000 + self._number:06}"
        born = "" if unknown else f"{self._random.randint(1930, 2008)}{self._random.randint(1, 12):02}14"
        sex = self._random.choice("MF")
        stay = Stay(number, family, given, born, sex, f"V{self.plan.seed * 1000 + self._number:06}", at_us, bed)
        self.stays[stay.visit] = stay
        self._last = _Done("A01", at_us, stay, "")
        return self._letters("A01", at_us, [_patient(stay), self._visit(stay)])

    def _move(self, at_us: int) -> list[Letter]:
        before = self._one()
        after = replace(before, bed=self._random.choice(self._free()))
        self.stays[after.visit] = after
        self._last = _Done("A02", at_us, after, before.bed)
        sent = replace(after, bed=NO_SUCH_BED) if self._goes_wrong() else after
        return self._letters("A02", at_us, [_patient(after), self._visit(sent, prior=before.bed)])

    def _swap(self, at_us: int) -> list[Letter]:
        one, other = self._random.sample(sorted(self.lies.values(), key=lambda stay: stay.visit), 2)
        moved = (replace(one, bed=other.bed), replace(other, bed=one.bed))
        for stay in moved:
            self.stays[stay.visit] = stay
        self._last = None
        lines = [line for stay, was in zip(moved, (one, other), strict=True)
                 for line in (_patient(stay), self._visit(stay, prior=was.bed))]  # fmt: skip
        return self._letters("A17", at_us, lines)

    def _discharge(self, at_us: int) -> list[Letter]:
        stay = self._one()
        del self.stays[stay.visit]
        self._last = _Done("A03", at_us, stay, stay.bed)
        if self._goes_wrong():
            self._last = None  # nobody sends it, so nobody can take it back
            return []
        return self._letters("A03", at_us, [_patient(stay), self._visit(stay, discharged_us=at_us)])

    def _update(self, at_us: int) -> list[Letter]:
        stay = self._one()
        return self._letters("A08", at_us, [_patient(stay), self._visit(stay)])

    def _leave(self, at_us: int) -> list[Letter]:
        before = self._one()
        self.stays[before.visit] = away = replace(before, bed="")
        self.reserved[before.visit] = before.bed
        self._last = None
        return self._letters("A09", at_us, [_patient(away), self._visit(away, prior=before.bed, away="XRAY")])

    def _back(self, at_us: int) -> list[Letter]:
        visit = self._random.choice(sorted(self.reserved))
        self.stays[visit] = stay = replace(self.stays[visit], bed=self.reserved.pop(visit))
        self._last = None
        return self._letters("A10", at_us, [_patient(stay), self._visit(stay, prior=stay.bed)])

    def _merge(self, at_us: int) -> list[Letter]:
        """Who was nobody has a name now; the number under which they were admitted is retired."""
        before = self._random.choice([s for s in self._sorted() if s.family == UNKNOWN[0]])
        after = replace(before, number=before.number.removeprefix("T"), family="孙", given="七", born="19770707")
        self.stays[after.visit] = after
        self._last = None
        return self._letters("A40", at_us, [_patient(after), f"MRG|{_identifier(before.number, 'MR')}"])

    def _can_cancel(self, last: _Done) -> bool:
        now = self.stays.get(last.stay.visit)
        if last.event == "A03":
            return now is None and last.bed in self._free()
        return now == last.stay and (last.event == "A01" or last.bed in self._free())

    def _cancel(self, at_us: int, last: _Done) -> list[Letter]:
        self._last = None
        stay = replace(last.stay, bed=last.bed)
        if last.event == "A01":
            stay = self.stays.pop(last.stay.visit)
        else:
            self.stays[stay.visit] = stay
        event = {"A01": "A11", "A02": "A12", "A03": "A13"}[last.event]
        prior = last.stay.bed if event == "A12" else ""
        return self._letters(event, at_us, [_patient(stay), self._visit(stay, prior=prior)], happened_us=last.at_us)

    # --- how it is told

    def _one(self) -> Stay:
        return self._random.choice([stay for stay in self._sorted() if stay.bed])

    def _sorted(self) -> Sequence[Stay]:
        return sorted(self.stays.values(), key=lambda stay: stay.visit)

    def _goes_wrong(self) -> bool:
        return self._random.random() < self._shares.wrong

    def _place(self, bed: str) -> str:
        return f"{self.plan.ward}^^{bed}" if bed else ""

    def _visit(self, stay: Stay, *, prior: str = "", away: str = "", discharged_us: int | None = None) -> str:
        fields = [""] * 46
        fields[0], fields[2], fields[3], fields[6] = "PV1", "I", self._place(stay.bed), self._place(prior)
        fields[11], fields[19], fields[44] = away, _identifier(stay.visit, "VN"), dtm(stay.admitted_us)
        fields[45] = dtm(discharged_us) if discharged_us is not None else ""
        return "|".join(fields).rstrip("|")

    def _letters(self, event: str, at_us: int, lines: Sequence[str], happened_us: int | None = None) -> list[Letter]:
        plan, random = self._shares, self._random
        written_us = due_us = at_us
        if happened_us is None and random.random() < plan.late:
            happened_us, written_us = at_us, at_us + round(random.uniform(0.1, 1.0) * plan.late_s * 1e6)
            due_us = written_us
            self._last = None  # a cancel would name a time that nobody has heard of yet
        elif random.random() < plan.disordered:
            due_us += round(random.uniform(0.5, 3.0) * plan.every_s * 1e6)
        self._control += 1
        id_ = f"ADT{plan.seed}.{self._control:06}"
        happened = dtm(happened_us) if happened_us is not None else ""
        head = [
            rf"MSH|^~\&|SIMHIS|{plan.ward}|||{dtm(written_us)}||ADT^{event}|{id_}|P|2.5||||||UNICODE UTF-8",
            f"EVN|{event}|{dtm(written_us)}||||{happened}".rstrip("|"),
        ]
        message = Message("".join(f"{line}\r" for line in (*head, *lines)).encode(), id_)
        return [Letter(due_us, event, message, 2 if random.random() < plan.doubled else 1)]


def _identifier(number: str, kind: str) -> str:
    return f"{number}^^^SIM^{kind}"


def _patient(stay: Stay) -> str:
    name = f"{stay.family}^{stay.given}".rstrip("^")
    return f"PID|||{_identifier(stay.number, 'MR')}||{name}||{stay.born}|{stay.sex}".rstrip("|")


class _Mute:
    """Says nothing by itself on a new connection."""

    def greeting(self) -> list[Message]:
        return []


@dataclass
class HospitalTotals:
    """Messages so far, by event; what is sent twice counts twice."""

    acked: dict[str, int] = field(default_factory=dict)


def office_of(plan: HospitalPlan, left: Path) -> Office:
    """The office as `run_hospital` left it in this file; a new one where there is none."""
    try:
        found = json.loads(left.read_text("utf-8"))
    except FileNotFoundError:
        return Office(plan)
    return Office(plan, {visit: Stay(**stay) for visit, stay in found["stays"].items()}, found["reserved"])


def leave(office: Office, left: Path) -> None:
    """Keep who lies where for the next run."""
    content = {"stays": {visit: asdict(stay) for visit, stay in office.stays.items()}, "reserved": office.reserved}
    left.with_suffix(".new").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    left.with_suffix(".new").replace(left)


async def run_hospital(
    office: Office,
    address: tuple[str, int],
    stop: asyncio.Event,
    duration_s: float | None = None,
    left: Path | None = None,
) -> HospitalTotals:
    """Send what happens until `stop` or the end of `duration_s`; each letter until it is acknowledged.

    Who lies where is kept in the file `left`, for the next run.
    """
    totals, sender = HospitalTotals(), Sender(_Mute(), dialler(*address))
    ended = asyncio.create_task(_ended(stop, duration_s))
    random = Random(office.plan.seed)
    numbers = itertools.count()
    waiting = [(letter.due_us, next(numbers), letter) for letter in office.begin(_now_us())]
    if left is not None:
        leave(office, left)
    due_us = _now_us() + round(office.plan.every_s * 1e6)
    try:
        while not ended.done():
            while waiting and waiting[0][0] <= _now_us() and not ended.done():
                if await _is_delivered(sender, waiting[0][2], totals, ended):
                    heapq.heappop(waiting)
            if _now_us() >= due_us:
                due_us = _now_us() + round(random.uniform(0.3, 1.7) * office.plan.every_s * 1e6)
                for letter in office.act(_now_us()):
                    heapq.heappush(waiting, (letter.due_us, next(numbers), letter))
                if left is not None:
                    leave(office, left)
            await asyncio.wait([ended], timeout=POLL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):  # what is still to be told: the next run does not tell it
                for _, _, letter in sorted(waiting):
                    await _send(sender, letter, totals)
    finally:
        ended.cancel()
        sender.close()
    return totals


async def _ended(stop: asyncio.Event, duration_s: float | None) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), duration_s)


async def _is_delivered(sender: Sender, letter: Letter, totals: HospitalTotals, ended: asyncio.Task[None]) -> bool:
    """Send a letter; False where the end came first."""
    sending = asyncio.create_task(_send(sender, letter, totals))
    await asyncio.wait([sending, ended], return_when=asyncio.FIRST_COMPLETED)
    if not sending.done():
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        return False
    await sending
    return True


async def _send(sender: Sender, letter: Letter, totals: HospitalTotals) -> None:
    """As often as it is to be sent."""
    for _ in range(letter.sent):
        await sender.send(letter.message)
        totals.acked[letter.event] = totals.acked.get(letter.event, 0) + 1


def _now_us() -> int:
    return time.time_ns() // 1000
