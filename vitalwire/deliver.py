"""`vitalwire deliver`: what went to the hospital's other systems, what waits, and what is parked and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emr_store import deliver_acts, deliver_status
from emr_store.acts import this_user
from emr_store.deliver_status import STATES, DeliveryRow, DestinationRow
from runtime import config as configuration
from runtime.errors import UserError
from schemas.errors import VitalwireError
from stream_processors.config import DestinationConfig, ProcessorsConfig
from vitalwire.output import age, as_json, cell, console, listed, table
from vitalwire.record import Database, Json, Why, connect

app = typer.Typer(
    help="Delivery of chart entries: what waits, what is parked and why, and how it is mended (docs/deliver.md).",
    no_args_is_help=True,
)
Number = Annotated[int, typer.Argument(metavar="ID", help="its id in `vitalwire deliver list`", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="of a [[destination]]", show_default=False)]
Anew = Annotated[
    bool, typer.Option("--anew", help="make its bytes from what is known now: a name or a bed was corrected")
]
SEGMENT_END = "\r"


@app.command("status")
def deliver_status_of(database: Database = "", json: Json = False) -> None:
    """Each destination, whether it answers, and how much waits for it: vitalwire deliver status."""
    with connect(database) as conn:
        found = deliver_status.destinations(conn)
    columns = ("destination", "now", "waiting", "oldest", "parked", "last accepted")
    listed(json, "Destinations", columns, found, lambda each: (
        each.name, state_of(each), each.waiting + each.behind,
        None if each.oldest_waiting is None else age(each.oldest_waiting),
        each.parked + each.parked_behind, each.last_accepted_at,
    ), "none has begun: write a [[destination]] in processors.toml")  # fmt: skip


def state_of(row: DestinationRow) -> str:
    """Whether it is served and answers, in a few words."""
    if row.paused_at is not None:
        return f"paused for {age(row.paused_at)}"
    if row.away_since is not None:
        return f"no answer for {age(row.away_since)}: {row.away_reason}"
    return "answers"


@app.command("list")
def deliver_list(
    destination: Annotated[str, typer.Option(help="of this one alone")] = "",
    state: Annotated[list[str] | None, typer.Option(help=f"{', '.join(STATES)}; else waiting and parked")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="so many, the newest first")] = 100,
    before: Annotated[int | None, typer.Option(help="those with lower ids than this one")] = None,
    database: Database = "",
    json: Json = False,
) -> None:
    """What waits, and what is parked and why: vitalwire deliver list --destination emr --state parked."""
    states = state or ["waiting", "parked"]
    if unknown := [each for each in states if each not in STATES]:
        raise UserError(f"--state {unknown[0]!r} is none of {', '.join(STATES)}")
    with connect(database) as conn:
        found = deliver_status.deliveries(conn, destination=destination, states=states, before=before, limit=limit)
    columns = ("id", "destination", "state", "encounter", "slot", "entries", "attempts", "why")
    listed(json, "Deliveries", columns, found, lambda each: (
        each.delivery, each.destination, each.state, each.encounter, each.slot, len(each.entries), each.attempts,
        _why(each),
    ), "none")  # fmt: skip


def _why(row: DeliveryRow) -> str:
    if row.behind is not None:
        return f"waits for {row.behind}, which is parked"
    later = "" if row.next_at is None else f"; again at {cell(row.next_at)}"
    return f"{row.reason}{later}".removeprefix("; ")


@app.command("show")
def deliver_show(delivery: Number, database: Database = "", json: Json = False) -> None:
    """One message, with what was sent and what was answered: vitalwire deliver show 4711.

    It names a patient. Bytes are shown escaped; they are gone once the message was accepted.
    """
    with connect(database) as conn:
        found = deliver_status.delivery(conn, delivery)
    if json:
        as_json({**found.row._asdict(), "body": found.body, "answer": found.answer})
        return
    row = found.row
    told = ", ".join(f"{entry[:13]} version {number}" for entry, number in zip(row.entries, row.versions, strict=True))
    table(f"Delivery {row.delivery}", ("", ""), [
        ("destination", row.destination), ("state", row.state), ("encounter", row.encounter), ("slot", row.slot),
        ("entries", told), ("control id", row.control_id or "not made yet"), ("attempts", row.attempts),
        ("answered", row.code or "-"), ("why", _why(row) or "-"), ("settled", row.settled_at),
    ])  # fmt: skip
    for title, kept in (("sent", found.body), ("answered", found.answer)):
        if kept:
            console.print(f"{title}, {len(kept)} bytes:", markup=False)
            for line in _lines(kept):
                console.print(f"  {cell(line)}", markup=False)


def _lines(kept: bytes) -> list[str]:
    """A segment of HL7 v2 a line; JSON as it is. Bytes that are no UTF-8 are shown by their number."""
    text = kept.decode("utf-8", "backslashreplace")
    return text.removesuffix(SEGMENT_END).split(SEGMENT_END)


@app.command("pause")
def deliver_pause(name: Name, why: Why = "", database: Database = "") -> None:
    """Send nothing to a destination until it is resumed: vitalwire deliver pause emr --why 'upgrade until 6'."""
    with connect(database) as conn:
        deliver_acts.pause(conn, name, this_user(why))
    console.print(cell(f"{name} is paused; what comes waits. `vitalwire deliver resume {name}` goes on"), markup=False)


@app.command("resume")
def deliver_resume(name: Name, why: Why = "", database: Database = "") -> None:
    """Go on with what waits: vitalwire deliver resume emr."""
    with connect(database) as conn:
        deliver_acts.resume(conn, name, this_user(why))
    console.print(cell(f"{name} is served again"), markup=False)


@app.command("retry")
def deliver_retry(
    delivery: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="one that is parked", show_default=False)
    ] = None,
    all_parked: Annotated[bool, typer.Option("--all", help="all that is parked")] = False,
    destination: Annotated[str, typer.Option(help="with --all: of this one alone")] = "",
    anew: Anew = False,
    why: Why = "",
    database: Database = "",
) -> None:
    """Send what is parked again: vitalwire deliver retry 4711, or retry --all --destination emr.

    The same bytes are sent, so that a receiver that has them already knows them by their control id.
    """
    if (delivery is None) != all_parked:
        raise UserError("name one that is parked, or say --all: vitalwire deliver retry 4711")
    if destination and not all_parked:
        raise UserError("--destination goes with --all")
    with connect(database) as conn:
        if delivery is None:
            count = deliver_acts.retry_all(conn, destination, this_user(why), anew=anew)
        else:
            count = deliver_acts.retry(conn, delivery, this_user(why), anew=anew)
    console.print(f"{count} wait to be sent")


@app.command("skip")
def deliver_skip(
    delivery: Number, why: Annotated[str, typer.Option(help="why, kept with the act")], database: Database = ""
) -> None:
    """Never send a parked message: vitalwire deliver skip 4711 --why 'written there by hand'.

    What was parked behind it is sent.
    """
    with connect(database) as conn:
        count = deliver_acts.skip(conn, delivery, this_user(why))
    console.print(f"{delivery} is skipped; {count} that were behind it wait to be sent", markup=False)


@app.command("check")
def deliver_check(
    config: Annotated[Path, typer.Option(help="TOML file; vitalwire config sample processors")] = Path(
        "processors.toml"
    ),
) -> None:
    """Whether the destinations of a configuration can be used: vitalwire deliver check --config processors.toml.

    Nothing is sent. Files of keys, tokens and passwords are read.
    """
    from stream_processors.destinations import receiver, writer  # most commands write no message

    found = configuration.load(config, ProcessorsConfig).destination
    if not found:
        raise VitalwireError(f"{config} has no [[destination]]: `vitalwire config sample processors` shows one")
    for each in found:
        try:
            receiver(each)
            writer(each)
        except UserError as error:
            raise UserError(f"{config}: destination {each.name!r}: {error}") from None
    table("Destinations", ("name", "to", "what", "how"), [
        (each.name, each.address, _what(each), _how(each)) for each in found
    ])  # fmt: skip


def _what(config: DestinationConfig) -> str:
    what = "final and preliminary entries" if config.preliminary else "final entries"
    return f"{what} from {config.begins or 'its first start'} on"


def _how(config: DestinationConfig) -> str:
    if config.protocol == "fhir":
        how = "FHIR R4 transactions"
        secret = "a password" if config.user else "a token" if config.secret_file else "nothing that names us"
        return f"{how}, {'TLS' if config.address.startswith('https:') else 'plaintext'}, {secret}"
    tls = "TLS" if config.tls_ca else "plaintext"
    return f"HL7 {config.hl7v2.version} ORU^R01 in {config.hl7v2.character_set}, {tls}"
