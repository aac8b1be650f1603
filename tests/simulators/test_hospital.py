"""The simulated admission office: its letters say what happened, and what is wrong with them was asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.devices.hl7_adt import DRIVER, AdtSettings, read
from adapters.driver import Source
from adapters.session import Moment, Outcome
from schemas.adt import GROUP_CODE, AdtGroup, decode_group
from simulators.hl7_oru import Monitor
from simulators.hospital import NO_SUCH_BED, HospitalPlan, Letter, Office, beds_of, leave, office_of, run_hospital
from simulators.patient import Patient

AT_US = 1_790_000_000_000_000
PLAN = HospitalPlan(beds=beds_of(8), seed=3)
EVENTS = {"A01", "A02", "A03", "A08", "A09", "A10", "A11", "A12", "A13", "A17", "A40"}


def played(plan: HospitalPlan, acts: int = 400) -> tuple[Office, list[Letter]]:
    office = Office(plan)
    letters = office.begin(AT_US)
    for number in range(acts):
        letters += office.act(AT_US + (number + 1) * round(plan.every_s * 1e6))
    return office, letters


def groups_of(letter: Letter) -> list[AdtGroup]:
    source = Source("his", AdtSettings(), received_at_us=letter.due_us)
    found = []
    for report in read(letter.message.payload, source):
        texts = {r.as_sent.code: r.text for r in report.records if r.as_sent}
        found.append(decode_group(texts[GROUP_CODE] or ""))
    return found


class Naive:
    """Beds by visit, from the letters alone, in the order in which they are read."""

    def __init__(self) -> None:
        self.beds: dict[str, str] = {}
        self.numbers: dict[str, str] = {}

    def take(self, group: AdtGroup) -> None:
        if group.event == "A40":
            old, new = group.merges[0].patients[0].value, group.patients[0].value
            self.numbers = {visit: new if number == old else number for visit, number in self.numbers.items()}
            return
        assert group.visit is not None
        assert group.visit.number is not None
        visit, bed = group.visit.number.value, group.visit.bed.bed if group.visit.bed else ""
        self.numbers[visit] = group.patients[0].value
        if group.event in ("A03", "A11"):
            del self.beds[visit]
        else:
            self.beds[visit] = bed

    @property
    def lies(self) -> dict[str, str]:
        return {bed: self.numbers[visit] for visit, bed in self.beds.items() if bed}


def test_its_letters_say_who_lies_where() -> None:
    office, naive = Office(PLAN), Naive()
    letters = office.begin(AT_US)
    for number in range(600):
        for letter in letters:
            for group in groups_of(letter):
                naive.take(group)
        assert naive.lies == {bed: stay.number for bed, stay in office.lies.items()}
        letters = office.act(AT_US + (number + 1) * 20_000_000)


def test_everything_happens_and_the_same_seed_tells_the_same() -> None:
    _, letters = played(PLAN)
    assert {letter.event for letter in letters} == EVENTS
    assert played(PLAN)[1] == letters
    assert played(replace(PLAN, seed=4))[1] != letters
    ids = [letter.message.id for letter in letters]
    assert len(set(ids)) == len(ids)
    assert all(letter.sent == 1 for letter in letters)
    assert [letter.due_us for letter in letters] == sorted(letter.due_us for letter in letters)


def test_a_cancel_names_the_time_of_what_it_cancels() -> None:
    _, letters = played(PLAN)
    groups = [group for letter in letters for group in groups_of(letter)]
    cancelled = {"A11": "A01", "A12": "A02", "A13": "A03"}
    found = [group for group in groups if group.event in cancelled]
    assert len(found) > 10
    for group in found:
        assert group.visit is not None
        (struck,) = [
            each for each in groups
            if each.event == cancelled[group.event] and each.recorded_at_us == group.happened_at_us
        ]  # fmt: skip
        assert struck.visit is not None
        assert struck.visit.number == group.visit.number


def test_what_goes_wrong_is_what_was_asked_for() -> None:
    _, letters = played(replace(PLAN, late=0.1, doubled=0.2, disordered=0.1))
    groups = [group for letter in letters for group in groups_of(letter)]
    late = [g for g in groups if g.happened_at_us is not None and g.event not in ("A11", "A12", "A13")]
    assert 20 < len(late) < 80
    assert all((g.recorded_at_us or 0) - (g.happened_at_us or 0) > 5_000_000 for g in late)
    assert 50 < sum(letter.sent == 2 for letter in letters) < 110
    overtaken = [each for each in letters if each.due_us > (groups_of(each)[0].recorded_at_us or 0) + 1_000]
    assert 20 < len(overtaken) < 80


def test_the_first_letters_do_not_go_wrong() -> None:
    letters = Office(replace(PLAN, late=1.0, doubled=1.0, disordered=1.0)).begin(AT_US)
    assert len(letters) >= 5
    assert all(letter.sent == 1 and letter.due_us < AT_US + 1_000_000 for letter in letters)


def test_a_discharge_that_nobody_sends_and_a_bed_that_there_is_not() -> None:
    office, letters = played(replace(PLAN, wrong=1.0))
    events = Counter(letter.event for letter in letters)
    assert "A03" not in events
    assert events["A02"] > 10
    moves = [g.visit for letter in letters for g in groups_of(letter) if g.event == "A02"]
    beds = {visit.bed.bed for visit in moves if visit and visit.bed}
    assert beds == {NO_SUCH_BED}
    assert NO_SUCH_BED not in office.lies
    admitted = {g.visit.number for letter in letters for g in groups_of(letter) if g.event == "A01" and g.visit}
    assert len(admitted) > len(office.stays)  # they have left, and nobody said so


@pytest.mark.parametrize("wrong", [{"beds": ("bed-01",)}, {"every_s": 0}, {"late": 1.5}, {"wrong": -0.1}])
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"two beds or more|shares are from 0 to 1"):
        replace(PLAN, **wrong)  # type: ignore[arg-type]


def test_the_next_run_goes_on_with_those_who_lie_there(tmp_path: Path) -> None:
    office, _ = played(PLAN, 50)
    while not office.reserved:
        office.act(AT_US)
    left = tmp_path / "hospital.json"
    leave(office, left)
    again = office_of(replace(PLAN, seed=9), left)
    assert (again.stays, again.reserved, again.begin(AT_US)) == (office.stays, office.reserved, [])
    assert again.whose("bed-99") is None
    bed, stay = next(iter(office.lies.items()))
    assert again.whose(bed) == stay.person
    assert len(office_of(PLAN, tmp_path / "none.json").begin(AT_US)) >= 5


@pytest.mark.parametrize("dialect", ["pcd01", "plain", "mindray"])
def test_a_monitor_has_the_patient_who_lies_there(dialect: str) -> None:
    lies: dict[str, tuple[str, str]] = {"bed-01": ("003001", "张^三")}
    monitor = Monitor(dialect, "bed-01", Patient(1001, "healthy"), 3, lies.get)
    sent = b"".join(message.payload for message in [*monitor.greeting(), *monitor.messages(1.0, AT_US)])
    codec = "gb18030" if dialect == "plain" else "utf-8"
    assert "003001" in sent.decode(codec)
    lies["bed-01"] = ("003002", "李^四")
    sent = b"".join(message.payload for message in monitor.messages(2.0, AT_US + 1_000_000))
    assert "003002" in sent.decode(codec)
    assert "李^四" in sent.decode(codec)
    lies.clear()
    text = b"".join(message.payload for message in monitor.messages(3.0, AT_US + 2_000_000)).decode(codec)
    assert "00300" not in text
    assert "PID|" in text


def test_it_sends_until_it_is_told_to_stop_each_letter_until_it_is_acknowledged() -> None:
    asyncio.run(asyncio.wait_for(_sent_and_acknowledged(), 60))


async def _sent_and_acknowledged() -> None:
    got: list[bytes] = []
    stop = asyncio.Event()

    async def edge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert DRIVER.session is not None
        session, now, lost = DRIVER.session(AdtSettings()), Moment(0, AT_US), not got
        while data := await reader.read(65536):
            for piece in session.feed(data, now).pieces:
                got.append(piece.data)
                if lost:
                    writer.close()  # without an answer
                    return
                assert piece.token is not None
                writer.write(session.kept(piece.token, Outcome.KEPT, "", now).send)
            if len(got) > 20:
                stop.set()

    async with await asyncio.start_server(edge, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()[:2]
        office = Office(replace(PLAN, every_s=0.01))
        totals = await run_hospital(office, address, stop)
    assert got[0] == got[1]  # the same bytes again
    assert sum(totals.acked.values()) >= len(got) - 2
    assert totals.acked["A01"] >= 5


def test_what_waits_at_the_end_is_sent_before_it_goes() -> None:
    asyncio.run(asyncio.wait_for(_ended_with_letters_that_wait(), 60))


async def _ended_with_letters_that_wait() -> None:
    got: list[str] = []
    stop = asyncio.Event()

    async def edge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert DRIVER.session is not None
        session, now = DRIVER.session(AdtSettings()), Moment(0, AT_US)
        while data := await reader.read(65536):
            for piece in session.feed(data, now).pieces:
                got.append(piece.data.decode().split("|", 10)[9])
                assert piece.token is not None
                writer.write(session.kept(piece.token, Outcome.KEPT, "", now).send)
            if office.letters > 12:
                stop.set()

    office = Office(replace(PLAN, every_s=0.1, disordered=1.0))
    async with await asyncio.start_server(edge, "127.0.0.1", 0) as server:
        await run_hospital(office, server.sockets[0].getsockname()[:2], stop)
    assert sorted(got) == [f"ADT3.{number + 1:06}" for number in range(office.letters)]
