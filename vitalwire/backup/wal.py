"""PostgreSQL's log as files: their names, whether one is missing, and whose they are. Nothing here reads a file.

Names and layout: PostgreSQL, "Continuous Archiving", src/include/access/xlog_internal.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schemas.errors import VitalwireError

PARTIAL = ".partial"  # of a segment that `pg_receivewal` still writes to
HEADER_BYTES = 40
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
# XLogLongPageHeaderData: magic, info, timeline, address, rest of a record, system identifier, bytes of a segment.
_HEADER = struct.Struct("<HHIQI4xQI4x")
_LONG_HEADER = 0x0002
_LOG_BYTES = 1 << 32  # what the second number of a name counts in


@dataclass(frozen=True, order=True)
class Segment:
    """A piece of the log; `number` counts pieces from the log's beginning."""

    timeline: int
    number: int

    def name(self, segment_bytes: int) -> str:
        """Its file's."""
        log, piece = divmod(self.number, _LOG_BYTES // segment_bytes)
        return f"{self.timeline:08X}{log:08X}{piece:08X}"


@dataclass(frozen=True)
class ArchivedFile:
    """A file of the archive that holds a segment; `is_partial`: as far as it was received."""

    segment: Segment
    is_partial: bool


def parse_segment(name: str, segment_bytes: int) -> ArchivedFile | None:
    """None: a file of another kind."""
    found = _SEGMENT.fullmatch(name)
    if found is None:
        return None
    timeline, log, piece = (int(found[at], 16) for at in (1, 2, 3))
    return ArchivedFile(Segment(timeline, log * (_LOG_BYTES // segment_bytes) + piece), found[4] is not None)


def parse_history_name(name: str) -> int | None:
    """The timeline whose history the file has; None: a file of another kind."""
    found = _HISTORY.fullmatch(name)
    return int(found[1], 16) if found else None


def parse_lsn(text: str) -> int:
    """A place in the log, in bytes from its beginning; raises VitalwireError."""
    found = _LSN.fullmatch(text.strip())
    if found is None:
        raise VitalwireError(f"{text!r} is no place in PostgreSQL's log: it has the form 16/B374D848")
    return (int(found[1], 16) << 32) + int(found[2], 16)


@dataclass(frozen=True)
class SegmentHeader:
    """What the first page of a segment says; `system_identifier` names the cluster that wrote it."""

    timeline: int
    system_identifier: int
    segment_bytes: int


def parse_header(head: bytes) -> SegmentHeader | None:
    """Of a segment's first HEADER_BYTES; None where nothing was written yet, or it is no segment."""
    if len(head) < HEADER_BYTES:
        return None
    _, info, timeline, _, _, system, segment_bytes = _HEADER.unpack_from(head)
    return SegmentHeader(timeline, system, segment_bytes) if info & _LONG_HEADER else None


# --- timelines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Branch:
    """A timeline that another one came from, and where in the log it was left."""

    timeline: int
    left_at_lsn: int


def parse_history(text: str) -> list[Branch]:
    """The timelines before one, the oldest first, as its history file has them."""
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    return [Branch(int(words[0]), parse_lsn(words[1])) for words in lines if len(words) >= 2]


@dataclass(frozen=True)
class Line:
    """A timeline with those that it came from: which of them each segment belongs to."""

    timeline: int
    before: tuple[Branch, ...]
    segment_bytes: int

    @property
    def timelines(self) -> tuple[int, ...]:
        """The oldest first."""
        return (*(branch.timeline for branch in self.before), self.timeline)

    def timeline_of(self, number: int) -> int:
        """Of the segment in which a timeline was left, the newer one: it holds what the older one has, and more."""
        found = self.timelines[0]
        for branch, following in zip(self.before, self.timelines[1:], strict=True):
            if branch.left_at_lsn // self.segment_bytes <= number:
                found = following
        return found


@dataclass(frozen=True)
class Reach:
    """How far the log goes on without a gap from a base backup; `missing` are segments before others that are there."""

    contiguous: tuple[Segment, ...]
    missing: tuple[Segment, ...]


def reach(line: Line, first: int, archive: Collection[ArchivedFile]) -> Reach:
    """What can be replayed from segment `first` of this line on.

    A segment that is there in part is the end: what comes after it is of no use, and it counts as missing then.
    """
    whole = {file.segment for file in archive if not file.is_partial}
    partial = {file.segment for file in archive if file.is_partial}
    numbers = [s.number for s in whole | partial if s.number >= first and s.timeline == line.timeline_of(s.number)]
    last = max(numbers, default=first - 1)
    contiguous, missing = list[Segment](), list[Segment]()
    for number in range(first, last + 1):
        segment = Segment(line.timeline_of(number), number)
        is_there = segment in whole or (segment in partial and number == last)
        if not is_there:
            missing.append(segment)
        elif not missing:
            contiguous.append(segment)
    return Reach(tuple(contiguous), tuple(missing))


def names(segments: Sequence[Segment], segment_bytes: int, most: int = 5) -> str:
    """For people: the files of these segments, and how many more there are."""
    shown = ", ".join(segment.name(segment_bytes) for segment in segments[:most])
    return f"{shown} and {len(segments) - most} more" if len(segments) > most else shown
