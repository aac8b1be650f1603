"""Which patient, place, device and moment an HL7 v2 value belongs to, and what becomes of other segments."""

from __future__ import annotations

import pytest

from adapters.devices.hl7_oru import Hl7Settings
from adapters.driver import Source
from adapters.formats.hl7_parts import DEVICES_MAX
from schemas.errors import FrameError
from schemas.report import LATE_CONTEXT, ClockQuality, Kind, Lane, Mark, Validity
from tests.hl7 import MSH, OBR, PV1, RECEIVED_AT_US, frame, measured, obx, records, reports, source

NIBP = "150021^MDC_PRESS_BLD_NONINV_SYS^MDC"
TEMP = "150344^MDC_TEMP^MDC"


# --- times ---


@pytest.mark.parametrize("nothing", ["", '""', "  ", '""^x', "^"])
def test_a_level_that_says_nothing_falls_through(nothing: str) -> None:
    (at,) = reports(frame(PV1, f"OBR|1|||X|||{nothing}", obx("73", time=nothing)))
    assert (at.observed_at_us, at.clock_quality, at.own_time) == (RECEIVED_AT_US - 1_000_000, ClockQuality.DEVICE, True)
    msh = MSH.replace("20260921141319+0000", nothing)
    (at,) = reports(frame(PV1, f"OBR|1|||X|||{nothing}", obx("73", time=nothing), msh=msh))
    assert (at.observed_at_us, at.clock_quality, at.own_time) == (RECEIVED_AT_US, ClockQuality.RECEIVED, False)


@pytest.mark.parametrize(
    "impossible",
    ["00000000000000", "20260231000000", "00010101000000", "18991231235959", "20261301000000", "yesterday", "0",
     "20260921256100", "2" * 200],
)  # fmt: skip
def test_a_time_that_cannot_be_makes_the_moment_doubtful(impossible: str) -> None:
    (found,) = reports(measured(obx("73", time=impossible)))
    assert (found.observed_at_us, found.clock_quality) == (RECEIVED_AT_US - 1_000_000, ClockQuality.DOUBTFUL)
    assert found.own_time is False
    assert found.records[0].note == f"OBX-14 as sent: {impossible[:80]}"
    (found,) = reports(frame(PV1, f"OBR|1|||X|||{impossible}", obx("73"), msh=MSH.replace("20260921141319+0000", "")))
    assert (found.observed_at_us, found.clock_quality) == (RECEIVED_AT_US, ClockQuality.DOUBTFUL)
    assert (found.device_at_us, found.own_time) == (None, False)


def test_a_time_less_exact_than_a_second_is_no_time_of_the_frames_own() -> None:
    msh = MSH.replace("20260921141319+0000", "202609211413+0000")
    (found,) = reports(frame(PV1, obx("73"), msh=msh))
    assert (found.clock_quality, found.own_time, found.uncertainty_ms) == (ClockQuality.DEVICE, False, 60_000)


def test_an_offset_of_obr_7_holds_for_the_values_below_it() -> None:
    (found,) = reports(frame(PV1, "OBR|1|||X|||20260921161319+0200", obx("73", time="20260921161318")))
    assert found.observed_at_us == RECEIVED_AT_US - 2_000_000


# --- patients, devices, segments ---


def contexts(data: bytes) -> list[tuple[str, list[str]]]:
    return [(r.claim, [str(x.text) for x in r.records]) for r in reports(data, None, Kind.CONTEXT)]


def test_nothing_of_the_first_patient_is_lent_to_the_second() -> None:
    data = frame(
        "PID|1||A1", "PV1||I|ICU^^01", OBR, obx("97"), "PID|2||B2", obx("82"), OBR,
        obx("81", time="20260921141318+0000"),
        "PV1||I|ICU^^02", obx("80"),
    )  # fmt: skip
    assert [(r.claim, [x.mantissa for x in r.records]) for r in reports(data)] == [
        ("test/PV1-3=ICU^^01", [97]), ("test/connection=10.0.0.7", [82]), ("test/connection=10.0.0.7", [81]),
        ("test/PV1-3=ICU^^02", [80]),
    ]  # fmt: skip
    assert contexts(data) == [
        ("test/PV1-3=ICU^^01", ["A1", "I", "ICU^^01"]), ("test/connection=10.0.0.7", ["B2"]),
        ("test/PV1-3=ICU^^02", ["B2", "I", "ICU^^02"]),
    ]  # fmt: skip


def test_beds_in_one_message_without_patients() -> None:
    data = frame("PV1||I|ICU^^01", OBR, obx("97"), "PV1||I|ICU^^02", OBR, obx("82"))
    assert [(r.claim, r.records[0].mantissa) for r in reports(data)] == [
        ("test/PV1-3=ICU^^01", 97), ("test/PV1-3=ICU^^02", 82),
    ]  # fmt: skip


def test_a_patient_without_values_has_a_context_of_the_own_bed() -> None:
    data = frame("PID|1||A1", "PV1||I|ICU^^01", "PID|2||B2", "PV1||I|ICU^^02", OBR, obx("82"))
    assert contexts(data) == [
        ("test/PV1-3=ICU^^01", ["A1", "I", "ICU^^01"]), ("test/PV1-3=ICU^^02", ["B2", "I", "ICU^^02"]),
    ]  # fmt: skip


def test_two_patients_on_one_connection_without_beds_are_ambiguous() -> None:
    data = frame("PID|1||A1", OBR, obx("97"), "PID|2||B2", OBR, obx("82"))
    assert [bool(r.marks & Mark.AMBIGUOUS) for r in records(data)] == [True, True]


def test_the_equipment_of_one_obr_is_not_that_of_the_next() -> None:
    node = "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{}"
    data = frame(
        PV1, OBR, node.format("AAAA000000000001"), obx("97", sub_id="1.1.1.1"),
        OBR, node.format("AAAA000000000002"), obx("82", sub_id="1.1.1.1"), OBR, obx("80", sub_id="1.1.1.1"),
    )  # fmt: skip
    assert [(r.claim, r.records[0].mantissa) for r in reports(data)] == [
        ("eui64:aaaa000000000001", 97), ("eui64:aaaa000000000002", 82), ("test/PV1-3=ICU^^07", 80),
    ]  # fmt: skip


def test_two_devices_under_one_mds_lend_nothing_to_a_third_value() -> None:
    data = measured(
        obx("97", sub_id="1.1.1.1", equipment="AAAA000000000001"),
        obx("61", sub_id="1.2.1.1", equipment="AAAA000000000002"), obx("80", sub_id="1.3.1.1"),
    )  # fmt: skip
    assert [r.claim for r in reports(data)][2] == "test/PV1-3=ICU^^07"


@pytest.mark.parametrize("place", ["ICU^^07   ", " ICU ^ ^ 07", "ICU^^07^^", "ICU^^07"])
def test_padding_makes_no_other_bed(place: str) -> None:
    assert reports(frame(f"PV1||I|{place}", OBR, obx("97")))[0].claim == "test/PV1-3=ICU^^07"


def test_names_are_not_kept() -> None:
    found = reports(frame("PID|||4711||Doe^Jane||19560214|F", PV1, OBR, obx("97")), None, None)
    assert not any("Doe" in str(record) for report in found for record in report.records)


def test_a_context_is_emitted_when_it_changes_and_again_where_it_was_not_kept() -> None:
    of = source()
    first, second = (frame(f"PID|||{pid}", PV1, OBR, obx("97")) for pid in ("A1", "B2"))
    assert len(reports(first, of, Kind.CONTEXT)) == 1
    of.retract(of.take_emitted())
    assert len(reports(first, of, Kind.CONTEXT)) == 1
    of.take_emitted()
    assert reports(first, of, Kind.CONTEXT) == []
    assert len(reports(second, of, Kind.CONTEXT)) == 1
    assert len(reports(first, of, Kind.CONTEXT)) == 1


MINDRAY = r"MSH|^~\&|||||||ORU^R01|{}|P|2.3.1|"


def test_what_mindray_said_before_goes_with_its_patient() -> None:
    of = source(dialect="mindray-pds")
    value = "OBX||NM|160^SpO2|2103|97||||||F"

    def claims(*segments: str, kind: int = 204) -> list[str]:
        return [r.claim for r in reports(frame(*segments, msh=MINDRAY.format(kind)), of)]

    assert claims(value) == ["test/connection=10.0.0.7"]
    assert reports(frame("PID|||A1", "PV1||I|^^ICU&1", msh=MINDRAY.format(103)), of, Kind.CONTEXT)
    assert claims(value) == ["test/PV1-3=^^ICU&1"]
    assert reports(frame(msh=MINDRAY.format(106)), of, None) == []
    assert claims(value) == ["test/PV1-3=^^ICU&1"]
    assert claims("PID|||B2", value) == ["test/connection=10.0.0.7"]
    assert claims(value) == ["test/connection=10.0.0.7"]
    assert claims("PV1||I|^^ICU&2", value) == ["test/PV1-3=^^ICU&2"]
    assert claims(value) == ["test/PV1-3=^^ICU&2"]


def test_a_message_without_msh_7_is_not_taken_for_mindrays() -> None:
    of = source()
    assert reports(frame(PV1, obx("97"), msh=MINDRAY.format(1)), of)[0].claim == "test/PV1-3=ICU^^07"
    assert reports(frame(obx("97"), msh=MINDRAY.format(1)), of)[0].claim == "test/connection=10.0.0.7"
    with pytest.raises(FrameError, match="no-observations"):
        reports(frame(msh=MINDRAY.format(106)), of)


def test_waves_of_mindray_alone_are_counted_and_no_error() -> None:
    of = source(dialect="mindray-pds")
    assert reports(frame("ZMW|\x85", msh=MINDRAY.format(204)), of) == []
    assert of.counts["segment:ZMW"] == 1
    with pytest.raises(FrameError, match="no-observations"):
        reports(frame("ZMX|\x85", msh=MINDRAY.format(204)), of)
    with pytest.raises(FrameError, match="no-observations"):
        reports(frame("ZMW|\x85", msh=MINDRAY.format(204)))


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ((), "no-observations"), (("OBR|1",), "no-observations"), ((" PV1||I|x", " OBX|1|NM|x||1"), "no-observations"),
        (("obx|1|NM|x||1",), "no-observations"), (("OBX |1|NM|x||1",), "no-observations"),
        ((PV1, "obx|1|NM|x||1"), "malformed-segment"),
        ((PV1, OBR, obx("97"), f" {obx('98')}"), "malformed-segment"), (("ZXX|1", "NTE|1||x"), "no-observations"),
        (("OBX|1||69965^MDC_DEV_MON^MDC|1.0.0.0",), "no-observations"),
    ],
)  # fmt: skip
def test_a_message_that_says_nothing_is_refused(segments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        reports(frame(*segments))


def test_an_unchanged_patient_is_something() -> None:
    of = source()
    assert len(reports(frame("PID|||A1", PV1), of, None)) == 1
    assert reports(frame("PID|||A1", PV1), of, None) == []


def test_segments_that_are_not_read_are_counted_by_name() -> None:
    of = source()
    records(
        frame("PD1|1", PV1, "NTE|1||of the visit", OBR, obx("97"), "NTE|1||of it", "ZVW|1", "stray text", "ZVW|2"), of
    )
    assert of.counts == {"segment:PD1": 1, "segment:NTE": 1, "segment:ZVW": 2, "segment:?": 1}


def test_notes_stay_with_their_value() -> None:
    data = measured(obx("97"), "NTE|1||probe off", "NTE|2||dis~regard|", obx("36.9", TEMP, "Cel"), "NTE|1||x\\T\\y")
    assert [r.note for r in records(data)] == ["probe off\ndis\nregard", "x&y"]


def test_a_reading_at_a_path_that_ends_in_zero_is_a_reading() -> None:
    data = measured(
        obx("97", sub_id="1.6.0"), obx("", NIBP, "mmHg", sub_id="1.7.0"), obx("5", "x^y^L", "", sub_id="1.0")
    )
    assert [(r.mantissa, r.validity) for r in records(data)] == [(97, 0), (0, Validity.NOT_AVAILABLE), (5, 0)]


def test_a_node_with_a_value_is_a_reading_too() -> None:
    data = measured(
        obx("PUMP 3", "69986^MDC_DEV_PUMP^MDC", "", kind="ST", sub_id="1.0.0.0"), obx("97", sub_id="1.1.1.1")
    )
    assert [(r.text, r.mantissa) for r in records(data)] == [("PUMP 3", 0), (None, 97)]


# --- movements of two patients ---

TWO = ("PID|||A1", "PV1||I|ICU^^07", "PID|||B2", "PV1||I|ICU^^08")
ADT = MSH.replace("ORU^R01^ORU_R01", "ADT^A17")


def test_a_movement_of_two_patients_names_both() -> None:
    data = frame("EVN|A17", *TWO, msh=ADT)
    first, second = reports(data, kind=None)
    assert [(r.claim, r.kind, r.lane, r.frame) for r in (first, second)] == [
        ("test/PV1-3=ICU^^07", Kind.CONTEXT, Lane.ADT, data),
        ("test/PV1-3=ICU^^08", Kind.CONTEXT, Lane.ADT, None),
    ]
    assert [r.text for r in first.records] == ["ADT^A17", "A1", "I", "ICU^^07"]
    assert [r.text for r in second.records] == ["B2", "I", "ICU^^08"]


def test_a_movement_of_two_patients_in_a_test_is_training() -> None:
    found = reports(frame(*TWO, msh=ADT.replace("|P|", "|T|")), kind=None)
    assert [{r.marks for r in report.records} for report in found] == [{Mark.TRAINING}] * 2


def test_a_second_patient_without_identifiers_is_no_report() -> None:
    assert len(reports(frame(*TWO[:2], "PID|||", msh=ADT), kind=None)) == 1


def test_patients_of_one_movement_are_bounded() -> None:
    patients = [line for n in range(DEVICES_MAX + 1) for line in (f"PID|||{n}", f"PV1||I|ICU^^{n}")]
    assert len(reports(frame(*patients[:-2], msh=ADT), kind=None)) == DEVICES_MAX
    with pytest.raises(FrameError, match="too-many-devices"):
        reports(frame(*patients, msh=ADT))


# --- messages out of order ---


def numbers_said(data: bytes, of: Source[Hl7Settings]) -> list[tuple[str, bool]]:
    """The patient numbers that contexts name, and whether they are marked as late."""
    found = []
    for context in reports(data, of, Kind.CONTEXT):
        texts = {r.as_sent.code: str(r.text) for r in context.records if r.as_sent is not None}
        found.append((texts["PID-3"], LATE_CONTEXT in texts))
    return found


def message(patient: str, at: str) -> bytes:
    return frame(f"PID|||{patient}", PV1, OBR, obx("73"), msh=MSH.replace("20260921141319", f"20260921{at}"))


def test_a_message_older_than_one_before_it_says_its_patient_for_itself_alone() -> None:
    of = source()
    assert numbers_said(message("P1", "141310"), of) == [("P1", False)]
    assert numbers_said(message("P1", "141320"), of) == []
    assert numbers_said(message("P2", "141315"), of) == [("P2", True)]
    of.memory.clear()  # another connection
    assert numbers_said(message("P1", "141316"), of) == [("P1", True)]
    assert numbers_said(message("P1", "141330"), of) == [("P1", False)]
    assert numbers_said(message("P1", "141331"), of) == []


def test_a_clock_that_was_set_back_makes_nothing_late() -> None:
    of = source()
    assert numbers_said(message("P1", "141319"), of) == [("P1", False)]
    assert numbers_said(message("P1", "111319"), of) == []
    assert numbers_said(message("P1", "111320"), of) == []
