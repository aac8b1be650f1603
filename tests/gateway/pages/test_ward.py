"""What a page is told of devices that send only what changed."""

from __future__ import annotations

import json
from typing import Any

from gateway.pages.ward import Ward as PageWard
from schemas.report import Record
from tests.gateway.asking import everything
from tests.making import PERCENT, SPO2, T0_US, report
from tests.verifying import FIRST, SECOND_US, Ward

CHANNELS = 4


def numeric(channel: int, value: int) -> Record:
    return Record(SPO2, PERCENT, channel=channel, mantissa=value)


class Screen:
    """As the page's script has it: the sets and rows that it was told of, and what lines say of them."""

    def __init__(self) -> None:
        self.sets: dict[str, list[Any]] = {}
        self.set_of_row: dict[int, str] = {}

    def emitted(self, event: dict[str, Any]) -> set[tuple[int, int, int]]:
        """Channel, number and moment in ms of each value in this event."""
        self.sets |= event.get("sets", {})
        found = set()
        for bed in event["beds"]:
            for device in (bed.get("structure") or {}).get("devices", ()):
                self.set_of_row |= {row: str(channel_set) for row, channel_set in device["rows"]}
            for row, age_ms, lag_ms, _, values, *_ in bed["lines"]:
                numbers = values.items() if isinstance(values, dict) else enumerate(values)
                for column, number in numbers:
                    channel = self.sets[self.set_of_row[row]][int(column)][1]
                    found.add((channel, number, event["now"] - age_ms - lag_ms))
        return found


def test_each_value_is_shown_with_its_own_moment(database: str) -> None:
    ward, screen = Ward(database), Screen()
    subsets = [[c for c in range(CHANNELS) if choice >> c & 1] for choice in range(1, 2**CHANNELS)]
    # The fewer channels the newer: of channel c the newest value is that of the subset 2^c.
    ward.emit(*(
        report(FIRST, T0_US - choice * SECOND_US, [numeric(c, 50 + choice) for c in channels])
        for choice, channels in enumerate(subsets, 1)
    ))  # fmt: skip
    with ward.open() as conn:
        page = PageWard(conn)
        first = page.read(1, whole=True)
        whole = first.message(everything(first), whole=True)
        assert screen.emitted(json.loads(whole[6:])) == {
            (c, 50 + 2**c, T0_US // 1000 - 1000 * 2**c) for c in range(CHANNELS)
        }  # fmt: skip
        ward.emit(report(FIRST, T0_US + SECOND_US, [numeric(2, 99)]))
        ward.emit(report(FIRST, T0_US - 99 * SECOND_US, [numeric(1, 98)]))  # late: it was never the newest
        second = page.read(2, whole=False)
        changed = second.message(everything(second), whole=False)
    assert screen.emitted(json.loads(changed[6:])) == {(2, 99, T0_US // 1000 + 1000)}
