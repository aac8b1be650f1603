from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from emr_store.connect import open_store
from gateway import app
from runtime.errors import UserError
from schemas.report import (
    Alarm,
    AlarmPriority,
    AlarmState,
    ChannelWords,
    Kind,
    Mark,
    Record,
    RecordKind,
    device_id,
)
from tests.gateway.ward import Page, Ward
from vitalwire.page import _listen

PATIENCE_S = 15.0


def connect(page: Page, path: str, host: str | None = None) -> http.client.HTTPResponse:
    """The answer, once the server is up."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            return connection.getresponse()
        except ConnectionRefusedError:
            assert time.monotonic() < give_up
            time.sleep(0.05)


def events(page: Page) -> Iterator[tuple[str, Any]]:
    """Server-sent events as (name, data)."""
    answer, name = connect(page, "/events"), "message"
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    for line in answer:
        key, _, text = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = text
        elif key == "data":
            yield name, json.loads(text) if text.startswith("{") else text
            name = "message"


def next_picture(stream: Iterator[tuple[str, Any]]) -> Any:
    return next(data for name, data in stream if name == "message")


def test_the_picture_shows_beds_values_alerts_and_the_ledger(ward: Ward, page: Page) -> None:
    ward.say("monitor-1", SpO2="97", HR="72.5", T="37.0")
    ward.say("stranger", PR=None)
    ward.say("spare")
    ward.store()
    ward.adopt("monitor-1", "重症-07", "监护仪7")
    ward.adopt("spare", "ICU-08", "spare")
    ward.alarm("monitor-1", "SpO2", "SpO2 85 < 90", "high")
    ward.alarm("unheard-of", "HR", "HR 134 > 120", "medium")
    stream = events(page)
    name, hello = next(stream)
    assert (name, hello["metrics"]["150456"]["zh"]) == ("hello", "血氧饱和度")
    picture = next_picture(stream)
    devices = {d["claim"]: d for d in picture["devices"]}
    assert {c: (d["bed"], d["assigned"], len(d["values"])) for c, d in devices.items()} == {
        "monitor-1": ("重症-07", True, 3),
        "stranger": (None, False, 1),
        "spare": ("ICU-08", True, 0),  # a bed whose device is silent is a bed
        None: (None, False, 0),  # an alert of a device that the store does not know is shown all the same
    }
    shown = {v["code"]: (v["value"], v["decimals"], v["verdict"], v["every"]) for v in devices["monitor-1"]["values"]}
    assert shown == {
        147842: (72.5, 1, "accepted", None), 150344: (37.0, 1, "accepted", None), 150456: (97.0, 0, "accepted", None),
    }  # fmt: skip
    assert devices["stranger"]["values"][0]["value"] is None
    assert [(a["message"], a["priority"]) for a in picture["alerts"]] == [
        ("SpO2 85 < 90", "high"), ("HR 134 > 120", "medium"),
    ]  # fmt: skip
    assert picture["ledger"]["said"] == picture["ledger"]["stored"] == 6  # an event and a report each
    assert picture["ledger"]["accepted"] == 3
    assert picture["ledger"]["missing"] == 1
    assert abs(picture["now"] - time.time() * 1000) < 5000
    origin = json.loads(connect(page, f"/batch/{devices['monitor-1']['values'][0]['batch']}").read())
    assert (origin["batch_no"], origin["lane"], origin["position"]) == (1, "live", 1)
    assert origin["edge"].startswith("box on ward 3 ")


def test_a_value_is_shown_in_the_unit_it_is_stored_in(ward: Ward, page: Page) -> None:
    ward.say("capnograph", EtCO2="5 %")
    ward.say("monitor-1", EtCO2="5 kPa", T="37.0")
    ward.say("spare", EtCO2="5 Cel")
    ward.store()
    stream = events(page)
    hello = next(stream)[1]
    values = {(d["claim"], v["code"]): v for d in next_picture(stream)["devices"] for v in d["values"]}
    assert hello["metrics"]["151708"]["unit"] == "mm[Hg]"
    assert values["capnograph", 151708]["unit"] == "%"
    assert values["monitor-1", 151708]["unit"] == "mm[Hg]"
    assert values["monitor-1", 151708]["value"] == pytest.approx(37.503084)
    assert values["spare", 151708]["unit"] is None  # doubtful: as it was sent


NO_MARK = Mark(0)
T1, T2 = ChannelWords(label="T1"), ChannelWords(label="T2")
TEMP, DEGC, SPO2, PERCENT = 150344, 268192, 150456, 262688


def test_channels_have_their_names_bounds_their_signs_and_codes_their_words(ward: Ward, page: Page) -> None:
    ward.tell("monitor-1", Kind.DESCRIPTION, *(
        Record(TEMP, channel=t.number, kind=RecordKind.TEXT, text=msgspec.json.encode(t).decode()) for t in (T1, T2)
    ))  # fmt: skip
    ward.tell(
        "monitor-1", Kind.METRIC, Record(TEMP, DEGC, T1.number, RecordKind.BOUND, mantissa=34, marks=Mark.LESS),
        Record(TEMP, DEGC, T2.number, mantissa=368, exponent=-1, marks=Mark.AMBIGUOUS),
        Record(SPO2, PERCENT, kind=RecordKind.CODE, mantissa=3, text="searching"),
    )  # fmt: skip
    ward.store()
    stream = events(page)
    next(stream)
    (device,) = next_picture(stream)["devices"]
    shown = {(v["code"], v["label"]): (v["value"], v["bound"], v["text"], v["ambiguous"]) for v in device["values"]}
    assert shown == {
        (TEMP, "T1"): (34.0, "<", None, False), (TEMP, "T2"): (36.8, None, None, True),
        (SPO2, None): (None, None, "searching", False),
    }  # fmt: skip


def test_the_devices_own_alarms_that_are_active_are_told(ward: Ward, page: Page) -> None:
    def alarm(condition: str, state: AlarmState, marks: Mark = NO_MARK) -> Record:
        said = Alarm(condition, state, AlarmPriority.HIGH, text=f"{condition} {state.name}")
        return Record(SPO2, PERCENT, kind=RecordKind.ALARM, alarm=said, marks=marks)

    ward.tell("monitor-1", Kind.ALERT, alarm("low", AlarmState.ACTIVE), alarm("probe", AlarmState.ACTIVE))
    ward.tell("monitor-1", Kind.ALERT, alarm("probe", AlarmState.INACTIVE))
    ward.tell("monitor-1", Kind.ALERT, alarm("drill", AlarmState.ACTIVE, Mark.TRAINING))
    ward.tell("another", Kind.ALERT, alarm("high", AlarmState.ACTIVE))
    ward.store()
    found = json.loads(connect(page, f"/alarms/{device_id('monitor-1')}").read())["alarms"]
    assert [(a["condition"], a["text"], a["priority"], a["code"]) for a in found] == [("low", "low ACTIVE", 3, SPO2)]
    assert abs(found[0]["since"] - time.time() * 1000) < 5000
    assert json.loads(connect(page, f"/alarms/{uuid.uuid4()}").read()) == {"alarms": []}
    assert connect(page, "/alarms/x").status == 404


def test_what_is_not_there_is_not_found(page: Page) -> None:
    for path in ("/batch/999", "/batch/x", "/batch/" + "9" * 30, "/batch/-1", "/static/../app.py", "/app.py", "/docs"):
        assert connect(page, path).status == 404


def test_only_its_own_name_is_answered_and_only_its_own_content_allowed(page: Page) -> None:
    assert connect(page, "/", host="evil.example").status == 400
    for path in ("/", "/page.mjs", "/feed.mjs", "/words.mjs", "/style.css", "/events"):
        answer = connect(page, path)
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "no-store" in answer.headers["Cache-Control"]


def test_many_who_look_on_are_one_reader(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    picture = app.picture
    monkeypatch.setattr(app, "picture", lambda *of: (read.append(time.monotonic()), picture(*of))[1])
    streams = [events(page) for _ in range(30)]
    for stream in streams:
        next(stream)
    read.clear()
    began = time.monotonic()
    assert len({next_picture(s)["tick"] for s in streams}) <= 2
    assert len(read) <= time.monotonic() - began + 1


def test_one_who_reads_nothing_holds_nobody_up(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    big = b'{"tick": "' + b"x" * 2_000_000 + b'"}'
    monkeypatch.setattr(app, "picture", lambda *of: big)
    monkeypatch.setattr(app, "EVERY_S", 0.02)
    other = events(page)
    next(other)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", page.port))
    stuck.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for _ in range(50):
        assert next_picture(other)
    stuck.close()


@pytest.fixture
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.BEAT_S <= 5  # what proxies in hospitals bear
    monkeypatch.setattr(app, "BEAT_S", 1.5)


@pytest.mark.usefixtures("quick_beat")
def test_while_the_store_is_away_it_beats_and_then_goes_on(ward: Ward, page: Page) -> None:
    stream = events(page)
    next_picture(stream)
    with ward.away():
        began = time.monotonic()
        assert next(data for kind, data in stream if kind == "beat") == "store away"
        assert time.monotonic() - began < 5
        assert connect(page, "/batch/1").status == 503
    assert next_picture(stream)


@pytest.mark.usefixtures("quick_beat")
def test_a_store_that_hangs_stops_neither_the_beat_nor_the_end(
    ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = events(page)
    next_picture(stream)
    with open_store(ward.database) as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE latest IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(app, "BEAT_S", 60)
        assert next(kind for kind, _ in stream if kind == "beat")
        ended = threading.Thread(target=lambda: list(stream))
        ended.start()
        began = time.monotonic()
        page.stop()
        ended.join(PATIENCE_S)
        assert not ended.is_alive()
        assert time.monotonic() - began < 5
    assert caplog.text == ""


def test_the_expected_interval_is_the_median_of_the_last_gaps() -> None:
    channel, known = (uuid.UUID(int=1), 150456, 0), (uuid.UUID(int=3), 150456, 0)
    cadence = app.Cadence({known: 900_000})
    moments = [0, 0, 1000, 2000, 2000, 3_600_000, 3_601_000, 3_602_000, 3_500_000, 3_603_000]
    assert [cadence.every_ms(channel, m) for m in moments] == [
        None, None, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
    ]  # fmt: skip
    assert cadence.every_ms((uuid.UUID(int=2), 150456, 0), 5) is None
    assert [cadence.every_ms(known, m) for m in (5, 5, 7)] == [900_000, 900_000, 2]
    assert [cadence.every_ms(channel, 3_603_000 + 60_000 * i) for i in range(1, 7)][-1] == 60_000


def test_a_page_that_has_just_started_knows_how_often_a_cuff_measures(ward: Ward, page: Page) -> None:
    for ago_s in (2700, 1800, 900):
        ward.say("monitor-1", ago_s=ago_s, NIBP_S="120")
        ward.store()
    ward.summarise()
    page.stop()
    page.start()
    (device,) = next_picture(events(page))["devices"]
    assert device["values"][0]["every"] == 900_000


def test_it_listens_on_loopback_alone_and_a_port_in_use_is_one_line() -> None:
    with _listen(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: .*choose another --port"):
            _listen(port)
