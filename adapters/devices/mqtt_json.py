"""JSON over MQTT by a declared mapping: the site's rows name each value's path (`vitals.hr`, `leads.0.st`).

The payload is read exactly (37.0 stays 370e-1); NaN, Infinity and a name given twice in one object are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.instants import Instant, parse_iso
from adapters.site import Mapped, scaled
from schemas.errors import FrameError
from schemas.report import AsSent, ClockQuality, Kind, Record, RecordKind, Report, Validity

SYSTEM = "JSON"
VALUES_MAX = 1000  # in one payload
PATH_BYTES_MAX = 256
# Epoch milliseconds of the years 2000 to 9999; a smaller number counts something else (seconds, time since boot).
_EPOCH_MS_MIN, _EPOCH_MS_MAX = 946_684_800_000, 253_402_300_799_999
_UNMAPPED = Mapped(0, 0)


class _Numeral(str):
    """A JSON number as it is written."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name twice in one object")
    return members


def _sendable(text: str) -> str:
    """JSON's escapes can spell half a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, str | bool | None]]:
    """Every value with its path."""
    if len(path) > PATH_BYTES_MAX or (not path.isascii() and len(path.encode("utf-8", "replace")) > PATH_BYTES_MAX):
        raise FrameError("path-too-long")
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield _sendable(path), _sendable(node) if type(node) is str else node


def _record(path: str, leaf: str | bool | None, source: Source) -> Record:
    found = source.site.find(SYSTEM, path)
    code, unit, shift, missing = found or _UNMAPPED
    as_sent = None if found else AsSent(SYSTEM, path)
    if isinstance(leaf, bool) or (isinstance(leaf, str) and not found and not isinstance(leaf, _Numeral)):
        text = json.dumps(leaf) if isinstance(leaf, bool) else leaf
        return Record(code, unit, kind=RecordKind.TEXT, text=text, as_sent=as_sent)
    parts = scaled(leaf, shift) if leaf is not None and leaf not in missing else None
    if parts is None:  # null, "---", or a number beyond what a record holds
        return Record(code, unit, validity=Validity.NOT_AVAILABLE, text=leaf, as_sent=as_sent)
    return Record(code, unit, mantissa=parts[0], exponent=parts[1], as_sent=as_sent)


def _instant(leaf: str, source: Source) -> Instant | None:
    """The time as sent; None if it is none, or if its zone is known to nobody."""
    if not isinstance(leaf, _Numeral):
        return parse_iso(leaf, source.time_zone)
    ms = float(leaf)
    return Instant(round(ms * 1000)) if _EPOCH_MS_MIN <= ms <= _EPOCH_MS_MAX else None


def read(frame: bytes, source: Source) -> Sequence[Report]:
    """One payload: one report."""
    try:
        payload = json.loads(
            frame, parse_int=_Numeral, parse_float=_Numeral, parse_constant=_refuse, object_pairs_hook=_object
        )
        if not isinstance(payload, dict):
            raise FrameError("json", "not an object")
        leaves = list(islice(_leaves(payload), VALUES_MAX + 1))
    except (ValueError, RecursionError) as error:
        raise FrameError("json", type(error).__name__) from None
    if len(leaves) > VALUES_MAX:
        raise FrameError("too-many-values", f"more than {VALUES_MAX}")
    values = dict(leaves)
    if len(values) < len(leaves):  # {"a.b": 1, "a": {"b": 2}}
        raise FrameError("path-twice")
    sent, serial = (values.pop(path, None) if path else None for path in (source.time_field, source.device_field))
    if not values:
        return ()
    records = [_record(path, leaf, source) for path, leaf in values.items()]
    at = _instant(sent, source) if isinstance(sent, str) else None
    if at is None and sent is not None:
        records.append(Record(kind=RecordKind.TEXT, text=str(sent), as_sent=AsSent(SYSTEM, source.time_field or "")))
    claim = f"{source.name}/{source.device_field}={serial}" if serial else source.claim("topic")
    received = source.received_at_us
    if at is None:
        report = Report(Kind.METRIC, claim, received, received, ClockQuality.RECEIVED, tuple(records))
    else:
        report = Report(
            Kind.METRIC, claim, at.us, received, ClockQuality.DEVICE, tuple(records), at.us, at.uncertainty_ms, True
        )
    return fitting((report,), frame)


DRIVER = DeviceDriver(
    "mqtt_json", "JSON over MQTT by a declared mapping", manual="RFC 8259; the site's mapping",
    transport="mqtt", channels=(), read=read,
)  # fmt: skip
