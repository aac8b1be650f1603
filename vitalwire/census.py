"""`vitalwire patients census`: who a ward says is in which bed, from a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from clinical.census import ROWS_MAX, CensusRow
from clinical.key_words import bed_words, visit_words
from clinical.worklist import WORDS
from emr_store import census
from emr_store.acts import this_user
from emr_store.census import CensusFile, CensusTaken
from emr_store.instants import us_of
from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire.adt import site_and_source
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, connect
from vitalwire.whose import instant

COLUMNS = ("bed", "patient", "visit", "name", "admitted_at")
FILE_BYTES_MAX = 8 * 1024 * 1024


def patients_census(
    file: Annotated[Path, typer.Argument(help=f"CSV in UTF-8, its first line: {','.join(COLUMNS)}")],
    config: Annotated[Path, typer.Option(help="processors.toml: its [[adt_source]] and [[bed]]")],
    source: Annotated[str, typer.Option(help="the [[adt_source]] whose numbers the file has")] = "",
    at: Annotated[str, typer.Option(help="when it was taken: 2026-11-24T06:00Z; else now")] = "",
    why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it would do, and do nothing")] = False,
    database: Database = "",
    json: Json = False,
) -> None:
    """Load who lies where when a ward is switched on: vitalwire patients census ward.csv --config processors.toml.

    The first census of a source puts those into beds of whom no ADT message came. Each later one is compared with the
    beds: what differs is asked on the worklist, and nobody is moved.
    """
    site, office = site_and_source(config, source)
    data = _read(file)
    taken_at = instant(at) if at else None
    read = CensusFile(sha256(data).digest(), rows_of(data, str(file)), taken_at)
    with connect(database) as conn:
        taken = census.take(conn, site, office, read, author=this_user(why), dry_run=dry_run)
    if json:
        as_json(taken)
        return
    _print(taken, site.bed_names, dry_run=dry_run)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise UserError(f"{file} is longer than {FILE_BYTES_MAX} bytes: give it a ward at a time")
    return data


def rows_of(data: bytes, file: str) -> list[CensusRow]:
    """The lines of the file. Raises UserError, which names the line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}, line {line}: is not UTF-8: save the file as CSV in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[CensusRow] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            raise UserError(f"{file}, line 1: has other columns than {','.join(COLUMNS)}: write these, in any order")
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            rows.append(_row(dict(zip(header, fields, strict=False)), reader.line_num, len(fields), file))
            if len(rows) > ROWS_MAX:
                raise UserError(f"{file} has more than {ROWS_MAX} patients: give it a ward at a time")
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: is no CSV: {error}") from None
    if not rows:
        raise UserError(f"{file} has no patients: a census has a line for each patient")
    return rows


def _row(fields: dict[str, str], line: int, count: int, file: str) -> CensusRow:
    if count != len(COLUMNS):
        raise UserError(f"{file}, line {line}: has {count} fields and not {len(COLUMNS)}: quote what holds a comma")
    values = {name: value.strip() for name, value in fields.items()}
    if any(not character.isprintable() for value in values.values() for character in value):
        raise UserError(f"{file}, line {line}: has characters that cannot be printed: remove them")
    return CensusRow(
        line=line,
        bed=values["bed"],
        patient=values["patient"],
        visit=values["visit"],
        name=values["name"],
        admitted_at_us=us_of(_admitted_at(values["admitted_at"], line, file)),
    )


def _admitted_at(text: str, line: int, file: str) -> datetime | None:
    try:
        return instant(text) if text else None
    except VitalwireError as error:
        raise UserError(f"{file}, line {line}: admitted_at {error}") from None


def _print(taken: CensusTaken, names: Mapping[str, str], *, dry_run: bool) -> None:
    would = "would become" if dry_run else "became"
    console.print(cell(f"{taken.rows} patients, SHA-256 {taken.sha256[:12]}"), markup=False)
    if taken.first:
        console.print(cell(f"{len(taken.loaded)} {would} facts: in their beds from {cell(taken.at)} on"), markup=False)
    for each in taken.differences:
        beds = " / ".join(bed_words(bed, names) for bed in each.detail.split(" / "))
        question = WORDS[each.kind].en.format(subject=each.encounter, detail=beds)
        console.print(cell(f"  {visit_words(each.encounter).en}: {question}"), markup=False)
    asked = "would be on the worklist" if dry_run else "are on the worklist"
    console.print(cell(f"{len(taken.differences)} differences {asked}; nobody was moved by them"), markup=False)
