"""`vitalwire record`: what is done with a recording: identifiers taken out, sent again, made a case of a driver."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.formats.recording import Direction, Entry, joined, peer_of, text_of
from adapters.formats.redaction import Redaction, redacted
from edge_agent.flight_recorder import Recorded, read_file
from edge_agent.recorded_frames import read_recording
from edge_agent.sources import SourcePlan
from runtime.errors import UserError
from runtime.process import stop_event
from schemas.errors import ConfigError, VitalwireError
from simulators.replay import Moved, Pace, ReplayTotals, beginning_at_zero, place_of, replay, timed
from vitalwire.case_folder import case_of, write_case
from vitalwire.edge_read import Config, Driver, Mapping, Settings, SourceName, Zone, described_plan
from vitalwire.output import as_json, console, table
from vitalwire.record import Json

app = typer.Typer(help="Recordings of `vitalwire edge record`: redact, replay, to-case.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="a recording")]
KEY_BYTES = 32


# --- redact -----------------------------------------------------------------------------------------------------------


@app.command()
def redact(
    file: File,
    out: Annotated[Path, typer.Argument(help="file to write; a new one")],
    driver: Driver = "",
    json: Json = False,
) -> None:
    """Take what names a person out of a recording: vitalwire record redact icu07.rec icu07-clean.rec

    Letters and digits become others of their kind, so that it is read and replayed as before; equal ones stay equal.
    Lists the fields in which something was removed. Look through the result before it leaves the house: free texts and
    the codes of devices stay.
    """
    recorded = read_file(file)
    clean, redaction = _redacted(recorded, driver or recorded.heading.driver)
    write_new(out, text_of(clean, recorded.heading if recorded.heading.driver else None))
    removed = sorted(redaction.removed.items())
    if json:
        as_json({"removed": dict(removed)})
        return
    table("Removed", ("field", "times"), removed, "nothing that names a person was found")
    console.print(f"{out} is written: look through it before it leaves the house", markup=False)


def _redacted(recorded: Recorded, driver: str) -> tuple[list[Entry], Redaction]:
    """The entries without identifiers; raises ConfigError, UserError."""
    found = DRIVER_BY_NAME.get(driver)
    if found is None:
        raise ConfigError(f"whose bytes are these? --driver, one of {', '.join(DRIVER_BY_NAME)}")
    if found.redact is None:
        raise UserError(
            f"the driver {driver} does not say where its device writes who the patient is, and nothing is guessed:"
            " keep this recording in the house"
        )
    redaction = Redaction(secrets.token_bytes(KEY_BYTES))
    return redacted(joined(recorded.entries), found.redact, redaction), redaction


def write_new(path: Path, text: str) -> None:
    """A new file for its owner alone; raises UserError."""
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write(text)
    except FileExistsError:
        raise UserError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


# --- replay -----------------------------------------------------------------------------------------------------------


@app.command("replay")
def replay_command(
    file: File,
    address: Annotated[str, typer.Argument(help="host:port, or with --over pty a path for the serial port to make")],
    over: Annotated[
        str, typer.Option(help="pty, tcp (to a listener), tcp-listen, udp (to whoever asks), udp-send, mqtt")
    ] = "tcp",
    speed: Annotated[float, typer.Option(min=0.01, max=10_000, help="1: as it was; 10: ten times as fast")] = 1.0,
    step: Annotated[bool, typer.Option("--step", help="each piece when Enter is pressed")] = False,
) -> None:
    """Be the device of a recording: vitalwire record replay icu07.rec 127.0.0.1:2575

    vitalwire record replay ox.rec /tmp/oximeter --over pty --speed 10

    vitalwire record replay astm.rec 127.0.0.1:4001 --over tcp-listen --step

    What was sent to the device is waited for, so that a dialogue keeps its order. The messages that a broker had kept
    (retained) come as new ones.
    """
    moved = beginning_at_zero(list(moved_of(read_file(file).entries)))
    if not any(each.kind == "<" for each in moved):
        raise ConfigError(f"{file}: nothing came in here that could be sent again")
    totals = asyncio.run(_replay(moved, over, address, _stepped() if step else timed(speed), show=step))
    late = f"; {totals.unanswered} answers of then did not come" if totals.unanswered else ""
    console.print(
        f"{totals.pieces} pieces, {totals.bytes} bytes over {totals.connections} connections{late}", markup=False
    )


def moved_of(entries: Sequence[Entry]) -> Iterator[Moved]:
    """As the simulator takes it; what says nothing of the link is left out."""
    for entry in joined(entries):
        at_s = entry.at_us / 1e6
        if entry.direction is Direction.IN:
            yield Moved(at_s, entry.connection, "<", entry.data)
        elif entry.direction is Direction.OUT:
            yield Moved(at_s, entry.connection, ">", entry.data)
        elif (peer := peer_of(entry.note)) is not None:
            yield Moved(at_s, entry.connection, "opened", peer=peer)
        elif entry.note == "closed":
            yield Moved(at_s, entry.connection, "closed")


async def _replay(moved: Sequence[Moved], over: str, address: str, pace: Pace, *, show: bool) -> ReplayTotals:
    def shown(each: Moved) -> None:
        console.print(f"{each.at_s:.6f} {each.connection} < {len(each.data)} bytes", markup=False)

    try:
        return await replay(moved, place_of(over, address), pace, stop_event(), shown if show else lambda _: None)
    except (ValueError, OSError) as error:
        raise VitalwireError(str(error)) from None


def _stepped() -> Pace:
    """When a line comes on standard input; after its end without waiting."""

    async def wait(at_s: float) -> None:
        await asyncio.to_thread(sys.stdin.readline)

    return wait


# --- a case of a driver -----------------------------------------------------------------------------------------------


@app.command("to-case")
def to_case(
    file: File,
    folder: Annotated[Path, typer.Argument(help="folder to make: tests/adapters/devices/cases/DRIVER/WHAT_IT_TELLS")],
    driver: Driver = "",
    mapping: Mapping = None,
    settings: Settings = None,
    config: Config = None,
    source: SourceName = "",
    time_zone: Zone = "",
    frame: Annotated[int | None, typer.Option(min=1, help="which frame; else the first with values")] = None,
    identifiers: Annotated[
        bool, typer.Option("--with-identifiers", help="as it was recorded, with what names persons")
    ] = False,
) -> None:
    """Make a case of a driver's tests of a recorded frame: vitalwire record to-case ox.rec cases/nonin_df2/low_battery

    Identifiers are taken out first. What is expected is what the driver says now: read it before you believe it.
    """
    recorded = read_file(file)
    plan = described_plan(
        driver or ("" if config else recorded.heading.driver), mapping, settings or [], config, source, time_zone
    )
    make_case(recorded, plan, folder, frame, mapping, time_zone or None, with_identifiers=identifiers)


def make_case(
    recorded: Recorded,
    plan: SourcePlan,
    folder: Path,
    frame: int | None,
    mapping: Path | None,
    time_zone: str | None,
    *,
    with_identifiers: bool,
) -> None:
    """Write the case folder, and say how it reads. Raises ConfigError, UserError."""
    entries = recorded.entries if with_identifiers else _redacted(recorded, plan.driver.name)[0]
    case = case_of(plan, list(read_recording(plan, entries, recorded.heading.begun_us or 0)), frame)
    zone = time_zone or (plan.time_zone.key if plan.time_zone else None)
    write_case(folder, case, mapping=mapping.read_text("utf-8") if mapping else "", time_zone=zone)
    says = f"refused: {case.expected['error']}" if "error" in case.expected else "what it says is in expected.json"
    console.print(f"{folder}: a case of {case.driver.name}, {len(case.frame)} bytes; {says}", markup=False)
