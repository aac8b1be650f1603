"""Names of the log's files, timelines, and gaps."""

from __future__ import annotations

import pytest

from schemas.errors import VitalwireError
from vitalwire.backup.wal import (
    ArchivedFile,
    Branch,
    Line,
    Segment,
    names,
    parse_header,
    parse_history,
    parse_history_name,
    parse_lsn,
    parse_segment,
    reach,
)

SIZE = 16 << 20
FIRST_LINE = Line(1, (), SIZE)


def whole(*numbers: int, timeline: int = 1) -> set[ArchivedFile]:
    return {ArchivedFile(Segment(timeline, number), False) for number in numbers}


@pytest.mark.parametrize(
    ("name", "number", "is_partial"),
    [
        ("000000010000000000000001", 1, False),
        ("0000000100000001000000FF", 511, False),
        ("000000010000000200000000.partial", 512, True),
    ],
)
def test_a_segment_is_named_as_postgresql_names_it(name: str, number: int, is_partial: bool) -> None:
    assert parse_segment(name, SIZE) == ArchivedFile(Segment(1, number), is_partial)
    assert Segment(1, number).name(SIZE) == name.removesuffix(".partial")


def test_other_files_are_no_segments() -> None:
    assert parse_segment("00000002.history", SIZE) is None
    assert parse_segment("000000010000000000000001.00000028.backup", SIZE) is None
    assert parse_history_name("0000000A.history") == 10
    assert parse_history_name("000000010000000000000001") is None


def test_larger_segments_count_otherwise() -> None:
    assert parse_segment("000000010000000100000001", 64 << 20) == ArchivedFile(Segment(1, 65), False)


def test_a_place_in_the_log() -> None:
    assert parse_lsn("1/00000010") == (1 << 32) + 16
    with pytest.raises(VitalwireError, match="no place"):
        parse_lsn("here")


def test_the_header_says_whose_the_segment_is() -> None:
    head = bytes.fromhex("16d10200010000000000000100000000000000000000000015cd5b0700000000000000010020000000")
    found = parse_header(head)
    assert found is not None
    assert (found.timeline, found.system_identifier, found.segment_bytes) == (1, 123_456_789, SIZE)
    assert parse_header(bytes(40)) is None
    assert parse_header(b"") is None


def test_a_log_without_gap_reaches_its_end() -> None:
    found = reach(FIRST_LINE, 3, whole(2, 3, 4, 5))
    assert [each.number for each in found.contiguous] == [3, 4, 5]
    assert found.missing == ()


def test_missing_segments_are_named() -> None:
    found = reach(FIRST_LINE, 3, whole(3, 6))
    assert found.contiguous == (Segment(1, 3),)
    assert names(found.missing, SIZE) == "000000010000000000000004, 000000010000000000000005"
    assert names(found.missing, SIZE, most=1) == "000000010000000000000004 and 1 more"


def test_a_segment_in_part_is_the_end_and_nothing_else() -> None:
    partial = {ArchivedFile(Segment(1, 4), True)}
    assert reach(FIRST_LINE, 3, whole(3) | partial).contiguous == (Segment(1, 3), Segment(1, 4))
    assert reach(FIRST_LINE, 3, whole(3, 5) | partial).missing == (Segment(1, 4),)


def test_nothing_in_the_archive() -> None:
    assert reach(FIRST_LINE, 3, set()) == reach(FIRST_LINE, 3, whole(1, 2))
    assert reach(FIRST_LINE, 3, set()).contiguous == ()


def test_the_line_of_a_restored_store_goes_on_in_the_new_timeline() -> None:
    assert parse_history("1\t0/4800000\tbefore 2026-11-24\n# a word\n\n") == [Branch(1, 0x4800000)]
    line = Line(2, (Branch(1, 0x4800000),), SIZE)  # left within segment 4
    assert [line.timeline_of(number) for number in (3, 4, 5)] == [1, 2, 2]
    archive = whole(3, 4, 5, 6) | whole(4, 5, timeline=2)
    found = reach(line, 3, archive)  # 5 and 6 of the old timeline are of a future that was given up
    assert found.contiguous == (Segment(1, 3), Segment(2, 4), Segment(2, 5))
    assert reach(line, 3, whole(3, 4) | whole(5, timeline=2)).missing == (Segment(2, 4),)
