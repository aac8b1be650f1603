"""Words in the grid, a character below the other: events above 40 ℃, what was not measured, 不升."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clinical.sheet.arrange import COLUMNS, Absences, Page, event_column
from clinical.sheet.content import Absence, Event, Reading
from clinical.sheet.days import local
from clinical.sheet.drawing import BLACK, BLUE, RED, Line, Text
from clinical.sheet.glyphs import CENTRE, length_mm, written
from clinical.sheet.style import NOT_RISING_AT
from clinical.sheet.words import event_text

COLOURS = {"red": RED, "blue": BLUE, "black": BLACK}
CHARACTER_MM, PITCH_MIN_MM, BAR = 2.9, 1.7, "|"
Span: TypeAlias = tuple[float, float]  # from and to, downward
Taken: TypeAlias = Sequence[Span]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What stands in a column."""

    text: str
    about: str
    role: str
    colour: str


def place_events(page: Page) -> dict[int, Event]:
    """By column, in the order of time; where a column has one, the next free one to the right, then to the left."""
    placed: dict[int, Event] = {}
    for event in sorted(page.data.events, key=lambda event: (event.at, event.id)):
        column = event_column(page, event)
        if not page.belongs(column):
            continue
        what = f"{local(event.at, page.style):%m-%d %H:%M} {page.style.word(event.kind)}"
        if event.kind not in page.style.events.shown:
            page.leave_out(event.id, what, "event_not_shown")
        elif not 0 <= column < COLUMNS:
            page.leave_out(event.id, what, "no_slot")
        else:
            nearest = [*range(column, COLUMNS), *range(column - 1, -1, -1)]
            free = next((candidate for candidate in nearest if candidate not in placed), None)
            if free is None:
                page.leave_out(event.id, what, "no_room")
            else:
                placed[free] = event
    return placed


def draw_words(page: Page, events: Mapping[int, Event], absences: Absences, taken: Mapping[int, Taken]) -> None:
    """Both bands. A word over 40 ℃ in a column with an event stands below it; marks of the column stay legible."""
    over = page.style.absence.band == "over"
    for column in sorted({*events, *absences.shown}):
        above = []
        event, absence = events.get(column), absences.shown.get(column)
        if event:
            above.append(Word(text=event_text(event, page.style), about=event.id, role="event", colour=RED))
        if absence and over:
            above.append(_absence_word(page, absence))
        elif absence:
            _draw_under(page, column, _absence_word(page, absence))
        if above:
            spans = _free_spans(page.frame.grid.top, page.frame.events_bottom, taken.get(column, ()))
            _draw_column(page, column, above, spans)


def draw_not_rising(page: Page, readings: Mapping[int, Reading]) -> None:
    """The word hangs below the 35 ℃ line, or stands on the bottom where that is the 35 ℃ line."""
    colour = COLOURS[page.style.temperature.not_rising_colour]
    for column, reading in readings.items():
        text = page.style.word("not_rising")
        _draw_under(page, column, Word(text=text, about=reading.id, role="not rising", colour=colour))


def _absence_word(page: Page, absence: Absence) -> Word:
    return Word(
        text=page.style.word(absence.kind), about=absence.id, role="absence", colour=COLOURS[page.style.absence.colour]
    )  # fmt: skip


def _draw_under(page: Page, column: int, word: Word) -> None:
    frame = page.frame
    top = frame.temperature_y(NOT_RISING_AT)
    if top < frame.grid.bottom:
        _draw_column(page, column, [word], [(top, frame.grid.bottom)])
    else:
        _draw_column(page, column, [word], [(frame.grid.bottom - 2 * frame.cell, frame.grid.bottom)])


def _free_spans(top: float, bottom: float, taken: Taken) -> list[Span]:
    """What is left between marks, from the top down."""
    spans: list[Span] = []
    for begin, end in sorted(taken):
        if min(begin, bottom) > top:
            spans.append((top, min(begin, bottom)))
        top = max(top, end)
    if top < bottom:
        spans.append((top, bottom))
    return spans


def _places(spans: Sequence[Span], count: int, cell: float) -> tuple[float, list[float]]:
    """The distance of characters, a cell or less, and the middle of each."""
    pitch = cell
    while pitch > PITCH_MIN_MM and sum(_holds(span, pitch) for span in spans) < count:
        pitch -= 0.05
    places = [begin + pitch * (index + 0.5) for begin, end in spans for index in range(_holds((begin, end), pitch))]
    if len(places) < count:  # over the marks rather than not at all
        begin, end = spans[0][0] if spans else 0.0, spans[-1][1] if spans else 0.0
        pitch = (end - begin) / count
        places = [begin + pitch * (index + 0.5) for index in range(count)]
    return pitch, places


def _holds(span: Span, pitch: float) -> int:
    return int((span[1] - span[0]) / pitch + 1e-6)


def _draw_column(page: Page, column: int, words: list[Word], spans: Sequence[Span]) -> None:
    """Downward, a cell a character and an empty one between words; closer together where there are more than cells."""
    if page.style.language != "zh" or (page.style.events.orientation == "turned" and words[0].role == "event"):
        _draw_turned(page, column, words, spans[0][0], spans[-1][1])
        return
    count = sum(len(word.text) for word in words) + len(words) - 1
    pitch, places = _places(spans, count, page.frame.cell)
    size = min(CHARACTER_MM, pitch * 0.97, page.frame.slot * 0.8)
    x, used = page.frame.column_middle(column), 0
    for word in words:
        about = word.about
        for character, y in zip(word.text, places[used:], strict=False):
            if character == BAR:
                reach = pitch * 0.42
                line = Line(role=word.role, start=(x, y - reach), end=(x, y + reach), width_mm=0.25, colour=word.colour)
                page.add(line)
            else:
                page.add(written(character, (x, y), size, word.role, colour=word.colour, about=about))
                about = ""  # the first character carries it
        used += len(word.text) + 1


def _draw_turned(page: Page, column: int, words: list[Word], top: float, bottom: float) -> None:
    """Lying on its side, read from below."""
    text = " ".join(word.text.replace(BAR, "—" if page.style.language == "zh" else " ") for word in words)
    about = " ".join(word.about for word in words)
    size = min(CHARACTER_MM, (bottom - top - 0.6) / max(length_mm(text, 1.0), 1.0), page.frame.slot * 0.8)
    at = (page.frame.column_middle(column) + CENTRE * size, bottom - 0.3)
    page.add(
        Text(role=words[0].role, about=about, at=at, text=text, size_mm=size, length_mm=length_mm(text, size),
             anchor="start", colour=words[0].colour, turned_deg=90)
    )  # fmt: skip
