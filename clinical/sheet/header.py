"""What stands above the grid: the hospital, the patient, transfers, and the rows of dates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from clinical.sheet.arrange import Page
from clinical.sheet.content import Patient
from clinical.sheet.days import admission_day, date_texts, last_day, local, operation_days, post_op_text
from clinical.sheet.drawing import BLACK, RED, Item, Line
from clinical.sheet.glyphs import length_mm, written
from clinical.sheet.style import SLOTS, Style

HEADER_MM, TEXT_MM, GAP_MM = 3.1, 2.9, 3.0
ARROW = "→"


def stays_text(patient: Patient, since: datetime, until: datetime) -> tuple[str, str]:
    """Wards and beds from one moment to another, both included, with an arrow from each to the next."""
    stays = sorted(patient.stays, key=lambda stay: stay.since)
    shown = []
    for index, stay in enumerate(stays):
        end = stays[index + 1].since if index + 1 < len(stays) else None
        if stay.since <= until and (end is None or end > since):
            shown.append(stay)
    places = [place for place, _ in groupby((stay.ward, stay.bed) for stay in shown)]
    wards = [ward for ward, _ in groupby(ward for ward, _ in places)]
    return ARROW.join(wards), ARROW.join(bed for _, bed in places)


def header_fields(patient: Patient, style: Style, wards: str, beds: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Two lines of names and values."""
    admitted = local(patient.admitted_at, style).date().isoformat()
    word = style.word
    return (
        ((word("name"), patient.name), (word("sex"), patient.sex), (word("age"), patient.age),
         (word("admitted"), admitted), (word("number"), patient.number)),
        ((word("ward"), wards), (word("bed"), beds)),
    )  # fmt: skip


def field_line(fields: Sequence[tuple[str, str]], left: float, right: float, y: float, colon: str) -> list[Item]:
    """Names in black with their values on a rule; they share the width by their lengths, and shrink to it."""
    lengths = [length_mm(f"{name}{colon}{value}", HEADER_MM) + GAP_MM for name, value in fields]
    scale = (right - left) / max(sum(lengths), 1.0)
    items: list[Item] = []
    x = left
    for (name, value), length in zip(fields, lengths, strict=True):
        width = length * scale
        limit = width - GAP_MM * min(scale, 1.0)
        label = f"{name}{colon}"
        size = min(HEADER_MM, HEADER_MM * scale)
        label_mm = length_mm(label, size)
        items.append(written(label, (x, y), size, "header", anchor="start"))
        begin = x + label_mm
        if value:
            left_over = max(x + limit - begin - 0.4, 2.0)
            items.append(written(value, (begin + 0.4, y), size, "header", anchor="start", limit_mm=left_over))
        items.append(Line(role="rule", start=(begin, y + 2.1), end=(x + limit, y + 2.1), width_mm=0.15))
        x += width
    return items


def draw_title(page: Page) -> None:
    """Hospital and title, centred on the table."""
    frame, style = page.frame, page.style
    middle, limit = (frame.left + frame.right) / 2, frame.right - frame.left
    if style.hospital:
        page.add(written(style.hospital, (middle, 11.5), 4.6, "title", limit_mm=limit))
    page.add(written(style.title, (middle, 18.2), 6.0, "title", limit_mm=limit))


def draw_header(page: Page) -> None:
    """The patient, with the stays that the page's days have seen."""
    zone = page.style.local_zone()
    first, last = page.days[0], page.days[-1]
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    until = datetime(last.year, last.month, last.day, 23, 59, 59, 999999, tzinfo=zone)
    wards, beds = stays_text(page.data.patient, since, until)
    for index, fields in enumerate(header_fields(page.data.patient, page.style, wards, beds)):
        page.add(*field_line(fields, page.frame.left, page.frame.right, 26.2 + 5.4 * index, page.style.word("colon")))


def draw_head_rows(page: Page) -> None:
    """Dates, days of the stay, days after operations, and the slots' labels."""
    style, data = page.style, page.data
    begin, end = admission_day(data, style), last_day(data, style)
    operations = operation_days(data.events, style)
    texts: dict[str, list[str]] = {
        "date": date_texts(page.days, style),
        "stay_day": [str((day - begin).days + 1) if day <= end else "" for day in page.days],
        "post_op_day": [post_op_text(day, operations, style) if day <= end else "" for day in page.days],
    }
    frame = page.frame
    width = frame.slot * SLOTS
    for band in frame.head:
        draw_label(page, band.key, band.middle)
        colour = RED if band.key == "post_op_day" else BLACK
        for index, text in enumerate(texts.get(band.key, [])):
            at = (frame.column_left(index * SLOTS) + width / 2, band.middle)
            if text:
                page.add(written(text, at, TEXT_MM, band.key, limit_mm=width - 1, colour=colour))
        if band.key == "time":
            _draw_slot_labels(page, band.middle)


def _draw_slot_labels(page: Page, y: float) -> None:
    hours = page.style.slots.hours
    for column in range(len(page.days) * SLOTS):
        text = str(hours[column % SLOTS])
        page.add(written(text, (page.frame.column_middle(column), y), 2.5, "time", limit_mm=page.frame.slot - 0.3))


def draw_label(page: Page, key: str, y: float) -> None:
    """The name of a row."""
    frame = page.frame
    limit = frame.first - frame.left - 1.0
    page.add(written(page.style.word(key), ((frame.left + frame.first) / 2, y), TEXT_MM, "label", limit_mm=limit))
