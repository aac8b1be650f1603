"""A payload read by a plan says what it says when it is read afresh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.devices import mqtt_json
from adapters.devices.mqtt_json import MqttJsonSettings, read
from adapters.driver import Source
from adapters.formats import json_values
from adapters.site import read_site
from schemas.errors import FrameError
from schemas.report import ClockQuality, Report

RECEIVED_AT_US = 1_790_000_000_000_000
SITE = read_site(
    '[[mapping]]\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "/min"\ndecimal_comma = true\n'
    '[[mapping]]\ncode = "v.spo2"\nmetric = "MDC_PULS_OXIM_SAT_O2"\npower_of_ten = -1\nmissing = ["9990", "no"]\n',
    "test",
)[""]
PAYLOAD = '{"ts": "2026-09-21T14:13:19Z", "id":"a7", "hr":72, "v":{"spo2":975,"x":[1.5, "on", null]}, "ok" : true }'
VALUES = (
    "72", "-0", "0.0", "1e3", "01", "1.", "+1", "NaN", "1e999", "9990", "null", "true", '"---"', '"<70"', '"36,5"',
    '"<36,5"', '" 9990 "',
    '"a, b"', r'"\u00b0C"', r'"\ud800"', r'"\x"', '"a\nb"', '"°C"', '"no"', '""', '"' + "x" * 70 + '"', "[]", "{}", "",
    '"a" : "b"', '1}, "hr":{"z":2', '"2026-09-21T14:13:19+02:00"', "1790000000000",
)  # fmt: skip


def source(**settings: Any) -> Source[MqttJsonSettings]:
    return Source("gw", MqttJsonSettings(**settings), SITE, peer="ward/7", received_at_us=RECEIVED_AT_US)


def outcome(payload: bytes, of: Source[MqttJsonSettings]) -> Report | str | None:
    try:
        reports = read(payload, of)
    except FrameError as error:
        return error.reason
    return reports[0] if reports else None


def learned(*payloads: bytes, **settings: Any) -> Source[MqttJsonSettings]:
    """A source that has plans for these payloads."""
    of = source(**settings)
    for payload in payloads * 2:
        read(payload, of)
    assert len(of.lasting["plans"].by_text) == len(payloads)
    return of


@settings(deadline=None)  # the first of its shape compiles
@given(st.data())
def test_a_payload_with_other_values_says_the_same_by_its_plan(data: st.DataObject) -> None:
    between, values = json_values.split(PAYLOAD)
    for _ in range(data.draw(st.integers(0, 4))):
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.sampled_from(VALUES))
    payload = "".join(a + b for a, b in zip(between, [*values, ""], strict=True)).encode()
    assert outcome(payload, learned(PAYLOAD.encode(), device="id")) == outcome(payload, source(device="id"))


@settings(deadline=None)  # the first of its shape compiles
@given(st.data())
def test_a_payload_with_other_bytes_says_the_same_by_its_plan(data: st.DataObject) -> None:
    payload = bytearray(PAYLOAD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b'"', b"\\", b",", b":", b"}", b"{", b"[", b"]", b" ", b"\n", b"0", b"-", b"e", b"\xff"])
            | st.binary(max_size=3)
        )
    assert outcome(bytes(payload), learned(PAYLOAD.encode())) == outcome(bytes(payload), source())


_names = st.sampled_from(["hr", "v", "spo2", "ts", "a: 1, b", 'q"', "é", ""])
_leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_payloads = st.dictionaries(
    _names, st.recursive(_leaf, lambda child: st.lists(child, max_size=3) | st.dictionaries(_names, child, max_size=3))
)


@settings(deadline=None)  # the first of its shape compiles
@given(_payloads, st.sampled_from([None, 1]), st.booleans())
def test_any_payload_says_the_same_by_its_plan(payload: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(payload, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    of = source()
    first = outcome(text, of)
    assert [outcome(text, of) for _ in range(3)] == [first] * 3


def test_the_second_payload_makes_a_plan_and_the_third_is_read_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    of = learned(PAYLOAD.encode())

    def afresh(frame: bytes) -> None:
        raise AssertionError("read afresh")

    monkeypatch.setattr(mqtt_json, "read_leaves", afresh)
    report = outcome(PAYLOAD.replace("72", "61").encode(), of)
    assert isinstance(report, Report)
    assert [record.mantissa for record in report.records[1:3]] == [61, 975]


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_json, "PLANS_MAX", 3)
    monkeypatch.setattr(mqtt_json, "TOPICS_MAX", 2)
    monkeypatch.setattr(mqtt_json, "PLANS_PER_TOPIC_MAX", 2)
    of = source()
    for topic in "abc":
        of.peer = topic
        for n in range(6):
            for _ in range(2):
                assert outcome(b'{"x%d": 1}' % n, of) is not None
    plans = of.lasting["plans"]
    assert (len(plans.by_text), list(plans.by_topic), len(plans.seen_once)) == (3, ["b", "c"], 3)
    assert [len(of_topic) for of_topic in plans.by_topic.values()] == [2, 2]


def test_another_mapping_is_another_plan() -> None:
    of = learned(b'{"hr": 72}')
    of.site = read_site('[[mapping]]\ncode = "hr"\nmetric = "MDC_PULS_OXIM_PULS_RATE"\n', "test")[""]
    report = outcome(b'{"hr": 73}', of)
    assert isinstance(report, Report)
    assert report.records[0].code == 149530


def test_a_time_that_is_none_is_no_time_of_the_frames_own() -> None:
    """The same bytes twice are two measurements."""
    of = source()
    for _ in range(3):
        report = outcome(b'{"ts":"0001-01-01T00:00:00Z","hr":61}', of)
        assert isinstance(report, Report)
        assert (report.own_time, report.clock_quality) == (False, ClockQuality.DOUBTFUL)
        assert (report.observed_at_us, report.device_at_us) == (RECEIVED_AT_US, None)


def test_what_a_clock_says_that_lost_its_time_is_kept_as_the_devices_own() -> None:
    (found,) = read(b'{"ts": "1970-01-01T00:00:12Z", "hr": 61}', source())
    assert (found.device_at_us, found.clock_quality, found.own_time) == (12_000_000, ClockQuality.DOUBTFUL, False)
    assert found.observed_at_us == RECEIVED_AT_US
    assert found.records[0].note == "ts as sent: 1970-01-01T00:00:12Z"


def test_the_cases_say_the_same_by_their_plans() -> None:
    for path in (Path(__file__).parent / "cases" / "mqtt_json").glob("*/frame.hex"):
        frame, of = bytes.fromhex(path.read_text()), source()
        assert len({repr(outcome(frame, of)) for _ in range(3)}) == 1, path


@pytest.mark.parametrize(
    ("ts", "own_time"),
    [("2026-09-21T14:13:19Z", True), ("2026-09-21T14:13Z", False), ("2026-09-21T14Z", False), ("1790000000000", True)],
)
def test_a_time_less_exact_than_a_second_is_no_time_of_the_payloads_own(ts: str, own_time: bool) -> None:
    (found,) = read(f'{{"ts": "{ts}", "hr": 61}}'.encode(), source())
    assert (found.clock_quality, found.own_time) == (ClockQuality.DEVICE, own_time)


def test_a_decimal_comma_where_the_sites_row_says_so() -> None:
    row = '[[mapping]]\ncode = "t"\nmetric = "MDC_TEMP"\nunit = "Cel"\n'
    for more, expected in (("decimal_comma = true\n", [(365, -1, None)] * 2), ("", [(0, 0, "36,5"), (0, 0, "<36,5")])):
        of = source()
        of.site = read_site(row + more, "test")[""]
        found = [read(f'{{"t": "{sent}"}}'.encode(), of)[0].records[0] for sent in ("36,5", "<36,5")]
        assert [(r.mantissa, r.exponent, r.text) for r in found] == expected


@pytest.mark.parametrize("ts", ["[2026, 9, 21, 14, 13, 19]", '{"$date": "2026-09-21T14:13:19Z"}', '{"s": 1790000000}'])
def test_a_time_in_parts_is_doubtful_and_never_now(ts: str) -> None:
    of = source()
    for _ in range(3):  # by no plan either
        (found,) = read(f'{{"ts": {ts}, "hr": 61}}'.encode(), of)
        assert (found.clock_quality, found.own_time) == (ClockQuality.DOUBTFUL, False)
        assert found.observed_at_us == RECEIVED_AT_US
