import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.texts import escaped, number, storable, texts_json, texts_json_of
from evidence.seal import open_sealed
from schemas.report import (
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmState,
    AsSent,
    Kind,
    Mark,
    Record,
    RecordKind,
    Report,
    Samples,
)
from tests.making import T0_US, Key, report, sealed

KEY = Key()


def of(emitted: Report) -> object:
    return json.loads(texts_json(open_sealed(sealed([emitted], KEY))[1], 0))


def test_every_tail_is_said_in_words() -> None:
    alarm = Alarm("HR\x00low", AlarmState.ACTIVE, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL, T0_US, (505, -1), None,
                  latched=True, text="HR 40 < 50")  # fmt: skip
    records = [
        Record(150456, mantissa=97),
        Record(
            kind=RecordKind.CODE, mantissa=2, text="SIMV", note="set by Müller\x00", as_sent=AsSent("99L", "mode", "")
        ),
        Record(kind=RecordKind.TEXT, text=b"36\xb0C\\", marks=Mark.UNDECODED),
        Record(kind=RecordKind.SAMPLES, samples=Samples(125, 2, 1, 0, 0, bytes(8), 5)),
        Record(kind=RecordKind.ALARM, alarm=alarm),
    ]
    assert of(report(records=records)) == [
        {"record": 1, "value": 2, "text": "SIMV", "note": "set by Müller␀", "system": "99L", "code": "mode"},
        {"record": 2, "bytes": "36\\xb0C\\x5c"},
        {"record": 3, "samples": {"rate_numerator": 125, "rate_denominator": 2, "first_sample": 5, "count": 4}},
        {"record": 4, "alarm": {
            "condition": "HR␀low", "state": "active", "priority": "high", "kind": "physiological", "since_us": T0_US,
            "low": 50.5, "high": None, "latched": True, "audio_paused": False, "text": "HR 40 < 50",
        }},
    ]  # fmt: skip


def test_many_reports_have_the_texts_that_each_has_alone() -> None:
    reports = [
        report("demo:vent:1", T0_US + i, [
            Record(150456, mantissa=i),
            Record(kind=RecordKind.CODE, mantissa=i % 3, text=("SIMV", "CPAP")[i % 2], as_sent=AsSent("99L", "mode")),
            Record(kind=RecordKind.CODE, mantissa=7, note="x" * (5000 * (i == 4))),
        ][: i % 4])
        for i in range(1, 8)
    ]  # fmt: skip
    table = open_sealed(sealed(reports, KEY))[1]
    chosen = np.array([6, 0, 1, 2, 3, 5, 4])
    many = texts_json_of(table, chosen)
    assert many == [texts_json(table, i) for i in chosen.tolist()]
    assert json.loads(many[1]) == []
    assert [json.loads(text)[0]["value"] for text in many[2:4]] == [2, 0]


def test_of_a_rejected_frame_there_is_its_length_and_its_sender() -> None:
    rejected = Report(Kind.REJECTED, "demo:x:1", T0_US, T0_US, report().clock_quality, (), frame=b"\x00\x01\x02")
    assert of(rejected) == [{"frame": 3, "claim": "demo:x:1"}]


@given(st.binary(max_size=30))
def test_escaped_bytes_differ_and_are_storable(data: bytes) -> None:
    shown = escaped(data)
    assert "\x00" not in shown
    if b"\x00" not in data:
        assert shown.encode().decode("unicode_escape").encode("latin-1") == data


def test_numbers_are_the_decimals_that_were_sent() -> None:
    assert [number(n) for n in ((385, -1), (37, 0), (1, 2), (0, -3), None)] == [38.5, 37.0, 100.0, 0.0, None]


@pytest.mark.parametrize(("text", "kept"), [("a\x00b", "a␀b"), ("坐位", "坐位"), ("", "")])
def test_a_nul_is_shown(text: str, kept: str) -> None:
    assert storable(text) == kept
