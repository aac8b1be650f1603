"""The ADT driver: what holds whatever is sent, what is counted, and messages that nobody here wrote."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.hl7_adt import DRIVER, AdtSettings, read
from adapters.driver import Source
from adapters.formats.hl7_adt import GROUPS_MAX
from adapters.session import Moment, Outcome
from adapters.sessions.mllp import wrap
from schemas.adt import (
    DELETED,
    GROUP_CODE,
    PERSON_CODE,
    AdtGroup,
    Person,
    decode_group,
    decode_person,
    encode_group,
    encode_person,
)
from schemas.errors import FrameError
from schemas.report import Kind, Lane, Report
from tests.hl7 import frame

RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
MSH = r"MSH|^~\&|HIS|HOSP|||20260921141319+0000||ADT^A01|42|P|2.5|||AL|NE||"
PID = "PID|||1^^^H^PI||Zhang^San||19560214|M"
PV1 = "PV1||I|ICU^^07"
SIMHOSPITAL = Path(__file__).parents[3].parent / "shared" / "data" / "simhospital" / "ward.hl7"


def source(**settings: Any) -> Source[AdtSettings]:
    return Source("test", AdtSettings(**settings), peer="10.0.0.7", received_at_us=RECEIVED_AT_US)


def message(*segments: str, msh: str = MSH) -> bytes:
    return frame(*segments, msh=msh)


def groups(reports: list[Report]) -> list[AdtGroup]:
    return [decode_group(text_of(report, GROUP_CODE) or "") for report in reports]


def text_of(report: Report, code: str) -> str | None:
    for record in report.records:
        if record.as_sent is not None and record.as_sent.code == code:
            assert isinstance(record.text, str)
            return record.text
    return None


def group_of(*segments: str, msh: str = MSH, **settings: Any) -> AdtGroup:
    (found,) = groups(list(read(message(*segments, msh=msh), source(**settings))))
    return found


# --- whatever is sent -------------------------------------------------------------------------------------------------

# Pieces of which messages are made: what is common, what is odd, and what separates.
PIECES = st.sampled_from(
    ["A01", "ICU", "07", "HOSP", '""', "20260921141319+0000", "20260231", "0", "张三", "^", "^^^", "&", "~", "\\",
     "\\T\\", "\\X00\\", "\\XFF\\", " ", "\udc80", "CANCEL", "Y", "N"]
)  # fmt: skip
FIELDS = st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=50).map("|".join)
SEGMENTS = st.tuples(st.sampled_from(["EVN", "PID", "PV1", "ZBE", "MRG", "PD1", ""]), FIELDS).map("|".join)


@given(st.lists(SEGMENTS, max_size=8), st.sampled_from(["A01", "A17", "A24", "A40", "A45", "Z99"]))
def test_whatever_its_fields_hold_it_gives_groups_that_read_back(segments: list[str], event: str) -> None:
    data = "".join(f"{line}\r" for line in (MSH.replace("A01", event), *segments)).encode("utf-8", "surrogateescape")
    at = source()
    try:
        reports = list(read(data, at))
    except FrameError:
        return
    assert {report.claim for report in reports} == {"adt:test"}
    for number, (report, group) in enumerate(zip(reports, groups(reports), strict=True)):
        assert (report.kind, report.lane, report.own_time) == (Kind.CONTEXT, Lane.ADT, True)
        assert (group.group, group.groups, group.event) == (number, len(reports), event)
        assert encode_group(group) == text_of(report, GROUP_CODE)
        identifiers = [*group.patients, *group.linked, *(i for merge in group.merges for i in merge.patients)]
        assert all(each.value not in ("", DELETED) for each in identifiers)
        assert "\0" not in "".join(each.value for each in identifiers)
        if person := text_of(report, PERSON_CODE):
            assert encode_person(decode_person(person)) == person


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="|^~\\&"), max_size=12).map(str.strip)


@given(TEXTS, TEXTS, st.sampled_from(["utf-8", "gb18030"]))
def test_a_name_is_read_as_it_was_written(family: str, given_name: str, codec: str) -> None:
    name = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}[codec]
    msh = MSH.removesuffix("|AL|NE||") + f"|AL|NE||{name}"
    lines = [msh, f"PID|||1^^^H^PI||{family}^{given_name}||19560214|M", PV1]
    (report,) = read("".join(f"{line}\r" for line in lines).encode(codec), source())
    person = decode_person(text_of(report, PERSON_CODE) or "")
    if DELETED in (family, given_name):
        return
    emitted = (person.family, person.given) if family and given_name else ("", "")
    assert (person.family, person.given, person.name) == (*emitted, "" if emitted[0] else family or given_name)


@pytest.mark.parametrize("segment", ["ZBE|", "PV1|1", "ZZZ", "MRG|"])
def test_many_short_segments_are_one_group(segment: str) -> None:
    assert group_of(PID, *[segment] * 9_000).groups == 1


@pytest.mark.parametrize("segment", ["MRG|1~2~3~4~5~6~7~8~9", "ZBE|1~2~3~4~5~6~7~8~9", "MRG|" + "\x01" * 20])
def test_what_is_more_than_a_batch_takes_is_refused(segment: str) -> None:
    with pytest.raises(FrameError, match="report-too-large"):
        read(message(PID, *[segment] * 9_000), source())


def test_a_message_of_many_patients_has_a_limit() -> None:
    assert len(read(message(*[PID] * GROUPS_MAX), source())) == GROUPS_MAX
    with pytest.raises(FrameError, match="too-many-groups"):
        read(message(*[PID] * (GROUPS_MAX + 1)), source())


# --- what is counted, marked, answered --------------------------------------------------------------------------------


def test_segments_that_are_not_read_are_counted() -> None:
    at = source()
    read(message(PID, "PD1|||GP", "NK1|1", PV1, "PV1||I|ICU^^99", "NK1|2", "张|1"), at)
    assert at.counts == {"segment:PD1": 1, "segment:NK1": 2, "segment:PV1": 1, "segment:张": 1}


def test_what_follows_the_second_pid_of_a_link_is_not_the_firsts() -> None:
    at = source()
    (group,) = groups(list(read(message(PID, "PID|||2^^^H^PI", PV1, msh=MSH.replace("A01", "A24")), at)))
    assert (group.visit, [each.value for each in group.linked]) == (None, ["2"])
    assert at.counts == {"segment:PV1": 1}


def test_one_frame_has_one_digest_and_another_another() -> None:
    two = groups(list(read(message(PID, PV1, PID, PV1), source())))
    assert two[0].digest == two[1].digest != group_of(PID, PV1).digest


def test_the_person_is_not_in_the_group() -> None:
    (report,) = read(message(PID, PV1), source())
    group, person = text_of(report, GROUP_CODE) or "", text_of(report, PERSON_CODE) or ""
    assert decode_person(person) == Person("Zhang", "San", birth_date="19560214", sex="M")
    assert not any(word in group for word in ("Zhang", "San", "1956"))


@pytest.mark.parametrize(
    ("born", "read_as"),
    [("1956", "1956"), ("195602", "195602"), ("19560214", "19560214"), ("19560214000000", "19560214"),
     ("1956-02-14", "1956"), ("in May", ""), ('""', DELETED)],
)  # fmt: skip
def test_a_birth_date_is_a_date(born: str, read_as: str) -> None:
    (report,) = read(message(f"PID|||1||Zhang||{born}", PV1), source())
    assert decode_person(text_of(report, PERSON_CODE) or "").birth_date == read_as


@pytest.mark.parametrize(
    ("expected", "event", "answers"),
    [("AL|NE", "A01", ["CA"]), ("|", "A01", ["AA"]), ("|", "Z99", ["AA"]), ("NE|NE", "A01", [])],
)
def test_what_was_kept_is_acknowledged_whatever_its_event(expected: str, event: str, answers: list[str]) -> None:
    assert DRIVER.session is not None
    session, now = DRIVER.session(AdtSettings()), Moment(0, RECEIVED_AT_US)
    (piece,) = session.feed(
        wrap(message(PID, PV1, msh=MSH.replace("AL|NE", expected).replace("A01", event))), now
    ).pieces
    assert len(read(piece.data, source())) == 1
    assert piece.token is not None
    sent = session.kept(piece.token, Outcome.KEPT, "", now).send
    assert re.findall(r"MSA\|(\w\w)\|42", sent.decode()) == answers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"charset": "EBCDIC"}, "charset = 'EBCDIC': 'EBCDIC' is not known"),
        ({"processing_ids_live": []}, r"takes every message for a test: name one, as in \[\"P\"\]"),
        ({"authority": " "}, "authority = '' names nobody: leave it out, or write it as in CX-4"),
        ({"device": "PV1-3"}, "unknown field `device`"),
        ({"answers": "none"}, "Invalid enum value 'none'"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(settings, AdtSettings)


# --- messages that nobody here wrote ----------------------------------------------------------------------------------


@pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout")
def test_the_448_adt_of_a_simulated_hospital() -> None:
    text = SIMHOSPITAL.read_bytes().decode("utf-8")
    messages = [each.strip("\r\n") for each in re.split(r"[\r\n]*\n\s*\n|\r\r+", text) if each.strip()]
    adt = [each for each in messages if each.split("|", 9)[8].startswith("ADT")]
    at = source(processing_ids_live=("P", "T"))
    at.time_zone = ZoneInfo("Europe/London")
    reports = [report for each in adt for report in read(each.encode(), at)]
    found = groups(reports)
    assert (len(messages), len(adt), len(found), len({each.digest for each in found})) == (1055, 448, 460, 448)
    assert Counter(group.event for group in found if group.group == 0) == {
        "A01": 122, "A02": 39, "A03": 129, "A04": 13, "A05": 9, "A08": 13, "A09": 12, "A10": 12, "A11": 6, "A12": 13,
        "A13": 13, "A15": 9, "A16": 9, "A17": 12, "A28": 13, "A31": 13, "A34": 4, "A40": 7,
    }  # fmt: skip
    assert Counter(group.event for group in found if group.groups == 2) == {"A17": 24}
    struck = [group for group in found if group.happened_at_us is not None]
    assert Counter(group.event for group in struck) == {"A11": 6, "A12": 13, "A13": 13}
    recorded = {group.recorded_at_us for group in found}
    assert all(group.happened_at_us in recorded for group in struck)
    assert all(group.patients for group in found)
    assert {i.authority for group in found for i in group.patients} == {"SIMULATOR MRN", "NHSNBR"}
    assert Counter(len(group.merges) for group in found if group.event in ("A34", "A40")) == {1: 11}
    assert sum(text_of(report, PERSON_CODE) is not None for report in reports) == 460
    assert not any(int(record.marks) for report in reports for record in report.records)
