"""`vitalwire acts` and `vitalwire hold`, as people type them."""

from __future__ import annotations

import re

import pytest

from schemas.report import device_id
from tests.commands import CLAIM, as_json, vitalwire
from tests.making import report
from tests.storing import Store, event


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store = Store(database)
    store.emit(event(CLAIM, "connected", ""), report(CLAIM))
    return store


def test_acts_are_listed_with_who_what_why_and_their_place_in_the_log(store: Store) -> None:
    assert vitalwire(f"devices assign {CLAIM} --bed ICU-07", "--why", "new on the ward")[0] == 0
    found = as_json("acts list")
    assert [(a["kind"], a["signed"], a["position"]) for a in found] == [
        ("edge.register", False, None), ("device.assign", False, None)
    ]  # fmt: skip
    assert re.fullmatch(r"os:[^@]+@.+", found[1]["by"])
    assert (found[1]["why"], found[1]["details"]["device"]) == ("new on the ward", str(device_id(CLAIM)))
    row = rf"(?m)^{found[1]['act_id'][:12]} +waits +.* device\.assign +bed ICU-07, device .* new on the ward"
    assert re.search(row, vitalwire("acts list")[1])
    store.seal_log()
    found = as_json("acts list")
    assert sorted((a["kind"], a["signed"]) for a in found) == [
        ("device.assign", True), ("edge.register", True), ("log.begin", True)
    ]  # fmt: skip
    assert sorted(a["position"] for a in found)[0] == 0
    assert "waits" not in vitalwire("acts list")[1]


def test_acts_can_be_asked_for_since_a_moment(store: Store) -> None:
    assert as_json("acts list --since 2126-01-01") == []
    assert vitalwire("acts list --since 2126-01-01") == (0, "Acts: none\n")
    assert [a["kind"] for a in as_json("acts list --since 1h")] == ["edge.register"]
    assert vitalwire("acts list --since x")[0] == 2


def test_a_label_is_an_act_too(store: Store) -> None:
    assert vitalwire(f"devices label {CLAIM} 7 axilla")[0] == 2
    assert [a["kind"] for a in as_json("acts list")] == ["edge.register"]


def test_a_partition_is_held_listed_and_released(store: Store) -> None:
    (part,) = [p["partition"] for p in as_json("hold partitions") if p["partition"].startswith("report_2")]
    assert vitalwire(f"hold add {part}") == (2, "a legal hold needs its reason: --why 'case 2026-117'")
    code, text = vitalwire(f"hold add {part}", "--why", "case 7")
    assert (code, text) == (0, f"{part} is kept until `vitalwire hold release`\n")
    assert re.search(rf"(?m)^{part} +20\d\d-.* os:.* case 7", vitalwire("hold list")[1])
    assert re.search(rf"(?m)^{part} .* held$", vitalwire("hold partitions")[1])
    assert vitalwire(f"hold release {part}", "--why", "closed") == (0, f"{part} is no longer held\n")
    assert vitalwire("hold list") == (0, "Holds: none\n")
    assert vitalwire(f"hold release {part}") == (2, f"{part} is not held: see `vitalwire hold list`")
    assert [(a["kind"], a["why"]) for a in as_json("acts list")][-2:] == [
        ("hold.add", "case 7"), ("hold.release", "closed")
    ]  # fmt: skip
