"""`vitalwire processors`: the three workers, kept alive; and the platform's key."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated

import structlog
import typer

from emr_store import roles
from emr_store.connect import StoreError, open_store
from emr_store.migrate import migrate
from runtime import config as configuration
from runtime import keys, logs
from runtime.errors import UserError
from runtime.process import end_with_parent, stop_event, stops_within
from schemas.errors import VitalwireError
from stream_processors.broker import security
from stream_processors.config import APPS, ProcessorsConfig
from stream_processors.connection import conninfo, reachable
from vitalwire.output import LANES, console
from vitalwire.record import explained

RESTART_FIRST_S, RESTART_MAX_S = 0.5, 10.0
QUICK_S = 10.0  # after a worker that lived longer the back-off begins afresh
STOP_S = 10.0
MIGRATE_RETRY_S = 2.0
app = typer.Typer(help="The hospital side: validate, sign, store, alarm.", no_args_is_help=True)
_log = structlog.get_logger("processors")
Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample processors")]


@app.command()
def run(
    config: Config = Path("processors.toml"),
    lanes: Annotated[str, typer.Option(help="only these, comma between: live,backfill,waveform,adt")] = "",
) -> None:
    """Run the workers until Ctrl-C; one that ends is started again: vitalwire processors run."""
    settings = configuration.load(config, ProcessorsConfig)
    chosen = [name.strip().lower() for name in lanes.split(",") if name.strip()]
    if unknown := sorted(set(chosen) - set(LANES.values())):
        raise UserError(f"--lanes {unknown[0]!r} is none of {', '.join(LANES.values())}")
    logs.set_up()
    keys.load(settings.key_file, allow_demo=settings.demo)
    security(settings)
    where = conninfo(settings)
    away = not reachable(where)
    if not away:
        with explained(where, insecure=settings.insecure):
            _migrate(where)
    console.print(f"{', '.join(APPS)} run; Ctrl-C ends them", markup=False)
    asyncio.run(work(config, chosen, migrate_later=where if away else None))


@app.command()
def keygen(path: Annotated[Path, typer.Argument(help="file to make")] = Path("platform.key")) -> None:
    """Make the platform's signing key; edges get the .pub file beside it."""
    key = keys.generate(path)
    console.print(f"{path} and {path.with_suffix('.pub')}: {keys.fingerprint(key.public_der)}", markup=False)


async def work(config: Path, lanes: list[str], *, migrate_later: str | None, stop: asyncio.Event | None = None) -> None:
    """Keep the workers; bring this store's schema up to date once it can be reached (None: it is already).

    They wait for the store meanwhile, and validate. Raises VitalwireError, after they have ended, where the store turns
    out to be of another edition.
    """
    ending = stop or stop_event()
    supervising = asyncio.ensure_future(supervise(config, lanes, ending))
    try:
        if migrate_later is not None:
            await migrate_when_reachable(migrate_later, ending)
    except VitalwireError:
        ending.set()
        raise
    finally:
        await supervising


async def migrate_when_reachable(where: str, ending: asyncio.Event) -> None:
    """Bring the schema up to date as soon as the store answers, or give up with the program."""
    while not ending.is_set():
        try:
            applied = await asyncio.to_thread(_migrate, where)
        except StoreError as error:
            _log.info("the schema waits for the store", error=type(error).__name__)
            await stops_within(ending, MIGRATE_RETRY_S)
        else:
            _log.info("the schema is up to date", applied=applied)
            return


def _migrate(where: str) -> list[int]:
    """The numbers applied; what is wrong with the groups of the database's users is said and stops nothing."""
    applied = migrate(where)
    with open_store(where) as conn:
        if problem := roles.problem(conn):
            _log.warning("the database's groups do not hold", problem=problem)
    return applied


async def supervise(config: Path, lanes: list[str], stop: asyncio.Event | None = None, log: Path | None = None) -> None:
    """Keep the three workers until `stop` (or a signal); what they log goes to `log`, else where ours goes."""
    ending = stop or stop_event()
    await asyncio.gather(*(_keep(name, config, lanes, ending, log) for name in APPS))


async def _keep(name: str, config: Path, lanes: list[str], ending: asyncio.Event, log: Path | None) -> None:
    delay_s = RESTART_FIRST_S
    while not ending.is_set():
        began_s = time.monotonic()
        with log.open("ab") if log else contextlib.nullcontext() as output:
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream_processors", name, str(config), *lanes,
                start_new_session=True, preexec_fn=end_with_parent(), stdout=output, stderr=output,
            )  # fmt: skip
        waiting = asyncio.ensure_future(ending.wait())
        ended = asyncio.ensure_future(worker.wait())
        await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if ending.is_set():
            await _end(worker)
            return
        if time.monotonic() - began_s > QUICK_S:
            delay_s = RESTART_FIRST_S
        _log.error("worker ended", worker=name, code=worker.returncode, retry_in_s=delay_s)
        await stops_within(ending, delay_s)
        delay_s = min(delay_s * 2, RESTART_MAX_S)


async def _end(worker: asyncio.subprocess.Process) -> None:
    """In good order, then not."""
    for ask in (worker.terminate, worker.kill):
        if worker.returncode is None:
            ask()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.wait(), STOP_S)
