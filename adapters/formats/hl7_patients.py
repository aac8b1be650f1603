"""Whose and where, as one HL7 v2 message claims it: the context of a patient, and the identity of a device.

Identifiers only, never names: a sealed name cannot be erased.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from adapters.formats.hl7_observation import NOTHING, trimmed
from adapters.formats.hl7v2 import Segment, Syntax
from adapters.formats.values import printable, text_record
from schemas.adt import Identifier
from schemas.report import Record

CLAIM_CHARS_MAX = 250
CACHED_CHARS_MAX = 1_000  # a longer PID or PV1 is not remembered: bounds the caches' memory
_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})-(\d{1,3})(?:\.(\d{1,3}))?")
_EUI64 = re.compile(r"[0-9A-Fa-f]{16}")
_IDENTIFIERS = ("PID-3", "PV1-2", "PV1-3", "PV1-19", "PV1-44")


@dataclass
class Patient:
    """The segments of one patient group, as lines: nothing of the patient before is among them."""

    lines: dict[str, str] = field(default_factory=dict)  # by name: PID, PV1, the first ORC and OBR, others the newest

    @property
    def is_named(self) -> bool:
        """Whether anything is said of patient or place."""
        return "PID" in self.lines or "PV1" in self.lines


@dataclass(frozen=True)
class FieldRule:
    """Which field names a device: "PV1-3", "MSH-3.1"; without a segment it is the connection."""

    segment: str = ""
    number: int = 0
    component: int = 0
    text: str = "connection"


def field_rule(text: str) -> FieldRule:
    """The rule as configured; raises ValueError with its mend."""
    if text == "connection":
        return FieldRule()
    named = _FIELD.fullmatch(text)
    if named is None:
        raise ValueError(f"device = {text!r} is no field: OBX-18, PV1-3, MSH-3.1, ... or connection")
    if named[1] in ("OBX", "NTE"):
        raise ValueError(f"device = {text!r} names no device: of OBX, 18 alone does")
    return FieldRule(named[1], int(named[2]), int(named[3] or 0), text)


def device_claim(rule: FieldRule, segment: Segment | None, source_name: str, by_connection: str) -> str:
    """The identity of a device by its rule; that of the connection where the field says nothing."""
    if segment is None:
        return by_connection
    value = printable(trimmed(segment.field(rule.number, rule.component), segment.syntax))
    return f"{source_name}/{rule.text}={value[:CLAIM_CHARS_MAX]}" if value else by_connection


@lru_cache(4096)
def equipment_claim(source_name: str, sent: str, syntax: Syntax) -> str:
    """The identity that an OBX-18 states: its EUI-64 where there is one, also GE's, which do not say so."""
    parts = [*sent.split(syntax.component), "", "", "", ""]
    identifier, universal, kind = parts[0], parts[2], parts[3]
    eui64 = universal if kind.upper() == "EUI-64" and universal else identifier
    if _EUI64.fullmatch(eui64):
        return f"eui64:{eui64.lower()}"
    return f"{source_name}/OBX-18={printable(sent)[:CLAIM_CHARS_MAX]}"


def context_of(patient: Patient, syntax: Syntax) -> tuple[Record, ...]:
    """Patient and place as claimed; beside them what is wrong with a well-formed message, which refuses nothing."""
    lines = patient.lines
    if not lines:
        return ()
    pid, pv1 = lines.get("PID", ""), lines.get("PV1", "")
    identify = _identifiers if len(pid) + len(pv1) < CACHED_CHARS_MAX else _identifiers.__wrapped__
    found = identify(pid, pv1, syntax)
    if "ORC" in lines and "OBR" in lines:
        orders = [_segment(lines[name], syntax) for name in ("ORC", "OBR")]
        if not any(order.field(n) for order in orders for n in (2, 3)):
            text = "an order with neither placer nor filler number: ORC-2, -3, OBR-2, -3"
            found = (*found, text_record("vitalwire", "no-order-number", text))
    return found


@lru_cache(4096)
def _identifiers(pid: str, pv1: str, syntax: Syntax) -> tuple[Record, ...]:
    segments = {"PID": _segment(pid, syntax), "PV1": _segment(pv1, syntax)}
    found = []
    for name in _IDENTIFIERS:
        text = segments[name[:3]].field(int(name[4:]))
        if text.strip() not in NOTHING:
            found.append(text_record("HL7", name, text.strip(), syntax.codec))
    patient = segments["PID"]
    for repetition in range(1, patient.repetitions(3) + 1):
        number, *named = (patient.field(3, component, 0, repetition) for component in (1, 4, 5))
        if "NHSNMBR" in named and not is_nhs_number(number):
            text = "the check digit of the NHS number in PID-3 is wrong"
            found.append(text_record("vitalwire", "invalid-nhs-number", text))
    return tuple(found)


def claimed_identifiers(text: str) -> tuple[Identifier, ...]:
    """The identifiers of a PID-3 as `context_of` keeps it; by the usual delimiters, for it does not keep the message's.

    >>> [number.value for number in claimed_identifiers("0123^^^HOSP^MR~485 777 3456^^^NHS^NH")]
    ['0123', '485 777 3456']
    """
    found = []
    for repetition in text.split("~"):
        value, _, _, authority, kind = [part.strip() for part in [*repetition.split("^"), "", "", "", ""][:5]]
        if value not in NOTHING:
            found.append(Identifier(value=value, authority=authority, type=kind))
    return tuple(found)


def _segment(line: str, syntax: Syntax) -> Segment:
    fields = line.split(syntax.field)
    return Segment(fields, fields[0], syntax)


def is_nhs_number(text: str) -> bool:
    """Whether the modulus 11 check digit holds (NHS Data Dictionary, "NHS NUMBER")."""
    if not re.fullmatch("[0-9]{10}", text):
        return False
    check = 11 - sum(int(digit) * weight for digit, weight in zip(text, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(text[9])
