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
from schemas.report import Kind, Mark, Validity

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


def test_a_row_without_a_text_is_given_up_where_several_texts_come() -> None:
    source = source_of('[[mapping]]\ncode = "T"\nmetric = "MDC_TEMP_BODY"')
    codes = [
        report.records[0].code
        for own in ("M", "M", "D", "M")
        for report in read(message(f"R|1|^^^T^{own}|36.9|Cel"), source)
    ]
    assert [code != 0 for code in codes] == [True, True, False, False]
    assert list(source.counts.values()) == [2]


def test_a_row_without_a_text_is_not_applied_to_the_first_of_several_texts_in_one_message() -> None:
    source = source_of('[[mapping]]\ncode = "T"\nmetric = "MDC_TEMP_BODY"')
    (report,) = read(message("R|1|^^^T^M|36.9|Cel", "R|2|^^^T^D|35.1|Cel"), source)
    assert [record.code for record in report.records] == [0, 0]


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
    told = [[record.text for record in report.records if record.text] for report in reports]
    assert told == [["4711", "S-1"], [], ["4712"], []]


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
