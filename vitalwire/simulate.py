"""`vitalwire simulate`: false devices that speak on the wire, and who else a hospital has there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from runtime.process import stop_event
from schemas.errors import VitalwireError
from simulators import hl7_oru
from simulators.emr_faults import NAMES
from simulators.hl7_vendors import VENDORS
from simulators.hospital import HospitalPlan, HospitalTotals, Office, beds_of, run_hospital
from simulators.ward import WardPlan, run_device, run_ward
from vitalwire.output import console

if TYPE_CHECKING:
    from simulators.emr import Emr

app = typer.Typer(help="Simulated devices (a whole ward, or one), admission office and EMR.", no_args_is_help=True)
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
    kind: Annotated[
        str,
        typer.Argument(
            help="nonin_ascii, nonin_df2, nonin_df7, nonin_df13, masimo, nellcor_n595, nellcor_n200, datex_dri,"
            " intellivue-mib, medibus (medibus-savina, -primus, -v500), bbraun_bcc, orchestra, alaris; hl7, hl7-listen,"
            " mqtt, intellivue, mindray-pds, bbraun_bcc-tcp or poct1a (poct1a-hemoscreen, -nova)"
        ),
    ],
    address: Annotated[str, typer.Argument(help="a path for the serial port to make, or host:port")],
    scenario: Scenario = "healthy",
    seed: int = 1,
    rate: float = 1.0,
    dialect: Annotated[str, typer.Option(help=f"of hl7: {', '.join((*hl7_oru.DIALECTS, *VENDORS))}; else pcd01")] = "",
) -> None:
    """One device until Ctrl-C: vitalwire simulate device nonin_df2 /tmp/oximeter."""
    console.print(f"{kind} speaks at {address}; Ctrl-C ends it", markup=False)
    asyncio.run(_until_stopped(lambda stop: run_device(kind, address, scenario, seed, rate, stop, dialect)))


_ANY = ("127.0.0.1", 0)
_EMR_HELP = """A receiver for FHIR and MLLP that keeps a table of its own.

Examples: vitalwire simulate emr

vitalwire simulate emr --mllp 127.0.0.1:2580 --fault slow=0.02

vitalwire simulate emr --table emr.sqlite --fault "lost=3 doubled=0.1"

While it runs, at the address of its page: GET / and /table.txt for people, GET /table as JSON, and
curl -X PUT --data "ae=2" http://127.0.0.1:<port>/faults for other faults; "none" ends them.

Faults (alone: always; =3: the next three; =0.1: a share; slow and late: seconds): """ + "; ".join(
    f"{name}: {what}" for name, what in NAMES.items()
)


@app.command(help=_EMR_HELP)
def emr(
    fhir: Annotated[str, typer.Option(help="host:port to listen at, on loopback; by itself a free one")] = "",
    mllp: Annotated[str, typer.Option(help="host:port to listen at, on loopback; by itself a free one")] = "",
    page: Annotated[str, typer.Option(help="host:port of the table, on loopback; by itself a free one")] = "",
    fault: Annotated[
        list[str] | None, typer.Option(help="what is wrong with it from the start; may be repeated")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="a file (SQLite) for what it has filed; else memory")] = None,
    seed: int = 1,
    seconds: Annotated[float | None, typer.Option(help="end by itself")] = None,
) -> None:
    """See `_EMR_HELP`."""
    from simulators.emr import EmrPlan, run_emr  # aiohttp, which no other command needs

    async def run(stop: asyncio.Event) -> None:
        plan = EmrPlan(
            fhir=_address(fhir) or _ANY, mllp=_address(mllp) or _ANY, page=_address(page) or _ANY, table=table,
            faults=" ".join(fault or ()), seed=seed,
        )  # fmt: skip
        await run_emr(plan, stop, _announce, seconds)

    asyncio.run(_until_stopped(run))


def _announce(running: Emr) -> None:
    console.print(f"FHIR: {running.fhir_url}", markup=False)
    console.print("MLLP: {}:{}".format(*running.mllp_address), markup=False)
    console.print(f"table: {running.page_url} (Ctrl-C ends it)", markup=False)


async def _until_stopped(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    try:
        return await work(stop_event())
    except (ValueError, OSError) as error:
        raise VitalwireError(str(error)) from None
