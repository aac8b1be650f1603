"""`vitalwire devices`, as people type it."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from schemas.report import device_id
from tests.commands import CLAIM, as_json, vitalwire
from tests.making import T0_US, report
from tests.storing import EDGE, Store, event

OTHER = UUID(bytes=b"O" * 16)
SHORT, DAY = str(device_id(CLAIM))[:6], r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store = Store(database)
    store.emit(event(CLAIM, "connected", ""), report(CLAIM))
    return store


def shows(command: str, *more: str) -> str:
    code, text = vitalwire(command, *more)
    assert code == 0, text
    return text


def test_a_device_is_assigned_moved_released_and_renamed(store: Store) -> None:
    store.emit(event("source:ttyUSB0", "silent", ""), event(f"edge:{UUID(bytes=EDGE)}", "started", ""))
    store.emit(event("adt:his", "connected", ""))
    assert len(as_json("devices list")) == 1  # what an edge or an admission office says has no bed
    assert re.search(rf"(?m)^[0-9a-f]{{8}} +\(not registered\) +- +- +{CLAIM} +box ", shows("devices list"))
    text = shows(f"devices assign {SHORT} --since 2026-09-01T00:00Z", "--bed", "ICU-07", "--name", "监护仪7")
    assert re.fullmatch(rf"{device_id(CLAIM)} is 监护仪7 at ICU-07 since {DAY}\n", text)
    assert re.search(rf"(?m)^[0-9a-f]{{8}} +ICU-07 +{DAY} +监护仪7 ", shows("devices list"))
    shows(f"devices move {SHORT} --bed ICU-08 --since 2026-09-03T00:00Z")
    text = shows(f"devices move {SHORT} --bed ICU-09 --since 2026-09-02T00:00Z")
    assert re.search(rf"(?m)^no longer believed: at ICU-08 since {DAY}$", text)
    shows(f"devices rename {SHORT}", "监护仪8")
    assert re.fullmatch(
        rf"{device_id(CLAIM)} \(监护仪8\) is on no bed since {DAY}\n", shows(f"devices release {SHORT}")
    )
    (device,) = as_json("devices list")
    assert (device["bed"], device["name"], device["foreign_edge"]) == (None, "监护仪8", False)
    assert "(no bed)" in shows("devices list")
    kinds = ["device.assign", "device.move", "device.move", "device.rename", "device.release"]
    assert [a["kind"] for a in as_json("acts list") if a["kind"].startswith("device.")] == kinds


def test_latest_names_the_bed_of_the_moment(store: Store) -> None:
    assert f"(not registered) {CLAIM}" in shows("latest")
    shows(f"devices assign {SHORT} --bed ICU-07")  # from now on, and what is stored was measured before
    assert f"(no bed) {CLAIM}" in shows("latest")
    shows(f"devices release {SHORT}")
    shows(f"devices assign {SHORT} --bed ICU-07 --since 2026-09-01T00:00Z")
    assert re.search(r"(?m)^ICU-07 ", shows("latest"))


def test_a_device_of_another_edge_is_marked_until_people_agree(store: Store) -> None:
    shows(f"devices assign {SHORT} --bed ICU-07 --since 2026-09-01T00:00Z")
    Store(store.address, OTHER.bytes).emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US + 1))
    assert re.search(r"(?m)^.* ICU-07 .* box 2 \(not its own\) ", shows("devices list"))
    assert "heard through another edge" in shows("latest")
    assert "ICU-07 (heard through box 2)" in {d["name"] for d in as_json("status")["devices"]}
    assert shows(f"devices agree {SHORT} --edge {OTHER}") == f"{device_id(CLAIM)} is believed through {OTHER}\n"
    assert "not its own" not in shows("devices list")
    assert "another edge" not in shows("latest")


@pytest.mark.parametrize(("command", "words"), [
    ("assign % --bed x", "no device named '%': see `vitalwire devices list` for ids"),
    ("assign SHORT --bed x --since tomorrow", "--since 'tomorrow' is neither an instant"),
    ("assign SHORT --bed x --since 2126-01-01", "lies ahead: say it when it has happened"),
    ("move SHORT --bed x", "nobody has registered"),
    ("release SHORT", "`vitalwire devices assign` does, with a bed"),
    ("agree SHORT --edge 00000000-0000-0000-0000-000000000001", "nobody has registered"),
    ("agree SHORT --edge box", "Invalid value"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_line_with_its_mend(store: Store, command: str, words: str) -> None:
    code, text = vitalwire(f"devices {command.replace('SHORT', SHORT)}")
    assert code == 2
    assert words in text
    assert as_json("devices list")[0]["registered_at"] is None


@pytest.mark.parametrize("command", ["assign", "move", "release", "rename", "agree", "list", "label", "channels"])
def test_help_has_an_example(command: str) -> None:
    text = shows(f"devices {command} --help")
    assert command == "list" or f"vitalwire devices {command} 3f2a" in " ".join(text.split())
