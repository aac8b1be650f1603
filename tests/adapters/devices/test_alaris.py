"""What fields of Alaris answers mean, whatever stands in them. Bytes of its cases are of Python's own CRC."""

from __future__ import annotations

import binascii
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.alaris import DRIVER, AlarisSettings
from adapters.driver import Source
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import Kind, Record, RecordKind, Report, Validity

NAMES = (
    "INF", "ALARM", "INF_RATE", "INF_VI", "INF_VTBI", "INF_RATE_MAX_SYRINGE", "SYRINGE_STATUS", "INST_SERIALNO",
    "COMMS_PROTOCOL", "COMMS_RESPONSE_MAX", "FAULT",
)  # fmt: skip


def source(device: str | None = None) -> Source[AlarisSettings]:
    return Source("icu", AlarisSettings(device=device), peer="port", received_at_us=1_790_000_000_000_000)


def read(at: Source[AlarisSettings], *fields: str) -> list[Report]:
    text = "^".join(fields).encode("utf-8", "surrogateescape")
    return list(DRIVER.read(b"!" + text + b"|%04X" % binascii.crc_hqx(text, 0xFFFF), at))


def infusion(time_left: str = "1:10", alarm: str = "-") -> tuple[str, ...]:
    return ("INF", "8002-1", alarm, "SET", "7.50", "ml/h", "", "1.0", "ml", "35", "mmHg", time_left, "EVENT", "42")


@pytest.mark.parametrize(
    ("sent", "kind", "validity", "minutes", "text"),
    [
        ("0:00", RecordKind.NUMERIC, Validity.VALID, 0, None),
        ("23:59", RecordKind.NUMERIC, Validity.VALID, 1439, None),
        ("24+", RecordKind.BOUND, Validity.VALID, 1440, None),
        ("-", RecordKind.NUMERIC, Validity.NOT_AVAILABLE, 0, None),
        ("1:75", RecordKind.TEXT, Validity.VALID, 0, "1:75"),
    ],
)
def test_time_left(sent: str, kind: RecordKind, validity: Validity, minutes: int, text: str | None) -> None:
    record: Record = read(source(), *infusion(sent))[0].records[3]
    assert (record.kind, record.validity, record.mantissa, record.text) == (kind, validity, minutes, text)


def test_mode_and_syringe_are_told_when_they_change() -> None:
    at = source()
    assert [report.kind for report in read(at, *infusion())] == [Kind.METRIC, Kind.EVENT]
    assert [report.kind for report in read(at, *infusion())] == [Kind.METRIC]
    assert len(read(at, "SYRINGE_STATUS", "BD", "50", "CONF")) == 1
    assert read(at, "SYRINGE_STATUS", "BD", "50", "CONF") == []
    assert len(read(at, "SYRINGE_STATUS", "BD", "20", "CONF")) == 1


def test_who_it_is() -> None:
    at = source()
    assert read(at, "INF_VI", "1", "ml")[0].claim == "icu/connection=port"
    read(at, "INST_SERIALNO", "8002-1")
    assert read(at, "INF_VI", "1", "ml")[0].claim == "icu/serial=8002-1"
    assert read(source(device="site:alaris:7"), *infusion())[0].claim == "site:alaris:7"


@given(
    name=st.sampled_from(NAMES),
    fields=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="!|^\r\x1b"), max_size=40), max_size=14),
)
def test_any_answer_gives_reports_that_a_batch_holds(name: str, fields: list[str]) -> None:
    at = source()
    with suppress(FrameError):
        for report in read(at, name, *fields):
            encode_report(report, bytes(16), bytes(32))
