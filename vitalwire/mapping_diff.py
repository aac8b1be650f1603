"""`vitalwire mapping diff`: what a change of mapping, settings or driver would change of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_agent.flight_recorder import Recorded, read_file
from edge_agent.recorded_frames import read_recording
from edge_agent.sources import SourcePlan
from runtime.errors import EXIT_DOES_NOT_HOLD
from schemas.errors import ConfigError
from vitalwire.edge_read import (
    Config,
    Driver,
    Labels,
    ReadRecord,
    ReadReport,
    Settings,
    SourceName,
    Zone,
    described_plan,
    reports_as_read,
)
from vitalwire.output import as_json, console, table
from vitalwire.record import Json
from vitalwire.recordings import write_new


class FrameAsRead(msgspec.Struct, frozen=True):
    """A frame of a recording, and what it says."""

    number: int
    connection: int
    received_at_us: int
    reason: str
    reports: tuple[ReadReport, ...]


@dataclass(frozen=True)
class Change:
    """A value that comes out otherwise; None: it is not there."""

    frame: int
    device: str
    sent: str  # what its sender calls it
    before: str | None
    after: str | None


def diff(
    against: Annotated[Path, typer.Option(help="a recording (`vitalwire edge record`)")],
    mapping: Annotated[Path | None, typer.Option(help="the mapping file that is to be")] = None,
    old_mapping: Annotated[Path | None, typer.Option(help="the one that is; else that of --config, or none")] = None,
    settings: Settings = None,
    driver: Driver = "",
    config: Config = None,
    source: SourceName = "",
    time_zone: Zone = "",
    before: Annotated[Path | None, typer.Option(help="what --save of another version wrote, in place of now")] = None,
    save: Annotated[Path | None, typer.Option(help="write what is read now, for --before of the next version")] = None,
    json: Json = False,
) -> None:
    """What would change, value by value: vitalwire mapping diff --against icu.rec --mapping new.toml --driver hl7_oru

    vitalwire mapping diff --against icu.rec --mapping new.toml --config edge.toml --source 'ICU-07'

    vitalwire mapping diff --against icu.rec --driver hl7_oru --save then.json    (and with the next version:)

    vitalwire mapping diff --against icu.rec --driver hl7_oru --before then.json

    Nothing is sent or kept. Exit 4 where something changes.
    """
    recorded = read_file(against)
    # As typed for `described_plan`: without --config the driver of the recording's own heading.
    named = driver or ("" if config else recorded.heading.driver)
    after = _read(recorded, described_plan(named, mapping, settings or [], config, source, time_zone))
    if save is not None:
        write_new(save, msgspec.json.encode(after).decode() + "\n")
        console.print(f"{save}: {len(after)} frames as this version reads them", markup=False)
        return
    if before is not None:
        then = _saved(before)
    else:
        then = _read(recorded, described_plan(named, old_mapping, [], config, source, time_zone))
    changes = list(changes_of(then, after))
    if json:
        as_json([vars(change) for change in changes])
    else:
        _show(changes, then, after)
    if changes:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _saved(path: Path) -> list[FrameAsRead]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[FrameAsRead])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError:
        raise ConfigError(f"{path} is not what --save wrote") from None


def _read(recorded: Recorded, plan: SourcePlan) -> list[FrameAsRead]:
    frames = read_recording(plan, recorded.entries, recorded.heading.begun_us or 0)
    labels: Labels = {}
    return [
        FrameAsRead(
            number=number,
            connection=frame.connection,
            received_at_us=frame.received_at_us,
            reason=frame.reason,
            reports=() if frame.reason else tuple(reports_as_read(frame.reports, labels)),
        )
        for number, frame in enumerate(frames, 1)
    ]


def changes_of(before: Sequence[FrameAsRead], after: Sequence[FrameAsRead]) -> Iterator[Change]:
    """Frame by frame and value by value, by their places: a mapping moves none."""
    for index in range(max(len(before), len(after))):
        one = before[index] if index < len(before) else None
        other = after[index] if index < len(after) else None
        number = index + 1
        reasons = [each.reason if each is not None else None for each in (one, other)]
        if reasons[0] != reasons[1]:
            yield Change(number, "", "the frame", _of_frame(one), _of_frame(other))
        yield from _of_reports(number, one.reports if one else (), other.reports if other else ())


def _of_frame(frame: FrameAsRead | None) -> str | None:
    if frame is None:
        return None
    return f"rejected: {frame.reason}" if frame.reason else "read"


def _of_reports(number: int, before: Sequence[ReadReport], after: Sequence[ReadReport]) -> Iterator[Change]:
    # What senders call their channels is told once; whether it is told again is no value.
    before, after = ([r for r in each if r.kind != "description"] for each in (before, after))
    for index in range(max(len(before), len(after))):
        one = before[index] if index < len(before) else None
        other = after[index] if index < len(after) else None
        device = (one or other or before[0]).device
        if one is not None and other is not None and _head(one) != _head(other):
            yield Change(number, device, "the report", _head(one), _head(other))
        old, new = (each.records if each else () for each in (one, other))
        for place in range(max(len(old), len(new))):
            was = old[place] if place < len(old) else None
            will = new[place] if place < len(new) else None
            if was != will:
                yield Change(number, device, _sent(was or will), _shown(was), _shown(will))


def _head(report: ReadReport) -> str:
    return f"{report.kind} of {report.device} at {report.observed_at or 'no time of its own'} ({report.clock} clock)"


def _sent(record: ReadRecord | None) -> str:
    return record.code if record else ""


def _shown(record: ReadRecord | None) -> str | None:
    if record is None:
        return None
    value = f"{record.bound or ''}{record.value}" if record.value is not None else record.text or "--"
    words = [record.metric or "no code", value, record.unit or "no unit", record.verdict, *record.marks]
    return " ".join(words)


def _show(changes: Sequence[Change], before: Sequence[FrameAsRead], after: Sequence[FrameAsRead]) -> None:
    rows = [(c.frame, c.device, c.sent, c.before or "-", c.after or "-") for c in changes]
    table("Would change", ("frame", "device", "sent as", "now", "then"), rows, "nothing")
    values = sum(len(report.records) for frame in after for report in frame.reports)
    console.print(f"{len(changes)} changes in {max(len(before), len(after))} frames with {values} values", markup=False)
