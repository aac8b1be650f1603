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
_RESULT_STATUS = frozenset("CDFINOPRSUWX")  # table 0085 up to 2.7
_STRUCTURE = re.compile(r"(Missing required child|Child limit exceeded) ([A-Z0-9_]+\.[A-Z0-9_]+)")
_MSH_ENCODING_FIELD = 2


def validate_oru(message: bytes) -> None:
    """Raises VitalwireError that names segment and field, never what stands in it."""
    try:
        read = Hl7Message(message)
    except FrameError as error:
        raise VitalwireError(f"not HL7: {error.reason}") from None
    _check_fields(read)
    text, version = "\r".join(read.lines), read.msh[12]
    try:
        parsed = parse_message(text, validation_level=_STRICT)
        parsed.validate()
    except (HL7apyException, ValueError) as error:
        raise VitalwireError(_place_of(error, read, version)) from None
    if parsed.to_er7().rstrip("\r") != text:
        raise VitalwireError("a segment is not of this message's structure")


def _check_fields(read: Hl7Message) -> None:
    """What hl7apy accepts though it is wrong."""
    for number, segment in enumerate(read.segments, 1):
        if segment.name != "OBX":
            continue
        if segment.field(2) == "NM" and segment.field(5) and not _NUMBER.fullmatch(segment.field(5)):
            raise VitalwireError(f"segment {number}, OBX-5: not a number, though OBX-2 is NM")
        if segment.field(11) not in _RESULT_STATUS:
            raise VitalwireError(f"segment {number}, OBX-11: not a code of table 0085")
        if not segment.field(5) and segment.field(11) in ("F", "P", "R", "C"):
            raise VitalwireError(f"segment {number}, OBX-5: empty, though OBX-11 says that there is a result")


def _place_of(error: Exception, read: Hl7Message, version: str) -> str:
    """hl7apy's own messages quote values: the place is found by leaving out a field at a time."""
    structure = _STRUCTURE.match(str(error))
    if structure is not None:
        return f"{structure[1].lower()} {structure[2]}"
    for number, (line, segment) in enumerate(zip(read.lines, read.segments, strict=True), 1):
        if _is_valid(line, version):
            continue
        field = _wrong_field(line, segment, version)
        return f"segment {number}, {segment.name}{field}: not valid in HL7 {version}"
    return f"not valid in HL7 {version}: {type(error).__name__}"


def _wrong_field(line: str, segment: Segment, version: str) -> str:
    separator = segment.syntax.field
    parts = line.split(separator)
    is_msh = segment.name == "MSH"
    for index in range(_MSH_ENCODING_FIELD if is_msh else 1, len(parts)):
        without = separator.join([*parts[:index], "", *parts[index + 1 :]])
        if parts[index] and _is_valid(without, version):
            return f"-{index + 1 if is_msh else index}"
    return ""


def _is_valid(line: str, version: str) -> bool:
    try:
        segment = parse_segment(line, version=version, validation_level=_STRICT)
        segment.validate()
    except (HL7apyException, ValueError):
        return False
    return True
