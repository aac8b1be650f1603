"""Neighbours of what `test_meaning` holds: places and devices of nothing, and what is said twice in one message."""

from __future__ import annotations

import pytest

from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import ChannelWords, ClockQuality, Kind, Mark, Validity
from tests.hl7 import MSH, OBR, PV1, frame, measured, obx, records, reports, source, words_of

TEMP = "150344^MDC_TEMP^MDC"
ROWS = (("x", "MDC_TEMP"), ("y", "MDC_PULS_OXIM_SAT_O2"), ("z", "MDC_TEMP"))


def test_two_rows_that_match_by_two_triplets_are_none() -> None:
    of = source("".join(f'[[mapping]]\ncode = "{code}"\nmetric = "{metric}"\n' for code, metric in ROWS))
    data = measured(obx("36", "x^T^L^y^S^M", ""), obx("36", "x^T^L^z^S^M", ""))
    assert [r.code for r in records(data, of)] == [0, METRIC_BY_REFERENCE_ID["MDC_TEMP"].code]


@pytest.mark.parametrize("place", ['"" ', '""^""^""', "^^&&", '^"" &""', " ^ ^ "])
def test_a_place_of_nothing_is_no_bed(place: str) -> None:
    assert reports(frame(f"PV1||I|{place}", OBR, obx("97")))[0].claim == "test/connection=10.0.0.7"


def test_a_null_part_of_a_bed_is_an_empty_one() -> None:
    assert reports(frame('PV1||I|ICU^""^07', OBR, obx("97")))[0].claim == "test/PV1-3=ICU^^07"


@pytest.mark.parametrize(
    "equipment",
    [' ""', '""^""', "^^^EUI-64", "^GE", "^^0000000000000000^EUI-64", "0000000000000000", "ffffffffffffffff^GE", "^ ^"],
)
def test_equipment_that_names_nothing_is_no_device_that_beds_share(equipment: str) -> None:
    node = f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{equipment}"
    for lines in ([obx("97", equipment=equipment)], [node, obx("97", sub_id="1.1.1.1")]):
        assert reports(measured(*lines))[0].claim == "test/PV1-3=ICU^^07"


def test_a_value_without_a_place_in_the_tree_is_not_its_neighbours() -> None:
    pump = obx("5", "8^Rate^L", "mL/h", equipment="AAAA000000000001")
    for lines in ([pump, obx("97")], [obx("97")]):
        claims = {r.records[0].mantissa: r.claim for r in reports(measured(*lines))}
        assert claims[97] == "test/PV1-3=ICU^^07"


# --- one device's like values, measured at several moments ---

EARLY, LATE = "20260921141318+0000", "20260921141319+0000"


def temperature(value: str, sub_id: str, time: str = "") -> str:
    return obx(value, TEMP, "Cel", sub_id=sub_id, time=time)


@pytest.mark.parametrize("times", [(EARLY, LATE), (EARLY, ""), ("", LATE)])
def test_two_places_in_one_tree_are_twins_whenever_they_were_measured(times: tuple[str, str]) -> None:
    of = source()
    one, two = (temperature(v, s, t) for v, s, t in zip(("36", "39"), ("1.1.1.1", "1.1.2.1"), times, strict=True))
    first, second = records(measured(one, two), of)
    assert first.channel != second.channel
    assert first.marks == second.marks == Mark.AMBIGUOUS
    assert [r.marks for r in records(measured(temperature("39", "1.1.2.1")), of)] == [Mark.AMBIGUOUS]


@pytest.mark.parametrize("sub_ids", [("", ""), ("1", "2"), ("1.1.1.1", "1.1.1.1")])
def test_one_thing_measured_twice_is_no_twin(sub_ids: tuple[str, str]) -> None:
    data = measured(temperature("36", sub_ids[0], EARLY), temperature("37", sub_ids[1], LATE))
    assert [r.marks for r in records(data)] == [Mark(0), Mark(0)]


def test_a_channel_that_became_ambiguous_is_described() -> None:
    of = source()
    alone = measured(temperature("36", "7.7.7.7"))
    records(alone, of)
    records(measured(temperature("36", "1.1.1.1"), temperature("39", "1.1.2.1")), of)
    found = reports(alone, of, None)
    (record,) = [r for report in found if report.kind is Kind.METRIC for r in report.records]
    assert words_of(record.channel, found) == ChannelWords(ordinals="7.7.7.7")


# --- what stands in the message besides ---


@pytest.mark.parametrize("second", [r" MSH|^~\&|B", r"msh|^~\&|B", r"MSH$^~\&$B", "\ufeffMSH|^~\\&|B", r" msh#^~\&#B"])
def test_a_second_header_however_it_is_written_is_refused(second: str) -> None:
    with pytest.raises(FrameError, match=r"malformed-segment.*MSH"):
        reports(frame(PV1, OBR, obx("97"), second, "PV1||I|ICU^^08", obx("82")))


def test_a_note_on_what_is_no_record_is_counted() -> None:
    of = source()
    node = "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X"
    wave = [
        "OBX|1|NA|131329^MDC_ECG_ELEC_POTL_I^MDC|1.1.1.1|1^2||||||F",
        "OBX|2|NM|0^MDC_ATTR_SAMP_RATE^MDC|1.1.1.1.1|250|Hz|||||F",
    ]
    found = records(measured(node, "NTE|1||of a node", *wave, "NTE|1||of a rate", obx("97"), "NTE|1||of it"), of)
    assert [r.note for r in found] == ["of it"]
    assert of.counts == {"segment:NTE": 2}


def test_a_patient_of_an_earlier_message_is_not_taken_to_another_bed() -> None:
    of = source(dialect="mindray-pds")
    msh = r"MSH|^~\&|||||||ORU^R01|103|P|2.3.1|"

    def emitted(*segments: str) -> list[tuple[str, list[str]]]:
        found = reports(frame(*segments, msh=msh), of, Kind.CONTEXT)
        return [(r.claim, [str(x.text) for x in r.records]) for r in found]

    assert emitted("PID|||A1", "PV1||I|^^ICU&1") == [("test/PV1-3=^^ICU&1", ["A1", "I", "^^ICU&1"])]
    assert emitted("PV1||I| ^^ICU&1") == []
    assert emitted("PV1||I|^^ICU&2") == [("test/PV1-3=^^ICU&2", ["I", "^^ICU&2"])]


# --- statuses, and times of clocks that lost theirs ---


@pytest.mark.parametrize(
    ("status", "flags", "validity"),
    [("Z", "", Validity.QUESTIONABLE), ("FX", "", Validity.QUESTIONABLE), ("", "", Validity.VALID),
     ('""', "", Validity.VALID), *((status, "", Validity.VALID) for status in "ABCDFPRSUVf"),
     ("F", "H,INV", Validity.INVALID), ("F", "H, ques", Validity.QUESTIONABLE),
     ("F", "H~L,OFF", Validity.NOT_AVAILABLE), ("F", "H,L", Validity.VALID), ("Z", "H,INV", Validity.INVALID)],
)  # fmt: skip
def test_a_status_that_no_table_has_is_questionable(status: str, flags: str, validity: Validity) -> None:
    assert records(measured(obx("97", status=status, flags=flags)))[0].validity is validity


@pytest.mark.parametrize(("stated", "live"), [("t", ["t"]), ("T", ["t"]), ("t", ["T "]), ("", ["p"])])
def test_a_processing_id_is_compared_without_its_case(stated: str, live: list[str]) -> None:
    data = frame(PV1, OBR, obx("97"), msh=MSH.replace("|P|", f"|{stated}|"))
    assert records(data, source(processing_ids_live=tuple(live)))[0].marks == Mark(0)


@pytest.mark.parametrize(
    ("reset", "device_at_us"),
    [("19800101000000", None), ("20000101000000+0000", 946_684_800_000_000)],  # the first is of no zone
)
def test_the_time_of_a_clock_that_was_reset_is_no_values(reset: str, device_at_us: int | None) -> None:
    (report,) = reports(frame(PV1, f"OBR|1|||X|||{reset}", obx("97"), msh=MSH.replace("20260921141319+0000", reset)))
    assert (report.device_at_us, report.clock_quality, report.own_time) == (device_at_us, ClockQuality.DOUBTFUL, False)
    assert report.observed_at_us == report.received_at_us
    assert report.records[0].note == f"OBR-7 as sent: {reset}"
