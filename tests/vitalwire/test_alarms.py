"""`vitalwire alarms`, as people type it, and what `verify` says of an alarm that a person ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from uuid import uuid4

import pytest
from msgspec.structs import replace

from emr_store import alarms
from emr_store.connect import open_store_async
from evidence.alarm import SignedTransition, sign_transition
from schemas.report import device_id
from schemas.transition import Condition, ConditionKind, Side, Transition, TransitionKind
from tests.commands import as_json, vitalwire
from tests.making import SPO2, T0_US
from tests.storing import Store

EPISODE = str(uuid4())
OPENED = Transition(
    id=str(uuid4()), episode=EPISODE, kind=TransitionKind.OPENED, at_us=T0_US, by="limits",
    device=str(device_id("ward/1")), condition=Condition(ConditionKind.LIMIT, SPO2, 0, Side.LOW), priority="high",
    opened_at_us=T0_US, message="SpO2 89 < 90",
)  # fmt: skip
ENDED = replace(OPENED, id=str(uuid4()), kind=TransitionKind.RESOLVED, by="act", message="ended by os:nurse@ward")


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store = Store(database)
    file(store, [OPENED])
    return store


def file(store: Store, transitions: Sequence[Transition]) -> None:
    key = store.platform
    signed = [SignedTransition(each, sign_transition(each, key.key_id, key.sign)) for each in transitions]

    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            await alarms.file(conn, signed)

    asyncio.run(run())


def test_what_is_open_is_listed_and_ended_by_an_act(store: Store) -> None:
    assert EPISODE[:8] in vitalwire("alarms list")[1]
    assert [found["episode"] for found in as_json("alarms list")] == [EPISODE]
    code, text = vitalwire(f"alarms end {EPISODE[:8]}", "--why", "switched off")
    assert (code, text.startswith(f"{EPISODE} (SpO2 89 < 90) ends within half a minute")) == (0, True)
    assert [act["kind"] for act in as_json("acts list")] == ["edge.register", "alarm.end"]
    code, text = vitalwire("alarms end abcd", "--why", "x")
    assert (code, "`vitalwire alarms list`" in text) == (2, True)


def test_verify_asks_for_the_act_behind_an_alarm_that_a_person_ended(store: Store) -> None:
    file(store, [ENDED])
    store.seal_log()
    code, text = vitalwire("verify --json")
    found = json.loads(text)["findings"]
    assert (code, [finding["what"] for finding in found]) == (4, ["no act in the log has its episode ended"])
    with store.open() as conn:
        conn.execute("DELETE FROM alarm_transition WHERE kind = 'resolved'")
        conn.execute("INSERT INTO alarm_open VALUES (%s)", (EPISODE,))
    assert vitalwire(f"alarms end {EPISODE}", "--why", "switched off")[0] == 0
    file(store, [ENDED])
    store.seal_log()
    assert as_json("verify")["findings"] == []
