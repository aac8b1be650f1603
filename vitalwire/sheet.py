"""`vitalwire sheet`: an encounter's 体温单, or its hourly record, as PDF or SVG."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out_all
from clinical.sheet.style import Style, StyleError
from clinical.sheet.style_file import SHIPPED, read_style, shipped_style
from clinical.sheet.svg import svg
from emr_store import chart_sheet
from emr_store.bed_names import bed_names
from runtime.errors import UserError
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

    try:
        pdf_file.write_bytes(pdf.pdf(drawings))
    except OSError as error:
        raise UserError(f"{pdf_file} cannot be written: {error.strerror}") from None
    console.print(cell(f"{pdf_file}: {len(drawings)} pages"), markup=False)
    missing = pdf.unprintable(drawings)
    if missing:
        console.print(cell(f"it cannot show {missing}: write these letters by hand"), markup=False)


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
