"""`vitalwire custody`: sealed copies of a stay (封存), with a list that both sides confirm."""

from __future__ import annotations

import os
import uuid
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from clinical.sheet.layout import lay_out_all
from clinical.sheet.style_file import shipped_style
from emr_store import acts, chart_sheet, custody
from emr_store.acts import this_user
from emr_store.bed_names import bed_names
from emr_store.connect import one_moment
from emr_store.custody import Contents
from emr_store.instants import us_of
from emr_store.patients import find_encounter
from evidence.custody_copy import (
    CopyList,
    SealedCopy,
    listed,
    new_shares,
    open_copy,
    parse_share,
    read_copy,
    seal_copy,
    share_text,
)
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from schemas.errors import LayoutError, VitalwireError
from vitalwire.output import as_json, cell, console
from vitalwire.output import listed as listed_rows
from vitalwire.record import Database, Json, Why, connect

app = typer.Typer(help="Sealed copies of a stay, and their lists.", no_args_is_help=True)
CopyFile = Annotated[Path, typer.Argument(help="from `vitalwire custody copy`")]
PartNumber = Annotated[int, typer.Option("--part", min=1)]


@app.command("copy")
def custody_copy(
    encounter: Annotated[str, typer.Argument(help="a visit's number, or its key in `patients list --json`")],
    file: Annotated[Path, typer.Argument(help="a new file, on the medium that goes into custody")],
    continued: Annotated[
        str, typer.Option("--copy", help="the id of a copy: a later part of it", show_default=False)
    ] = "",
    why: Why = "",
    database: Database = "",
) -> None:
    """What is complete of a stay, sealed: vitalwire custody copy V4711 /media/V4711.vwcopy --why 'dispute 2026-31'.

    The original stays in use. Two shares of the key are printed once, one for each side: no database has them.
    """
    if file.exists():
        raise UserError(f"{file} is there already: name a new file")
    author = this_user(why)
    if not why.strip():
        raise UserError("a custody copy needs its reason: --why 'dispute 2026-31'")
    shares = new_shares()
    with connect(database) as conn:
        key = find_encounter(conn, encounter)
        copy, part, since = _next_part(conn, key, continued)
        with one_moment(conn):
            found = custody.contents(conn, key, since, acts.now(conn))
            files = _files(conn, found)
        made = _list(copy, part, found, files)
        data = seal_copy(made, files, shares)
        beside = file.with_name(file.name + ".new")
        _write(beside, data)
        try:
            with conn.transaction():
                act_id = custody.record_part(conn, made, found, sha256(data).digest(), author)
        except BaseException:
            beside.unlink()
            raise
        beside.rename(file)
    _print_list(made)
    _say(f"act {act_id.hex()}: `vitalwire log prove` makes a file of it that proves the list to a stranger")
    for side, share in zip(custody.SIDES, shares, strict=True):
        _say(f"share of the {side}: {share_text(share)}")
    _say("write each share down for its side now: it is not kept. Then `vitalwire custody confirm`, both sides")


@app.command("list")
def custody_list(database: Database = "", json: Json = False) -> None:
    """The copies that were made, and which sides confirmed their lists."""
    with connect(database) as conn:
        found = custody.parts(conn)
    listed_rows(json, "Custody copies", ("copy", "part", "visit", "until", "versions", "made", "confirmed by"), found,
                lambda p: (p.copy, p.part, p.encounter, p.until, p.versions, p.made_at, ", ".join(p.confirmed_by)),
                "none")  # fmt: skip


@app.command("confirm")
def custody_confirm(
    copy: Annotated[str, typer.Argument(help="its id in `vitalwire custody list`")],
    side: Annotated[str, typer.Option(help="hospital or patient")],
    name: Annotated[str, typer.Option(help="who confirms for this side")],
    part: PartNumber = 1,
    why: Why = "",
    database: Database = "",
) -> None:
    """A side says that the list is right: vitalwire custody confirm ID --side patient --name 张三."""
    with connect(database) as conn:
        custody.confirm(conn, _copy_id(copy), part, side, name, this_user(why))
    _say(f"part {part} of {copy}: confirmed by {name} for the {side}")


@app.command("check")
def custody_check(file: CopyFile, database: Database = "", json: Json = False) -> None:
    """Whether a file is the one that was sealed, without opening it: exit 4 where it is not."""
    data = _read(file)
    made = _sealed(data, file).list
    with connect(database) as conn:
        known = next((p for p in custody.parts(conn, uuid.UUID(made.copy)) if p.part == made.part), None)
    holds = known is not None and (known.list_sha256, known.file_sha256) == (
        made.digest.hex(), sha256(data).hexdigest()
    )  # fmt: skip
    if json:
        as_json({"holds": holds, "copy": made.copy, "part": made.part, "files": [f.name for f in made.files]})
    else:
        _print_list(made)
        _say("it is the file that was sealed" if holds else "it is NOT the file that was sealed here")
    if not holds:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


@app.command("open")
def custody_open(
    file: CopyFile,
    folder: Annotated[Path, typer.Argument(help="a new folder for what is in it")],
    person: Annotated[list[str], typer.Option(help="who opens it, with the share of a side: twice")],
    why: Why = "",
    database: Database = "",
) -> None:
    """By two people, each with a share: vitalwire custody open FILE FOLDER --person 王 --person 李 --why 'order 8'.

    The shares are asked for, and never stand on a command line. The opening is an act, before anything is shown.
    """
    sealed = _sealed(_read(file), file)
    if folder.exists():
        raise UserError(f"{folder} is there already: name a new folder")
    shares = _asked_share(custody.SIDES[0]), _asked_share(custody.SIDES[1])
    try:
        files = open_copy(sealed, shares)
    except LayoutError as error:
        raise UserError(f"{file}: {error.detail}", EXIT_DOES_NOT_HOLD) from None
    with connect(database) as conn:
        custody.record_opening(conn, uuid.UUID(sealed.list.copy), sealed.list.part, person, this_user(why))
    folder.mkdir(mode=0o700, parents=True)
    for name, data in files.items():
        _write(folder / name, data)
    _say(f"{folder}: {len(files)} files, each as its list says")


def _next_part(conn: Any, encounter: str, continued: str) -> tuple[uuid.UUID, int, Any]:
    """Which copy and part it becomes, and since when."""
    if not continued:
        return uuid.uuid4(), 1, None
    before = custody.parts(conn, _copy_id(continued))
    if not before or before[-1].encounter != encounter:
        raise UserError(f"{continued} is no copy of this visit: see `vitalwire custody list`")
    return before[-1].copy, before[-1].part + 1, before[-1].until


def _files(conn: Any, found: Contents) -> dict[str, bytes]:
    from clinical.sheet import pdf  # 20 MB of libraries, which no other command needs

    style = shipped_style("standard")
    drawings = lay_out_all(chart_sheet.sheet_data(conn, found.encounter, style, bed_names(conn)), style)
    files = {
        "chart.jsonl": custody.lines(found.versions),
        "acts.bin": b"".join(len(act).to_bytes(4, "little") + act for act in found.acts),
        "stays.jsonl": custody.lines(found.stays),
    }
    return files | ({"sheet.pdf": pdf.pdf(drawings)} if drawings else {})


def _list(copy: uuid.UUID, part: int, found: Contents, files: dict[str, bytes]) -> CopyList:
    return CopyList(
        copy=str(copy), part=part, encounter=found.encounter, patient=found.patient,
        since_us=0 if found.since is None else us_of(found.since), until_us=us_of(found.until),
        versions=len(found.versions), files=listed(files), batches=[batch.hex() for batch in found.batches],
    )  # fmt: skip


def _print_list(made: CopyList) -> None:
    _say(f"copy {made.copy}, part {made.part}: visit {made.encounter}, {made.versions} versions of entries")
    for each in made.files:
        _say(f"  {each.sha256}  {each.bytes:>10}  {each.name}")
    _say(f"SHA-256 of the list: {made.digest.hex()}")


def _say(text: str) -> None:
    console.print(cell(text), markup=False, soft_wrap=True)


def _asked_share(side: str) -> bytes:
    text = typer.prompt(f"share of the {side}", hide_input=True)
    try:
        return parse_share(text)
    except LayoutError as error:
        raise UserError(f"the share of the {side}: {error.detail}") from None


def _copy_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise VitalwireError(f"{text!r} is no copy's id: `vitalwire custody list` has them") from None


def _sealed(data: bytes, file: Path) -> SealedCopy:
    try:
        return read_copy(data)
    except LayoutError as error:
        raise UserError(f"{file}: {error.detail or error.reason}", EXIT_DOES_NOT_HOLD) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None


def _write(file: Path, data: bytes) -> None:
    """On the disk when it returns: a medium may be taken out."""
    try:
        with file.open("xb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None
