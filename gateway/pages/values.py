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
        self.marks: dict[int, dict[int, dict[str, Any]]] = {}

    def add(self, device: int, row: int, channels: list[int]) -> None:
        place = self.place_of[device] = len(self.place_of)
        for name in ("row", "channels", "times_ms", "every_ms"):
            setattr(self, name, grown(getattr(self, name), place + 1, UNKNOWN))
        self.row[place], self.channels[place] = row, channels


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
        of = self._sets[rows.channel_set]
        if not len(of.columns.place):
            return {}
        places = self._places(of, rows)
        channels, row = of.channels[places], of.row[places, None]
        shown = of.columns.shown(rows.value[:, of.columns.place])
        # As `latest.latest` has it: nothing is newer than its row.
        moment_us = np.minimum(rows.observed_at_us, rows.stored_at_us)[:, None]
        owned = self._owner[channels] == row
        takes = owned | (moment_us >= self._moment_us[channels])
        changed = takes & (~owned | (shown != self._shown[channels]))
        taken = channels[takes]
        self._owner[taken] = np.broadcast_to(row, takes.shape)[takes]
        self._moment_us[taken] = np.broadcast_to(moment_us, takes.shape)[takes]
        self._shown[taken] = shown[takes]
        received_ms = rows.received_at_us // 1000
        of.times_ms[places] = np.stack(
            [received_ms, received_ms - rows.observed_at_us // 1000, rows.stored_at_us // 1000 - received_ms], axis=1
        )
        lines = _lines(of, places, shown, changed, takes.all(axis=1), now_ms)
        for i, more in self._more(of, places, rows, takes).items():
            lines[i].append(more)
        return {line[0]: line for line in lines}

    def whole(self, now_ms: int) -> dict[int, Line]:
        """A line with everything for each row that owns a value, by its number."""
        found = {}
        for of in self._sets.values():
            places = np.arange(len(of.place_of))
            channels = of.channels[places]
            owns = self._owner[channels] == of.row[places, None]
            for i, line in enumerate(_lines(of, places, self._shown[channels], owns, owns.all(axis=1), now_ms)):
                if owns[i].any():
                    line.append({"flags": of.flags.get(i, 0), "marks": of.marks.get(i, {}),
                                 "every": _every(of.every_ms[i])})  # fmt: skip
                    found[line[0]] = line
        return found

    def _places(self, of: _RowsOfSet, rows: LatestRows) -> _Array:
        """Where these devices' rows stand; new ones get their numbers."""
        for device in rows.device.tolist():
            if device in of.place_of:
                continue
            channels = []
            for code, channel in of.columns.channels:
                key = (device, code, channel)
                number = self._numbers.setdefault(key, len(self._numbers))
                channels.append(number)
                if key in self._known_ms:
                    self._cadence.know(number, self._known_ms[key])
            of.add(device, len(self.device_of_row), channels)
            self.device_of_row.append(device)
            self.set_of_row.append(rows.channel_set)
        size = len(self._numbers)
        self._owner = grown(self._owner, size, UNKNOWN)
        self._moment_us = grown(self._moment_us, size, np.iinfo(np.int64).min)
        self._shown = grown(self._shown, size, NOTHING)
        return np.array([of.place_of[device] for device in rows.device.tolist()])

    def _more(self, of: _RowsOfSet, places: _Array, rows: LatestRows, takes: _Array) -> dict[int, dict[str, Any]]:
        """What changed beside the values, by the row's index in `rows`."""
        found: dict[int, dict[str, Any]] = {}
        every = of.every_ms[places]
        every[takes] = self._cadence.note(
            of.channels[places][takes], np.broadcast_to(rows.observed_at_us[:, None] // 1000, takes.shape)[takes]
        )
        sent = of.every_ms[places]
        to_emit = (np.abs(every - sent) > EVERY_CHANGE * np.maximum(sent, 0)) & ((every >= 0) | (sent >= 0))
        for i in np.flatnonzero(to_emit.any(axis=1)).tolist():
            of.every_ms[places[i]] = every[i]
            found.setdefault(i, {}).update(every=_every(every[i]))
        unusual = _marks(of.columns, rows)
        flags = rows.flags.tolist()
        for i, place in enumerate(places.tolist()):
            if flags[i] != of.flags.get(place, 0):
                of.flags[place] = flags[i]
                found.setdefault(i, {}).update(flags=flags[i])
            if unusual.get(i) != of.marks.get(place):
                of.marks.pop(place, None)
                if i in unusual:
                    of.marks[place] = unusual[i]
                found.setdefault(i, {}).update(marks=unusual.get(i, {}))
        return found


def _lines(of: _RowsOfSet, places: _Array, shown: _Array, changed: _Array, complete: _Array, now_ms: int) -> list[Line]:
    """A line for each of these rows, with the values that changed; all of them where that is shorter and allowed."""
    lists = complete & (2 * changed.sum(axis=1) > changed.shape[1])
    times = of.times_ms[places]
    times[:, 0] = now_ms - times[:, 0]
    numbers = shown.tolist()
    for i, column in np.argwhere(shown == NOTHING).tolist():
        numbers[i][column] = None
    lines: list[Line] = [
        [row, age, lag, delay, of_row]
        for row, (age, lag, delay), of_row in zip(of.row[places].tolist(), times.tolist(), numbers, strict=True)
    ]
    for i in np.flatnonzero(~lists).tolist():
        lines[i][4] = {column: numbers[i][column] for column in np.flatnonzero(changed[i]).tolist()}
    return lines


def _every(every_ms: _Array) -> Any:
    """One number where all columns have it; None where nobody knows."""
    stated = [None if ms == UNKNOWN else ms for ms in every_ms.tolist()]
    return stated[0] if len(set(stated)) == 1 else stated


def _marks(columns: Columns, rows: LatestRows) -> dict[int, dict[int, dict[str, Any]]]:
    """What is unusual about a value, by row and column: validation result, validity, bound, ambiguous, text.

    The text is of a code or a text, or a number that is too large for a screen.
    """
    place = columns.place
    validation_result, validity, value = rows.validation_result[:, place], rows.validity[:, place], rows.value[:, place]
    large = ~np.isnan(value) & (columns.shown(value) == NOTHING)
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for i, column in np.argwhere((validation_result != 0) | (validity != 0) | large).tolist():
        marks = int(validity[i, column]) >> 4
        mark: dict[str, Any] = {}
        if word := int(validation_result[i, column]):
            mark.update(validation_result=_VALIDATION_RESULTS.get(word, "unknown"))
        if state := int(validity[i, column]) & 15:
            mark.update(validity=state)
        if bound := _BOUNDS.get(Mark(marks & (Mark.LESS | Mark.GREATER | Mark.OR_EQUAL))):
            mark.update(bound=bound)
        if marks & Mark.AMBIGUOUS:
            mark.update(ambiguous=True)
        if large[i, column]:
            mark.update(text=f"{value[i, column]:g}")
        found.setdefault(i, {})[column] = mark
    columns_of_place = {p: column for column, p in enumerate(place.tolist())}
    for (i, record), text in rows.text.items():
        if (at := columns_of_place.get(record)) is not None:
            found.setdefault(i, {}).setdefault(at, {}).update(text=text)
    return found
