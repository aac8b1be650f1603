r"""HL7 v2 observations, ORU^R01 of 2.1 to 2.8: plain, IHE PCD-01, and the bare shape of Mindray's Patient Data Share.

One OBR group is one report; an OBX with a time of its own (OBX-14: cuff pressures) is a report of its own. PID and PV1
are a `context` report. What is no observation (ADT, MDM) is kept whole as a `context` report, not used yet.

- IHE PCD TF-2 appendix B: OBX-4 is the path MDS.VMD.channel.metric; OBX without values are its nodes; OBX-8 the status.
- IHE PCD Waveform Content Module, and Mindray's gateway: a wave is an OBX of type NA; the level below it in OBX-4 says
  how to read it. One that samples of 16 bits would not hold exactly, or without a rate, stays the text that it is.
- Mindray PDS Programmer's Guide: MSH-10 is a message kind (106: heartbeat), no MSH-7, patient and bed in an earlier
  message of the same connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import replace

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.hl7v2 import NULL, Message, Syntax, unescape
from adapters.formats.instants import DTM_CHARS_MAX, parse_dtm
from adapters.site import Mapped, SiteMapping, scaled
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_CODE, METRIC_BY_REFERENCE_ID, is_private, unit_from_text
from schemas.report import AsSent, ClockQuality, Kind, Record, RecordKind, Report, Samples, Validity

TYPES = ("ORU", "ADT", "MDM")
DEVICES_MAX = 100  # in one message; each gets its context
CLAIM_CHARS_MAX = 250
CACHED_BYTES_MAX = 16 * 1024  # what OBX of a longer message mean is not remembered: bounds the cache's memory
_VERSION = re.compile(r"(?:2\.[1-8](?:\.\d)?)?")  # empty: some senders leave it out
_field = lru_cache(64)(re.compile(r"([A-Z][A-Z0-9]{2})-(\d{1,3})(?:\.(\d{1,3}))?").fullmatch)
_EUI64 = re.compile(r"[0-9A-Fa-f]{16}")
_TO_THE_SECOND = re.compile(r"[0-9]{14}")
_CONTEXT = (
    ("PID", 3, "PID-3"), ("PID", 5, "PID-5"),
    ("PV1", 2, "PV1-2"), ("PV1", 3, "PV1-3"), ("PV1", 19, "PV1-19"), ("PV1", 44, "PV1-44"),
)  # fmt: skip
_UNMAPPED = Mapped(0, 0)
# Facets of a wave: its rate, the worth of a count, and which count is no sample. MDC_DIM_PER_SEC, MDC_DIM_HZ.
_FACETS = ("MDC_ATTR_SAMP_RATE", "MDC_ATTR_NU_MSMT_RES", "MDC_EVT_INOP")
_A_SECOND = ("264608", "264640", "")
_NOT_SENT = [""] * 19  # OBX-1 to 19, where a sender leaves off
# OBX-11, table 0085: cannot be obtained, wrong, deleted, not asked, order only, pending.
_NO_RESULT = frozenset("XWDNOI")
# OBX-8: IHE PCD TF-2 table B.8 (IEEE 11073-10201 MeasurementStatus), and table 0078 for off-scale values.
_STATUS = {
    "INV": Validity.INVALID, "TEST": Validity.INVALID, "DEMO": Validity.INVALID,
    "QUES": Validity.QUESTIONABLE, "EARLY": Validity.QUESTIONABLE, "CAL": Validity.CALIBRATING,
    "NI": Validity.NOT_AVAILABLE, "NAV": Validity.NOT_AVAILABLE, "OFF": Validity.NOT_AVAILABLE,
    ">": Validity.OVERFLOW, "<": Validity.UNDERFLOW,
}  # fmt: skip


class _Meaning(NamedTuple):
    """What an OBX says apart from its value and time; it comes again in every message of a sender."""

    code: int
    unit: int
    instance: int
    numeric: bool
    validity: Validity
    exponent_shift: int
    missing: tuple[str, ...]
    as_sent: AsSent | None
    is_node: bool  # of the containment tree


@lru_cache(4096)
def _meaning(
    site: SiteMapping, syntax: Syntax, kind: str, names: str, sub_id: str, units: str, flags: str, status: str
) -> _Meaning:
    """From OBX-2, 3, 4, 6, 8 and 11 as sent: the site's mapping, else MDC, by the triplets (id, text, system)."""
    parts = (*_components(names, syntax), *[""] * 6)
    triplets = (parts[:3], parts[3:6])
    found = next((f for code, _, system in triplets if code and (f := site.find(system, code))), None) or _UNMAPPED
    code = found.code or next(filter(None, (_mdc_code(*triplet) for triplet in triplets)), 0)
    unit_parts = (*_components(units, syntax), *[""] * 6)
    unit_texts = [text for text in (*unit_parts[:2], *unit_parts[3:5]) if text not in ("", NULL)]
    unit = found.unit or next((u.code for text in unit_texts if (u := unit_from_text(text))), 0)
    as_sent = None
    if not code or (unit_texts and not unit):
        as_sent = AsSent(parts[2], "^".join(filter(None, parts[:2])), unit_texts[0] if unit_texts else "")
    validities = [_STATUS.get(flag, Validity.VALID) for flag in flags.split(syntax.repetition)]
    if status in _NO_RESULT:
        validities.append(Validity.INVALID)
    # Without a type, a number is one where the metric is known; else nobody can say what it is.
    numeric = kind == "NM" or (not kind and code != 0)
    is_node = sub_id.endswith(".0") or parts[1].startswith("MDC_DEV_")
    instance = _instance(sub_id)
    return _Meaning(
        code, unit, instance, numeric, max(validities), found.exponent_shift, found.missing, as_sent, is_node
    )


def _components(text: str, syntax: Syntax) -> list[str]:
    parts = text.partition(syntax.repetition)[0].split(syntax.component)
    return [unescape(part, syntax) for part in parts] if syntax.escape in text else parts


def _mdc_code(code: str, text: str, system: str) -> int:
    """The metric that a triplet names, by number or reference id; 0 if none, and if the two contradict each other."""
    by_text = METRIC_BY_REFERENCE_ID.get(text) or METRIC_BY_REFERENCE_ID.get(code)
    if system != "MDC" or not code.isdecimal():
        return by_text.code if by_text else 0
    by_number = METRIC_BY_CODE.get(int(code)) if len(code) < 10 and not is_private(int(code)) else None
    return by_number.code if by_number and by_text in (None, by_number) else 0


def _instance(sub_id: str, whole: bool = False) -> int:
    """OBX-4 as a number: 1.13.2.x is 1302, its VMD and channel; to PCD-01 the metric's own is a mere sequence number.

    Paths that do not fit, and with `whole` two metrics of one code in one channel, are told apart by a checksum
    (without OBX-4 by their place in the message).
    """
    facets = sub_id.split(".")
    if not whole and all(facet.isdecimal() and len(facet) < 5 for facet in facets[:3]):
        if len(facets) == 1:
            return int(facets[0])
        if len(facets) > 3 and int(facets[0]) == 1 and int(facets[1]) < 655 and int(facets[2]) < 100:
            return int(facets[1]) * 100 + int(facets[2])
    place = sub_id if whole else ".".join(facets[:3])
    return crc32(place.encode("utf-8", "replace")) & 0xFFFF if sub_id else 0


def _record(kind: str, sent: str, syntax: Syntax, meaning: _Meaning, wave: _Wave | None) -> Record | None:
    """The record of an OBX; None for a node of the containment tree."""
    code, unit, instance, numeric, validity, shift, missing, as_sent, is_node = meaning
    if wave:
        samples = replace(wave[0], exponent=wave[0].exponent + shift)
        return Record(code, unit, instance, RecordKind.SAMPLES, max(validity, wave[2]), 0, 0, None, as_sent, samples)
    if numeric and sent not in missing and (parts := scaled(sent, shift)):
        return Record(code, unit, instance, RecordKind.NUMERIC, validity, *parts, None, as_sent)
    text = None if sent in ("", NULL) else unescape(sent, syntax)
    if text is None and is_node:
        return None
    if text is None or kind == "NM" or (numeric and sent in missing):  # "None", "---", "-100"
        record_kind = RecordKind.NUMERIC if numeric or not kind else RecordKind.TEXT
        return Record(code, unit, instance, record_kind, Validity.NOT_AVAILABLE, text=text, as_sent=as_sent)
    return Record(code, unit, instance, RecordKind.TEXT, validity, text=text, as_sent=as_sent)


_Wave = tuple[Samples, str, Validity]  # an OBX of type NA, read; its units as OBX-6 or its resolution says them


def _waves(message: Message) -> dict[tuple[int, str], _Wave]:
    """The waves by OBR and OBX-4; facets follow their wave."""
    component, obr = message.syntax.component, 0
    found: dict[tuple[int, str], dict[str, list[str]]] = {}
    for segment in message.segments:
        fields = segment.fields + _NOT_SENT
        if segment.name == "OBR":
            obr += 1
        elif segment.name == "OBX" and fields[2] == "NA":
            found[obr, fields[4]] = {"": fields}
        elif segment.name == "OBX" and (facets := found.get((obr, fields[4].rpartition(".")[0]))):
            facets[(fields[3].split(component) + _NOT_SENT)[1]] = fields
    return {where: wave for where, facets in found.items() if (wave := _wave(facets, component))}


def _wave(facets: dict[str, list[str]], component: str) -> _Wave | None:
    """Count x resolution, or without a resolution each sample as it is written; None where that is not exact."""
    wave, rate, resolution, mark = (facets.get(name, _NOT_SENT) for name in ("", *_FACETS))
    sent = wave[5].split(component)
    parts = [part for text in sent if (part := scaled(text))]
    hz, worth = scaled(rate[5]), scaled(resolution[5] or "1")
    if hz is None or worth is None or len(parts) < len(sent) or rate[6].partition(component)[0] not in _A_SECOND:
        return None
    lowest, highest = min(exponent for _, exponent in parts), max(exponent for _, exponent in parts)
    a_second = float(Decimal(hz[0]).scaleb(hz[1]))
    if not (1 <= a_second <= 1e6 and 0 < worth[0] < 2**31 and -99 < worth[1] < 99 and -9 <= lowest <= highest <= 9):
        return None
    raw = tuple(mantissa * 10 ** (exponent - lowest) for mantissa, exponent in parts)
    if min(raw) < -(2**15) or max(raw) >= 2**15 or (lowest and resolution[5]):  # a resolution is that of counts
        return None
    samples = Samples(round(1e6 / a_second), worth[0], 0, worth[1] + lowest, raw)
    return samples, wave[6] or resolution[6], Validity.QUESTIONABLE if mark[5] in sent else Validity.VALID


def _equipment(source: Source, syntax: Syntax, sent: str) -> str:
    """The claim of an OBX-18: its EUI-64 where there is one, also GE's, which do not say so."""
    first, _, universal, kind = (*_components(sent, syntax), *[""] * 4)[:4]
    eui = universal if kind == "EUI-64" and universal else first
    return f"eui64:{eui.lower()}" if _EUI64.fullmatch(eui) else f"{source.name}/OBX-18={sent[:CLAIM_CHARS_MAX]}"


def _claim(message: Message, source: Source, bare: bool) -> str:
    """The device by the sender's rule; where that is OBX-18, of what has none: by its bed."""
    rule = (source.device_field or "OBX-18").replace("OBX-18", "PV1-3")
    named = _field(rule)
    if named is None:
        return source.claim()
    value = message.field(named[1], int(named[2]), int(named[3] or 0)).rstrip(message.syntax.component)
    if bare:
        value = source.memory[rule] = value or source.memory.get(rule, "")
    return f"{source.name}/{rule}={value[:CLAIM_CHARS_MAX]}" if value not in ("", NULL) else source.claim()


def _text(name: str, text: str, system: str = "HL7") -> Record:
    return Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent(system, name))


class _Clock:
    """The times of one message: in the zone that its MSH-7 states, else in the source's."""

    def __init__(self, message_time: str, source: Source) -> None:
        self._message_time, self._received_at_us = message_time, source.received_at_us
        self._said = said = parse_dtm(message_time[:DTM_CHARS_MAX], source.time_zone)
        self._zone = (said and said.offset) or source.time_zone
        self._own = _TO_THE_SECOND.match(message_time) is not None

    def report(self, kind: Kind, claim: str, records: list[Record], name: str, sent: str) -> Report:
        """A report at the time `sent` in field `name`; where that is no instant, as received, and as it was sent."""
        received = self._received_at_us
        own = self._own or _TO_THE_SECOND.match(sent) is not None
        same = sent == self._message_time
        instant = self._said if same else parse_dtm(sent[:DTM_CHARS_MAX], self._zone)
        if instant is None:
            records = [*records, _text(name, sent)] if sent else records
            return Report(kind, claim, received, received, ClockQuality.RECEIVED, tuple(records), own_time=own)
        at, uncertainty_ms, _ = instant
        return Report(kind, claim, at, received, ClockQuality.DEVICE, tuple(records), at, uncertainty_ms, own)


def read(frame: bytes, source: Source) -> Sequence[Report]:
    """One message: its context, then its observations."""
    message = Message(frame, source.charset)
    msh = message.segments[0]
    what, event, message_time = msh.field(9, 1), msh.field(9, 2), msh.field(7, 1)
    if what not in TYPES:
        raise FrameError("unsupported-type", f"not one of {', '.join(TYPES)}")
    if not _VERSION.fullmatch(msh.field(12, 1)):
        raise FrameError("unsupported-version", "not 2.1 to 2.8")
    clock = _Clock(message_time, source)
    claim = _claim(message, source, bare=not message_time)
    context = _context(message)
    if what != "ORU":
        context.insert(0, _text("MSH-9", msh.field(9)))
        kept = replace(clock.report(Kind.CONTEXT, claim, context, "MSH-7", message_time), frame=frame)
        return fitting((kept,), frame)
    field = message.syntax.field
    waves = _waves(message) if f"{field}NA{field}".encode() in frame else {}
    groups = _observed(message, source, claim, waves, len(frame) <= CACHED_BYTES_MAX)
    claims = dict.fromkeys(device for _, _, device, _ in groups) or {claim: None}
    if len(claims) > DEVICES_MAX:
        raise FrameError("too-many-devices", f"more than {DEVICES_MAX}")
    reports = [clock.report(Kind.CONTEXT, c, context, "MSH-7", message_time) for c in claims if context]
    about = Kind.ALERT if event == "R40" else Kind.METRIC  # IHE PCD-04: alarms of the device
    for (_, of_waves, device, at), (time_field, records, _) in groups.items():
        reports.append(clock.report(Kind.WAVEFORM if of_waves else about, device, records, time_field, at))
    return fitting(reports, frame)


def _context(message: Message) -> list[Record]:
    """Patient and place as claimed; beside them what is wrong with a well-formed message, which refuses nothing."""
    first = message.first
    found = [
        _text(name, text) for segment, n, name in _CONTEXT if (text := message.field(segment, n)) not in ("", NULL)
    ]
    if (patient := first("PID")) and "NHSNMBR" in patient.field(3):
        for r in range(1, patient.repetitions(3) + 1):
            number, *named = (patient.field(3, c, 0, r) for c in (1, 4, 5))
            if "NHSNMBR" in named and not is_nhs_number(number):
                text = "the check digit of the NHS number in PID-3 is wrong"
                found.append(_text("invalid-nhs-number", text, "vitalwire"))
    if (order := first("ORC")) and (obr := first("OBR")) and not any(s.field(n) for s in (order, obr) for n in (2, 3)):
        text = "an order with neither placer nor filler number: ORC-2, -3, OBR-2, -3"
        found.append(_text("no-order-number", text, "vitalwire"))
    return found


def is_nhs_number(text: str) -> bool:
    """Whether the modulus 11 check digit holds (NHS Data Dictionary, "NHS NUMBER")."""
    if not re.fullmatch("[0-9]{10}", text):
        return False
    check = 11 - sum(int(d) * w for d, w in zip(text, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(text[9])


class _Group(NamedTuple):
    """Records of one device at one time: the field that says it, and the channels that there are."""

    time_field: str
    records: list[Record]
    channels: set[tuple[int, int]]


_Key = tuple[int, bool, str, str]  # OBR, whether waves, device, time as sent


def _equipment_of_mds(message: Message) -> dict[str, str]:
    """OBX-18 as sent by the first facet of OBX-4: some senders say it in the MDS node alone, some in most metrics."""
    said: dict[str, str] = {}
    for segment in message.segments:
        fields = segment.fields
        if segment.name == "OBX" and len(fields) > 18 and fields[18] not in ("", NULL):
            said.setdefault(fields[4].partition(".")[0], fields[18])
    return said


def _observed(
    message: Message, source: Source, claim: str, waves: dict[tuple[int, str], _Wave], cached: bool
) -> dict[_Key, _Group]:
    """The observations in groups, each of them a report."""
    syntax, site, meaning = message.syntax, source.site, _meaning if cached else _meaning.__wrapped__
    of_mds = _equipment_of_mds(message) if source.device_field in (None, "OBX-18") else {}
    equipment: dict[str, str] = {}
    groups: dict[_Key, _Group] = {}
    obr, obr_time = 0, ("MSH-7", message.field("MSH", 7, 1))
    message_time = obr_time
    for segment in message.segments:
        if segment.name == "OBR":
            sent = segment.field(7, 1)
            obr, obr_time = obr + 1, ("OBR-7", sent) if sent else message_time
        if segment.name != "OBX":
            continue
        fields = (segment.fields + _NOT_SENT)[2:19]
        kind, names, sub_id, value, units, _, flags, _, _, status, _, _, at, _, _, _, owner = fields
        wave = None
        if waves:
            if (obr, sub_id.rpartition(".")[0]) in waves and any(name in names for name in _FACETS):
                continue  # said with its wave
            if kind == "NA" and (wave := waves.get((obr, sub_id))):
                units = wave[1]
        what = meaning(site, syntax, kind, names, sub_id, units, flags, status)
        record = _record(kind, value, syntax, what, wave)
        if record is None:
            continue
        device = claim
        if of_mds and (owner := owner or of_mds.get(sub_id.partition(".")[0], "")):
            device = equipment.get(owner) or equipment.setdefault(owner, _equipment(source, syntax, owner))
        field, at = ("OBX-14", at.partition(syntax.component)[0]) if at else obr_time
        key = obr, wave is not None, device, at
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(field, [], set())
        channel = (record.code, record.instance)
        if record.code and channel in group.channels:
            instance = _instance(sub_id, whole=True) if sub_id else len(group.records)
            record = replace(record, instance=instance)
        group.channels.add(channel)
        group.records.append(record)
    return groups


DRIVER = DeviceDriver(
    "hl7_oru", "HL7 v2 ORU^R01: plain, IHE PCD-01, Mindray PDS",
    manual="HL7 2.5.1 chapter 7; IHE PCD TF-2 3.1 and appendix B; Mindray PDS Programmer's Guide",
    transport="mllp", channels=(), read=read,
)  # fmt: skip
