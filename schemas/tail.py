"""The tail of a report as bytes: what does not fit into its row and records. Layout: docs/batch.md.

Canonical, as the batch is: an entry that could have been written otherwise is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas import layout
from schemas.errors import LayoutError, LayoutReason
from schemas.layout import AlarmBit, TailKind
from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, AsSent, Kind, Report, Samples

WITH_CLAIM = (Kind.EVENT, Kind.REJECTED)  # what the hospital learns a device's claim from
_TAIL_KINDS = {int(kind): kind for kind in TailKind}  # a look-up is a tenth of a call of the enum


def encoded_entries(report: Report) -> Iterator[bytes]:
    """The entries of a report's tail: what does not fit into its row and records."""

    def entry(index: int, kind: TailKind, data: bytes) -> bytes:
        return layout.TAIL_ENTRY.pack(index, kind, 0, len(data)) + data

    for i, r in enumerate(report.records):
        if isinstance(r.text, str):
            yield entry(i, TailKind.TEXT, r.text.encode("utf-8", "replace"))
        elif r.text is not None:
            yield entry(i, TailKind.BYTES, r.text)
        if r.note is not None:
            yield entry(i, TailKind.NOTE, r.note.encode("utf-8", "replace"))
        if r.as_sent is not None:
            yield entry(i, TailKind.AS_SENT, _joined(r.as_sent.system, r.as_sent.code, r.as_sent.unit))
        if r.samples is not None:
            yield entry(i, TailKind.SAMPLES, _samples_bytes(r.samples))
        if r.alarm is not None:
            yield entry(i, TailKind.ALARM, _alarm_bytes(r.alarm))
    if report.frame is not None:
        yield entry(layout.REPORT_LEVEL, TailKind.FRAME, report.frame[: layout.FRAME_BYTES_MAX])
    if report.kind in WITH_CLAIM:
        yield entry(layout.REPORT_LEVEL, TailKind.CLAIM, report.claim.encode("utf-8", "replace"))


def _joined(*texts: str) -> bytes:
    return "\x1f".join(text.replace("\x1f", " ") for text in texts).encode("utf-8", "replace")


def _samples_bytes(s: Samples) -> bytes:
    head = layout.SAMPLES_HEAD.pack(
        s.rate_numerator, s.rate_denominator, s.first_sample,
        s.scale_mantissa, s.offset_mantissa, s.exponent, 0, len(s.invalid),
    )  # fmt: skip
    return b"".join((head, *(layout.STRETCH.pack(begin, end) for begin, end in s.invalid), s.raw))


def _alarm_bytes(a: Alarm) -> bytes:
    bits = (
        AlarmBit.LATCHED * a.latched
        | AlarmBit.AUDIO_PAUSED * a.audio_paused
        | AlarmBit.HAS_LOW * (a.low is not None)
        | AlarmBit.HAS_HIGH * (a.high is not None)
    )
    since_us = layout.ABSENT_TIME if a.since_us is None else a.since_us
    (low, low_exponent), (high, high_exponent) = a.low or (0, 0), a.high or (0, 0)
    head = layout.ALARM_HEAD.pack(
        a.state, a.priority, a.kind, bits, since_us, low, high, low_exponent, high_exponent
    )  # fmt: skip
    return head + _joined(a.condition, a.text)


def tail_entries(tail: bytes) -> Iterator[tuple[int, TailKind, bytes]]:
    """Walk a tail; raises LayoutError where it is not canonical."""
    at, last = 0, (-1, 0)
    while at < len(tail):
        if at + layout.TAIL_ENTRY.size > len(tail):
            raise LayoutError(LayoutReason.TAIL, "entry cut off")
        index, kind, zero, length = layout.TAIL_ENTRY.unpack_from(tail, at)
        at += layout.TAIL_ENTRY.size
        if zero or kind not in _TAIL_KINDS or (index, kind) <= last or at + length > len(tail):
            raise LayoutError(LayoutReason.TAIL, f"entry of kind {kind}, {length} bytes")
        last = (index, kind)
        yield index, _TAIL_KINDS[kind], tail[at : at + length]
        at += length


def as_sent_of(data: bytes) -> AsSent:
    """An AS_SENT tail entry, read."""
    return AsSent(*data.decode().split("\x1f"))


def samples_of(data: bytes) -> Samples:
    """A SAMPLES tail entry, read; raises LayoutError."""
    if len(data) < layout.SAMPLES_HEAD.size:
        raise LayoutError(LayoutReason.TAIL, "samples")
    numerator, denominator, first, scale, offset, exponent, zero, count = layout.SAMPLES_HEAD.unpack_from(data)
    begin = layout.SAMPLES_HEAD.size
    end = begin + count * layout.STRETCH.size
    raw = data[end:]
    if zero or end > len(data) or len(raw) % 2 or not numerator or not denominator or first >= 2**63:
        raise LayoutError(LayoutReason.TAIL, "samples")
    invalid = tuple(layout.STRETCH.iter_unpack(data[begin:end]))
    last = 0
    for first_bad, end_bad in invalid:
        if not last <= first_bad < end_bad <= len(raw) // 2:
            raise LayoutError(LayoutReason.TAIL, "invalid stretch of samples")
        last = end_bad
    return Samples(numerator, denominator, scale, offset, exponent, raw, first, invalid)


def alarm_of(data: bytes) -> Alarm:
    """An ALARM tail entry, read; raises LayoutError."""
    if len(data) < layout.ALARM_HEAD.size:
        raise LayoutError(LayoutReason.TAIL, "alarm")
    state, priority, kind, bits, since_us, low, high, low_exponent, high_exponent = layout.ALARM_HEAD.unpack_from(data)
    try:
        condition, text = data[layout.ALARM_HEAD.size :].decode().split("\x1f")
        alarm = Alarm(
            condition=condition,
            state=AlarmState(state),
            priority=AlarmPriority(priority),
            kind=AlarmKind(kind),
            since_us=None if since_us == layout.ABSENT_TIME else since_us,
            low=(low, low_exponent) if bits & AlarmBit.HAS_LOW else None,
            high=(high, high_exponent) if bits & AlarmBit.HAS_HIGH else None,
            latched=bool(bits & AlarmBit.LATCHED),
            audio_paused=bool(bits & AlarmBit.AUDIO_PAUSED),
            text=text,
        )
    except ValueError:
        raise LayoutError(LayoutReason.TAIL, "alarm") from None
    if _alarm_bytes(alarm) != data:
        raise LayoutError(LayoutReason.TAIL, "alarm is not canonical")
    return alarm
