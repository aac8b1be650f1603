"""`vitalwire simulate`: false devices that speak on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from runtime.process import stop_event
from schemas.errors import VitalwireError
from simulators.hospital import HospitalPlan, HospitalTotals, Office, beds_of, run_hospital
from simulators.ward import WardPlan, run_device, run_ward
from vitalwire.output import console

app = typer.Typer(help="Simulated devices: a whole ward, or one.", no_args_is_help=True)
T = TypeVar("T")
Scenario = Annotated[str, typer.Option(help="healthy, desaturation, finger_off, silence or clock_jump")]


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    if text and not port.isdecimal():
        raise VitalwireError(f"{text!r} is no address: write host:port")
    return (host, int(port)) if text else None


@app.command()
def ward(
    beds: Annotated[int, typer.Option(help="split over the transports that are given")] = 12,
    rate: Annotated[float, typer.Option(help="reports a second and bed, in Hz")] = 1.0,
    values: Annotated[int, typer.Option(help="values a report")] = 12,
    serial_dir: Annotated[Path | None, typer.Option(help="folder for serial ports, bed-01 and so on")] = None,
    mllp: Annotated[str, typer.Option(help="host:port of an edge's MLLP listener")] = "",
    mqtt: Annotated[str, typer.Option(help="host:port of a broker")] = "",
    scenario: Scenario = "healthy",
    seed: int = 1,
    seconds: Annotated[float | None, typer.Option(help="end by itself")] = None,
    acked_log: Annotated[Path | None, typer.Option(help="write what was acknowledged, a JSON object a line")] = None,
) -> None:
    """A ward: vitalwire simulate ward --beds 12 --mllp 127.0.0.1:2575."""
    totals = asyncio.run(_until_stopped(lambda stop: run_ward(WardPlan(
        beds=beds, rate_hz=rate, values=values, seed=seed, scenario=scenario, serial_dir=serial_dir,
        mllp=_address(mllp), mqtt=_address(mqtt), acked_log=acked_log, duration_s=seconds,
    ), stop)))  # fmt: skip
    for name, sent in sorted(totals.sent.items()):
        console.print(f"{name}: {sent} sent, {totals.acked[name]} acknowledged", markup=False)


@app.command()
def hospital(
    address: Annotated[str, typer.Argument(help="host:port of an edge's MLLP listener with the driver hl7_adt")],
    beds: Annotated[int, typer.Option(help="of the ward: bed-01 and so on")] = 12,
    every: Annotated[float, typer.Option(help="seconds from event to event, on average")] = 20.0,
    late: Annotated[float, typer.Option(help="share of letters that are written minutes after")] = 0.0,
    doubled: Annotated[float, typer.Option(help="share of letters that are sent twice")] = 0.0,
    disordered: Annotated[float, typer.Option(help="share of letters that others overtake")] = 0.0,
    wrong: Annotated[
        float, typer.Option(help="share of discharges that nobody sends, of moves to a bed not there")
    ] = 0.0,
    seed: int = 1,
    seconds: Annotated[float | None, typer.Option(help="end by itself")] = None,
) -> None:
    """An admission office: vitalwire simulate hospital 127.0.0.1:2576 --every 5."""
    where = _address(address)
    if where is None:
        raise VitalwireError("no address: write host:port")

    async def run(stop: asyncio.Event) -> HospitalTotals:
        plan = HospitalPlan(beds=beds_of(beds), seed=seed, every_s=every, late=late, doubled=doubled,
                            disordered=disordered, wrong=wrong)  # fmt: skip
        return await run_hospital(Office(plan), where, stop, seconds)

    totals = asyncio.run(_until_stopped(run))
    for event, count in sorted(totals.acked.items()):
        console.print(f"{event}: {count} acknowledged", markup=False)


@app.command()
def device(
    kind: Annotated[str, typer.Argument(help="nonin_ascii, nonin_df2, hl7, hl7-listen or mqtt")],
    address: Annotated[str, typer.Argument(help="a path for the serial port to make, or host:port")],
    scenario: Scenario = "healthy",
    seed: int = 1,
    rate: float = 1.0,
) -> None:
    """One device until Ctrl-C: vitalwire simulate device nonin_df2 /tmp/oximeter."""
    console.print(f"{kind} speaks at {address}; Ctrl-C ends it", markup=False)
    asyncio.run(_until_stopped(lambda stop: run_device(kind, address, scenario, seed, rate, stop)))


async def _until_stopped(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    try:
        return await work(stop_event())
    except (ValueError, OSError) as error:
        raise VitalwireError(str(error)) from None
