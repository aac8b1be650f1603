"""What the driver of ASTM messages counts, remembers, and refuses; what it reads stands in `cases/astm/`."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from adapters.devices.astm import RESULTS_MAX, AstmSettings, read
from adapters.driver import Source
from adapters.site import read_site
from edge_agent.config import SourceConfig
from schemas.errors import FrameError
from schemas.report import Kind, Mark, RecordKind, Validity

HEADER = r"H|\^&|||ABG-7|||||||P|LIS2-A2|20260921161000"


def message(*lines: str) -> bytes:
    return "".join(f"{line}\r" for line in (HEADER, *lines, "L|1|N")).encode()


def source_of(mapping: str = "") -> Source[AstmSettings]:
    return Source(
        "abg", AstmSettings(), read_site(mapping, "here")[""], ZoneInfo("Europe/Berlin"),
        received_at_us=1_790_000_000_000_000,
    )  # fmt: skip


def test_records_that_are_not_read_are_counted_by_name() -> None:
    source = source_of()
    read(message("C|1|I|x", "P|1|4711", "R|1|^^^K|4.1", "M|1|x", "C|1|I|of M", "S|1", "ZZZZZ|1", "1|1"), source)
    assert source.counts == {"record:C": 2, "record:M": 1, "record:S": 1, "record:other": 2}


def test_an_unknown_status_is_counted_and_doubtful() -> None:
    source = source_of()
    (report,) = read(message("R|1|^^^K|4.1|mmol/L||||Z"), source)
    assert report.records[0].validity == Validity.QUESTIONABLE
    assert source.counts == {"result-status:other": 1}


def test_a_second_text_takes_a_row_from_the_whole_message() -> None:
    source = source_of('[[mapping]]\ncode = "T"\nmetric = "MDC_TEMP_BODY"')
    event, report = read(message("R|1|^^^T^M|36.9|Cel", "R|2|^^^T^D|37.0|Cel"), source)
    assert (event.kind, event.claim) == (Kind.EVENT, "abg/H-5=ABG-7")
    assert [record.code for record in report.records] == [0, 0]


@pytest.mark.parametrize(
    ("sent", "kind", "validity"),
    [("4.1", RecordKind.NUMERIC, 0), ("<4.1", RecordKind.BOUND, 0), ("none", RecordKind.TEXT, 0),
     ("---", RecordKind.TEXT, 0), ("", RecordKind.NUMERIC, Validity.NOT_AVAILABLE)],
)  # fmt: skip
def test_the_words_of_a_test_that_is_no_known_metric_are_content(sent: str, kind: RecordKind, validity: int) -> None:
    (report,) = read(message(f"R|1|^^^Bacteria|{sent}"), source_of())
    assert (report.records[0].kind, report.records[0].validity) == (kind, validity)


def test_an_offset_of_the_message_holds_for_its_results() -> None:
    offset = message("R|1|^^^K|4.1|||||||||20260921141000").replace(b"20260921161000", b"20260921141000+0000")
    (report,) = read(offset, source_of())
    assert (report.observed_at_us, report.own_time) == (1_789_999_800_000_000, True)


def test_a_text_with_an_escaped_byte_that_its_charset_lacks_is_kept_as_bytes() -> None:
    source = source_of()
    source.settings = AstmSettings(charset="windows-1252")
    (report,) = read(message("R|1|^^^Note|a&X90&?").replace(b"?", b"\x81"), source)
    assert (report.records[0].text, report.records[0].marks) == (b"a\xc2\x90\x81", Mark.UNDECODED)


def test_a_message_that_fits_no_batch_has_told_nothing() -> None:
    source, whose = source_of(), ("P|1|4711", "O|1|S-1")
    with pytest.raises(FrameError, match="report-too-large"):
        read(message(*whose, f"R|1|^^^Note|{'x' * 600_000}"), source)
    assert [report.kind for report in read(message(*whose, "R|1|^^^K|4.1"), source)] == [Kind.CONTEXT, Kind.METRIC]


def test_what_could_not_be_kept_is_told_again() -> None:
    source, frame = source_of(), message("P|1|4711", "O|1|S-1", "R|1|^^^K|4.1", "R|2|^^^K|4.2")
    everything = [Kind.CONTEXT, Kind.DESCRIPTION, Kind.METRIC]
    assert [report.kind for report in read(frame, source)] == everything
    source.retract(source.take_emitted())
    assert [report.kind for report in read(frame, source)] == everything
    source.take_emitted()
    assert [report.kind for report in read(frame, source)] == [Kind.METRIC]


def test_the_context_of_one_patient_is_not_lent_to_another() -> None:
    source = source_of()
    reports = read(message("P|1|4711", "O|1|S-1", "R|1|^^^K|4.1", "P|2|4712", "R|1|^^^K|5.5"), source)
    emitted = [[record.text for record in report.records if record.text] for report in reports]
    assert emitted == [["4711", "S-1"], [], ["4712"], []]


@pytest.mark.parametrize("count", [RESULTS_MAX, RESULTS_MAX + 1])
def test_results_of_a_message_are_bounded(count: int) -> None:
    frame = message(*["R|1|^^^K|4.1"] * count)
    if count <= RESULTS_MAX:
        assert len(read(frame, source_of())[-1].records) == count
    else:
        with pytest.raises(FrameError, match="too-many-results"):
            read(frame, source_of())


@pytest.mark.parametrize("settings", [{"charset": "utf-16"}, {"device_field": "P-3"}, {"devise": "x"}])
def test_settings_are_checked(settings: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, AstmSettings)


def test_the_configuration_in_the_docs_is_one() -> None:
    text = Path("docs/astm.md").read_text("utf-8")
    sources, mapping = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    given = msgspec.toml.decode(sources, type=dict[str, list[SourceConfig]])["source"]
    settings = [msgspec.convert(each.settings, AstmSettings) for each in given]
    assert [each.device_field for each in settings] == ["H-5", "R-14"]
    site = read_site(mapping, "docs/astm.md")["icu-abg"]
    assert site.find("", "T", "M") is not None
    assert site.find("", "T", "D") is None
    assert all(f"`{name}`" in text for name in AstmSettings.__struct_fields__)


@pytest.mark.parametrize(("stated", "marks"), [("t", Mark(0)), ("T", Mark(0)), ("P", Mark.TRAINING)])
def test_a_processing_id_is_compared_without_its_case(stated: str, marks: Mark) -> None:
    of = source_of()
    of.settings = AstmSettings(processing_ids_live=("t",))
    lines = (rf"H|\^&|||glucometer|||||||{stated}|1|20260921141319", "P|1", "O|1", "R|1|^^^K|4.1|mmol/L||||F", "L|1|N")
    (report,) = read("".join(f"{line}\r" for line in lines).encode(), of)
    assert report.records[0].marks == marks
