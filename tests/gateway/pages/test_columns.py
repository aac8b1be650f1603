from __future__ import annotations

import numpy as np
import pytest

from emr_store.latest import ChannelSet
from gateway.pages.columns import NOTHING, columns_of
from schemas.nomenclature import METRICS, UNIT_BY_UCUM

CODE = {m.short: m.code for m in reversed(METRICS)}


def channel_set(*of: tuple[str, str, int]) -> ChannelSet:
    return ChannelSet([CODE.get(s, 0) for s, _, _ in of], [UNIT_BY_UCUM[u].code for _, u, _ in of], [c for *_, c in of])


def test_only_what_has_a_code_is_a_column_and_each_channel_once() -> None:
    columns = columns_of(channel_set(("?", "%", 0), ("SpO2", "%", 0), ("T", "Cel", 1), ("SpO2", "%", 0), ("T", "K", 2)))
    assert columns.place.tolist() == [1, 2, 4]
    assert columns.structure == [(CODE["SpO2"], 0, "%", 0), (CODE["T"], 1, "Cel", 1), (CODE["T"], 2, "Cel", 1)]


@pytest.mark.parametrize(
    ("short", "ucum", "value", "shown"),
    [
        ("T", "Cel", 36.922295, 369),
        ("T", "Cel", 36.95, 370),
        ("HR", "/min", 71.6, 72),
        ("HR", "/min", 72.5, 73),
        ("HR", "/min", -0.4, 0),
        ("ST-II", "mV", -0.285, -29),
        ("ST-II", "mV", 0.285, 29),
        ("Rate", "mL/h", 0.25, 250_000),
        ("HR", "/min", float("nan"), NOTHING),
        ("HR", "/min", float("inf"), NOTHING),
        ("HR", "/min", 1e300, NOTHING),
        ("HR", "/min", 9e15, 9_000_000_000_000_000),
        ("HR", "/min", -1e16, NOTHING),
    ],
)
def test_a_number_is_rounded_as_a_monitor_does(short: str, ucum: str, value: float, shown: int) -> None:
    columns = columns_of(channel_set((short, ucum, 0)))
    assert columns.shown(np.array([[value]])).tolist() == [[shown]]
