"""A message of a known shape is read as it would be read segment by segment: compared with doing so, each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.devices.hl7_oru import Hl7Settings, read
from adapters.driver import Source
from adapters.formats.hl7_parts import LAST_MATCH, SourceMemory
from adapters.formats.hl7_shapes import FRAME_BYTES_MAX, Shapes
from schemas.errors import FrameError
from schemas.report import Kind, Mark, Report
from tests.hl7 import OBR, PV1, SPO2, frame, measured, obx, records, source

MAPPING = '[[mapping]]\ncode = "x"\nmetric = "MDC_TEMP"\nmissing = ["-1"]\n'
VALUES = st.sampled_from(
    ["97", "98.5", "", '""', "<70", "^82", "<^70", "---", "x~y", r"a\T\b", "1^2^3", "-1", "-100", "8388607", "ORC", "0",
     "\x1b", "\x00", "\n", "é", " 97 ", "OBX", "|", "\r", "\rOBX|1|NM|x||5", "~" * 1200]
)  # fmt: skip
TIMES = st.sampled_from(["", '""', "20260921141319+0000", "20260921141318+0000", "2026", "0", "x", "20260921141319"])
IDS = st.sampled_from(["42", "43", "", " ", "x" * 1000])
LINES = [
    "OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.1.1.1|{value}|%|||||R|||{time}||||0123456701234567",
    "OBX|2|NM|150344^MDC_TEMP^MDC|1.1.1.2|{value}|Cel|||||{status}",
    "OBX|3|SN|x^T1^L||{value}|Cel|||||{status}|||{time}||MSET",
    "OBX|4|ST|n^N^L||{value}",
    "OBX|5||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|{value}||||||X",
    "OBX|6|NM|x^T2^L||{value}|Cel|||||F|||{time}|||||{time}",
    "OBX|7|NM|8^y^L|1.0|{value}",
    "OBX",
    "OBR|2|{id}|{id}|X|||{time}|{time}",
    "NTE|1||{value}",
    "PID|||A{id}",
    "PV1||I|ICU^^0{id}",
    "ORC|RE|{id}",
    "ZXX|{value}",
]


def mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 29).flatmap(lambda n: odd if n == 0 else usual)


USUAL_VALUES = st.sampled_from(["97", "98.5", "0", "<70", "^82", "---", "x", "-1"])
USUAL_TIMES = st.sampled_from(["", "20260921141319+0000", "20260921141318+0000"])


@st.composite
def conversations(draw: st.DrawFn) -> list[str]:
    """Messages of two templates, one after another, mostly in their usual form."""
    templates = draw(st.lists(st.lists(st.sampled_from(LINES), min_size=1, max_size=8), min_size=1, max_size=2))
    processing = draw(st.sampled_from("PPT"))
    sent = []
    for number in range(draw(st.integers(3, 8))):
        filled = [
            line.format(
                value=draw(mostly(USUAL_VALUES, VALUES)),
                time=draw(mostly(USUAL_TIMES, TIMES)),
                status=draw(mostly(st.just("F"), st.just("X"))),
                id=draw(mostly(st.just("7"), IDS)),
            )
            for line in draw(st.sampled_from(templates))
        ]
        time, ident = draw(mostly(USUAL_TIMES, TIMES)), draw(mostly(st.just(str(number)), IDS))
        event = draw(mostly(st.just("R01"), st.just("R40")))
        msh = rf"MSH|^~\&|M|ICU|||{time}||ORU^{event}|{ident}|{processing}|2.6"
        sent.append("\r".join([msh, *filled]) + draw(mostly(st.just("\r"), st.sampled_from(["", "\r\n"]))))
    return sent


def emitted(data: bytes, of: Source[Hl7Settings]) -> tuple[list[Report] | str, dict[str, int], object]:
    """The reports or the reason; what is counted; what the connection remembers."""
    try:
        found: list[Report] | str = list(read(data, of))
    except FrameError as error:
        found = error.reason
    of.take_emitted()
    emitted = {key: value for key, value in of.memory.items() if key != LAST_MATCH}
    return found, dict(of.counts), emitted


def memory_of(of: Source[Hl7Settings]) -> SourceMemory:
    found = of.lasting["hl7_oru"]
    assert isinstance(found, SourceMemory)
    return found


@settings(max_examples=150, deadline=None)
@given(conversations(), st.sampled_from([None, "PV1-3", "MSH-10", "OBR-2", "connection"]))
def test_a_known_shape_is_read_as_if_it_were_new(conversation: list[str], device: str | None) -> None:
    by_shape, by_segment = (source(MAPPING, device=device) for _ in range(2))
    for text in conversation:
        data = text.encode()
        assert emitted(data, by_shape) == emitted(data, by_segment)
        memory_of(by_segment).shapes.forget()


def test_what_changes_alone_is_read_again() -> None:
    of = source()
    for value, second in (("97", "18"), ("82", "19"), ("", "20")):
        data = frame(PV1, OBR.replace("1319", f"13{second}"), obx(value))
        known = memory_of(of).shapes.match(data) if of.lasting else None
        assert (known is not None) == (second != "18")
        (report,) = [r for r in read(data, of) if r.kind is Kind.METRIC]
        assert [str(r.mantissa) for r in report.records] == [value or "0"]
        assert report.observed_at_us % 60_000_000 == (int(second)) * 1_000_000


def test_another_bed_is_another_shape() -> None:
    of = source()
    for bed in ("07", "08", "07"):
        (report,) = [r for r in read(frame(f"PV1||I|ICU^^{bed}", OBR, obx("97")), of) if r.kind is Kind.METRIC]
        assert report.claim == f"test/PV1-3=ICU^^{bed}"


def test_another_connection_is_another_device_where_no_field_names_it() -> None:
    of = source()
    for peer in ("10.0.0.7", "10.0.0.8", "10.0.0.7"):
        of.peer = peer
        (report,) = [r for r in read(frame(OBR, obx("97")), of) if r.kind is Kind.METRIC]
        assert report.claim == f"test/connection={peer}"


def test_a_row_that_became_ambiguous_is_forgotten_by_every_shape() -> None:
    of = source('[[mapping]]\ncode = "2"\nmetric = "MDC_PULS_OXIM_SAT_O2"\n')
    spo2, pulse = measured(obx("97", "2^SpO2^L")), measured(obx("58", "2^Pulse^L"))
    assert [r.code for data in (spo2, spo2) for r in records(data, of)] == [150456, 150456]
    assert [r.code for data in (pulse, spo2) for r in records(data, of)] == [0, 0]


def test_twins_that_are_learned_later_are_known_to_every_shape() -> None:
    of = source()
    one, both = measured(obx("97", sub_id="1")), measured(obx("97", sub_id="1"), obx("82", sub_id="2"))
    assert [int(r.marks) for data in (one, one, both, one) for r in records(data, of)] == [0, 0, 8, 8, 8]


def test_shapes_are_bounded() -> None:
    of = source()
    for n in range(2_100):
        read(frame(f"PV1||I|ICU^^{n}", OBR, obx("97")), of)
    assert sum(len(layout.shapes) for found in memory_of(of).shapes._layouts.values() for layout in found) <= 2_000
    long = measured(*[obx("97", f"{n}^x^L") for n in range(FRAME_BYTES_MAX // 40)])
    assert len(long) > FRAME_BYTES_MAX
    read(long, of)
    assert memory_of(of).shapes.match(long) is None


def test_a_shape_is_of_its_own_separators() -> None:
    of = source()
    data = frame(PV1, OBR, obx("97", SPO2))
    for separators in (b"|", b"$"):
        assert [r.mantissa for r in records(data.replace(b"|", separators), of)] == [97]
        assert [r.mantissa for r in records(data.replace(b"97", b"98").replace(b"|", separators), of)] == [98]


def test_a_record_made_before_has_the_marks_of_its_own_message() -> None:
    of = source()
    marks = []
    for processing in ("P", "T", "P"):
        data = frame(PV1, OBR, obx("97")).replace(b"|P|", b"|%s|" % processing.encode())
        (report,) = [r for r in read(data, of) if r.kind is Kind.METRIC]
        marks.append(report.records[0].marks)
    assert marks == [Mark(0), Mark.TRAINING, Mark(0)]


def test_a_message_that_ends_before_its_separator_is_refused() -> None:
    with pytest.raises(FrameError):
        read(b"MSH", source())


@pytest.mark.parametrize("data", [b"MSH", b"MSH\r", b"MSH|"])
def test_a_message_of_its_first_letters_has_no_shape(data: bytes) -> None:
    assert Shapes().match(data) is None
