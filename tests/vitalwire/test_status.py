"""`vitalwire status`: one page that says who is silent since when, what waits, and how late it comes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from emr_store import places, registry
from schemas.report import Record
from tests.emr_store.test_alarms import OPENED, file
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import EDGE, NOW_US, Store, event
from vitalwire import output
from vitalwire.__main__ import app

COUNTS = {"frames:serial": 12, "waiting_reports": 7, "unreceipted_batches": 2, "oldest_waiting_s": 61.5,
          "clock_offset_ms": -1500.4, "state:mllp": "stands"}  # fmt: skip


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Store(database)


def status(*more: str) -> str:
    result = CliRunner().invoke(app, ["status", *more])
    assert result.exit_code == 0, result.exception
    return result.output


def as_json() -> Any:
    return json.loads(status("--json"))


def speak(store: Store, *claims: str) -> None:
    store.emit(*(event(claim, "connected", "") for claim in claims), *(report(claim) for claim in claims))


def test_who_speaks_once_a_minute_is_not_silent_between(store: Store) -> None:
    speak(store, "once a second", "once a minute")
    store.rows("UPDATE latest SET received_at = now() - interval '100 seconds' RETURNING 1")
    store.rows(
        "INSERT INTO report_minute SELECT l.device, date_trunc('minute', l.observed_at) - m * interval '1 minute',"
        " l.channel_set, ARRAY[CASE d.claim WHEN 'once a minute' THEN 1 ELSE 60 END], '{1}', '{1}', '{1}', '{1}'"
        " FROM latest l JOIN device d USING (device), generate_series(0, 3) AS m RETURNING 1"
    )
    assert status().startswith("1 of 2 devices speak: once a minute\n")


def test_who_speaks_who_is_silent_and_since_when(store: Store) -> None:
    speak(store, "a", "b", "c")
    store.emit(
        event("d", "connected", ""),
        event("e", "connected", ""),
        event("source:port", "silent", f"since {NOW_US}", NOW_US),
    )
    with store.open() as conn:
        places.assign(conn, "b", "ICU-02", name="监护仪2")
        places.assign(conn, "d", "ICU-04")
    store.rows("UPDATE latest SET received_at = now() RETURNING 1")
    assert status().startswith("3 of 4 devices speak: a, c, ICU-02 监护仪2\nSilent")
    ago = "UPDATE latest SET received_at = now() - interval '90 seconds' FROM device d WHERE d.device = latest.device"
    store.rows(ago + " AND d.claim IN ('a', 'b') RETURNING 1")
    text = status()
    assert text.startswith("1 of 4 devices speak: c\n")
    assert re.search(r"(?m)^ICU-02 监护仪2 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +9\d s", text)
    assert re.search(r"(?m)^ICU-04 +never a value with a code +-", text)
    assert re.search(r"silent since \d{4}-\d\d-\d\d ", text)  # an event's instant is for people
    assert {d["name"]: d["silent"] for d in as_json()["devices"]} == {
        "a": True, "c": False, "ICU-02 监护仪2": True, "ICU-04": True
    }  # fmt: skip


def test_an_edge_with_its_lag_and_what_waits_in_its_spool(store: Store) -> None:
    with store.open() as conn:
        registry.add_edge(conn, UUID(int=7), "box 7", b"another key")
    speak(store, "a")
    store.emit(event(f"edge:{UUID(bytes=EDGE)}", "counts", json.dumps(COUNTS)))
    store.rows("UPDATE latest SET received_at = stored_at - interval '2.5 seconds' RETURNING 1")
    text = status()
    assert re.search(r"(?m)^edge +heard +lag +waiting +no receipt +oldest +gaps +clock", text)
    assert re.search(r"(?m)^box +\d+ s +2\.5 s +7 +2 +61\.5 s +0 +-1\.5 s", text)
    assert re.search(r"(?m)^box 7 +never +- +- +- +- +0 +-", text)
    assert "counts" not in text  # said above, in words


def test_a_box_that_is_not_heard_is_said_with_what_waits_on_it(store: Store) -> None:
    counts = {"waiting_reports": 2312, "room_s": 111_600}
    store.emit(event(f"edge:{UUID(bytes=EDGE)}", "counts", json.dumps(counts)))
    assert "Edges in trouble" not in status()
    store.rows("UPDATE ledger SET updated_at = now() - interval '250 seconds' RETURNING 1")
    text = " ".join(status().split())
    assert "Edges in trouble" in text
    assert "nothing heard for 4 min 1" in text
    assert "Nothing of any box was stored for 4 min 1" in text
    assert as_json()["nothing_stored_since"]
    (trouble,) = as_json()["edges_in_trouble"]
    assert trouble["edge"] == "box"
    assert trouble["trouble"].endswith("2,312 reports waited on the box; room for 31 h")


def test_sources_in_trouble_are_named_with_why_and_since_when(store: Store) -> None:
    claim = f"edge:{UUID(bytes=EDGE)}"
    troubles = [("mllp: the port is in use", 1), ("mllp: its certificate: it cannot be read", 2), ("serial: gone", 3)]
    now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    store.emit(event(claim, "connected", ""),
              *(event(claim, "source-trouble", text, now_us - 60_000_000 + at_us) for text, at_us in troubles),
              event(claim, "counts", json.dumps({"state:mllp": "trouble", "state:serial": "stands"})))  # fmt: skip
    text = status()
    assert re.search(r"(?m)^edge +source +why +since", text)
    assert re.search(r"(?m)^box +mllp +its certificate: it cannot be read +6\d s", text)
    assert [(t["source"], t["why"]) for t in as_json()["sources_in_trouble"]] == [
        ("mllp", "its certificate: it cannot be read")
    ]  # fmt: skip
    store.emit(event(claim, "counts", json.dumps({"state:mllp": "stands"}), T0_US + 1))
    assert "Sources in trouble" not in status()


def test_alarms_name_the_bed(store: Store) -> None:
    speak(store, "demo:nonin:1")
    file(store, OPENED)
    store.rows("UPDATE alarm_transition SET device_uuid = (SELECT uuid FROM device) RETURNING 1")
    assert re.search(r"(?m)^high +demo:nonin:1 +SpO2 89 < 90 ", status())
    assert [a["message"] for a in as_json()["alarms"]] == ["SpO2 89 < 90"]


def test_it_is_one_page_of_80_columns_however_many_are_silent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [f"ward/monitor={i:03}" for i in range(40)]
    for claim in claims:
        store.emit(
            event(claim, "connected", "through a port"), report(claim, records=[Record(SPO2, PERCENT, mantissa=97)])
        )
    file(store, OPENED)
    store.rows("UPDATE latest SET received_at = now() - make_interval(mins => mod(device, 2)) RETURNING 1")
    monkeypatch.setattr(output.console, "_width", 80)
    monkeypatch.setattr(output.console, "soft_wrap", False)
    lines = status().splitlines()
    assert "20 of 40 devices speak" in lines[0]
    assert "and 16 more" in lines
    assert len(lines) <= 28
    assert max(map(len, lines)) <= 80
