"""`vitalwire sheet`: an encounter's 体温单, or its hourly record, as PDF or SVG."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import typer

from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out_all
from clinical.sheet.style import Style, StyleError
from clinical.sheet.style_file import SHIPPED, read_style, shipped_style
from clinical.sheet.svg import svg
from emr_store import chart_sheet
from emr_store.bed_names import bed_names
from runtime.errors import UserError
from vitalwire.gateway_client import Gateway, gateway_or_database
from vitalwire.output import cell, console
from vitalwire.record import Database, connect, since_moment

SheetStyle = Annotated[
    str, typer.Option("--sheet-style", help=f"a site's habits on paper: {', '.join(SHIPPED)}, or a TOML file")
]


def sheet(
    encounter: Annotated[str, typer.Argument(help="a visit's number, or its key in `patients list --json`")],
    pdf_file: Annotated[Path | None, typer.Option("--pdf", help="write all pages into this file")] = None,
    as_svg: Annotated[bool, typer.Option("--svg", help="print one page as SVG")] = False,
    hourly: Annotated[bool, typer.Option("--hourly", help="the 重症护理记录单")] = False,
    page: Annotated[int, typer.Option(min=1, help="of --svg")] = 1,
    style: Annotated[str, typer.Option(help=f"{', '.join(SHIPPED)}, or a TOML file: docs/sheet.md")] = "standard",
    language: Annotated[str, typer.Option(help="zh or en; else the style's own")] = "",
    since: Annotated[str, typer.Option(help="of --hourly: an instant, or a span back from now; else 7 days")] = "",
    database: Database = "",
) -> None:
    """The 体温单, in true millimetres: vitalwire sheet V4711 --pdf sheet.pdf.

    What no person confirmed is drawn under the watermark 未确认; what was corrected since shows its version.
    """
    if (pdf_file is None) == (not as_svg):
        raise UserError("say what to write: --pdf FILE, or --svg")
    gateway = gateway_or_database(database)
    if gateway is not None:
        if style != "standard" or since:
            raise UserError("the gateway prints by its own style, and the whole: --style and --since are of --database")
        paper = Paper("hourly" if hourly else "sheet", _language(language) if language else "zh", encounter)
        _print_by_gateway(gateway, paper, pdf_file, page)
        return
    habits = style_of(style)
    if language:
        habits = habits.in_language(_language(language))
    since_at: datetime | None = since_moment(since) if since else None
    with connect(database) as conn:
        if hourly:
            drawings = lay_out_hourly(
                chart_sheet.hourly_data(conn, encounter, habits, bed_names(conn), since_at), habits
            )  # fmt: skip
        else:
            drawings = lay_out_all(chart_sheet.sheet_data(conn, encounter, habits, bed_names(conn)), habits)
    if not drawings:
        raise UserError(f"nothing is charted of {encounter} in this time: there is no page to print")
    if pdf_file is None:
        if page > len(drawings):
            raise UserError(f"there is no page {page}: 1 to {len(drawings)}")
        sys.stdout.write(svg(drawings[page - 1]))
        return
    from clinical.sheet import pdf  # 20 MB of libraries, which no other command needs

    _write(pdf_file, pdf.pdf(drawings), len(drawings), pdf.unprintable(drawings))


class Paper(NamedTuple):
    """What is printed of which encounter."""

    kind: str  # gateway/pages/sheets.py: KINDS
    language: str
    encounter: str


class _Pages(msgspec.Struct, frozen=True):
    count: int
    unprintable: str


def _print_by_gateway(gateway: Gateway, paper: Paper, pdf_file: Path | None, page: int) -> None:
    key = quote(paper.encounter, safe="")
    if pdf_file is None:
        drawn = gateway.file(f"/sheet-page/{paper.kind}/{paper.language}/{page}/{key}")
        sys.stdout.write(drawn.decode())
        return
    printed = gateway.file(f"/{paper.kind}/{key}.pdf", {"language": paper.language})
    pages = gateway.get(f"/sheet-pages/{paper.kind}/{paper.language}/{key}", _Pages)
    _write(pdf_file, printed, pages.count, pages.unprintable)


def _write(file: Path, printed: bytes, count: int, unprintable: str) -> None:
    try:
        file.write_bytes(printed)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None
    console.print(cell(f"{file}: {count} pages"), markup=False)
    if unprintable:
        console.print(cell(f"it cannot show {unprintable}: write these letters by hand"), markup=False)


def style_of(name: str) -> Style:
    """A shipped one by its name, else a file's. Raises UserError, with line and reason."""
    if name in SHIPPED:
        return shipped_style(name)
    try:
        return read_style(Path(name).read_text("utf-8-sig"), name)
    except StyleError as error:
        raise UserError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"{name} cannot be read ({why}): name one of {', '.join(SHIPPED)}, or a TOML file") from None


def _language(text: str) -> Literal["zh", "en"]:
    if text == "zh":
        return "zh"
    if text == "en":
        return "en"
    raise UserError(f"{text!r} is no language of the sheets: zh or en")
