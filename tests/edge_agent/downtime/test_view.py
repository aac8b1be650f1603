"""What the downtime view shows of the agent's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent.downtime.ring_file import HistoryReader, HistoryState, SourceNote
from edge_agent.downtime.view import bands, hospital, view
from schemas.report import AsSent, Mark, Record, Validity
from tests.edge_agent.downtime.showing import AWAY, HOUR_US, NOW_US, a_ward, at_bed, keep, value
from tests.making import T0_US, report

MINUTE_US = 60_000_000


def shown(folder: Path, *reports: Any, now_us: int = NOW_US, state: HistoryState = AWAY) -> dict[str, Any]:
    with HistoryReader(keep(folder, reports, state)) as reader:
        return view(reader, now_us)


def only(found: dict[str, Any]) -> dict[str, Any]:
    ((channel,),) = [device["channels"] for device in found["devices"]]
    assert isinstance(channel, dict)
    return channel


def test_devices_by_the_bed_that_they_claim_those_without_one_last(tmp_path: Path) -> None:
    found = shown(tmp_path, *a_ward(), value(97, claim="a-free-one"))
    assert [(d["bed"], d["claim"], d["source"]) for d in found["devices"]] == [
        ("ICU^^07", "his/OBX-18=M7", "bed 7 monitor"),
        ("ICU^^09", "his/PV1-3=ICU^^09", "bed 7 monitor"),
        ("", "a-free-one", "bed 7 monitor"),
    ]
    assert (found["now"], found["written"], found["edge"]) == (NOW_US // 1000, T0_US // 1000, "7")


def test_a_channel_by_its_name_in_both_languages_with_unit_and_moment(tmp_path: Path) -> None:
    channel = only(shown(tmp_path, value(975, exponent=-1)))
    assert (channel["short"], channel["value"], channel["unit"]) == ("SpO2", "97.5", "%")
    assert "saturation" in channel["en"]
    assert "血氧" in channel["zh"]
    assert (channel["validity"], channel["at"]) == ("valid", T0_US // 1000)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"validity": Validity.NOT_AVAILABLE}, {"value": None, "validity": "not-available"}),
        ({"validity": Validity.QUESTIONABLE}, {"value": "70", "validity": "questionable"}),
        ({"marks": Mark.LESS}, {"value": "<70"}),
        ({"marks": Mark.GREATER | Mark.OR_EQUAL}, {"value": "≥70"}),
        ({"marks": Mark.TRAINING}, {"training": True}),
        ({"marks": Mark.AMBIGUOUS}, {"ambiguous": True}),
        ({"marks": Mark.WITHDRAWAL}, {"value": None}),
    ],
)
def test_what_else_is_to_be_known_of_a_value(tmp_path: Path, more: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected.items() <= only(shown(tmp_path, value(70, **more))).items()


@pytest.mark.parametrize(("mantissa", "exponent", "text"), [(370, -1, "37.0"), (1, 127, "1E+127"), (-5, 2, "-500")])
def test_a_number_is_as_it_was_sent(tmp_path: Path, mantissa: int, exponent: int, text: str) -> None:
    assert only(shown(tmp_path, value(mantissa, exponent=exponent)))["value"] == text


def test_what_has_no_code_has_the_senders_word(tmp_path: Path) -> None:
    channel = only(shown(tmp_path, report(records=[Record(mantissa=5, as_sent=AsSent("x", "glue", "bar"))])))
    assert (channel["short"], channel["unit"], channel["en"]) == ("glue", "bar", "")


def test_what_is_older_than_a_day_is_not_shown(tmp_path: Path) -> None:
    found = shown(tmp_path, value(97), now_us=T0_US + 24 * HOUR_US)
    assert found["devices"] == []
    with HistoryReader(tmp_path / "downtime.history") as reader:
        assert bands(reader, T0_US + 24 * HOUR_US)["bands"] == {}


def test_bands_of_a_quarter_of_an_hour_for_a_day(tmp_path: Path) -> None:
    with HistoryReader(keep(tmp_path, a_ward())) as reader:
        found = bands(reader, NOW_US)
        slots = [channel["slot"] for device in view(reader, NOW_US)["devices"] for channel in device["channels"]]
    assert sorted(found["bands"], key=int) == sorted(map(str, slots), key=int)
    day = max(found["bands"].values(), key=len)
    assert [ago for ago, _, _ in day] == list(range(96))
    assert all(low <= high for _, low, high in day)
    assert found["stretch_s"] == 900


def test_the_sources_in_trouble_and_what_did_not_fit(tmp_path: Path) -> None:
    state = HistoryState(written_at_us=T0_US, troubled=(SourceNote("bed 8", "no port"),))
    path = keep(tmp_path, [value(n, claim=f"n:{n}") for n in range(3)], state, channels_max=1)
    with HistoryReader(path) as reader:
        found = view(reader, NOW_US)
    assert found["troubled"] == [{"name": "bed 8", "why": "no port"}]
    assert (found["omitted"], len(found["devices"])) == (2, 1)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (HistoryState(written_at_us=T0_US, last_receipt_at_us=T0_US), ("reached", None)),
        (HistoryState(written_at_us=T0_US, broker_away_since_us=T0_US - HOUR_US), ("away", T0_US - HOUR_US)),
        # The agent was started anew meanwhile: since when is what the last receipt says.
        (
            HistoryState(written_at_us=T0_US, broker_away_since_us=T0_US, last_receipt_at_us=T0_US - 2 * HOUR_US),
            ("away", T0_US - 2 * HOUR_US),
        ),
        (
            HistoryState(written_at_us=T0_US, last_receipt_at_us=T0_US - 5 * MINUTE_US),
            ("no-receipt", T0_US - 5 * MINUTE_US),
        ),
        (HistoryState(written_at_us=T0_US), ("no-receipt", None)),
        (HistoryState(written_at_us=T0_US - MINUTE_US, last_receipt_at_us=T0_US), ("stopped", T0_US - MINUTE_US)),
    ],
)
def test_how_the_hospitals_side_stands(state: HistoryState, expected: tuple[str, int | None]) -> None:
    found = hospital(state, NOW_US)
    since_us = expected[1]
    assert found == {"state": expected[0], "since": None if since_us is None else since_us // 1000}


def test_a_bed_that_is_claimed_goes_before_the_one_in_the_name(tmp_path: Path) -> None:
    claim = "his/PV1-3=ICU^^09"
    (device,) = shown(tmp_path, value(97, claim=claim), at_bed("ICU^^11", claim))["devices"]
    assert device["bed"] == "ICU^^11"
