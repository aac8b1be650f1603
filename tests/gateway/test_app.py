from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from emr_store.connect import open_store
from gateway import feed, feed_viewer
from gateway.access.beds import Bed
from gateway.asking import REFUSED_BODY
from gateway.pages import ward as pages_ward
from gateway.people import sessions
from gateway.picture import Fragment, Picture
from gateway.places import Place, Places
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
from tests.gateway.asking import name_beds
from tests.gateway.signing_in import SITE_WARD
from tests.gateway.ward import Page, Ward
from vitalwire.page import _listen

PATIENCE_S = 15.0


def connect(page: Page, path: str, host: str | None = None) -> http.client.HTTPResponse:
    """The answer, once the server is up."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={"Cookie": page.cookie} | ({"Host": host} if host else {}))
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


def first_picture(page: Page) -> Any:
    """Of one who has just come: everything."""
    picture = next_picture(events(page))
    assert picture["whole"]
    return picture


def shown(picture: Any, claim: str | None) -> dict[tuple[int, str | None], dict[str, Any]]:
    """What a whole picture shows of a device, by code and label."""
    found = {}
    for bed in picture["beds"]:
        lines = {line[0]: line for line in bed["lines"]}
        for device in bed["structure"]["devices"]:
            for row, channel_set in device["rows"] if device["claim"] == claim else ():
                _, age, lag, delay, values, more = lines[row]
                for column, number in enumerate(values):
                    code, channel, unit, digits = picture["sets"][str(channel_set)][column]
                    every = more["every"][column] if isinstance(more["every"], list) else more["every"]
                    found[code, device["labels"].get(f"{code}-{channel}")] = {
                        "shown": number, "digits": digits, "unit": unit, "age": age, "lag": lag, "delay": delay,
                        "every": every, "flags": more["flags"], "mark": more["marks"].get(str(column), {}),
                    }  # fmt: skip
    return found


def test_the_picture_shows_beds_values_alarms_and_the_ledger(ward: Ward, page: Page) -> None:
    ward.emit("monitor-1", SpO2="97", HR="72.5", T="37.0")
    ward.emit("stranger", PR=None)
    ward.emit("spare")
    ward.store()
    ward.assign("monitor-1", "重症-07", "监护仪7")
    ward.assign("spare", "ICU-08", "spare")
    ward.alarm("monitor-1", "SpO2", "SpO2 85 < 90", "high")
    ward.alarm("unheard-of", "HR", "HR 134 > 120", "medium")
    stream = events(page)
    name, hello = next(stream)
    assert (name, hello["metrics"]["150456"]["zh"]) == ("hello", "血氧饱和度")
    picture = next_picture(stream)
    beds = {(b["structure"]["label"], b["structure"]["assigned"]): b for b in picture["beds"]}
    unheard = str(device_id("unheard-of"))  # an alarm of a device that the store does not know is shown all the same
    assert {of: [d["claim"] for d in b["structure"]["devices"]] for of, b in beds.items()} == {
        ("重症-07", True): ["monitor-1"], ("stranger", False): ["stranger"], (unheard, False): [None],
        ("ICU-08", True): ["spare"],  # a bed whose device is silent is a bed
    }  # fmt: skip
    values = {code: (v["shown"], v["digits"], v["mark"]) for (code, _), v in shown(picture, "monitor-1").items()}
    assert values == {147842: (73, 0, {}), 150344: (370, 1, {}), 150456: (97, 0, {})}
    assert beds["ICU-08", True]["lines"] == []
    (missing,) = shown(picture, "stranger").values()
    assert (missing["shown"], missing["mark"]) == (None, {"validation_result": "missing", "validity": 6})
    assert {(label, a["message"], a["priority"]) for (label, _), b in beds.items() for a in b["alarms"]} == {
        (unheard, "HR 134 > 120", "medium"), ("重症-07", "SpO2 85 < 90", "high"),
    }  # fmt: skip
    assert picture["ledger"]["said"] == picture["ledger"]["stored"] == 6  # an event and a report each
    assert picture["ledger"]["accepted"] == 3
    assert picture["ledger"]["missing"] == 1
    assert abs(picture["now"] - time.time() * 1000) < 5000


def test_after_the_whole_comes_what_changed(ward: Ward, page: Page) -> None:
    ward.emit("monitor-1", SpO2="97", HR="72", RR="14")
    ward.emit("monitor-2", SpO2="98")
    ward.store()
    stream = events(page)
    whole = next_picture(stream)
    second = next_picture(stream)
    assert (second["number"], second["whole"], second["beds"]) == (whole["number"] + 1, False, [])
    assert "ledger" not in second
    (bed,) = [b for b in whole["beds"] if b["structure"]["label"] == "monitor-1"]
    ((row, _),) = bed["structure"]["devices"][0]["rows"]
    ward.emit("monitor-1", SpO2="95", HR="72.2", RR="14.4")  # of two nothing changes on a screen
    ward.store()
    ward.alarm("monitor-2", "SpO2", "SpO2 85 < 90", "high")
    changed: dict[int, Any] = {}
    while len(changed) < 2:
        changed |= {b["bed"]: b for b in next_picture(stream)["beds"]}
    ((number, age, lag, delay, values, *_),) = changed[bed["bed"]]["lines"]
    assert (number, values) == (row, {"0": 95})
    assert lag == 0
    assert 0 <= age < 5000
    assert 0 <= delay < 5000
    (other,) = [b for b in changed.values() if b["bed"] != bed["bed"]]
    assert [a["message"] for a in other["alarms"]] == ["SpO2 85 < 90"]
    assert "structure" not in other
    ward.alarm("monitor-2", "SpO2", "SpO2 85 < 90", "high", opened=False)
    assert next(p for p in pictures(stream) if p["beds"])["beds"] == [{"bed": other["bed"], "lines": [], "alarms": []}]


def pictures(stream: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    return (data for name, data in stream if name == "message")


def test_a_device_that_moves_takes_all_its_values_along(ward: Ward, page: Page) -> None:
    ward.emit("monitor-1", SpO2="97")
    ward.store()
    stream = events(page)
    (before,) = next_picture(stream)["beds"]
    ward.assign("monitor-1", "ICU-01", "n")
    moved = next(p for p in pictures(stream) if p["beds"])
    gone, come = sorted(moved["beds"], key=lambda b: b["bed"])
    assert gone == {"bed": before["bed"], "structure": None}
    assert (come["structure"]["label"], come["structure"]["assigned"]) == ("ICU-01", True)
    assert [line[4] for line in come["lines"]] == [[97]]


def test_what_may_not_be_seen_is_not_sent(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the beds of another ward nothing, until a shift there begins; and of the own ward nothing when it ends."""
    monkeypatch.setattr(sessions, "REFRESH_S", 0.0)
    name_beds(page.database, {"h^w5^^2": "W5-2"})
    for i, bed in ((1, "ICU-1"), (2, "W5-2")):
        ward.emit(f"monitor-{i}", SpO2="97")
        ward.store()
        ward.assign(f"monitor-{i}", bed, "")
    monkeypatch.setattr(feed_viewer, "VIEWER_EVERY_S", 0.0)
    stream = events(page)

    def labels(picture: Any) -> list[str]:
        return [b["structure"]["label"] for b in picture["beds"]]

    def work_on(*wards: str) -> None:
        with open_store(ward.database) as conn:
            conn.execute("UPDATE staff SET wards = %s", (list(wards),))

    assert labels(next_picture(stream)) == ["ICU-1"]
    ward.emit("monitor-2", SpO2="98")
    ward.store()
    assert [p["beds"] for p in (next_picture(stream), next_picture(stream))] == [[], []]
    assert connect(page, f"/values/{device_id('monitor-1')}").status == 200
    for path in (f"/values/{device_id('monitor-2')}", f"/alarms/{device_id('monitor-2')}"):
        answer = connect(page, path)
        assert (answer.status, answer.read()) == (403, REFUSED_BODY)
    work_on(SITE_WARD, "h^w5")
    assert labels(next(p for p in pictures(stream) if p["whole"])) == ["ICU-1", "W5-2"]
    work_on("h^w5")
    assert labels(next(p for p in pictures(stream) if p["whole"])) == ["W5-2"]


def test_who_is_signed_out_is_sent_nothing_more(ward: Ward, page: Page) -> None:
    ward.emit("monitor-1", SpO2="97")
    ward.store()
    stream = events(page)
    assert next_picture(stream)["whole"]
    with open_store(ward.database) as conn:
        conn.execute("UPDATE login_session SET ended_at = now()")
    assert connect(page, "/values/" + str(device_id("monitor-1"))).status in (200, 401)
    assert [name for name, _ in stream if name != "message"][-1:] == ["signed-out"]


def test_a_value_is_shown_in_the_unit_it_is_stored_in(ward: Ward, page: Page) -> None:
    ward.emit("capnograph", EtCO2="5 %")
    ward.emit("monitor-1", EtCO2="5 kPa", T="37.0")
    ward.emit("spare", EtCO2="5 Cel")
    ward.store()
    stream = events(page)
    hello = next(stream)[1]
    picture = next_picture(stream)
    assert hello["metrics"]["151708"]["unit"] == "mm[Hg]"
    found = [shown(picture, claim)[151708, None] for claim in ("capnograph", "monitor-1", "spare")]
    assert [(v["shown"], v["digits"], v["unit"]) for v in found] == [
        (50, 1, "%"), (38, 0, "mm[Hg]"), (5_000_000, None, None)  # doubtful: as it was sent
    ]  # fmt: skip
    assert found[2]["mark"]["validation_result"] == "doubtful_unit"


def test_the_detail_says_what_was_sent_and_where_it_came_from(ward: Ward, page: Page) -> None:
    ward.emit("monitor-1", T="36.922295", HR="71.6")
    ward.store()
    found = json.loads(connect(page, f"/values/{device_id('monitor-1')}").read())["values"]
    assert [(v["code"], v["value"], v["decimals"], v["unit"], v["validation_result"]) for v in found] == [
        (147842, 71.6, 1, "/min", "accepted"), (150344, 36.922295, 6, "Cel", "accepted"),
    ]  # fmt: skip
    ident = found[0]["batch_id"]
    origin = json.loads(connect(page, f"/batch/{ident}").read())
    assert (origin["batch_no"], origin["batch_id"], origin["lane"]) == (1, ident, "live")
    assert origin["position"] is None  # not in the log yet
    assert "batch" not in found[0]  # the store's own number of it
    assert origin["edge"].startswith("box on ward 3 ")
    assert json.loads(connect(page, f"/values/{uuid.uuid4()}").read()) == {"values": []}
    assert connect(page, "/values/x").status == 404


NO_MARK = Mark(0)
T1, T2 = ChannelWords(label="T1"), ChannelWords(label="T2")
TEMP, DEGC, SPO2, PERCENT = 150344, 268192, 150456, 262688


def test_channels_have_their_names_bounds_their_signs_and_codes_their_words(ward: Ward, page: Page) -> None:
    ward.emit_records("monitor-1", Kind.DESCRIPTION, *(
        Record(TEMP, channel=t.number, kind=RecordKind.TEXT, text=msgspec.json.encode(t).decode()) for t in (T1, T2)
    ))  # fmt: skip
    ward.emit_records(
        "monitor-1", Kind.METRIC, Record(TEMP, DEGC, T1.number, RecordKind.BOUND, mantissa=34, marks=Mark.LESS),
        Record(TEMP, DEGC, T2.number, mantissa=368, exponent=-1, marks=Mark.AMBIGUOUS),
        Record(SPO2, PERCENT, kind=RecordKind.CODE, mantissa=3, text="searching"),
    )  # fmt: skip
    ward.store()
    found = shown(first_picture(page), None)  # no event told its claim
    assert {of: (v["shown"], v["mark"]) for of, v in found.items()} == {
        (TEMP, "T1"): (340, {"validation_result": "accepted_bound", "bound": "<"}),
        (TEMP, "T2"): (368, {"ambiguous": True}),
        (SPO2, None): (None, {"validation_result": "accepted_code", "text": "searching"}),
    }  # fmt: skip


def test_the_devices_own_alarms_that_are_active_are_told(ward: Ward, page: Page) -> None:
    def alarm(condition: str, state: AlarmState, marks: Mark = NO_MARK) -> Record:
        stated = Alarm(condition, state, AlarmPriority.HIGH, text=f"{condition} {state.name}")
        return Record(SPO2, PERCENT, kind=RecordKind.ALARM, alarm=stated, marks=marks)

    ward.emit_records("monitor-1", Kind.ALARM, alarm("low", AlarmState.ACTIVE), alarm("probe", AlarmState.ACTIVE))
    ward.emit_records("monitor-1", Kind.ALARM, alarm("probe", AlarmState.INACTIVE))
    ward.emit_records("monitor-1", Kind.ALARM, alarm("drill", AlarmState.ACTIVE, Mark.TRAINING))
    ward.emit_records("another", Kind.ALARM, alarm("high", AlarmState.ACTIVE))
    ward.store()
    found = json.loads(connect(page, f"/alarms/{device_id('monitor-1')}").read())["alarms"]
    assert [(a["condition"], a["text"], a["priority"], a["code"]) for a in found] == [("low", "low ACTIVE", 3, SPO2)]
    assert abs(found[0]["since"] - time.time() * 1000) < 5000
    assert json.loads(connect(page, f"/alarms/{uuid.uuid4()}").read()) == {"alarms": []}
    assert connect(page, "/alarms/x").status == 404


def test_no_number_of_the_store_s_own_is_sent(ward: Ward, page: Page) -> None:
    """Lists of columns are numbered by the page, as rows and beds are."""
    ward.emit("monitor-1", HR="70")
    ward.emit("monitor-2", SpO2="97")
    ward.store()
    with open_store(ward.database) as conn:
        conn.execute("ALTER TABLE channel_set ALTER COLUMN channel_set RESTART WITH 4711")
    ward.emit("monitor-3", T="37.0")
    ward.store()
    picture = first_picture(page)
    named = {number for bed in picture["beds"] for d in bed["structure"]["devices"] for _, number in d["rows"]}
    assert {int(number) for number in picture["sets"]} == named == set(range(len(named)))
    assert shown(picture, "monitor-3")[150344, None]["shown"] == 370


def test_what_is_not_there_is_not_found(page: Page) -> None:
    batches = ("1", "0" * 64, "x", "9" * 30, "-1", "%C3%A9" * 32)
    for path in (*(f"/batch/{batch}" for batch in batches), "/static/../app.py", "/app.py", "/docs"):
        assert connect(page, path).status == 404


def test_only_its_own_name_is_answered_and_only_its_own_content_allowed(page: Page) -> None:
    assert connect(page, "/", host="evil.example").status == 400
    for path in ("/", "/worklist", "/events"):
        answer = connect(page, path)
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "no-store" in answer.headers["Cache-Control"]


def test_scripts_and_styles_are_kept_by_browsers_under_addresses_that_name_their_content(page: Page) -> None:
    files = re.findall(r'"(/static/[^"]+)"', connect(page, "/").read().decode())
    assert {path.rpartition("/")[2] for path in files} == {"style.css", "ward-page.mjs"}
    for path in files:
        answer = connect(page, path)
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "immutable" in answer.headers["Cache-Control"]
        assert b"\nimport " not in answer.read()


def test_the_ward_opens_with_a_picture_in_it(ward: Ward, page: Page) -> None:
    ward.emit("</script><b>&", HR="71")
    ward.store()
    html = connect(page, "/").read().decode()
    (text,) = re.findall(r'<script type="application/json" id="opening">([^<]*)</script>\n</body>', html)
    opening = json.loads(text)
    assert opening["picture"]["whole"]
    assert list(shown(opening["picture"], "</script><b>&")) == [(147842, None)]
    assert opening["hello"] == next(events(page))[1]


def test_an_answer_is_not_held_back_until_its_beginning_is_acknowledged() -> None:
    with _listen(0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_many_who_look_on_are_one_reader(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    began_s: list[float] = []
    read = pages_ward.Ward.read

    def counted(of: pages_ward.Ward, number: int, *, whole: bool) -> Picture:
        began_s.append(time.monotonic())
        return read(of, number, whole=whole)

    monkeypatch.setattr(pages_ward.Ward, "read", counted)
    streams = [events(page) for _ in range(30)]
    for stream in streams:
        next(stream)
    began_s.clear()
    began = time.monotonic()
    assert len({next_picture(s)["tick"] for s in streams}) <= 2
    # One a second, the first at once; and the one for whom came last, who had asked for it before.
    assert len(began_s) <= time.monotonic() - began + 2


def test_one_who_reads_nothing_holds_nobody_up_and_then_gets_everything(
    ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    big, bed = Fragment(b'{"tick": "' + b"x" * 2_000_000 + b'"}'), Bed("bed 1", "1", True)

    places = Places({bed: Place("")})

    def read(of: pages_ward.Ward, number: int, *, whole: bool) -> Picture:
        return Picture(number, {}, [bed], [(bed, big)], {}, [(bed, big)] if whole else None, places)

    monkeypatch.setattr(pages_ward.Ward, "read", read)
    monkeypatch.setattr(feed, "EVERY_S", 0.02)
    other = events(page)
    next(other)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", page.port))
    stuck.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {page.cookie}\r\n\r\n".encode())
    for _ in range(50):
        assert next_picture(other)
    shown = [
        (int(n), whole == b"true") for n, whole in re.findall(rb'"number":(\d+),"whole":(true|false)', taken(stuck))
    ]
    follows = [(after, before) for before, after in pairwise(shown)]
    assert [whole for (number, whole), (before, _) in follows if number != before + 1]  # it missed some
    assert all(whole for (number, whole), (before, _) in follows if number != before + 1)
    stuck.close()


def taken(viewer: socket.socket) -> bytes:
    """What comes until three pictures have."""
    viewer.settimeout(PATIENCE_S)
    came = bytearray()
    while came.count(b'"number"') < 4:
        came += viewer.recv(1 << 20)
    return bytes(came)


@pytest.fixture
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    assert feed.BEAT_S <= 5  # what proxies in hospitals bear
    monkeypatch.setattr(feed, "BEAT_S", 1.5)


@pytest.mark.usefixtures("quick_beat")
def test_while_the_store_is_away_it_beats_and_then_goes_on(ward: Ward, page: Page) -> None:
    stream = events(page)
    next_picture(stream)
    with ward.away():
        began = time.monotonic()
        assert next(data for kind, data in stream if kind == "beat") == "store away"
        assert time.monotonic() - began < 5
        assert connect(page, "/batch/" + "0" * 64).status == 503
    assert next_picture(stream)["whole"]


@pytest.mark.usefixtures("quick_beat")
def test_a_store_that_hangs_stops_neither_the_beat_nor_the_end(
    ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = events(page)
    next_picture(stream)
    with open_store(ward.database) as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE latest IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(feed, "BEAT_S", 60)
        assert next(kind for kind, _ in stream if kind == "beat")
        ended = threading.Thread(target=lambda: list(stream))
        ended.start()
        began = time.monotonic()
        page.stop()
        ended.join(PATIENCE_S)
        assert not ended.is_alive()
        assert time.monotonic() - began < 5
    assert caplog.text == ""


def test_a_page_that_has_just_started_knows_how_often_a_cuff_measures(ward: Ward, page: Page) -> None:
    for ago_s in (2700, 1800, 900):
        ward.emit("monitor-1", ago_s=ago_s, NIBP_S="120")
        ward.store()
    ward.summarise()
    page.stop()
    page.start()
    (cuff,) = shown(first_picture(page), "monitor-1").values()
    assert cuff["every"] == 900_000


def test_it_listens_on_loopback_alone_and_a_port_in_use_is_one_line() -> None:
    with _listen(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: .*choose another --port"):
            _listen(port)


def test_a_row_that_cannot_be_read_does_not_end_the_reader(
    ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = pages_ward.Ward.read, [KeyError("a row of another kind")]

    def odd(self: pages_ward.Ward, number: int, *, whole: bool) -> Picture:
        if failures:
            raise failures.pop()
        return read(self, number, whole=whole)

    monkeypatch.setattr(pages_ward.Ward, "read", odd)
    ward.emit("bed-01", HR="60")
    ward.store()
    assert first_picture(page)["beds"]
    assert not failures
