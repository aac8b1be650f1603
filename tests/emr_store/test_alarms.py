import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from emr_store import acts, alarms
from emr_store.acts import Author
from emr_store.connect import open_store_async
from evidence.alarm import SignedTransition, read_transition, sign_transition
from schemas.errors import VitalwireError
from schemas.transition import Condition, ConditionKind, Episode, Side, Transition, TransitionKind
from tests.making import T0_US
from tests.storing import Store

EPISODE, DEVICE = str(uuid4()), str(uuid4())
LOW = Condition(ConditionKind.LIMIT, 150456, 0, Side.LOW)
OPENED = Transition(
    id=str(uuid4()), episode=EPISODE, kind=TransitionKind.OPENED, at_us=T0_US, by="limits", device=DEVICE,
    condition=LOW, priority="high", opened_at_us=T0_US, message="SpO2 89 < 90",
)  # fmt: skip
RESOLVED = replace(
    OPENED, id=str(uuid4()), kind=TransitionKind.RESOLVED, at_us=T0_US + 5_000_001, message="SpO2 back in limits"
)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def file(store: Store, *transitions: Transition) -> None:
    key = store.platform
    signed = [SignedTransition(t, sign_transition(t, key.key_id, key.sign)) for t in transitions]

    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            await alarms.file(conn, signed)

    asyncio.run(run())


def open_now(store: Store) -> Sequence[alarms.OpenEpisode]:
    with store.open() as conn:
        return alarms.open_now(conn)


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us // 10**6, UTC).replace(microsecond=us % 10**6)


def test_an_episode_opens_and_resolves(store: Store) -> None:
    file(store, OPENED)
    (found,) = open_now(store)
    assert found == (
        UUID(EPISODE), UUID(DEVICE), "150456-0-low", "high", moment(T0_US), "SpO2 89 < 90", False, "limit", 150456, 0,
        "low",
    )  # fmt: skip
    assert alarms.as_episode(found) == Episode(EPISODE, LOW, "high", T0_US, "SpO2 89 < 90")
    with store.open() as conn:
        assert alarms.resolved_of(conn, [EPISODE]) == set()
    file(store, RESOLVED)
    assert open_now(store) == []
    assert store.rows("SELECT opened_at, resolved_at, resolved_by FROM alarm_episode") == [
        (moment(T0_US), moment(T0_US + 5_000_001), "limits")
    ]
    with store.open() as conn:
        assert alarms.resolved_of(conn, [EPISODE, str(uuid4())]) == {EPISODE}


def test_a_person_ends_what_is_open_once_and_for_a_reason(store: Store) -> None:
    nurse = Author("os:nurse@ward", "switched off")
    file(store, OPENED, replace(OPENED, id=str(uuid4()), episode=f"{EPISODE[:8]}-1111-4111-8111-111111111111"))
    with store.open() as conn:
        for text, author, words in (
            (EPISODE, Author("os:nurse@ward", " "), "for a reason: --why"),
            (EPISODE[:3], nurse, "too short"),
            (EPISODE[:8], nurse, "2 open episodes begin so"),
            (DEVICE, nurse, "no open episode is .*alarms list"),
        ):
            with pytest.raises(VitalwireError, match=words):
                alarms.end(conn, text, author)
        assert [act.kind for act in acts.acts(conn)] == ["edge.register"]
        assert str(alarms.end(conn, EPISODE[:13].upper(), nurse).episode) == EPISODE
        _, act = acts.acts(conn)
        assert (act.kind, act.why, act.details["episode"], act.details["device"]) == (
            "alarm.end", "switched off", EPISODE, DEVICE
        )  # fmt: skip
        with pytest.raises(VitalwireError, match="ended it already"):
            alarms.end(conn, EPISODE, nurse)
        assert len(acts.acts(conn)) == 2
        ended = {EPISODE: alarms.EndedByAct("os:nurse@ward", acts.us_of(act.at))}
        assert alarms.ended_by_act(conn, []) == ended  # it is open
        file(store, RESOLVED)
        assert (alarms.ended_by_act(conn, []), alarms.ended_by_act(conn, [EPISODE])) == ({}, ended)
        with pytest.raises(VitalwireError, match="no open episode"):
            alarms.end(conn, EPISODE, nurse)


@pytest.mark.parametrize("order", list(itertools.product([OPENED, RESOLVED], repeat=3)))
def test_in_any_order_and_however_often_it_is_one_episode(store: Store, order: tuple[Transition, ...]) -> None:
    for transition in order:
        file(store, transition)
    resolved = moment(RESOLVED.at_us) if RESOLVED in order else None
    message = OPENED.message if OPENED in order else RESOLVED.message
    assert store.rows("SELECT resolved_at, message FROM alarm_episode") == [(resolved, message)]
    assert [str(e.episode) for e in open_now(store)] == ([] if RESOLVED in order else [EPISODE])


def test_what_opened_late_is_late_until_a_fresh_value_confirms_it(store: Store) -> None:
    late = replace(OPENED, late=True, message="SpO2 89 < 90, 12 min old")
    confirmed = replace(OPENED, id=str(uuid4()), kind=TransitionKind.CONFIRMED, at_us=T0_US + 7, message="SpO2 88 < 90")
    file(store, late)
    assert [(e.late, e.message) for e in open_now(store)] == [(True, late.message)]
    file(store, confirmed)
    assert [(e.late, e.message) for e in open_now(store)] == [(False, "SpO2 88 < 90")]
    assert store.rows("SELECT opened_at, confirmed_at FROM alarm_episode") == [(moment(T0_US), moment(T0_US + 7))]


def test_a_chunk_is_filed_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Exception, match="uuid"):
        file(store, OPENED, replace(OPENED, id=str(uuid4()), episode="no uuid"))
    assert open_now(store) == []


def test_the_oldest_stands_first(store: Store) -> None:
    later = replace(OPENED, id=str(uuid4()), episode=str(uuid4()), opened_at_us=T0_US + 1)
    file(store, later, OPENED)
    assert [str(e.episode) for e in open_now(store)] == [EPISODE, later.episode]


def test_what_was_filed_can_be_shown(store: Store) -> None:
    file(store, OPENED)
    ((statement, *shown),) = store.rows("SELECT statement, side, code, channel, by FROM alarm_transition")
    assert shown == ["low", 150456, 0, "limits"]
    assert isinstance(statement, bytes)
    assert read_transition(statement, store.platform.public_der).transition == OPENED
