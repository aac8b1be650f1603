import asyncio
import uuid
from collections.abc import Sequence

import pytest

from emr_store import acts
from emr_store import alarms as stored_alarms
from emr_store.acts import Author
from evidence.alarm import read_open_set, read_transition, sign_open_set, sign_transition
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.errors import LayoutError
from schemas.report import Record
from schemas.transition import Condition, ConditionKind, Episode, OpenSet, Side, Transition, TransitionKind
from stream_processors import alarms
from stream_processors.alarm_limits import Limit, OpenEpisodes
from stream_processors.alarms import AlarmFiling, Alarms, open_episodes
from stream_processors.stage import Message, Output
from tests.making import PERCENT, SPO2, T0_US, Key, report
from tests.storing import NOW_US, Store
from tests.stream_processors.platform import NOWHERE, AsSigningKey

LIMITS = [Limit(SPO2, low=90.0)]
LOW = Condition(ConditionKind.LIMIT, SPO2, 0, Side.LOW)
DEVICE = report().device
OPENED, CONFIRMED, RESOLVED = TransitionKind


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


class Topic:
    """`stored_alarms.open`, as a broker keeps it: all messages in order; and what went to `stored_alarms`."""

    def __init__(self, key: Key) -> None:
        self.key, self.open_sets, self.transitions = key, [], []  # type: ignore[var-annotated]
        self.loads = 0

    async def send(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            {"alerts": self.transitions, "alerts.open": self.open_sets}[output.topic].append(output.value)
            assert output.key == str(DEVICE).encode()

    async def load(self) -> OpenEpisodes:
        self.loads += 1
        return open_episodes(self.open_sets, self.key.public_der)

    def wipe(self) -> None:
        self.open_sets.clear()

    @property
    def emitted(self) -> list[tuple[str, str, str]]:
        read = [read_transition(m, self.key.public_der).transition for m in self.transitions]
        return [(t.kind, t.episode, t.by) for t in read]


def alarming(topic: Topic, limits: Sequence[Limit] = LIMITS) -> Alarms:
    return Alarms(limits, AsSigningKey(topic.key), topic.load, clock_us=lambda: NOW_US)


def spo2(store: Store, value: int, at_us: int) -> Message:
    opened = store.validate(store.seal(report(at_us=at_us, records=[Record(SPO2, PERCENT, mantissa=value)])))
    return Message("live.signed", 0, opened.seal + opened.block.encode())


async def work(stage: Alarms, topic: Topic, *chunk: Message) -> None:
    """As the stage does."""
    await topic.send(await stage.evaluate(chunk))
    stage.sent()


async def file(store: Store, topic: Topic) -> None:
    await AlarmFiling(store.address, AsSigningKey(topic.key)).file([Message("alerts", 0, m) for m in topic.transitions])


def open_in_store(store: Store) -> list[str]:
    with store.open() as conn:
        return [str(e.episode) for e in stored_alarms.open_now(conn)]


def test_a_changed_set_is_published_whole(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        await work(stage, topic, spo2(store, 80, T0_US))
        await work(stage, topic, spo2(store, 81, T0_US + 1))
        await work(stage, topic, spo2(store, 95, T0_US + 2))
        sets = [read_open_set(m, store.platform.public_der) for m in topic.open_sets]
        assert [kind for kind, _, _ in topic.emitted] == [OPENED, RESOLVED]
        assert [(s.device, [e.message for e in s.episodes]) for s in sets] == [
            (str(DEVICE), ["SpO2 80 < 90"]), (str(DEVICE), [])
        ]  # fmt: skip
        assert stage.episodes == {}

    asyncio.run(run())


def test_what_the_platform_did_not_sign_rings_nobody_up_and_silences_nobody(store: Store) -> None:
    async def run() -> None:
        topic, stranger = Topic(store.platform), Key()
        stage, before = alarming(topic), alarms._forged.labels("live.signed")._value.get()
        low, high = spo2(store, 80, T0_US), spo2(store, 95, T0_US + 1)
        letter = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, b"x")
        dead_letter = Message("live.signed", 0, letter.encode(store.platform.key_id, store.platform.sign))
        forged_dead_letter = Message("live.signed", 0, letter.encode(stranger.key_id, stranger.sign))
        forged = Message("live.signed", 0, high.value[:-1] + b"\x00")
        await work(stage, topic, low, forged, dead_letter, forged_dead_letter, Message("live.signed", 0, b"noise"))
        assert [kind for kind, _, _ in topic.emitted] == [OPENED]
        assert alarms._forged.labels("live.signed")._value.get() == before + 3
        assert list(await stage.skip(low, "alarm:KeyError")) == []
        empty = sign_open_set(OpenSet(str(DEVICE), ()), stranger.key_id, stranger.sign)
        assert await alarming(topic).evaluate([]) == []
        topic.open_sets.append(empty)
        assert open_episodes(topic.open_sets, store.platform.public_der) == stage.episodes != {}

    asyncio.run(run())


def test_a_chunk_worked_again_after_the_broker_was_away_says_the_same(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage, chunk = alarming(topic), [spo2(store, 80, T0_US)]
        await topic.send(await stage.evaluate(chunk))
        await topic.send(await stage.evaluate(chunk))  # `attempt`, when `send` raised
        assert topic.emitted[0] == topic.emitted[1]
        stage.sent()
        assert len(stage.episodes) == 1

    asyncio.run(run())


def as_resent(message: Message) -> Message:
    return Message(BACKFILL, 0, message.value)


BACKFILL = "backfill.signed"


def test_live_batches_that_were_lost_with_the_broker_open_late_and_are_ended_by_live_values(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = Alarms(LIMITS, AsSigningKey(topic.key), topic.load, clock_us=lambda: NOW_US + 3600_000_000)
        await topic.send(await stage.evaluate([as_resent(spo2(store, 80, T0_US))]))
        stage.sent(BACKFILL)
        stage._clock_us = lambda: NOW_US
        (episode,) = stage.episodes[DEVICE.bytes].values()
        assert episode.late
        await work(stage, topic, spo2(store, 81, T0_US + 1))
        await work(stage, topic, spo2(store, 95, T0_US + 2))
        assert [kind for kind, _, _ in topic.emitted] == [OPENED, CONFIRMED, RESOLVED]

    asyncio.run(run())


def test_a_group_that_begins_afresh_rings_for_nothing_of_the_topics_day(store: Store) -> None:
    """A new consumer group reads a day of both topics anew, and knows nothing of what was compared before."""

    async def run() -> None:
        topic, an_hour_us = Topic(store.platform), 3600_000_000
        live = [spo2(store, value, T0_US + second) for second, value in enumerate((80, 81, 95))]
        before = alarming(topic)
        await work(before, topic, *live)
        await file(store, topic)
        assert open_in_store(store) == []
        lost = spo2(store, 82, T0_US + 10)  # an end that nobody has seen yet
        fresh = Alarms(LIMITS, AsSigningKey(topic.key), topic.load, clock_us=lambda: NOW_US + an_hour_us)
        for again in (live[1], lost):
            await topic.send(await fresh.evaluate([as_resent(again)]))
            fresh.sent(BACKFILL)
        (episode,) = fresh.episodes[DEVICE.bytes].values()
        assert episode.late
        await work(fresh, topic, *live)
        await file(store, topic)
        assert open_in_store(store) == [episode.id]  # late: visible, and silent
        fresh._clock_us = lambda: NOW_US
        await work(fresh, topic, spo2(store, 95, T0_US + 20))
        await file(store, topic)
        assert (open_in_store(store), fresh.episodes) == ([], {})
        assert [kind for kind, _, _ in topic.emitted] == [OPENED, RESOLVED, OPENED, RESOLVED]

    asyncio.run(run())


def test_two_topics_that_are_worked_at_once_have_one_episode_of_a_condition(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        live, again = spo2(store, 80, T0_US + 1), as_resent(spo2(store, 79, T0_US + 2))
        first = await stage.evaluate([live])  # on its way to the broker, while
        second = await stage.evaluate([again])
        assert list(await stage.skip(again, "alarm:KeyError")) == []
        assert (len(first), list(second)) == (2, [])
        await topic.send(first)
        stage.sent(BACKFILL)
        assert stage.episodes == {}
        stage.sent()
        assert stage.episodes == await topic.load() != {}

    asyncio.run(run())


def test_what_is_remembered_of_conditions_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "NEWEST_MAX", 1)

    async def run() -> None:
        topic = Topic(store.platform)
        stage = Alarms([Limit(SPO2, low=90.0), Limit(SPO2, low=85.0, high=70.0)], AsSigningKey(topic.key), topic.load)
        await work(stage, topic, spo2(store, 80, T0_US))
        assert len(stage.episodes[DEVICE.bytes]) == 2
        assert len(stage._newest) == 1

    asyncio.run(run())


def test_after_a_restart_or_a_rebalance_the_topic_says_what_is_open(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        first, second = alarming(topic), alarming(topic)
        await work(first, topic, spo2(store, 80, T0_US))
        await work(second, topic, spo2(store, 81, T0_US + 1))
        assert [kind for kind, _, _ in topic.emitted] == [OPENED]
        await work(second, topic, spo2(store, 95, T0_US + 2))
        first.assigned()
        await work(first, topic, spo2(store, 80, T0_US + 3))  # a new episode: it knows that the first one is over
        assert [kind for kind, _, _ in topic.emitted] == [OPENED, RESOLVED, OPENED]
        assert topic.loads == 3

    asyncio.run(run())


def test_after_a_wiped_broker_an_open_episode_is_resumed_and_can_be_ended(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        await work(alarming(topic), topic, spo2(store, 80, T0_US))
        await file(store, topic)
        topic.wipe()
        fresh = alarming(topic)
        await fresh.reconcile(store.address, topic.send)
        await work(fresh, topic, spo2(store, 80, T0_US + 1))
        await work(fresh, topic, spo2(store, 95, T0_US + 2))
        (_, episode, _), (kind, ended, _) = topic.emitted
        assert (kind, ended) == (RESOLVED, episode)
        await file(store, topic)
        assert open_in_store(store) == []

    asyncio.run(run())


def test_what_the_record_has_as_resolved_is_forgotten(store: Store) -> None:
    """An old set came back: the resolution's set was lost with the broker's newest messages."""

    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        await work(stage, topic, spo2(store, 80, T0_US), spo2(store, 95, T0_US + 2))
        await work(stage, topic, spo2(store, 80, T0_US + 3))
        await work(stage, topic, spo2(store, 95, T0_US + 4))
        await file(store, topic)
        topic.open_sets.pop()
        again = alarming(topic)
        await again.loaded()
        assert len(again.episodes) == 1
        await again.reconcile(store.address, topic.send)
        assert again.episodes == {}
        await work(again, topic, spo2(store, 80, T0_US + 5))
        assert topic.emitted[-1][0] == OPENED

    asyncio.run(run())


def test_what_was_resolved_a_moment_ago_is_not_resumed(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        await work(stage, topic, spo2(store, 80, T0_US))
        await file(store, topic)
        await work(stage, topic, spo2(store, 95, T0_US + 1))  # not filed yet
        await stage.reconcile(store.address, topic.send)
        assert stage.episodes == {}

    asyncio.run(run())


def test_an_episode_whose_limit_is_gone_is_ended(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        await work(alarming(topic), topic, spo2(store, 80, T0_US))
        await file(store, topic)
        without = alarming(topic, limits=[])
        await without.reconcile(store.address, topic.send)
        assert [(kind, by) for kind, _, by in topic.emitted] == [(OPENED, "limits"), (RESOLVED, "configuration")]
        assert without.episodes == await topic.load() == {}
        await file(store, topic)
        assert open_in_store(store) == []

    asyncio.run(run())


def test_an_episode_that_a_person_ended_is_ended_once_and_a_new_value_opens_another(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        await work(stage, topic, spo2(store, 80, T0_US))
        await file(store, topic)
        (episode,) = open_in_store(store)
        with store.open() as conn:
            stored_alarms.end(conn, episode, Author("os:nurse@ward", "switched off"))
            act = acts.acts(conn)[-1]
        await stage.reconcile(store.address, topic.send)
        assert [(kind, by) for kind, _, by in topic.emitted] == [(OPENED, "limits"), (RESOLVED, "act")]
        assert stage.episodes == await topic.load() == {}
        restarted = alarming(topic)  # before the transition was filed: it is the same one
        await restarted.reconcile(store.address, topic.send)
        public_der = store.platform.public_der
        resolved, repeated = (read_transition(each, public_der).transition for each in topic.transitions[1:])
        assert repeated == resolved
        assert (resolved.at_us, resolved.message) == (acts.us_of(act.at), "ended by os:nurse@ward")
        await file(store, topic)
        assert open_in_store(store) == []
        await work(restarted, topic, spo2(store, 80, T0_US + 5))
        assert topic.emitted[-1][0] == OPENED
        await file(store, topic)
        assert open_in_store(store) == [topic.emitted[-1][1]]
        await restarted.reconcile(store.address, topic.send)
        assert topic.emitted[-1][0] == OPENED  # which nobody has ended

    asyncio.run(run())


def test_alarms_flow_while_the_store_is_away(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        comparing = asyncio.ensure_future(stage.keep_reconciled(NOWHERE, topic.send))
        await work(stage, topic, spo2(store, 80, T0_US))
        assert not comparing.done()
        comparing.cancel()
        assert [kind for kind, _, _ in topic.emitted] == [OPENED]

    asyncio.run(run())


def test_what_was_loaded_anew_is_compared_at_once(store: Store) -> None:
    async def run() -> None:
        topic = Topic(store.platform)
        stage = alarming(topic)
        await work(stage, topic, spo2(store, 80, T0_US))
        await file(store, topic)
        topic.wipe()
        comparing = asyncio.ensure_future(stage.keep_reconciled(store.address, topic.send))
        for _ in range(2):  # a rebalance each: the topic has forgotten the episode
            stage.assigned()
            await stage.evaluate([])
            while not stage.episodes:
                await asyncio.sleep(0.01)
        comparing.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))


def transition() -> Transition:
    return Transition(
        id=str(uuid.uuid4()), episode=str(uuid.uuid4()), kind=OPENED, at_us=T0_US, by="limits", device=str(DEVICE),
        condition=LOW, priority="high", opened_at_us=T0_US, message="SpO2 80 < 90",
    )  # fmt: skip


def test_transitions_are_filed_from_the_topic(store: Store) -> None:
    opened, key = transition(), store.platform
    filing = AlarmFiling(store.address, AsSigningKey(key))
    chunk = [Message("alerts", 0, sign_transition(opened, key.key_id, key.sign))]
    asyncio.run(filing.file(chunk * 2))
    assert open_in_store(store) == [opened.episode]
    stranger = Key()
    for forged in (b"{}", sign_transition(transition(), stranger.key_id, stranger.sign), chunk[0].value[:-1] + b"\x00"):
        with pytest.raises(LayoutError):
            asyncio.run(filing.file([Message("alerts", 0, forged)]))
    assert open_in_store(store) == [opened.episode]


def test_a_signed_set_reads_as_written() -> None:
    key = Key()
    open_set = OpenSet(str(DEVICE), (Episode("e", LOW, "high", T0_US, "SpO2 80 < 90", late=True),))
    assert read_open_set(sign_open_set(open_set, key.key_id, key.sign), key.public_der) == open_set
    with pytest.raises(LayoutError):
        read_open_set(sign_transition(transition(), key.key_id, key.sign), key.public_der)
