"""The newest value of each channel as the page shows it, and the lines that say what changed.

A line is of one row of `latest`, that is of one report: [row, ms since it was received, ms from its measurement to
then, ms from then to its storing, values, more]. `values` is a list with a number for each column of the row's channel
set, or an object of those that changed by column. A row that says a value owns it from then on: the times of a value
are those of the row that owns it. `more` is there where something of it changed: `flags`; `marks`, by column whatever
is unusual about a value; `every`, the expected interval in ms, of all columns or of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emr_store.latest import LatestRows
from gateway.pages.cadence import UNKNOWN, Cadence
from gateway.pages.columns import NOTHING, Columns
from gateway.pages.grown import grown
from schemas.block import ValidationResult
from schemas.report import Mark

Line = list[Any]
VALUES = 4  # where they stand in a line
Marks = dict[int, dict[str, Any]]  # by column: validation_result, validity, bound, ambiguous, text
EVERY_CHANGE = 0.1  # of an expected interval: less is not worth telling
_VALIDATION_RESULTS = {int(v): v.name.lower() for v in ValidationResult}
_BOUNDS = {Mark.LESS: "<", Mark.LESS | Mark.OR_EQUAL: "<=", Mark.GREATER: ">", Mark.GREATER | Mark.OR_EQUAL: ">="}
_Array = NDArray[Any]


class _RowsOfSet:
    """The rows that have one channel set, a device each: numbers of row and channels, and what was sent of them."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.place_of: dict[int, int] = {}
        self.row = np.zeros(0, np.int64)
        self.channels = np.zeros((0, len(columns.channels)), np.int64)
        self.times_ms = np.zeros((0, 3), np.int64)  # received, from observed to received, from received to stored
        self.every_ms = np.zeros((0, len(columns.channels)), np.int64)  # as sent
        self.flags: dict[int, int] = {}  # these two by place, where there is anything unusual
        self.marks: dict[int, Marks] = {}

    def add(self, device: int, row: int, channels: list[int]) -> None:
        place = self.place_of[device] = len(self.place_of)
        for name in ("row", "channels", "times_ms", "every_ms"):
            setattr(self, name, grown(getattr(self, name), place + 1, UNKNOWN))
        self.row[place], self.channels[place] = row, channels

    def note_marks(self, place: int, marks: Marks) -> None:
        """What is unusual there now; nothing is kept of what is not."""
        if marks:
            self.marks[place] = marks
        else:
            self.marks.pop(place, None)


class Values:
    """What is shown of all devices; as large as `latest`. `known_ms` are intervals by (device, code, channel)."""

    def __init__(self, known_ms: Mapping[tuple[int, int, int], int]) -> None:
        self._known_ms = known_ms
        self._cadence = Cadence()
        self._sets: dict[int, _RowsOfSet] = {}
        self._numbers: dict[tuple[int, int, int], int] = {}  # of channels, by device, code and channel
        self._owner = np.zeros(0, np.int64)  # these by the channel's number
        self._moment_us = np.zeros(0, np.int64)
        self._shown = np.zeros(0, np.int64)
        self.device_of_row: list[int] = []
        self.set_of_row: list[int] = []

    def knows_set(self, channel_set: int) -> bool:
        """Whether `add_set` was called for it."""
        return channel_set in self._sets

    def add_set(self, channel_set: int, columns: Columns) -> None:
        """A channel set that rows will have."""
        self._sets[channel_set] = _RowsOfSet(columns)

    def note(self, rows: LatestRows, now_ms: int) -> dict[int, Line]:
        """Take these rows as the newest of their channels; a line for each, by its number."""
        known = self._sets[rows.channel_set]
        if not len(known.columns.place):
            return {}
        places = self._places(known, rows)
        channels, row = known.channels[places], known.row[places, None]
        shown = known.columns.shown(rows.value[:, known.columns.place])
        # As `latest.latest` has it: nothing is newer than its row.
        moment_us = np.minimum(rows.observed_at_us, rows.stored_at_us)[:, None]
        owned = self._owner[channels] == row
        takes = owned | (moment_us >= self._moment_us[channels])
        changed = takes & (~owned | (shown != self._shown[channels]))
        taken = channels[takes]
        self._owner[taken] = np.broadcast_to(row, takes.shape)[takes]
        self._moment_us[taken] = np.broadcast_to(moment_us, takes.shape)[takes]
        self._shown[taken] = shown[takes]
        known.times_ms[places] = _times_ms(rows)
        lines = _lines(known, places, shown, changed, takes.all(axis=1), now_ms)
        for i, more in self._more(known, places, rows, takes).items():
            lines[i].append(more)
        return {line[0]: line for line in lines}

    def whole(self, now_ms: int) -> dict[int, Line]:
        """A line with everything for each row that owns a value, by its number."""
        found = {}
        for known in self._sets.values():
            places = np.arange(len(known.place_of))
            channels = known.channels[places]
            owns = self._owner[channels] == known.row[places, None]
            lines = _lines(known, places, self._shown[channels], owns, owns.all(axis=1), now_ms)
            for place, line in enumerate(lines):
                if not owns[place].any():
                    continue
                line.append({
                    "flags": known.flags.get(place, 0), "marks": known.marks.get(place, {}),
                    "every": _every(known.every_ms[place]),
                })  # fmt: skip
                found[line[0]] = line
        return found

    def _places(self, known: _RowsOfSet, rows: LatestRows) -> _Array:
        """Where these devices' rows stand; new ones get their numbers."""
        devices = rows.device.tolist()
        for device in devices:
            if device not in known.place_of:
                known.add(device, len(self.device_of_row), self._channel_numbers(device, known.columns))
                self.device_of_row.append(device)
                self.set_of_row.append(rows.channel_set)
        size = len(self._numbers)
        self._owner = grown(self._owner, size, UNKNOWN)
        self._moment_us = grown(self._moment_us, size, np.iinfo(np.int64).min)
        self._shown = grown(self._shown, size, NOTHING)
        return np.array([known.place_of[device] for device in devices])

    def _channel_numbers(self, device: int, columns: Columns) -> list[int]:
        """Of a device's channels; new ones with the interval that is known of them."""
        numbers = []
        for code, channel in columns.channels:
            key = (device, code, channel)
            number = self._numbers.setdefault(key, len(self._numbers))
            numbers.append(number)
            if key in self._known_ms:
                self._cadence.know(number, self._known_ms[key])
        return numbers

    def _more(self, known: _RowsOfSet, places: _Array, rows: LatestRows, takes: _Array) -> dict[int, dict[str, Any]]:
        """What changed beside the values, by the row's index in `rows`."""
        found: dict[int, dict[str, Any]] = {}
        for i, every in self._changed_intervals(known, places, rows, takes).items():
            found.setdefault(i, {}).update(every=every)
        marks_of = _marks(known.columns, rows)
        flags_of = rows.flags.tolist()
        for i, place in enumerate(places.tolist()):
            flags, marks = flags_of[i], marks_of.get(i, {})
            if flags != known.flags.get(place, 0):
                known.flags[place] = flags
                found.setdefault(i, {}).update(flags=flags)
            if marks != known.marks.get(place, {}):
                known.note_marks(place, marks)
                found.setdefault(i, {}).update(marks=marks)
        return found

    def _changed_intervals(
        self, known: _RowsOfSet, places: _Array, rows: LatestRows, takes: _Array
    ) -> dict[int, int | list[int | None] | None]:
        """The expected intervals of those rows where one is not any more as it was sent."""
        observed_ms = np.broadcast_to(rows.observed_at_us[:, None] // 1000, takes.shape)
        sent_ms = known.every_ms[places]
        every_ms = sent_ms.copy()
        every_ms[takes] = self._cadence.note(known.channels[places][takes], observed_ms[takes])
        is_known = (every_ms >= 0) | (sent_ms >= 0)
        is_other = np.abs(every_ms - sent_ms) > EVERY_CHANGE * np.maximum(sent_ms, 0)
        changed = np.flatnonzero((is_other & is_known).any(axis=1))
        known.every_ms[places[changed]] = every_ms[changed]
        return {i: _every(every_ms[i]) for i in changed.tolist()}


def _times_ms(rows: LatestRows) -> _Array:
    """As `_RowsOfSet.times_ms` has them."""
    received_ms = rows.received_at_us // 1000
    lag_ms = received_ms - rows.observed_at_us // 1000
    delay_ms = rows.stored_at_us // 1000 - received_ms
    return np.stack([received_ms, lag_ms, delay_ms], axis=1)


def _lines(
    known: _RowsOfSet, places: _Array, shown: _Array, changed: _Array, complete: _Array, now_ms: int
) -> list[Line]:
    """A line for each of these rows, with the values that changed; all of them where that is shorter and allowed."""
    is_list = complete & (2 * changed.sum(axis=1) > changed.shape[1])
    times_ms = known.times_ms[places]
    ages_ms = (now_ms - times_ms[:, 0]).tolist()
    lags_ms, delays_ms = times_ms[:, 1].tolist(), times_ms[:, 2].tolist()
    numbers: list[list[int | None]] = shown.tolist()
    for i, column in np.argwhere(shown == NOTHING).tolist():
        numbers[i][column] = None
    row_numbers = known.row[places].tolist()
    lines: list[Line] = [
        [row, age_ms, lag_ms, delay_ms, values]
        for row, age_ms, lag_ms, delay_ms, values in zip(row_numbers, ages_ms, lags_ms, delays_ms, numbers, strict=True)
    ]
    for i in np.flatnonzero(~is_list).tolist():
        columns = np.flatnonzero(changed[i]).tolist()
        lines[i][VALUES] = {column: numbers[i][column] for column in columns}
    return lines


def _every(every_ms: _Array) -> int | list[int | None] | None:
    """One number where all columns have it; None where nobody knows."""
    stated = [None if ms == UNKNOWN else ms for ms in every_ms.tolist()]
    return stated[0] if len(set(stated)) == 1 else stated


def _marks(columns: Columns, rows: LatestRows) -> dict[int, Marks]:
    """What is unusual about values, by row and column.

    The text is of a code or a text, or a number that is too large for a screen.
    """
    place = columns.place
    validation_result, validity, value = rows.validation_result[:, place], rows.validity[:, place], rows.value[:, place]
    too_large = ~np.isnan(value) & (columns.shown(value) == NOTHING)
    found: dict[int, Marks] = {}
    for i, column in np.argwhere((validation_result != 0) | (validity != 0) | too_large).tolist():
        mark = _mark(int(validation_result[i, column]), int(validity[i, column]))
        if too_large[i, column]:
            mark["text"] = f"{value[i, column]:g}"
        found.setdefault(i, {})[column] = mark
    column_of_record = {record: column for column, record in enumerate(place.tolist())}
    for (i, record), text in rows.text.items():
        if record in column_of_record:
            found.setdefault(i, {}).setdefault(column_of_record[record], {})["text"] = text
    return found


def _mark(validation_result: int, validity: int) -> dict[str, Any]:
    """Of one value; `validity` holds the state in its lower four bits, and the marks (`schemas.report.Mark`) above."""
    mark: dict[str, Any] = {}
    if validation_result:
        mark.update(validation_result=_VALIDATION_RESULTS.get(validation_result, "unknown"))
    state = validity & 15
    if state:
        mark.update(validity=state)
    marks = Mark(validity >> 4)
    bound = _BOUNDS.get(marks & (Mark.LESS | Mark.GREATER | Mark.OR_EQUAL))
    if bound:
        mark.update(bound=bound)
    if marks & Mark.AMBIGUOUS:
        mark.update(ambiguous=True)
    return mark
