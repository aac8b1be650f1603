"""Scans of a wristband and a device, as JSON over MQTT: an object a scan (docs/scans.md).

    {"at": "2026-11-29T10:02:05+08:00", "device": "his/PV1-3=ICU^^07", "wristband": "0000123^HOSPITAL^MR"}
    {"at": "2026-11-29T11:30:00+08:00", "device": "his/PV1-3=ICU^^07", "action": "disassociate"}

A scan is a report of kind `context` on the lane ADT, all of a source by one claim, with the scan as a text
(schemas/scan.py). Whose the number is and which device is meant is decided at the hospital. Members that are not in the
table are counted and not kept: an app may send a name, and a sealed name cannot be erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import DeviceDriver, Source
from adapters.formats.instants import parse_iso
from adapters.formats.json_redaction import redact_json
from adapters.formats.json_values import Leaf, Numeral, read_leaves
from adapters.formats.moments import StatedMoment, received, unread_time
from adapters.formats.values import printable, text_record
from adapters.quality import Quality, done, exempt
from schemas.adt import Identifier
from schemas.errors import FrameError
from schemas.report import ClockQuality, Kind, Lane, Report
from schemas.scan import SCAN_CODE, Scan, ScanAction, WristbandNumber, encode_scan

CLAIM_PREFIX = "scan:"  # and the source's name: it is no device that could stand at a bed
MEMBERS = ("at", "device", "wristband", "wristband_of", "action", "scanner")
TEXT_CHARS_MAX = 250
COUNTED_MEMBERS_MAX = 100
UNCERTAINTY_MS_MAX = 1_000


class ScanSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one kind of scanners."""

    adt_source: Annotated[
        str, Meta(description="name of the [[adt_source]] whose numbers wristbands have; left out: the only one")
    ] = ""


def read(frame: bytes, source: Source[ScanSettings]) -> Sequence[Report]:
    """One payload: one scan."""
    leaves = read_leaves(frame)
    for name in leaves:
        _count_unread(name, source)
    device = _text(leaves, "device")
    if not device:
        raise FrameError("no-device", "the member device is empty or not there")
    action = _action(leaves)
    wristband = _identifier(_text(leaves, "wristband"))
    if wristband is None and action is ScanAction.ASSOCIATE:
        raise FrameError("no-wristband", "the member wristband is empty or not there")
    moment = _moment(_text(leaves, "at"), source)
    scan = Scan(
        action=action,
        device=device,
        digest=sha256(frame).digest(),
        wristband=wristband,
        number_of=_number_of(leaves),
        at_us=moment.device_at_us if moment.own_time else None,
        scanner=_text(leaves, "scanner"),
        adt_source=source.settings.adt_source,
    )
    records = moment.noted((text_record("vitalwire", SCAN_CODE, encode_scan(scan)),))
    return (moment.report(Kind.CONTEXT, f"{CLAIM_PREFIX}{source.name}", records, Lane.ADT),)


def _count_unread(path: str, source: Source[ScanSettings]) -> None:
    if path in MEMBERS:
        return
    name = f"member:{path.partition('.')[0]}"
    counts = source.counts
    counts[name if name in counts or len(counts) < COUNTED_MEMBERS_MAX else "member:?"] += 1


def _text(leaves: Mapping[str, Leaf], name: str) -> str:
    """A member as a trimmed text, "" where it is null or not there. A number is no text: 007 would be 7."""
    found = leaves.get(name)
    if found is None:
        if any(path.startswith(f"{name}.") for path in leaves):
            raise FrameError("not-a-text", f"the member {name}")
        return ""
    if isinstance(found, bool | Numeral):
        raise FrameError("not-a-text", f"the member {name}")
    text = found.strip()
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise FrameError("not-a-text", f"the member {name} is too long, or has characters that cannot be printed")
    return printable(text)


def _action(leaves: Mapping[str, Leaf]) -> ScanAction:
    try:
        return ScanAction(_text(leaves, "action") or ScanAction.ASSOCIATE)
    except ValueError:
        raise FrameError("unknown-action", f"action is none of {', '.join(ScanAction)}") from None


def _number_of(leaves: Mapping[str, Leaf]) -> WristbandNumber:
    try:
        return WristbandNumber(_text(leaves, "wristband_of"))
    except ValueError:
        raise FrameError("unknown-number", "wristband_of is neither patient nor visit") from None


def _identifier(text: str) -> Identifier | None:
    """NUMBER, NUMBER^AUTHORITY or NUMBER^AUTHORITY^TYPE."""
    parts = [part.strip() for part in text.split("^")]
    if len(parts) > 3:
        raise FrameError("not-a-number", "the member wristband has more than NUMBER^AUTHORITY^TYPE")
    value, authority, kind = [*parts, "", ""][:3]
    if not value and text:
        raise FrameError("not-a-number", "the member wristband has no number")
    return Identifier(value=value, authority=authority, type=kind) if value else None


def _moment(sent: str, source: Source[ScanSettings]) -> StatedMoment:
    """Of the scan; what is not there, or cannot be read to the second, is no time of its own."""
    if not sent:
        return received(source.received_at_us)
    instant = parse_iso(sent, source.time_zone)
    if instant is None or instant.uncertainty_ms > UNCERTAINTY_MS_MAX:
        return received(source.received_at_us, unread_time("at", sent))
    return StatedMoment(
        instant.us, source.received_at_us, instant.us, instant.uncertainty_ms, ClockQuality.DEVICE, own_time=True
    )


_NO_DEVICE = "it says which device is whose; nothing is measured"
QUALITY = Quality(
    numerics=exempt(_NO_DEVICE),
    waves=exempt(_NO_DEVICE),
    alarms=exempt(_NO_DEVICE),
    settings=exempt(_NO_DEVICE),
    clock=done("the member `at`, with its zone or the source's"),
    no_reading=done("a scan without its wristband or its device is refused"),
    disconnect=done("the broker keeps what comes meanwhile; the agent subscribes again"),
)
DRIVER = DeviceDriver(
    name="scan_json",
    title="scans of wristbands and devices, JSON over MQTT",
    manual="docs/scans.md",
    redact=redact_json,
    settings=ScanSettings,
    read=read,
    has_local_times=lambda _: True,
    quality=QUALITY,
    speaks_regularly=False,
)
