"""Commands that look at the record: latest, ledger, status, dead, verify, devices, mapping, registry, migrate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import psycopg
import typer
from rich.progress import Progress

from adapters.site import unmapped_line
from emr_store import alerts, proof, read, registry
from emr_store.connect import StoreError, open_store
from emr_store.migrate import migrate as run_migrations
from runtime.errors import UserError
from runtime.keys import fingerprint, read_public
from schemas.block import Verdict
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_REFERENCE_ID
from vitalwire.output import LANES, age, as_json, cell, console, table
from vitalwire.replay import EXIT_UNREACHABLE, publish_again

EXIT_DOES_NOT_HOLD = 4
Database = Annotated[
    str,
    typer.Option(envvar="VITALWIRE_DATABASE", help="the store's conninfo; `make run` prints it", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="for scripts")]


@contextmanager
def connect(database: str) -> Iterator[psycopg.Connection]:
    """The store for one command, or one line that says what to do. Raises UserError."""
    with explained(), open_store(database) as conn:
        yield conn


@contextmanager
def explained() -> Iterator[None]:
    """What the store answers, as one line with its mend."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise UserError("this database lacks tables of vitalwire: `vitalwire migrate` makes them") from None
    except StoreError as error:
        # libpq's own question on a line of its own is ours below.
        lines = [line.strip() for line in str(error).splitlines() if "Is the server running" not in line]
        reason = " ".join(lines) or type(error).__name__
        if isinstance(error, psycopg.OperationalError):
            raise UserError(
                f"the store cannot be reached: {reason} (is it started? --database, VITALWIRE_DATABASE)",
                EXIT_UNREACHABLE,
            ) from None
        raise UserError(f"the store refuses: {reason} (--database, VITALWIRE_DATABASE)") from None


def latest(database: Database = "", json: Json = False) -> None:
    """What each bed shows now, and how old it is."""
    with connect(database) as conn:
        values = read.latest(conn)
    if json:
        return as_json([v._asdict() for v in values])
    rows = []
    for v in values:
        metric = METRIC_BY_CODE.get(v.code)
        unit = UNIT_BY_REFERENCE_ID[metric.unit].ucum if metric else str(v.unit)
        value = "--" if v.value is None else f"{v.value:.{max(0, -v.decimals)}f}"
        note = "" if v.verdict == Verdict.CHARTED else Verdict(v.verdict).name.lower().replace("_", " ")
        name = v.bed if v.adopted else f"(not registered) {v.claim or v.device}"
        rows.append((name, metric.short if metric else v.code, value, unit, age(v.observed_at), note))
    return table("Latest values", ("bed", "metric", "value", "unit", "age", ""), rows)


def ledger(database: Database = "", json: Json = False) -> None:
    """The conservation ledger: nothing is lost, and here is the sum. Exit 4 where it does not balance."""
    with connect(database) as conn, read.one_moment(conn):
        streams, total, said = read.streams(conn), read.conservation(conn), read.sequences(conn)
        counts = read.edge_counts(conn)
    way = total["said"] - total["stored"] - total["quarantined"]
    # Streams and devices are counted apart; more kept than its device said is a report kept twice.
    balances = sum(s.reports for s in streams) == total["stored"] and all(s.stored <= s.last for s in said)
    if json:
        as_json({"balances": balances, "total": {**total, "on_the_way_or_lost": way}, "edges": _edges(counts),
                 "streams": [s._asdict() for s in streams], "devices": [s._asdict() for s in said]})  # fmt: skip
    else:
        columns = ("edge", "spool", "lane", "batches", "gaps", "again", "reports", "charted", "doubtful", "unmapped",
                   "no reading")  # fmt: skip
        table("Ledger", columns, [
            (s.label or s.edge, str(s.spool)[:8], LANES[s.lane], s.last_batch_no, s.gaps, s.duplicates, s.reports,
             s.charted, s.doubtful, s.unmapped, s.missing) for s in streams
        ])  # fmt: skip
        _edges_say(counts)
        console.print(f"Reports: {total['said']} said by devices = {total['stored']} stored + {total['quarantined']}"
                      f" quarantined + {way} on the way or lost")  # fmt: skip
        classes = ("charted", "doubtful", "unmapped", "missing")
        console.print(f"Values:  {sum(total[c] for c in classes)} = " + " + ".join(f"{total[c]} {c}" for c in classes))
        if not balances:
            console.print("WRONG: what is kept of the devices is not what came in the streams, or more than they said")
    if not balances:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _edges(counts: list[tuple[UUID, datetime, str]]) -> list[dict[str, object]]:
    return [{"edge": e, "at": t, "counts": c} for e, t, c in counts]


def _edges_say(counts: list[tuple[UUID, datetime, str]]) -> None:
    table("Edges say", ("edge", "ago", "counts"), [(str(e)[:8], age(t), c) for e, t, c in counts])


def status(database: Database = "", json: Json = False) -> None:
    """One page over SSH: what is connected, what is silent and since when, what waits, what alarms."""
    with connect(database) as conn:
        values, streams, open_alerts = read.latest(conn), read.streams(conn), alerts.open_now(conn)
        events, counts = read.events(conn, 10), read.edge_counts(conn)
    heard: dict[str, tuple[str, datetime]] = {}
    for v in values:
        name = v.bed if v.adopted and v.bed else v.claim or str(v.device)
        heard[str(v.device)] = (name, max(v.received_at, heard.get(str(v.device), (name, v.received_at))[1]))
    if json:
        return as_json({"devices": [{"device": d, "name": n, "heard_at": t} for d, (n, t) in heard.items()],
                        "streams": [s._asdict() for s in streams], "alerts": [a._asdict() for a in open_alerts],
                        "edges": _edges(counts)})  # fmt: skip
    old = datetime.now(UTC) - timedelta(seconds=30)
    rows = sorted(heard.values(), key=lambda item: item[1])
    table(
        "Devices",
        ("device", "", "last heard"),
        [(n, "silent" if t < old else "speaks", age(t) + " ago") for n, t in rows],
    )
    _edges_say(counts)
    table("Streams", ("edge", "lane", "batches", "gaps", "last"), [
        (s.label or s.edge, LANES[s.lane], s.last_batch_no, s.gaps, age(s.updated_at)) for s in streams
    ])  # fmt: skip
    table("Open alerts", ("priority", "device", "alert", "since"), [
        (a.priority, a.device, a.message, age(a.opened_at)) for a in open_alerts
    ], empty="none")  # fmt: skip
    return table("Events", ("ago", "device", "event"), [
        (age(e.observed_at), e.claim or e.device, _words(e.texts))
        for e in events
    ])  # fmt: skip


def _words(texts: list[dict[str, object]]) -> str:
    return "; ".join(f"{t.get('code', '')} {t.get('text', '')}".strip() for t in texts if "code" in t)


def migrate(database: Database = "") -> None:
    """Bring the store's schema up to date; it also happens when the processors start."""
    with explained():
        applied = run_migrations(database)
    console.print(f"applied: {', '.join(map(str, applied))}" if applied else "the schema is up to date")


def verify(
    database: Database = "",
    since: Annotated[str, typer.Option(help="an instant (2026-11-24T10:00Z) or a span (90s, 30m, 24h, 7d)")] = "24h",
    json: Json = False,
) -> None:
    """Hold the record against its signed bytes: what is proved, and what is not. Exit 4 where something fails."""
    moment = since_moment(since)
    with connect(database) as conn, Progress(transient=True, disable=json or not console.is_terminal) as progress:
        bar = progress.add_task("seals", total=None)
        result = proof.verify(conn, moment, lambda done, of: progress.update(bar, completed=done, total=of))
    if json:
        as_json({"seals": result.seals, "batches": result.batches, "reports": result.reports, "values": result.values,
                 "findings": [f._asdict() for f in result.findings]})  # fmt: skip
    else:
        for f in result.findings:
            console.print(cell(f"WRONG  {f.where}: {f.what}"), markup=False)
        console.print(SEEN.format(**vars(result)), markup=False)
        console.print(NOT_PROVED if result.findings else f"{PROVED}\n{NOT_PROVED}", markup=False)
    if result.findings:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


SEEN = "looked at {seals} seals, {batches} batches, {reports} reports, {values} values"
PROVED = "proved: registered edge keys signed these bytes, this platform kept them in this order, the rows equal them"
NOT_PROVED = (
    "not proved: that the devices told the truth, whose patients they were, and that nothing is missing since the last"
    " checkpoint that left the house"
)


def since_moment(text: str) -> datetime:
    """An instant, or a span back from now; raises VitalwireError."""
    try:
        if span := re.fullmatch(r"([0-9]+)([smhd])", text):
            unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[span[2]]
            return datetime.now(UTC) - timedelta(**{unit: int(span[1])})
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise VitalwireError(f"--since {text!r} is neither an instant (2026-11-24T10:00Z) nor a span (24h)") from None


dead = typer.Typer(help="Batches that could not be judged: kept with reason and bytes.", no_args_is_help=True)


@dead.command("list")
def dead_list(database: Database = "", json: Json = False) -> None:
    """The newest hundred."""
    with connect(database) as conn:
        found = read.dead(conn)
    if json:
        return as_json([d._asdict() for d in found])
    rows = [(d.id, d.at, d.reason, d.topic, d.size, d.replayed_at) for d in found]
    return table("Dead", ("id", "at", "reason", "topic", "bytes", "replayed"), rows, empty="none")


@dead.command("show")
def dead_show(number: int, database: Database = "") -> None:
    """One of them, its bytes in hex."""
    with connect(database) as conn:
        found = read.dead_message(conn, number)
    if found is None:
        raise VitalwireError(f"there is no dead message {number}: see `vitalwire dead list`")
    item, message = found
    console.print(cell(f"{item.reason} on {item.topic}, {item.size} bytes, at {cell(item.at)}"), markup=False)
    for at in range(0, min(len(message), 4096), 16):
        chunk = message[at : at + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in chunk)
        console.print(f"{at:08x}  {chunk.hex(' '):47}  {text}", markup=False)


@dead.command("replay")
def dead_replay(
    number: int,
    database: Database = "",
    kafka: Annotated[str, typer.Option(envvar="VITALWIRE_KAFKA", help="bootstrap servers")] = "127.0.0.1:9092",
) -> None:
    """Have its bytes judged again; the ledger stays as it is until they are stored."""
    with connect(database) as conn:
        found = read.dead_message(conn, number)
        if found is None:
            raise VitalwireError(f"there is no dead message {number}: see `vitalwire dead list`")
        topic = publish_again(kafka, found[0].topic, found[1])
        read.mark_replayed(conn, number)
    console.print(f"given to {topic} again; see `vitalwire ledger`")


devices = typer.Typer(help="Devices and beds.", no_args_is_help=True)


@devices.command("list")
def devices_list(database: Database = "", json: Json = False) -> None:
    """Every device, those that nobody has adopted first."""
    with connect(database) as conn:
        found = registry.devices(conn)
    if json:
        return as_json([d._asdict() for d in found])
    rows = [(str(d.uuid)[:8], d.bed or "(not registered)", d.name, d.claim, d.first_seen_at) for d in found]
    return table("Devices", ("id", "bed", "name", "claims to be", "first seen"), rows)


@devices.command("adopt")
def devices_adopt(
    device: Annotated[str, typer.Argument(help="its id, the beginning of it, or its claim")],
    bed: Annotated[str, typer.Option(help="label of the bed, e.g. 'ICU-07'")],
    name: Annotated[str, typer.Option(help="name of the device, e.g. '监护仪7'")] = "",
    database: Database = "",
) -> None:
    """Give a device its bed and name: vitalwire devices adopt 3f2a --bed 'ICU-07' --name '监护仪7'."""
    with connect(database) as conn:
        row = registry.adopt(conn, device, bed, name)
    console.print(cell(f"{row.uuid} is {row.name or row.claim} at {row.bed}"), markup=False)


mapping = typer.Typer(help="What senders call things by.", no_args_is_help=True)


@mapping.command("unmapped")
def mapping_unmapped(database: Database = "") -> None:
    """What has no code yet, as lines to paste into the site's mapping file."""
    with connect(database) as conn:
        found = read.unmapped(conn)
    for u in found:
        console.print(cell(f"# {u.times} times, e.g. {u.example[:40]!r}, from {u.claim or u.device}"), markup=False)
        console.print(unmapped_line(u.system, u.code, u.unit, ""), markup=False, soft_wrap=True)
    if not found:
        console.print("everything that came has a code")


edge_registry = typer.Typer(help="Which edges are believed.", no_args_is_help=True)


@edge_registry.command("add")
def edge_add(
    edge: Annotated[str, typer.Argument(help="the id that `vitalwire edge keygen` printed")],
    public_key: Annotated[Path, typer.Argument(help="the .pub file beside the key")],
    label: Annotated[str, typer.Option(help="for people, e.g. 'ICU box 2'")],
    valid_days: Annotated[int | None, typer.Option(min=1, max=36_500, help="no end when left out")] = None,
    database: Database = "",
) -> None:
    """Register an edge's key, after comparing its fingerprint with what the box shows."""
    public = read_public(public_key)
    until = None if valid_days is None else datetime.now(UTC) + timedelta(days=valid_days)
    with connect(database) as conn:
        registry.add_edge(conn, _uuid(edge), label, public, until)
    console.print(cell(f"registered {label}: {fingerprint(public)}"), markup=False)


@edge_registry.command("list")
def edge_list(database: Database = "", json: Json = False) -> None:
    """Every edge, a row a key."""
    with connect(database) as conn:
        found = registry.edges(conn)
    if json:
        return as_json([e._asdict() for e in found])
    rows = [(e.label, e.edge, e.key_id.hex()[:16], e.valid_from, e.valid_until, e.revoked_at) for e in found]
    return table("Edges", ("label", "edge", "key", "valid from", "until", "revoked"), rows)


@edge_registry.command("revoke")
def edge_revoke(edge: str, database: Database = "") -> None:
    """What this edge signs from now on is refused."""
    with connect(database) as conn:
        count = registry.revoke_edge(conn, _uuid(edge))
    console.print(f"revoked {count} keys")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise VitalwireError(
            f"{text!r} is no edge id: it looks like 3f2a8c1e-…, see `vitalwire registry edge list`"
        ) from None
