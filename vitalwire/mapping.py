"""`vitalwire mapping`: what senders call things by, and mapping acts over stored values."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import psycopg
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.site import MappingRow, mapping_of, read_rows, unmapped_lines
from emr_store import acts, channels, mapping_acts, registry
from emr_store.acts import this_user
from emr_store.revalidation import change_of, stored_batches
from evidence.act import MAPPING_CHANGE
from runtime.errors import UserError
from schemas.block import ValidationResult
from stream_processors.mapping import MappingChange, matches, remap
from stream_processors.validation import validate_stored
from vitalwire.acts import HEX_MAX
from vitalwire.on_demand import on_demand
from vitalwire.output import as_json, cell, console, listed, table
from vitalwire.record import Database, Json, Why, connect, since_moment

IN_OTHER_MODULES = {
    "parameters": "vitalwire.mapping_workbench:parameters_command",
    "coverage": "vitalwire.mapping_workbench:coverage_command",
    "set": "vitalwire.mapping_workbench:set_command",
    "diff": "vitalwire.mapping_diff:diff",
}
app = typer.Typer(cls=on_demand(IN_OTHER_MODULES), help="What senders call things by.", no_args_is_help=True)
_TEXTS_SHOWN = 3


@app.command("unmapped")
def mapping_unmapped(database: Database = "") -> None:
    """What has no code yet, as rows to paste into the site's mapping file: vitalwire mapping unmapped >> site.toml.

    An identifier that comes with several texts is a row for each. No row has a unit that its sender states.
    """
    with connect(database) as conn:
        found = channels.unmapped(conn)
    rows = unmapped_lines(((u.system, u.code, u.unit) for u in found), "")
    of_metric: dict[tuple[str, str], list[channels.Unmapped]] = {}
    for u in found:  # a ward's monitors call a thing the same: one entry serves them all
        of_metric.setdefault((u.system, u.code), []).append(u)
    for thing, of in of_metric.items():
        senders = list(dict.fromkeys(str(u.claim or u.device) for u in of))
        more = f" and {len(senders) - 1} more" if len(senders) > 1 else ""
        units = ", ".join(dict.fromkeys(u.unit for u in of if u.unit))
        example = f"{of[0].example[:40]!r}" + (f" in {units}" if units else "")
        comment = f"# {sum(u.times for u in of)} times, e.g. {example}, from {senders[0]}{more}"
        console.print(cell(comment), markup=False, soft_wrap=True)
        console.print(rows[thing], markup=False, soft_wrap=True)
    if not found:
        console.print("# everything that came has a code")


@app.command("apply")
def mapping_apply(
    file: Annotated[Path, typer.Argument(help="rows as in an edge's mapping file")],
    since: Annotated[str, typer.Option(help="received since then: an instant or a span (24h, 7d); else all")] = "",
    until: Annotated[str, typer.Option(help="received before then; else all")] = "",
    device: Annotated[str, typer.Option(help="its id, the beginning of it, or its claim; else every device")] = "",
    sender: Annotated[str, typer.Option(help="the source whose rows hold, where rows name one")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would change")] = False,
    why: Why = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Give stored values a code that came without one: vitalwire mapping apply site.toml --since 7d --why 'not listed'.

    The processors then validate their batches anew, under a new seal; what was said of them before stays readable.
    """
    rows = _rows(file, sender)
    author = this_user(why)
    if not dry_run and not why.strip():
        raise UserError("a mapping act needs its reason: --why 'the new monitors were not in the file' (or --dry-run)")
    since_us = acts.us_of(since_moment(since)) if since else None
    until_us = acts.us_of(since_moment(until, "--until")) if until else None
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise UserError(f"between --since {since} and --until {until} there is no time")
    with connect(database) as conn:
        now = acts.now(conn)
        change = MappingChange(
            rows=rows,
            since_us=since_us,
            until_us=until_us,
            device=str(registry.find_device(conn, device)) if device else None,
        )
        outcome = look(conn, acts.act(MAPPING_CHANGE, author, now, **details_of(change)).body, show=not json)
        outcome.refuse_ambiguous()
        act_id = None if dry_run or not outcome.records else mapping_acts.record(conn, details_of(change), author)
    if json:
        as_json({"act_id": act_id, "batches": outcome.batches, "records": outcome.records, "rows": outcome.as_rows()})
    else:
        _print(outcome, act_id, dry_run=dry_run)
    if not outcome.records and not dry_run:
        raise UserError("nothing that is stored changes by these rows, so that no act was recorded")


def details_of(change: MappingChange) -> dict[str, object]:
    """As an act has them."""
    details: dict[str, object] = msgspec.to_builtins(change)
    return details


def _rows(file: Path, sender: str) -> tuple[MappingRow, ...]:
    """The file's rows that hold; raises UserError and ConfigError with what is wrong with them."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} cannot be read: it is not UTF-8; save it as that") from None
    rows = read_rows(text, str(file))
    senders = sorted({row.sender for row in rows} - {""})
    if senders and not sender:
        raise UserError(
            f"{file} has rows for the source {', '.join(senders)}: stored values do not say which source of their edge"
            " they came from; say whose rows hold, and whose values are meant: --sender NAME --device ID"
        )
    if sender and sender not in senders:
        raise UserError(f"{file} has no rows for the source {sender!r}, but for {', '.join(senders) or 'none by name'}")
    chosen = tuple(msgspec.structs.replace(row, sender="") for row in rows if row.sender in ("", sender))
    if not chosen:
        raise UserError(f"{file} has no rows: `vitalwire mapping unmapped` prints some to begin with")
    mapping_of(chosen, str(file))
    return chosen


@dataclass
class Outcome:
    """What an act would change; by row, the records that come out otherwise, by their new validation result."""

    batches: int = 0
    records: int = 0
    validation_results: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    texts: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # of rows that name none

    def refuse_ambiguous(self) -> None:
        """Raise UserError where a row that names no text is about things that their sender calls by several."""
        for row, texts in sorted(self.texts.items()):
            if len(texts) > 1:
                named = ", ".join(repr(text) for text in sorted(texts)[:_TEXTS_SHOWN])
                raise UserError(
                    f"{row} is about things that are called {named}: nobody can say which of them was meant; give the"
                    " row its text, or name one device (--device)"
                )

    def as_rows(self) -> dict[str, dict[str, int]]:
        """For scripts."""
        return {row: dict(validation_results) for row, validation_results in sorted(self.validation_results.items())}


def look(conn: psycopg.Connection, body: bytes, *, show: bool) -> Outcome:
    """What an act (canonical JSON) would change, by looking at every batch that it may be about."""
    outcome, last = Outcome(), mapping_acts.newest_batch(conn)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True, disable=not show or not console.is_terminal) as progress:
        bar = progress.add_task("batches", total=last)
        for after, numbers in mapping_acts.candidates(conn, 0, last):
            for first in range(0, len(numbers), mapping_acts.CHUNK_BATCHES):
                for batch in stored_batches(conn, numbers[first : first + mapping_acts.CHUNK_BATCHES]):
                    change = change_of(batch, body, remap, validate_stored)
                    found = {match.record: match for match in matches(batch.sent, body)}
                    for match in found.values():
                        if match.mapped.any_text:
                            text = match.as_sent.code.partition("^")[2].casefold()
                            outcome.texts[match.mapped.row].update({text} - {""})
                    if change is None:
                        continue
                    outcome.batches += 1
                    outcome.records += len(change.records)
                    for record in np.intersect1d(change.records, list(found)).tolist():
                        validation_result = ValidationResult(int(change.results.validation_results[record])).slug
                        outcome.validation_results[found[record].mapped.row][validation_result] += 1
            progress.update(bar, completed=after)
    return outcome


def _print(outcome: Outcome, act_id: str | None, *, dry_run: bool) -> None:
    table("Rows", ("row", "becomes", "values"), [
        (row, validation_result, count) for row, validation_results in sorted(outcome.validation_results.items())
        for validation_result, count in validation_results.most_common()
    ], "none is about anything that is stored without a code")  # fmt: skip
    total = f"{outcome.records} values in {outcome.batches} batches"
    if dry_run:
        console.print(f"would change: {total}")
    elif act_id is not None:
        console.print(f"act {act_id[:HEX_MAX]}: {total}; the processors do it now: see `vitalwire mapping list`")


@app.command("list")
def mapping_list(database: Database = "", json: Json = False) -> None:
    """Every mapping act, and how far the processors are with it: vitalwire mapping list."""
    with connect(database) as conn:
        found = mapping_acts.listed(conn)
    listed(json, "Mapping acts", ("act", "at", "by", "batches", "values", "done", "why"), found, lambda w: (
        w.act_id[:HEX_MAX], w.at, w.by, w.batches, w.records,
        w.done_at or f"at batch {w.next_batch} of {w.last_batch}", w.why,
    ), "none")  # fmt: skip
