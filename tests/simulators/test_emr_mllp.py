"""The simulated EMR over MLLP: what it files, what it refuses, and what each fault does; with our own ORU^R01 too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.emr.answer import Outcome
from adapters.emr.mllp_ack import ANOTHER_MESSAGE, ERROR_INSIDE, read_ack
from adapters.emr.oru import OruStyle, oru_r01, result_of
from clinical.chart import Status
from clinical.charted import ChartedVersion
from simulators.emr import Emr, EmrPlan, running_emr
from tests.adapters.emr.charted import PERSON, SLOT_US, STAY, charted
from tests.simulators.emr_client import Mllp, connected

STYLE = OruStyle(time_zone="Asia/Shanghai")
Scene = Callable[[Emr, Mllp], Awaitable[None]]


def with_emr(scene: Scene, plan: EmrPlan | None = None) -> None:
    async def play() -> None:
        async with running_emr(plan or EmrPlan()) as emr, connected(emr) as mllp:
            await scene(emr, mllp)

    asyncio.run(play())


def oru(control_id: str, *versions: ChartedVersion, style: OruStyle = STYLE) -> bytes:
    return oru_r01(versions or (charted(),), control_id, style, SLOT_US + 2_000_000)


def shown(emr: Emr) -> list[tuple[str, str, int]]:
    return [(row.value, row.status, row.version) for row in emr.table.rows()]


def test_a_result_stands_in_the_table_as_it_was_sent() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        answer = await mllp.ask(oru("A1", charted("MDC_TEMP", 36.5, unit="Cel", decimals=2)))
        assert read_ack(answer, "A1").outcome is Outcome.ACCEPTED
        (row,) = emr.table.rows()
        result = result_of(charted("MDC_TEMP"))
        assert row.identity == f"{result.filler_number}/{result.code}/{result.sub_id}"
        assert (row.patient, row.encounter, row.place) == ("4711", "V1", "icu^1^bed-07^main")
        assert (row.code, row.value, row.unit, row.status) == ("8310-5", "36.50", "Cel", "F")
        assert (row.observed_at, row.message_id, row.version) == ("2026-09-21T22:13:10+08:00", "A1", 1)

    with_emr(scene)


@pytest.mark.parametrize("version", ["2.4", "2.5.1", "2.6"])
@pytest.mark.parametrize("character_set", ["UNICODE UTF-8", "GB18030"])
def test_any_text_is_read_in_any_version_and_charset(version: str, character_set: str) -> None:
    text = "翻身拍背 | 5^6 ~ \\ & \n次/min"

    async def scene(emr: Emr, mllp: Mllp) -> None:
        style = OruStyle(version=version, character_set=character_set)  # type: ignore[arg-type]
        await mllp.ask(oru("A1", charted("observation", None, text=text, unit=""), style=style))
        assert [row.value for row in emr.table.rows()] == [text]

    with_emr(scene)


def test_corrections_and_withdrawals_act_on_the_earlier_result() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        for number, (value, status) in enumerate([
            (96.0, Status.PRELIMINARY), (97.0, Status.FINAL), (97.0, Status.FINAL), (98.0, Status.AMENDED),
            (98.0, Status.ENTERED_IN_ERROR),
        ], 1):  # fmt: skip
            answer = await mllp.ask(oru(f"A{number}", charted(value=value, status=status, number=number)))
            assert read_ack(answer, f"A{number}").outcome is Outcome.ACCEPTED
        assert shown(emr) == [("98", "W", 5)]
        versions = emr.table.versions(1)
        assert [(each["value"], each["status"]) for each in versions] == [
            ("96", "P"), ("97", "F"), ("97", "F"), ("98", "C"), ("98", "W"),
        ]  # fmt: skip
        again = charted(entry="0190aaaa-0000-7000-8000-000000000002", ordinal=2)
        await mllp.ask(oru("A6", again))
        assert shown(emr) == [("98", "W", 5), ("97", "F", 1)]

    with_emr(scene)


def test_a_resend_is_answered_the_same_and_filed_once() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        message = oru("A1")
        assert await mllp.ask(message) == await mllp.ask(message)
        assert shown(emr) == [("97", "F", 1)]

    with_emr(scene)


@pytest.mark.parametrize(
    ("before", "wrong", "reason"),
    [
        ([], charted(status=Status.ENTERED_IN_ERROR), "unknown key identifier (204) at OBX-11"),
        ([charted()], charted(value=96.0, number=2), "other HL7 error (199) at OBX-11"),
        ([charted()], charted(status=Status.PRELIMINARY, number=2), "other HL7 error (199) at OBX-11"),
        ([charted()], charted(person=replace(PERSON, identifiers=())), "required field missing (101) at PID-3"),
        (
            [charted(), charted(status=Status.ENTERED_IN_ERROR, number=2)],
            charted(status=Status.AMENDED, number=3),
            "other HL7 error (199) at OBX-11",
        ),
    ],
)
def test_what_makes_no_sense_is_ae_and_not_filed(
    before: list[ChartedVersion], wrong: ChartedVersion, reason: str
) -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        for number, each in enumerate(before):
            await mllp.ask(oru(f"B{number}", each))
        filed = shown(emr)
        answer = read_ack(await mllp.ask(oru("A1", wrong)), "A1")
        assert (answer.outcome, answer.code) == (Outcome.PARK, "AE")
        assert answer.reason == f"AE: {reason}"
        assert shown(emr) == filed

    with_emr(scene)


def test_a_result_goes_over_to_another_patient_with_its_encounter_alone() -> None:
    style = replace(STYLE, version="2.6")  # the identity of a result has no encounter in it

    async def scene(emr: Emr, mllp: Mllp) -> None:
        await mllp.ask(oru("A1", style=style))
        elsewhere = charted(number=2, stay=replace(STAY, key="visit:V2^HOSPITAL"))
        answer = read_ack(await mllp.ask(oru("A2", elsewhere, style=style)), "A2")
        assert answer.reason == "AE: duplicate key identifier (205) at PV1-19"
        survivor = replace(PERSON, identifiers=(replace(PERSON.identifiers[0], value="4700"),))
        merged = charted(value=98.0, status=Status.AMENDED, number=2, person=survivor)
        assert read_ack(await mllp.ask(oru("A3", merged, style=style)), "A3").outcome is Outcome.ACCEPTED
        assert [each["patient"] for each in emr.table.versions(1)] == ["4711", "4700"]

    with_emr(scene)


@pytest.mark.parametrize("spoilt", [b"", b"hello", b"MSH|^~\\&|a", b"MSH|^~\\&|||||||ORU^R01|A1|P|2.5.1\rPID|1||4"])
def test_what_is_no_oru_is_ae(spoilt: bytes) -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        assert b"\rMSA|AE|" in await mllp.ask(spoilt)
        assert shown(emr) == []

    with_emr(scene)


@pytest.mark.parametrize(
    ("fault", "outcome", "reason", "filed"),
    [
        ("ae=1", Outcome.PARK, "AE: unknown key identifier (204) at PID-3", 0),
        ("ar=1", Outcome.RETRY, "AR: application record locked (206)", 0),
        ("error_inside=1", Outcome.PARK, f"{ERROR_INSIDE}: application internal error (207)", 0),
        ("other=1", Outcome.PARK, ANOTHER_MESSAGE, 1),
        ("slow=0.01", Outcome.ACCEPTED, "", 1),
        ("late=0.01", Outcome.ACCEPTED, "", 1),
    ],
)
def test_a_fault_is_seen_in_the_answer_and_then_over(fault: str, outcome: Outcome, reason: str, filed: int) -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        await emr.set_faults(fault)
        answer = read_ack(await mllp.ask(oru("A1")), "A1")
        assert (answer.outcome, answer.reason, len(shown(emr))) == (outcome, reason, filed)
        assert emr.faults.happened[fault.split("=")[0]] == 1
        assert read_ack(await mllp.ask(oru("A1")), "A1").outcome is Outcome.ACCEPTED
        assert shown(emr) == [("97", "F", 1)]

    with_emr(scene)


def test_a_lost_answer_is_filed_and_its_resend_is_answered() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        await emr.set_faults("lost=1")
        await mllp.send(oru("A1"))
        answer = await mllp.ask(oru("A2", charted("MDC_TEMP", 37.0, unit="Cel")))
        assert read_ack(answer, "A2").outcome is Outcome.ACCEPTED  # nothing came for A1
        assert len(shown(emr)) == 2
        assert read_ack(await mllp.ask(oru("A1")), "A1").outcome is Outcome.ACCEPTED
        assert len(shown(emr)) == 2

    with_emr(scene)


def test_a_doubled_answer_is_taken_for_the_next_message_by_who_does_not_look() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        await emr.set_faults("doubled=1")
        await mllp.ask(oru("A1"))
        answer = await mllp.ask(oru("A2", charted("MDC_TEMP", 37.0, unit="Cel")))
        assert read_ack(answer, "A2").reason == ANOTHER_MESSAGE

    with_emr(scene)


def test_one_that_is_down_refuses_and_is_there_again_at_the_same_port(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        await emr.set_faults("down")
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await mllp.ask(oru("A1"))
        with pytest.raises(OSError, match=r"\w"):
            await asyncio.open_connection(*emr.mllp_address)
        await emr.set_faults("none")
        async with connected(emr) as again:
            await again.ask(oru("A1"))
        assert shown(emr) == [("97", "F", 1)]

    with_emr(scene)
    assert caplog.records == []


def test_one_that_lets_duplicates_through_has_two_rows() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        await mllp.ask(oru("A1"))
        await mllp.ask(oru("A1"))
        assert shown(emr) == [("97", "F", 1), ("97", "F", 1)]

    with_emr(scene, EmrPlan(faults="duplicates"))


def test_a_table_in_a_file_outlives_its_process(tmp_path: Path) -> None:
    plan = EmrPlan(table=tmp_path / "emr.sqlite")

    async def first(emr: Emr, mllp: Mllp) -> None:
        await mllp.ask(oru("A1"))

    async def second(emr: Emr, mllp: Mllp) -> None:
        await mllp.ask(oru("A1"))
        assert shown(emr) == [("97", "F", 1)]

    with_emr(first, plan)
    with_emr(second, plan)


def test_a_hundred_messages_over_eight_connections_are_each_filed_once() -> None:
    async def scene(emr: Emr, mllp: Mllp) -> None:
        queue = list(range(100))

        async def worker() -> None:
            async with connected(emr) as own:
                while queue:
                    number = queue.pop()
                    entry = charted(slot_us=SLOT_US + number)
                    answer = await own.ask(oru(f"A{number}", entry))
                    assert read_ack(answer, f"A{number}").outcome is Outcome.ACCEPTED

        await asyncio.gather(*(worker() for _ in range(8)))
        assert len({row.identity for row in emr.table.rows()}) == len(shown(emr)) == 100

    with_emr(scene)
