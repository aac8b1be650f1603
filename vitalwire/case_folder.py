"""A frame of a recording as a case of its driver's tests: the folder that tests/adapters/devices/cases holds.

`frame.hex`, `expected.json` (what it says now, or the reason for which it is refused) and, where the source is not a
plain one, `source.json`. Identifiers are to be taken out before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from adapters.driver import DeviceDriver, Source
from edge_agent.recorded_frames import RecordedFrame
from edge_agent.sources import SourcePlan, message_type
from runtime.errors import UserError
from schemas.errors import ConfigError, FrameError
from schemas.report import Kind

RECEIVED_AT_US = 1_790_000_000_000_000  # of every case: 2026-09-21 14:13:20 UTC
_NAME = "test"  # of every case's source


@dataclass(frozen=True)
class Case:
    """A frame with those of its connection before it without which it would say something else."""

    driver: DeviceDriver[Any]
    settings: msgspec.Struct
    frame: bytes
    peer: str
    before: tuple[bytes, ...]
    expected: dict[str, Any]


def case_of(plan: SourcePlan, frames: Sequence[RecordedFrame], number: int | None) -> Case:
    """The frame `number` (from 1 on; None: the first with values, else the first); raises ConfigError."""
    cut = [frame for frame in frames if frame.is_cut]
    if not cut:
        raise ConfigError("no frame is in this recording: is it of this driver?")
    if number is None:
        with_values = [i for i, frame in enumerate(cut, 1) if any(r.kind is Kind.METRIC for r in frame.reports)]
        number = (with_values or [1])[0]
    if not 1 <= number <= len(cut):
        raise ConfigError(f"--frame {number}: this recording has the frames 1 to {len(cut)}")
    chosen = cut[number - 1]
    driver, source = plan.driver, plan.source(chosen.peer)
    if plan.routes:
        driver, source = plan.routed(source, message_type(chosen.data))
    plain_source = replace(source, name=_NAME, lasting={}, memory={})
    alone = _expected(driver, plain_source, (), chosen.data)
    earlier = tuple(f.data for f in cut[: number - 1] if f.connection == chosen.connection and not f.reason)
    with_earlier = _expected(driver, plain_source, earlier, chosen.data)
    before = () if alone == with_earlier else earlier
    return Case(driver, source.settings, chosen.data, chosen.peer, before, alone if not before else with_earlier)


def _expected(
    driver: DeviceDriver[Any], source: Source[Any], before: Sequence[bytes], frame: bytes
) -> dict[str, Any]:  # fmt: skip
    reading = replace(source, memory={}, lasting={}, received_at_us=RECEIVED_AT_US)
    try:
        for earlier in before:
            driver.read(earlier, reading)
        return {"reports": plain(list(driver.read(frame, reading)))}
    except FrameError as error:
        return {"error": error.reason}


def write_case(folder: Path, case: Case, *, mapping: str, time_zone: str | None) -> None:
    """Write the folder; raises UserError where it is there, or cannot be written. `mapping` is the site's TOML."""
    settings = {
        field.encode_name: msgspec.to_builtins(getattr(case.settings, field.name))
        for field in msgspec.structs.fields(case.settings)
        if field.required or getattr(case.settings, field.name) != field.default
    }
    source = {
        "settings": settings,
        "mapping": mapping,
        "time_zone": time_zone,
        "peer": case.peer,
        "before": [earlier.hex() for earlier in case.before],
    }
    files = {"frame.hex": f"{case.frame.hex()}\n", "expected.json": _text(case.expected)}
    if any(source.values()):
        files["source.json"] = _text({name: value for name, value in source.items() if value})
    try:
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
    except FileExistsError:
        raise UserError(f"{folder} is there already: name another folder") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """As JSON holds it: enumerations by name, defaults left out."""
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        return {f.name: plain(each) for f in fields if (each := getattr(value, f.name)) != f.default}
    return value
