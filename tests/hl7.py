"""Short HL7 v2 messages for tests, and what the driver says of them."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.devices.hl7_oru import Hl7Settings, read
from adapters.driver import Source
from adapters.site import read_site
from schemas.report import ChannelWords, Kind, Record, Report

RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
MSH = r"MSH|^~\&|MON|ICU|||20260921141319+0000||ORU^R01^ORU_R01|42|P|2.6|||AL|NE||"
PV1 = "PV1||I|ICU^^07"
OBR = "OBR|1|||X|||20260921141319+0000"
SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC"
PERCENT = "262688^MDC_DIM_PERCENT^MDC"


def obx(
    value: str, names: str = SPO2, unit: str = PERCENT, *, kind: str = "NM", sub_id: str = "", flags: str = "",
    status: str = "F", time: str = "", method: str = "", equipment: str = "", site: str = "", limits: str = "",
) -> str:  # fmt: skip
    """An OBX with these fields."""
    return "|".join(
        ["OBX", "1", kind, names, sub_id, value, unit, limits, flags, "", "", status, "", "", time, "", "", method,
         equipment, "", site]
    )  # fmt: skip


def frame(*segments: str, msh: str = MSH) -> bytes:
    """A message: MSH and these segments."""
    return "".join(f"{segment}\r" for segment in (msh, *segments)).encode()


def measured(*segments: str) -> bytes:
    """A message of bed 07 with these OBX under one OBR."""
    return frame(PV1, OBR, *segments)


def source(mapping: str = "", **settings: Any) -> Source[Hl7Settings]:
    """A source with these settings and this mapping."""
    made = Source("test", Hl7Settings(**settings), read_site(mapping, "here")[""], peer="10.0.0.7")
    made.received_at_us = RECEIVED_AT_US
    return made


def reports(data: bytes, of: Source[Hl7Settings] | None = None, kind: Kind | None = Kind.METRIC) -> list[Report]:
    """What the message says, of one kind or (None) of all."""
    found = read(data, of or source())
    return [report for report in found if kind in (None, report.kind)]


def records(data: bytes, of: Source[Hl7Settings] | None = None, kind: Kind = Kind.METRIC) -> list[Record]:
    """The records of its reports of one kind."""
    return [record for report in reports(data, of, kind) for record in report.records]


def value_of(record: Record) -> tuple[int, int, int]:
    """Mantissa, exponent, marks."""
    return record.mantissa, record.exponent, int(record.marks)


def words_of(number: int, found: list[Report]) -> ChannelWords | None:
    """The words that a description gives for a channel."""
    for report in found:
        for record in report.records:
            if report.kind is Kind.DESCRIPTION and record.channel == number and isinstance(record.text, str):
                return msgspec.json.decode(record.text, type=ChannelWords)
    return None
