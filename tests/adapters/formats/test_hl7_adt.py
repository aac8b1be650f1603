"""Groups and fields of ADT messages; whole messages are in tests/adapters/devices/cases/hl7_adt."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from adapters.formats.hl7_adt import FieldReader, groups_of
from adapters.formats.hl7v2 import Hl7Message, Segment, syntax
from schemas.adt import DELETED, Identifier, SentBed
from schemas.report import ClockQuality

SYNTAX = syntax("|", r"^~\&", "ascii")
RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
SHANGHAI = ZoneInfo("Asia/Shanghai")


def fields(**more: str) -> FieldReader:
    return FieldReader(SYNTAX, SHANGHAI, RECEIVED_AT_US, **more)


def segment(line: str) -> Segment:
    return Segment(line.split("|"), line[:3], SYNTAX)


def groups(event: str, *lines: str) -> list[str]:
    """The segments of each group, a PV1, MRG or ZBE with its number."""
    message = Hl7Message("\r".join([rf"MSH|^~\&|||||||ADT^{event}|1|P|2.5", *lines]).encode())
    found = []
    for group in groups_of(message, event).found:
        emitted = [group.pid, *group.linked, group.pv1, *group.zbe, *group.mrg]
        found.append(" ".join("|".join(each.fields) for each in emitted if each is not None))
    return found


@pytest.mark.parametrize(
    ("event", "lines", "expected"),
    [
        ("A01", ["PID|1", "PV1|1"], ["PID|1 PV1|1"]),
        ("A01", ["PV1|1", "PID|1"], ["PID|1 PV1|1"]),
        ("A01", [], [""]),
        ("A17", ["PID|1", "PV1|1", "PID|2", "PV1|2"], ["PID|1 PV1|1", "PID|2 PV1|2"]),
        ("A24", ["PID|1", "PV1|1", "PID|2", "PV1|2"], ["PID|1 PID|2 PV1|1"]),
        ("A37", ["PID|1", "PID|2", "PV1|2", "ZBE|2"], ["PID|1 PID|2"]),
        ("A40", ["PID|1", "MRG|1", "PV1|1", "PID|2", "MRG|2"], ["PID|1 PV1|1 MRG|1", "PID|2 MRG|2"]),
        ("A40", ["PID|1", "PV1|1", "MRG|1", "MRG|2"], ["PID|1 PV1|1 MRG|1 MRG|2"]),
        ("A45", ["PID|1", "MRG|1", "PV1|1", "MRG|2", "PV1|2"], ["PID|1 PV1|1 MRG|1", "PID|1 PV1|2 MRG|2"]),
        ("A02", ["PID|1", "PV1|1", "PV1|2", "ZBE|1", "ZBE|2"], ["PID|1 PV1|1 ZBE|1 ZBE|2"]),
    ],
)
def test_segments_belong_to_the_group_of_their_patient(event: str, lines: list[str], expected: list[str]) -> None:
    assert groups(event, *lines) == expected


@pytest.mark.parametrize(
    ("sent", "bed"),
    [
        ("ICU^^07", SentBed("ICU", "", "07")),
        ("0312^^+3床^H&1.2&ISO^x^BED^9", SentBed("0312", "", "+3床", "H")),
        (" ICU ^ ^ 07 ~OTHER^^1", SentBed("ICU", "", "07")),
        ("ICU&1.2&ISO^2^7", SentBed("ICU&1.2&ISO", "2", "7")),
        ("^^ICU&bed-06&3232237756&4601&&1", SentBed(bed="ICU&bed-06&3232237756&4601&&1")),
        (r"A\T\E^^0\S\7", SentBed("A&E", "", "0^7")),
        ("^^^H", SentBed(facility="H")),
        ('""', SentBed(DELETED)),
        ('""^""^""', SentBed(DELETED)),
        ('ICU^""^07', SentBed("ICU", "", "07")),
        ("", None),
        (" ^^ ^", None),
        ("^^^^^BED", None),
    ],
)
def test_a_place_as_sent(sent: str, bed: SentBed | None) -> None:
    assert fields().bed(segment(f"PV1|||{sent}"), 3) == bed


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("1^^^H^PI", [Identifier("1", "H", "PI")]),
        ("007", [Identifier("007", "OURS")]),
        ("1^^^H&1.2.3&ISO^MR^~2^5^M11^C", [Identifier("1", "H&1.2.3&ISO", "MR"), Identifier("2", "C")]),
        ('1^^^""^""', [Identifier("1", "OURS")]),
        ("~^^^H^PI~" + DELETED, []),
        ("1^^^H~1^^^H^^~1^^^I", [Identifier("1", "H"), Identifier("1", "I")]),
    ],
)
def test_identifiers_have_authority_and_type(sent: str, found: list[Identifier]) -> None:
    assert list(fields(authority="OURS").identifiers(segment(f"PID|||{sent}"), 3)) == found


def test_the_subcomponents_of_an_authority_are_joined_alike_whatever_joins_them() -> None:
    other = FieldReader(syntax("|", r"^~\#", "ascii"), None, RECEIVED_AT_US)
    pid = Segment(["PID", "", "", "1^^^H#1.2#ISO"], "PID", other.syntax)
    assert other.identifiers(pid, 3) == (Identifier("1", "H&1.2&ISO"),)


@pytest.mark.parametrize(
    ("msh_7", "evn_2", "sent", "hour"),
    [
        ("20260921120000+0000", "20260921120000+0200", "20260921120000", 10),
        ("20260921120000+0000", "20260921120000", "20260921120000", 12),
        ("20260921120000", "20260921120000", "20260921120000", 4),
        ("20260921120000+0000", "20260921120000", "20260921120000-0300", 15),
    ],
)
def test_a_time_without_an_offset_has_that_of_the_nearest_that_states_one(
    msh_7: str, evn_2: str, sent: str, hour: int
) -> None:
    of = fields(msh_7=msh_7, evn_2=evn_2)
    at_us = of.instant_us(segment(f"PV1|{sent}^S~x"), 1)
    assert at_us == RECEIVED_AT_US - (14 * 3600 + 13 * 60 + 20) * 1_000_000 + hour * 3_600_000_000


@pytest.mark.parametrize("sent", ["", '""', "20260231", "yesterday", "00000000000000", "19561231120000"])
def test_a_time_that_is_none_is_none_by_itself(sent: str) -> None:
    of = fields(msh_7="20260921120000", evn_2="20260921120000")
    assert of.instant_us(segment(f"PV1|{sent}"), 1) is None
    assert of.instant_us(segment("PV1"), 44) is None


def test_it_happened_by_the_first_level_that_says_so() -> None:
    of = fields(msh_7="20260921120004+0000", evn_2="20260921120003+0000")
    seconds = []
    for zbe, evn_6 in (("20260921120001+0000", "20260921120002+0000"), ("", "20260921120002+0000"), ("", "")):
        message = Hl7Message(f"MSH|^~\\&|||||||ADT^A02|1|P|2.5\rEVN||||||{evn_6}\rZBE|1\rZBE|2|{zbe}".encode())
        found = groups_of(message, "A02")
        moment = of.happened(found.found[0], found.evn)
        assert moment.quality is ClockQuality.DEVICE
        seconds.append(moment.at_us // 1_000_000 % 60)
    assert seconds == [1, 2, 3]
