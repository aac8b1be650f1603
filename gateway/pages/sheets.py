"""The printed sheets: the pages of the 体温单 and of the hourly record, as SVG in a page and as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinical.key_words import visit_number
from clinical.sheet.drawing import Drawing
from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out, lay_out_all
from clinical.sheet.style import Style
from clinical.sheet.svg import svg
from emr_store import chart_sheet, patients
from emr_store.bed_names import bed_names
from gateway.access.words import Action
from gateway.asking import Asking
from gateway.pages.chart import encounter_of
from gateway.pages.frame import Page
from gateway.permission import glass_until_ms

SHEET, HOURLY = Page("sheet", "/sheet/{key:path}"), Page("hourly", "/hourly/{key:path}")
KINDS, LANGUAGES = ("sheet", "hourly"), ("zh", "en")
Answer = dict[str, Any] | None  # None: not found


class Printer:
    """Sheets by a site's habits; each method returns None for what is not there.

    They raise StoreError and AccessRefusedError.
    """

    def __init__(self, style: Style) -> None:
        self._style = style

    def pages(self, conn: Any, asking: Asking, kind: str, language: str, key: str) -> Answer:
        """How many there are, what they leave out and why, and what the PDF has no letters for."""
        encounter = encounter_of(conn, asking, key, page=kind) if kind in KINDS else None
        drawings = self._drawings(conn, encounter, kind, language)
        if encounter is None or not drawings:
            return None
        from clinical.sheet import pdf  # 20 MB of libraries, which no other page needs

        return {
            "encounter": encounter, "patient": patients.find_patient(conn, encounter), "count": len(drawings),
            "visit": visit_number(encounter), "glass_until": glass_until_ms(asking, [encounter]),
            "not_drawn": [[each.reason for each in drawing.undrawn] for drawing in drawings],
            "unprintable": pdf.unprintable(drawings),
        }  # fmt: skip

    def page(self, conn: Any, asking: Asking, kind: str, language: str, key: str, page: int) -> bytes | None:
        """One of them, counted from 1, as SVG."""
        encounter = encounter_of(conn, asking, key, page=kind) if kind in KINDS else None
        if encounter is None:
            return None
        if kind == "sheet":
            drawing = self._page(conn, encounter, language, page)
        else:
            drawing = self._page_of_all(conn, encounter, kind, language, page)
        return None if drawing is None else svg(drawing).encode()

    def pdf(self, conn: Any, asking: Asking, kind: str, language: str, key: str) -> bytes | None:
        """All of them."""
        encounter = encounter_of(conn, asking, key, Action.PRINT, kind)
        drawings = self._drawings(conn, encounter, kind, language)
        from clinical.sheet import pdf

        return pdf.pdf(drawings) if drawings else None

    def _page(self, conn: Any, encounter: str, language: str, page: int) -> Drawing | None:
        """One page of the 体温单 is drawn without the others."""
        if language not in LANGUAGES:
            return None
        style = self._style_in(language)
        try:
            return lay_out(chart_sheet.sheet_data(conn, encounter, style, bed_names(conn)), style, page)
        except ValueError:  # there is no such page
            return None

    def _page_of_all(self, conn: Any, encounter: str, kind: str, language: str, page: int) -> Drawing | None:
        drawings = self._drawings(conn, encounter, kind, language)
        return drawings[page - 1] if 0 < page <= len(drawings) else None

    def _drawings(self, conn: Any, encounter: str | None, kind: str, language: str) -> Sequence[Drawing]:
        if encounter is None or kind not in KINDS or language not in LANGUAGES:
            return ()
        style, labels = self._style_in(language), bed_names(conn)
        if kind == "hourly":
            return lay_out_hourly(chart_sheet.hourly_data(conn, encounter, style, labels), style)
        return lay_out_all(chart_sheet.sheet_data(conn, encounter, style, labels), style)

    def _style_in(self, language: str) -> Style:
        return self._style.in_language("zh" if language == "zh" else "en")
