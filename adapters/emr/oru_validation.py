"""Whether a message is valid HL7 v2, by hl7apy at its strict level and by what hl7apy lets through."""

from __future__ import annotations

import re

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message, parse_segment

from adapters.formats.hl7v2 import Hl7Message, Segment
from schemas.errors import FrameError, VitalwireError

_STRICT = VALIDATION_LEVEL.STRICT
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?|[+-]?\.\d+")
_VALUE_TYPES = ("NM", "ST", "TX", "CE", "CWE")  # of table 0125, those that a chart needs
_RESULT_STATUS = frozenset("CDFINOPRSUWX")  # table 0085 up to 2.7
_STRUCTURE = re.compile(r"(Missing required child|Child limit exceeded) ([A-Z0-9_]+\.[A-Z0-9_]+)")
_TX_CHARS_MAX = 65_536
_MSH_ENCODING_FIELD = 2


def validate_oru(message: bytes) -> None:
    """Raises VitalwireError that names segment and field, never what stands in it."""
    try:
        read = Hl7Message(message)
    except FrameError as error:
        raise VitalwireError(f"not HL7: {error.reason}") from None
    _check_fields(read)
    lines = [_as_hl7apy_reads(segment, line) for segment, line in zip(read.segments, read.lines, strict=True)]
    try:
        parsed = parse_message("\r".join(lines), validation_level=_STRICT)
        parsed.validate()
    except (HL7apyException, ValueError) as error:
        raise VitalwireError(_place_of(error, read, lines)) from None
    kept = [line[:3] for line in parsed.to_er7().rstrip("\r").split("\r")]
    if kept != [line[:3] for line in lines]:  # it leaves out what it finds no place for
        raise VitalwireError("a segment stands where ORU^R01 has no place for it")


def _as_hl7apy_reads(segment: Segment, line: str) -> str:
    """It holds a TX of OBX-5 to the 199 characters of an ST, against 2.5.1 §2.A.79: its length is checked here."""
    if segment.name != "OBX" or segment.field(2) != "TX" or len(segment.field(5)) > _TX_CHARS_MAX:
        return line
    return segment.syntax.field.join([*segment.fields[:5], "text", *segment.fields[6:]])


def _check_fields(read: Hl7Message) -> None:
    """What hl7apy accepts though it is wrong."""
    for number, segment in enumerate(read.segments, 1):
        if segment.name != "OBX":
            continue
        if segment.field(2) not in _VALUE_TYPES:
            raise VitalwireError(f"segment {number}, OBX-2: none of {', '.join(_VALUE_TYPES)}")
        if segment.field(2) == "NM" and segment.field(5) and not _NUMBER.fullmatch(segment.field(5)):
            raise VitalwireError(f"segment {number}, OBX-5: not a number, though OBX-2 is NM")
        if segment.field(11) not in _RESULT_STATUS:
            raise VitalwireError(f"segment {number}, OBX-11: not a code of table 0085")
        if not segment.field(5) and segment.field(11) in ("F", "P", "R", "C"):
            raise VitalwireError(f"segment {number}, OBX-5: empty, though OBX-11 says that there is a result")


def _place_of(error: Exception, read: Hl7Message, lines: list[str]) -> str:
    """hl7apy's own messages quote values: the place is found by leaving out a field at a time."""
    version = read.msh[12]
    structure = _STRUCTURE.match(str(error))
    if structure is not None:
        return f"{structure[1].lower()} {structure[2]}"
    for number, (line, segment) in enumerate(zip(lines, read.segments, strict=True), 1):
        if _error_of(line, version) is None:
            continue
        field = _wrong_field(line, segment, version)
        return f"segment {number}, {segment.name}{field}: not valid in HL7 {version}"
    return f"not valid in HL7 {version}: {type(error).__name__}"


def _wrong_field(line: str, segment: Segment, version: str) -> str:
    """That without which the segment is valid, or wrong in another way: -7; "" where there is none."""
    separator = segment.syntax.field
    parts = line.split(separator)
    is_msh = segment.name == "MSH"
    error = _error_of(line, version)
    for index in range(_MSH_ENCODING_FIELD if is_msh else 1, len(parts)):
        without = separator.join([*parts[:index], "", *parts[index + 1 :]])
        if parts[index] and _error_of(without, version) != error:
            return f"-{index + 1 if is_msh else index}"
    return ""


def _error_of(line: str, version: str) -> str | None:
    try:
        segment = parse_segment(line, version=version, validation_level=_STRICT)
        segment.validate()
    except (HL7apyException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None
