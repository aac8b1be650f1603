"""Recorded dialogues (docs/recording.md): the session of a driver says what was said then."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.formats.recording import Direction, Entry, read
from tests.replaying import Traffic, recorded, replay

RECORDINGS = sorted((Path(__file__).parent / "dialogues").glob("*/*.rec"))
# Of our HL7 acknowledgements, what is of their moment: MSH-7 and MSH-10.
_OF_ITS_MOMENT = re.compile(rb"(\d{14}\+0000\|\|ACK[^|]*\|VW)\d+")


def masked(traffic: Traffic) -> Traffic:
    return [(mark, _OF_ITS_MOMENT.sub(b"ACK", data) if mark == ">" else data) for mark, data in traffic]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_dialogue_goes_as_it_went(path: Path) -> None:
    driver = DRIVER_BY_NAME[path.parent.name]
    entries = read(path.read_text("utf-8"), path.name)
    assert driver.session is not None
    traffic, pieces = replay(driver.session(driver.settings()), entries)
    assert masked(traffic) == masked(recorded(entries))
    assert pieces


def test_a_dialogue_that_goes_otherwise_is_seen() -> None:
    path = next(path for path in RECORDINGS if path.parent.name == "astm")
    entries = read(path.read_text("utf-8"))
    wrong = [Entry(e.at_us, 1, e.direction, b"\x15") if e.data == b"\x06" else e for e in entries]
    driver = DRIVER_BY_NAME["astm"]
    assert driver.session is not None
    assert replay(driver.session(driver.settings()), wrong)[0] != recorded(wrong)
    assert any(e.direction is Direction.OUT for e in entries)
