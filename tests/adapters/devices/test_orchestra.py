"""What fields of Orchestra answers mean, whatever stands in them. Sums of its cases are bitwise complements."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.orchestra import DRIVER, OrchestraSettings
from adapters.driver import Source
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, RecordKind, Report


def source() -> Source[OrchestraSettings]:
    return Source("icu", OrchestraSettings(), peer="port", received_at_us=1_790_000_000_000_000)


def read(at: Source[OrchestraSettings], text: str) -> list[Report]:
    data = text.encode("ascii")
    return list(DRIVER.read(b"\x02" + data + b"%02X" % (~sum(data) & 0xFF) + b"\x03", at))


def test_rate_and_volume() -> None:
    (report,) = read(source(), "1C;d0078;r00002EE0")
    assert [(r.code, r.unit, r.mantissa, r.exponent) for r in report.records] == [
        (157784, 265266, 120, -1), (157864, 263762, 12000, -3),
    ]  # fmt: skip
    (report,) = read(source(), "1C;dXX")
    assert (report.records[0].kind, report.records[0].text) == (RecordKind.TEXT, "XX")


def states(reports: list[Report]) -> list[tuple[str, AlarmState]]:
    return [(r.alarm.condition, r.alarm.state) for report in reports for r in report.records if r.alarm]


def test_alarms_of_modules_are_apart() -> None:
    at = source()
    assert states(read(at, "1C;a0001;e0002")) == [("a 0", AlarmState.ACTIVE), ("e 1", AlarmState.ACTIVE)]
    assert states(read(at, "2C;a0000;e0000")) == []
    assert read(at, "1C;a0001;e0002") == []
    assert states(read(at, "1C;a0000;e0002")) == [("a 0", AlarmState.INACTIVE)]
    assert states(read(at, "0C;b02")) == [("e 1", AlarmState.INACTIVE)]


def test_what_cannot_be_read_ends_no_alarm() -> None:
    at = source()
    read(at, "1C;a0001")
    (report,) = read(at, "1C;a??")
    assert report.kind is Kind.EVENT
    assert read(at, "1C;a") == []
    assert read(at, "1C;a0001") == []


def test_an_error_is_told_when_it_is_another() -> None:
    at = source()
    assert [r.text for r in read(at, "1I;1E")[0].records] == ["1E module not open"]
    assert read(at, "1I;1E") == []
    assert [r.text for r in read(at, "1I;7F")[0].records] == ["7F"]


@pytest.mark.parametrize("text", ["1C", "0C", "C"])
def test_that_a_command_is_done_says_nothing(text: str) -> None:
    assert read(source(), text) == []


@given(
    head=st.from_regex(re.compile(r"[0-9]?[CIEM]"), fullmatch=True),
    fields=st.lists(st.from_regex(re.compile(r"[drksmaebi]?[ -:<-~]{0,12}"), fullmatch=True), max_size=10),
)
def test_any_answer_gives_reports_that_a_batch_holds(head: str, fields: list[str]) -> None:
    with suppress(FrameError):
        for report in read(source(), ";".join([head, *fields])):
            encode_report(report, bytes(16), bytes(32))
