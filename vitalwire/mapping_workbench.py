"""`vitalwire mapping parameters`, `coverage`, `set`: what devices say, how much of it has a code, giving it one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from adapters.mapping_proposal import Proposal
from adapters.site import MappingRow
from adapters.site_file import set_row, toml_of
from emr_store import acts, mapping_acts, parameters, registry
from emr_store.acts import this_user
from emr_store.parameters import Parameter, State
from evidence.act import MAPPING_CHANGE
from gateway.pages.mapping import proposed_for
from runtime.errors import UserError
from stream_processors.mapping import MappingChange
from vitalwire.mapping import details_of, look
from vitalwire.output import age, as_json, console, table
from vitalwire.record import Database, Json, Why, connect, since_moment

FILE_MODE = 0o644  # of a new one; another keeps its own


def parameters_command(
    database: Database = "",
    device: Annotated[str, typer.Option(help="its id, the beginning of it, or its claim; else every device")] = "",
    state: Annotated[str, typer.Option(help="mapped, unmapped or unit-in-doubt; else all")] = "",
    json: Json = False,
) -> None:
    """Every parameter that was ever sent, and what it may be: vitalwire mapping parameters --state unmapped

    Counts are of the last hour, without a code of all that was ever counted (once a minute). Samples are numbers as
    they came. A proposal is by name and unit, with its reasons; nothing is mapped by it: `vitalwire mapping set` is.
    """
    if state and state not in set(State):
        raise UserError(f"--state {state!r} is none of {', '.join(State)}")
    with connect(database) as conn:
        chosen = registry.find_device(conn, device) if device else None
        found = [
            each
            for each in parameters.parameters(conn)
            if (chosen is None or each.device == chosen) and (not state or each.state == state)
        ]
    if json:
        as_json([_as_json(each) for each in found])
        return
    rows = [(_whose(p), p.name, p.state.value, p.unit_words or "-", _samples(p), p.value_count, age(p.last_seen),
             _proposal(proposed_for(p))) for p in found]  # fmt: skip
    columns = ("device", "parameter", "state", "unit", "samples", "count", "heard", "may be")
    table("Parameters", columns, rows)


def _as_json(parameter: Parameter) -> dict[str, Any]:
    return {
        **parameter._asdict(),
        "name": parameter.name,
        "proposals": [
            {**vars(proposal), "reasons": [reason.en for reason in proposal.reasons]}
            for proposal in proposed_for(parameter)
        ],
    }


def _whose(of: Parameter | parameters.Coverage) -> str:
    return of.bed or of.claim or str(of.device)


def _samples(parameter: Parameter) -> str:
    return ", ".join(f"{sample:g}" for sample in parameter.samples) or "-"


def _proposal(found: list[Proposal]) -> str:
    if not found:
        return ""
    first = found[0]
    return f"{first.metric} ({first.score:.0%}: {'; '.join(reason.en for reason in first.reasons)})"


def coverage_command(database: Database = "", json: Json = False) -> None:
    """How much of what each device said within a day has a code: vitalwire mapping coverage"""
    with connect(database) as conn:
        found = parameters.coverage(parameters.parameters(conn), datetime.now(UTC))
    if json:
        as_json([{**vars(each), "share": each.share} for each in found])
        return
    rows = [(_whose(c), c.mapped, c.unmapped, c.unit_in_doubt, f"{c.share:.0%}") for c in found]
    table("Coverage", ("device", "mapped", "unmapped", "unit in doubt", "share"), rows)
    together = sum(c.mapped for c in found), sum(c.mapped + c.unmapped + c.unit_in_doubt for c in found)
    if together[1]:
        console.print(f"{together[0]} of {together[1]} parameters are mapped", markup=False)


def set_command(
    file: Annotated[Path, typer.Argument(help="the site's mapping file; made where there is none")],
    metric: Annotated[str, typer.Option(help="its name in the nomenclature: MDC_ECG_HEART_RATE")],
    code: Annotated[str, typer.Option(help="what the sender calls it: OBX-3.1, or the path in JSON")] = "",
    text: Annotated[str, typer.Option(help="its words: OBX-3.2")] = "",
    system: Annotated[str, typer.Option(help="its code system; else any")] = "",
    sender: Annotated[str, typer.Option(help="the source's name; else every source")] = "",
    unit: Annotated[str, typer.Option(help="MDC or UCUM, where the sender states none")] = "",
    unit_is_wrong: Annotated[bool, typer.Option("--unit-is-wrong", help="--unit holds, whatever is stated")] = False,
    power_of_ten: Annotated[int, typer.Option(min=-12, max=12, help="values are multiplied by 10^this")] = 0,
    decimal_comma: Annotated[bool, typer.Option("--decimal-comma", help='"36,5" is 36.5')] = False,
    missing: Annotated[list[str] | None, typer.Option(help="a value as sent that means no reading; repeat")] = None,
    rejudge: Annotated[bool, typer.Option("--rejudge", help="and stored values that came without a code")] = False,
    since: Annotated[str, typer.Option(help="of --rejudge: received since then (24h, an instant); else all")] = "",
    device: Annotated[str, typer.Option(help="of --rejudge: one device alone")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would change")] = False,
    why: Why = "",
    database: Database = "",
) -> None:
    """Give a parameter its code: vitalwire mapping set site.toml --code 101 --text HR --metric MDC_ECG_HEART_RATE

    vitalwire mapping set site.toml --code temp --metric MDC_TEMP --unit Cel --rejudge --since 7d --why 'not listed'

    A row about the same thing is replaced; everything else in the file stays, comments too. It holds for what comes
    after the box's agent has read the file again (restart it). --rejudge records an act for what is stored, which the
    processors then validate anew, under a new seal.
    """
    row = MappingRow(
        metric=metric, code=code, text=text, sender=sender, system=system, unit=unit, unit_is_wrong=unit_is_wrong,
        power_of_ten=power_of_ten, decimal_comma=decimal_comma, missing=tuple(missing or ()),
    )  # fmt: skip
    if rejudge and not dry_run and not why.strip():
        raise UserError("a mapping act needs its reason: --why 'the new monitors were not in the file' (or --dry-run)")
    if rejudge and sender and not device:
        raise UserError(
            "stored values do not say which source of their edge they came from: --device ID says whose are meant"
        )
    old = _read(file)
    edited = set_row(old or "", row, str(file))
    before = toml_of(edited.replaced) if edited.replaced else ""
    if not dry_run:
        _write(file, edited.text)
    what = "would be " if dry_run else ""
    console.print(f"{file}: {what}{'replaced' if before else 'added'}", markup=False)
    console.print(f"{before}by\n{toml_of(row)}".strip() if before else toml_of(row).strip(), markup=False)
    if rejudge:
        _rejudge(row, since, device, why, database, dry_run=dry_run)


def _rejudge(row: MappingRow, since: str, device: str, why: str, database: str, *, dry_run: bool) -> None:
    """The act for what is stored. The row is in the file already; of an act that cannot be the reason is said."""
    author = this_user(why)
    with connect(database) as conn:
        change = MappingChange(
            rows=(msgspec.structs.replace(row, sender=""),),
            since_us=acts.us_of(since_moment(since)) if since else None,
            until_us=None,
            device=str(registry.find_device(conn, device)) if device else None,
        )
        outcome = look(conn, acts.act(MAPPING_CHANGE, author, acts.now(conn), **details_of(change)).body, show=True)
        outcome.refuse_ambiguous()
        if not outcome.records:
            console.print("nothing that is stored changes by this row: no act was recorded")
            return
        count = f"{outcome.records} stored values in {outcome.batches} batches"
        if dry_run:
            console.print(f"would change: {count}", markup=False)
            return
        act_id = mapping_acts.record(conn, details_of(change), author)
    console.print(f"act {act_id[:16]}: {count}; see `vitalwire mapping list`", markup=False)


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} cannot be read: it is not UTF-8; save it as that") from None


def _write(file: Path, text: str) -> None:
    """In one step: an agent that starts meanwhile reads the old file or the new one."""
    target = file.resolve()
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else FILE_MODE
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(text.encode())
                out.flush()
                os.fsync(out.fileno())
            Path(name).chmod(mode)
            Path(name).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None
