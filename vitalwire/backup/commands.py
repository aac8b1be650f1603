"""`vitalwire backup` and `vitalwire restore`: docs/backup.md."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress as ProgressBar
from rich.progress import TextColumn, TimeElapsedColumn

from emr_store.acts import this_user
from runtime import config as configuration
from runtime import logs
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from vitalwire.backup import words
from vitalwire.backup.checking import check_backups
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.drill import run_drill
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import check_target, plan_restore
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.receive import receive
from vitalwire.backup.restoring import last_noted, open_keys, put_keys
from vitalwire.backup.restoring import restore as restore_into
from vitalwire.backup.sealing import generate
from vitalwire.backup.take import one_run, prune, take_backup
from vitalwire.output import age, as_json, cell, console, table
from vitalwire.record import Json, Why, since_moment
from vitalwire.verify import PlatformKeys, TrustFolder, read_trust

app = typer.Typer(help="Base backups, the log, keys and configuration of the hospital side.", no_args_is_help=True)
Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample backup")]
Identity = Annotated[
    Path | None, typer.Option(help="the private key of the recipient, for keys and configuration", show_default=False)
]
PassphraseFile = Annotated[Path | None, typer.Option(help="the passphrase of them", show_default=False)]
Base = Annotated[str, typer.Option(help="another base backup than the newest that is old enough", show_default=False)]
VerifyLast = Annotated[str, typer.Option(help="what was stored in so long before its end: 24h, all, or none")]
Checkpoints = Annotated[
    list[Path] | None, typer.Option(help="a checkpoint kept outside (`vitalwire edge witness --write`)")
]
LATEST = "latest"


@app.command("keygen")
def keygen(path: Annotated[Path, typer.Argument(help="file to make")] = Path("backup.key")) -> None:
    """Make the key that opens sealed keys and configuration; keep it elsewhere: vitalwire backup keygen."""
    generate(path)
    console.print(
        f"{path} opens what {path.with_suffix('.pub')} encrypts: `recipient` is the .pub; carry {path} away from here,"
        " twice", markup=False,
    )  # fmt: skip


@app.command("run")
def run(config: Config = Path("backup.toml"), json: Json = False) -> None:
    """Make a base backup, checked, with keys and configuration; the oldest go: vitalwire backup run."""
    settings = configuration.load(config, BackupConfig)
    with _progress(json) as progress, one_run(settings.folder):
        made = take_backup(settings, progress)
        gone = prune(settings)
    if json:
        as_json({"backup": made, "removed": gone})
        return
    console.print(
        f"{made.name}: {made.bytes / 1e9:.2f} GB of PostgreSQL {made.version // 10_000}, timeline {made.timeline},"
        f" {made.counts.reports} reports, {made.counts.acts} acts", markup=False,
    )  # fmt: skip
    if not made.sealed_files:
        console.print("keys and configuration are not in it: name them with `include`")
    if gone:
        console.print(f"removed: {', '.join(gone)}", markup=False)


@app.command("wal")
def wal(config: Config = Path("backup.toml")) -> None:
    """Receive the log as it is written, until Ctrl-C: vitalwire backup wal."""
    settings = configuration.load(config, BackupConfig)
    logs.set_up()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    receive(settings, stop)


@app.command("list")
def list_backups(config: Config = Path("backup.toml"), json: Json = False) -> None:
    """The base backups, and how much is in them: vitalwire backup list."""
    folder = BackupFolder(configuration.load(config, BackupConfig).folder)
    found = folder.need_backups()
    if json:
        as_json(found)
        return
    table("Base backups", ("name", "ago", "GB", "timeline", "reports", "acts", "keys"), [
        (each.name, age(each.ended_at), f"{each.bytes / 1e9:.2f}", each.timeline, each.counts.reports,
         each.counts.acts, "yes" if each.sealed_files else "no")
        for each in found
    ])  # fmt: skip
    for path in folder.unfinished():
        console.print(f"not whole, a run was ended: {path} (the next one removes it)", markup=False)


@app.command("check")
def check(
    config: Config = Path("backup.toml"),
    identity: Identity = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Whether each base backup is what was written, and the log goes on from it without a gap. Exit 4 if not."""
    settings = configuration.load(config, BackupConfig)
    with _progress(json) as progress:
        states = check_backups(
            BackupFolder(settings.folder), Programs.of(settings), progress, identity, passphrase_file
        )  # fmt: skip
    if json:
        as_json([{**asdict(state), "holds": state.holds} for state in states])
    else:
        table("Base backups and the log", ("name", "can be restored to", "wrong"), [
            (state.name, state.reaches, "; ".join(state.wrong) or "nothing") for state in states
        ])  # fmt: skip
    if not all(state.holds for state in states):
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


@app.command("drill")
def drill(
    config: Config = Path("backup.toml"),
    to: Annotated[str, typer.Option(help="a moment (2026-11-30T09:00Z, 2h), or latest")] = LATEST,
    into: Annotated[
        Path | None, typer.Option(help="a scratch folder, removed again; else in the folder", show_default=False)
    ] = None,
    verify: VerifyLast = "24h",
    trust: TrustFolder = None,
    platform_key: PlatformKeys = None,
    json: Json = False,
) -> None:
    """Restore to a scratch server, and measure: RTO, RPO, counts, verify. Exit 4 on a finding."""
    settings = configuration.load(config, BackupConfig)
    target = into or settings.folder / "drill"
    with _progress(json) as progress:
        result = run_drill(
            settings, _until(to), target, progress, trust=read_trust(trust, platform_key or [], []),
            verify_last=_span(verify),
        )  # fmt: skip
    now = datetime.now(UTC)
    figures = result.figures(settings.receipt_hold_h, now)
    if json:
        plain = words.as_plain(result.restored, result.plan, settings.receipt_hold_h, now)
        as_json({"figures": figures, **plain})
    else:
        words.print_restored(result.restored, result.plan, settings.receipt_hold_h, now)
        table("Drill", ("figure", "value"), [(name, str(value)) for name, value in figures.items()])
    if words.findings(result.restored, result.plan, settings.receipt_hold_h, now):
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def restore(
    into: Annotated[Path, typer.Option(help="an empty folder: the data folder of the restored database")],
    to: Annotated[str, typer.Option(help="a moment (2026-11-30T09:00Z, or 2h: two hours ago), or latest")] = LATEST,
    config: Config = Path("backup.toml"),
    base: Base = "",
    timeline: Annotated[
        int, typer.Option(min=0, help="of a store that was left; 0: the newest", show_default=False)
    ] = 0,
    until_gap: Annotated[
        bool, typer.Option("--until-gap", help="as far as the log goes, where segments of it are missing")
    ] = False,
    keys_into: Annotated[
        Path | None, typer.Option(help="a new folder for keys and configuration of that backup", show_default=False)
    ] = None,
    identity: Identity = None,
    passphrase_file: PassphraseFile = None,
    verify: VerifyLast = "24h",
    trust: TrustFolder = None,
    platform_key: PlatformKeys = None,
    checkpoint: Checkpoints = None,
    why: Why = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and what is in the way")] = False,
    json: Json = False,
) -> None:
    """A database of that moment, counted and verified: vitalwire restore --to latest --into FOLDER."""
    settings = configuration.load(config, BackupConfig)
    target, until = into.resolve(), _until(to)
    believed = read_trust(trust, platform_key or [], checkpoint or [])
    folder, verify_last = BackupFolder(settings.folder), _span(verify)
    with _progress(json) as progress:
        plan = plan_restore(settings, until, progress, name=base, timeline=timeline, until_gap=until_gap)
        check_target(target, plan)
        keys = None
        if keys_into is not None or identity is not None or passphrase_file is not None:
            keys = open_keys(folder, plan.backup, identity, passphrase_file or settings.passphrase_file)
        if keys_into is not None and keys_into.exists():
            raise UserError(f"{keys_into} exists: keys are put into a new folder, so that none is overwritten")
        if not dry_run:
            restored = restore_into(
                settings, plan, target, progress, trust=believed, verify_last=verify_last, author=this_user(why)
            )
    if dry_run:
        _say_plan(plan.backup.name, until, len(plan.segments), plan.reaches, target)
        return
    now = datetime.now(UTC)
    put = put_keys(keys, keys_into) if keys is not None and keys_into is not None else []
    if json:
        as_json({**words.as_plain(restored, plan, settings.receipt_hold_h, now), "keys": [str(path) for path in put]})
    else:
        words.print_restored(restored, plan, settings.receipt_hold_h, now)
        for path in put:
            console.print(cell(f"put: {path}"), markup=False)
        _say_next(target, known=last_noted(folder) is not None)
    if words.findings(restored, plan, settings.receipt_hold_h, now):
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _say_plan(name: str, until: datetime | None, segments: int, reaches: datetime | None, target: Path) -> None:
    moment = "the end of the log" if until is None else cell(until)
    console.print(
        f"{target} would be filled from {name}, and {segments} segments of the log replayed to {moment}; the log"
        f" reaches to {cell(reaches)}. Nothing was touched.", markup=False,
    )  # fmt: skip


def _say_next(target: Path, *, known: bool) -> None:
    console.print(
        f"{target} is ready and stopped. Start PostgreSQL on it, then the processors; then at once:", markup=False
    )
    console.print("vitalwire backup run  (older backups are of another timeline)", markup=False)
    if not known:
        console.print("what is missing could not be counted: let `vitalwire backup wal` run, which notes it")


@contextmanager
def _progress(json: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with ProgressBar(*columns, transient=True, disable=json or not console.is_terminal) as bar:
        task = bar.add_task("begins", total=None)

        def show(what: str, done: float | None) -> None:
            bar.update(task, description=what if done is None else f"{done:.0%} {what}")

        yield show


def _until(text: str) -> datetime | None:
    """None: to the end of the log."""
    if text == LATEST:
        return None
    moment = since_moment(text)
    if moment > datetime.now(UTC):
        raise UserError(f"--to {text} lies in the future: name a moment that was, or latest")
    return moment


def _span(text: str) -> timedelta | None:
    """None: nothing; timedelta.max: all."""
    if text == "none":
        return None
    if text == "all":
        return timedelta.max
    now = datetime.now(UTC)
    return now - since_moment(text)
