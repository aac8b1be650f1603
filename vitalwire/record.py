"""Commands that look at the record: latest, ledger, dead, migrate."""

from __future__ import annotations

import json as text_json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from emr_store import conservation, dead_letters, events, migration_plan, roles
from emr_store.acts import this_user
from emr_store.attributed_values import attributed_values, attributed_waves
from emr_store.attributed_values import balances as patients_balance
from emr_store.connect import StoreError, one_moment, open_store, server_of
from emr_store.latest import LatestValue
from emr_store.migrate import migrate as run_migrations
from gateway.command_reading import LATEST, LatestShown, read_latest
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, EXIT_USAGE, UserError
from runtime.tls import database_problem
from schemas.block import ValidationResult
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE, canonical_unit
from vitalwire.broker import republish
from vitalwire.flow import equations, whose_equation
from vitalwire.output import LANES, age, as_json, cell, console, listed, table


class WrittenOut(str):
    """A `--database` that somebody typed, not one that the environment had."""


def _noted_source(ctx: typer.Context, value: str) -> str:
    source = ctx.get_parameter_source("database")
    return WrittenOut(value) if source is not None and source.name == "COMMANDLINE" else value


Database = Annotated[
    str,
    typer.Option(
        envvar="VITALWIRE_DATABASE",
        callback=_noted_source,
        help="the store's conninfo (`make run` prints it): an operators' door, outside the access table",
        show_default=False,
    ),
]
INSECURE = "VITALWIRE_INSECURE"  # "true": plaintext beyond loopback, for commands without a configuration
Json = Annotated[bool, typer.Option("--json", help="for scripts")]
Why = Annotated[str, typer.Option(help="the reason, kept with the act in the log")]


@contextmanager
def connect(database: str) -> Iterator[psycopg.Connection]:
    """The store for one command, or one line that says what to do. Raises UserError."""
    with explained(database), open_store(database) as conn:
        yield conn


@contextmanager
def explained(database: str, *, insecure: bool | None = None) -> Iterator[None]:
    """What the store answers, as one line with its mend; a store that nobody names, and one that is not safe to reach.

    `insecure` allows plaintext beyond loopback; None: as the variable VITALWIRE_INSECURE says.
    """
    if not database:
        raise UserError("no store is named: export VITALWIRE_DATABASE='...' or --database (`make run` prints it)")
    if insecure is None:
        insecure = os.environ.get(INSECURE, "").lower() in ("1", "true")
    try:
        where = server_of(database)
        if problem := database_problem(where.hosts, where.ssl_mode, insecure=insecure):
            raise UserError(f"{problem} (of a command: {INSECURE}=true)")
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise UserError("this database lacks tables of vitalwire: `vitalwire migrate` makes them") from None
    except StoreError as error:
        # libpq's own question on a line of its own is ours below.
        lines = [line.strip() for line in str(error).splitlines() if "Is the server running" not in line]
        reason = " ".join(lines) or type(error).__name__
        away = isinstance(error, psycopg.OperationalError)
        what, ask = ("cannot be reached", "is it started, is its disk full? ") if away else ("refuses", "")
        text = f"the store {what}: {reason} ({ask}--database, VITALWIRE_DATABASE)"
        raise UserError(text, EXIT_UNREACHABLE if away else EXIT_USAGE) from None


def latest(database: Database = "", json: Json = False) -> None:
    """What each bed shows now, and how old it is: vitalwire latest."""
    from vitalwire.gateway_client import gateway_or_database  # which needs what stands here

    gateway = gateway_or_database(database)
    if gateway is not None:
        shown = gateway.get(LATEST, LatestShown)
    else:
        with connect(database) as conn:
            shown = read_latest(conn)
    values = sorted(shown.values, key=lambda v: (v.bed is None, v.bed or "", v.claim or ""))
    labels = {(device, code, channel): label for device, code, channel, label in shown.labels}
    of_metric = Counter((v.device, v.code) for v in values)
    columns = ("bed", "metric", "value", "unit", "age", "")
    listed(json, "Latest values", columns, values, lambda v: _latest_row(
        v, labels.get((v.device, v.code, v.channel), f"#{v.channel}") if of_metric[v.device, v.code] > 1 else ""
    ))  # fmt: skip


def _latest_row(v: LatestValue, channel: str) -> tuple[object, ...]:
    """`channel` is what tells it from the device's like values, "" where there are none."""
    metric = METRIC_BY_CODE.get(v.code)
    stored = canonical_unit(v.code, v.unit) or UNIT_BY_CODE.get(v.unit)
    unit = stored.ucum if stored else "" if v.value is None else "?"
    value = (v.text or "--") if v.value is None else f"{v.bound or ''}{v.value:.{max(0, -v.decimals)}f}"
    notes = (
        [ValidationResult(v.validation_result).slug.replace("-", " ")]
        if v.validation_result != ValidationResult.ACCEPTED
        else []
    )
    notes += ["ambiguous channel"] if v.ambiguous else []
    notes += ["heard through another edge"] if v.foreign_edge else []
    name = v.bed or f"({'no bed' if v.registered else 'not registered'}) {v.claim or v.device}"
    short = metric.short if metric else str(v.code)
    return name, f"{short} {channel}".strip(), value, unit, age(v.observed_at), ", ".join(notes)


def ledger(
    database: Database = "",
    json: Json = False,
    whose: Annotated[
        str, typer.Option(help="and whose the values are that were measured since then: 24h, 2026-11-24T10:00Z; or all")
    ] = "",
) -> None:
    """The conservation ledger: nothing is lost, and here is the sum. Exit 4 where it does not balance."""
    since = since_moment(whose) if whose not in ("", "all") else None
    with connect(database) as conn, one_moment(conn):
        of_patients = attributed_values(conn, since) if whose else None
        of_waves = attributed_waves(conn, since) if whose else None
        streams, total, sequences = (
            conservation.streams(conn),
            conservation.conservation(conn),
            conservation.sequences(conn),
        )
        counts = events.edge_counts(conn)
    # Streams and devices are counted apart; more kept than its device said is a report kept twice.
    balances = sum(s.reports for s in streams) == total["stored"] and all(s.stored <= s.last for s in sequences)
    balances = balances and all(of is None or patients_balance(of) for of in (of_patients, of_waves))
    if json:
        as_json({"balances": balances, "total": total, "whose": of_patients, "whose_waves": of_waves,
                 "edges": [{"edge": e, "at": t, "counts": c} for e, t, c in counts],
                 "streams": [s._asdict() for s in streams], "devices": [s._asdict() for s in sequences]})  # fmt: skip
    else:
        columns = ("edge", "lane", "batches", "gaps", "again", "reports", "accepted", "doubtful", "unmapped", "missing")
        table("Ledger", columns, [
            (f"{s.label or s.edge} {str(s.spool)[:4]}", LANES[s.lane], s.last_batch_no, s.gaps, s.duplicates,
             s.reports, s.accepted, s.doubtful, s.unmapped, s.missing) for s in streams
        ], gap=1)  # fmt: skip
        for edge, at, counted in counts:
            words = ", ".join(f"{name} {count}" for name, count in text_json.loads(counted).items())
            console.print(cell(f"edge {str(edge)[:8]} said {age(at)} ago: {words}"), markup=False)
        console.print(equations(total), markup=False)
        if of_patients is not None and of_waves is not None:
            console.print(whose_equation(of_patients, of_waves), markup=False)
        if not balances:
            console.print(
                "WRONG: what is kept of the devices is not what came in the streams, or more than they said, or a value"
                " has two owners"
            )
    if not balances:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def migrate(
    database: Database = "",
    plan: Annotated[bool, typer.Option("--plan", help="only say how long each takes, and what waits for it")] = False,
    json: Annotated[bool, typer.Option("--json", help="of --plan, for scripts")] = False,
) -> None:
    """Bring the store's schema up to date; it also happens when the processors start: vitalwire migrate --plan."""
    if json and not plan:
        raise UserError("--json is for the plan: vitalwire migrate --plan --json")
    if plan:
        _show_plan(database, json)
        return
    with explained(database):
        applied = run_migrations(database)
        with open_store(database) as conn:
            problem = roles.problem(conn)
    console.print(f"applied: {', '.join(map(str, applied))}" if applied else "the schema is up to date")
    if problem:
        console.print(cell(problem), markup=False)


def _show_plan(database: str, json: bool) -> None:
    with explained(database):
        found = migration_plan.plan(database)
    if json:
        as_json([vars(each) | {"lock": each.lock.name} for each in found])
        return
    if not found:
        console.print("the schema is up to date")
        return
    rows = [
        (
            each.number,
            f"{'' if each.is_known else 'at least '}{max(each.seconds, 0.1):.1f} s",
            each.lock.words,
            ", ".join(each.tables),
        )
        for each in found
    ]
    table("Migrations to come", ("number", "about", "meanwhile", "at"), rows)
    console.print("Estimated from the tables' sizes; each holds its locks to its end. Nothing was changed.")


def since_moment(text: str, option: str = "--since") -> datetime:
    """An instant, or a span back from now; raises VitalwireError."""
    try:
        if span := re.fullmatch(r"([0-9]+)(s|m|min|h|d)", text):
            unit = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}[span[2]]
            return datetime.now(UTC) - timedelta(**{unit: int(span[1])})
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise VitalwireError(f"{option} {text!r} is neither an instant (2026-11-24T10:00Z) nor a span (24h)") from None


dead = typer.Typer(help="Batches that could not be validated: kept with reason and bytes.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="its id in `vitalwire dead list`")]


@dead.command("list")
def dead_list(database: Database = "", json: Json = False) -> None:
    """The newest hundred."""
    with connect(database) as conn:
        found = dead_letters.newest(conn)
    columns = ("id", "at", "reason", "topic", "bytes", "replayed")
    listed(json, "Dead", columns, found, lambda d: (d.id, d.at, d.reason, d.topic, d.size, d.replayed_at), "none")


def _dead_letter(conn: psycopg.Connection, number: int) -> tuple[dead_letters.StoredDeadLetter, bytes]:
    if found := dead_letters.find(conn, number):
        if not found[1]:
            raise VitalwireError(f"the bytes of message {number} are gone: keep_adt_batches_days took them")
        return found
    raise VitalwireError(f"there is no dead message {number}: see `vitalwire dead list`")


@dead.command("show")
def dead_show(number: Number, database: Database = "") -> None:
    """One of them, its bytes in hex: vitalwire dead show 7."""
    with connect(database) as conn:
        item, message = _dead_letter(conn, number)
    console.print(cell(f"{item.reason} on {item.topic}, {item.size} bytes, at {cell(item.at)}"), markup=False)
    for at in range(0, min(len(message), 4096), 16):
        chunk = message[at : at + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in chunk)
        console.print(f"{at:08x}  {chunk.hex(' '):47}  {text}", markup=False)


@dead.command("replay")
def dead_replay(
    number: Number,
    database: Database = "",
    why: Why = "",
    kafka: Annotated[str, typer.Option(envvar="VITALWIRE_KAFKA", help="bootstrap servers")] = "127.0.0.1:9092",
    kafka_ca: Annotated[Path | None, typer.Option(help="CA file: TLS to the broker when given")] = None,
    kafka_cert: Annotated[Path | None, typer.Option(help="our client certificate for the broker")] = None,
    kafka_key: Annotated[Path | None, typer.Option(help="its key, readable by us alone")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", envvar=INSECURE, help="plaintext beyond loopback")] = False,
) -> None:
    """Have its bytes validated again; the ledger stays as it is until they are stored: vitalwire dead replay 7."""
    with connect(database) as conn:
        item, message = _dead_letter(conn, number)
        topic = republish(kafka, item.topic, message, kafka_ca, kafka_cert, kafka_key, insecure=insecure)
        dead_letters.mark_replayed(conn, number, author=this_user(why))
    console.print(f"given to {topic} again; see `vitalwire ledger`")
