"""A destination is served: each message once in effect, in its order, whatever the receiver answers or does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from emr_store import deliver_acts, deliver_status, patient_acts
from emr_store.acts import Author
from emr_store.deliver_status import DeliveryRow
from runtime.config import decode
from stream_processors import deliver, stage
from stream_processors.config import DestinationConfig, ProcessorsConfig
from stream_processors.deliver import Delivering, Sequencing
from stream_processors.destinations import receiver, writer
from tests.delivering import Said, admit, say
from tests.storing import Store
from tests.stream_processors.mllp_listener import (
    Answering,
    Answers,
    Listener,
    acknowledge,
    control_id_of,
    frame,
    listening,
)

OBX = re.compile(rb"\rOBX\|\d+\|NM\|[^|]*\|[^|]*\|([^|]*)\|[^|]*\|{5}([A-Z])\|")
OPERATOR = Author("os:operator@ward", "mended")
WAIT_S = 15


def told(messages: list[bytes]) -> list[str]:
    """Value and OBX-11 of each result of each message."""
    return [" ".join(f"{v.decode()}{s.decode()}" for v, s in OBX.findall(message)) for message in messages]


def configured(port: int, more: str = "") -> DestinationConfig:
    text = f'[[destination]]\nname = "emr"\nprotocol = "hl7v2"\naddress = "127.0.0.1:{port}"\ntimeout_s = 0.4\n'
    text += f'begins = "2020-01-01T00:00Z"\n{more}'
    return decode(text, ProcessorsConfig, "processors.toml").destination[0]


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    made = Store(database)
    admit(made, "V1", "V2", "V3")
    yield made
    stage.waits.pop("delivery to emr", None)


@pytest.fixture(autouse=True)
def _promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(deliver, "RETRY_AFTER_S", 0.05)
    monkeypatch.setattr(deliver, "BACK_OFF_MAX_S", 0.1)


@asynccontextmanager
async def serving(store: Store, config: DestinationConfig) -> AsyncIterator[None]:
    """The task, as the worker runs it."""
    delivering = Delivering(store.address, config, writer(config), receiver(config))
    task = asyncio.ensure_future(delivering.keep_delivering())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rows(store: Store) -> list[DeliveryRow]:
    with store.open() as conn:
        return deliver_status.deliveries(conn, states=deliver_status.STATES)[::-1]


def states(store: Store) -> list[str]:
    return [row.state for row in rows(store)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)


def run(
    store: Store, answering: Answering, scenario: Callable[[Listener], Awaitable[None]], more: str = ""
) -> list[bytes]:
    """What came to the listener while the scenario was played."""

    async def all_of_it() -> list[bytes]:
        async with listening(answering) as listener, serving(store, configured(listener.port, more)):
            await scenario(listener)
            return listener.messages

    return asyncio.run(asyncio.wait_for(all_of_it(), 60))


def write(store: Store, *versions: Said) -> None:
    with store.open() as conn:
        say(conn, *versions)


def test_entries_arrive_corrected_and_withdrawn(store: Store) -> None:
    write(store, Said(1, value=97))
    write(store, Said(1, 2, "amended", value=79))
    write(store, Said(1, 3, "entered-in-error", value=79))

    async def scenario(listener: Listener) -> None:
        await until(lambda: states(store) == ["accepted"] * 3)
        await asyncio.to_thread(write, store, Said(2, visit="V2", value=60))
        await until(lambda: states(store) == ["accepted"] * 4)

    messages = run(store, acknowledge(), scenario)
    assert told(messages) == ["97F", "79C", "79W", "60F"]
    assert [b"P1^^^HOSP^MR" in message for message in messages] == [True, True, True, False]
    assert all(row.reason == "" for row in rows(store))


def test_an_error_of_the_content_is_parked_and_holds_up_nobody_else(store: Store) -> None:
    write(store, Said(1, value=97), Said(2, slot=1, value=98), Said(3, visit="V2", value=60))
    write(store, Said(1, 2, "amended", value=79))

    def refuse_97(message: bytes) -> Answers:
        return Answers((frame("AE" if b"|97|" in message else "AA", control_id_of(message)),))

    async def scenario(listener: Listener) -> None:
        await until(lambda: sorted(states(store)) == ["accepted", "accepted", "parked", "parked"])
        with store.open() as conn:
            assert deliver_acts.retry(conn, 1, OPERATOR) == 2
        listener.answering = acknowledge()
        await until(lambda: states(store) == ["accepted"] * 4)

    messages = run(store, refuse_97, scenario)
    assert sorted(told(messages)) == ["60F", "79C", "97F", "97F", "98F"]
    assert told(messages)[-1] == "79C"
    first, again = (message for message in messages if b"|97|" in message)
    assert first == again


def test_what_the_receiver_cannot_do_now_is_tried_again_and_then_parked(store: Store) -> None:
    write(store, Said(1, value=97), Said(2, visit="V2", value=60))

    async def scenario(listener: Listener) -> None:
        await until(lambda: sorted(states(store)) == ["accepted", "parked"])

    def busy(message: bytes) -> Answers:
        return Answers((frame("AR" if b"|97|" in message else "AA", control_id_of(message)),))

    messages = run(store, busy, scenario, "attempts_max = 3\n")
    assert sorted(told(messages)) == ["60F", "97F", "97F", "97F"]
    assert len({message for message in messages if b"|97|" in message}) == 1
    (parked,) = [row for row in rows(store) if row.state == "parked"]
    assert (parked.code, parked.reason, parked.attempts) == ("AR", "AR (attempt 3)", 3)


def test_a_receiver_that_is_away_is_waited_for_and_people_see_it(store: Store) -> None:
    write(store, Said(1, value=97), Said(2, visit="V2", value=60))

    async def scenario(listener: Listener) -> None:
        await until(lambda: states(store) == ["accepted"] * 2)
        await listener.end()
        await asyncio.to_thread(write, store, Said(3, visit="V3", value=70), Said(1, 2, "amended", value=98))
        await until(lambda: "delivery to emr" in stage.waits)
        with store.open() as conn:
            await until(lambda: deliver_status.destinations(conn)[0].away_since is not None)
            (away,) = deliver_status.destinations(conn)
        assert away.away_reason in stage.waits["delivery to emr"]
        assert states(store)[2:] == ["waiting"] * 2
        await listener.listen()
        await until(lambda: states(store) == ["accepted"] * 4)
        with store.open() as conn:
            await until(lambda: deliver_status.destinations(conn)[0].away_since is None)
        assert "delivery to emr" not in stage.waits

    messages = run(store, acknowledge(), scenario, "attempts_max = 2\n")
    assert sorted(told(messages)) == ["60F", "70F", "97F", "98C"]


def test_an_answer_that_is_lost_has_the_same_bytes_sent_again(store: Store) -> None:
    write(store, Said(1, value=97))
    lost = [True]

    def lose_the_first(message: bytes) -> Answers:
        return Answers() if lost and lost.pop() else Answers((frame("AA", control_id_of(message)),))

    async def scenario(listener: Listener) -> None:
        await until(lambda: states(store) == ["accepted"])

    first, again = run(store, lose_the_first, scenario)
    assert first == again


def test_a_message_that_the_receiver_never_answers_does_not_hold_up_the_others(store: Store) -> None:
    write(store, Said(1, value=97))
    write(store, Said(2, visit="V2", value=60), Said(3, visit="V3", value=70))

    def hang_on_97(message: bytes) -> Answers:
        return Answers() if b"|97|" in message else Answers((frame("AA", control_id_of(message)),))

    async def scenario(listener: Listener) -> None:
        for entry in range(10, 200):
            if "parked" in states(store):
                break
            await asyncio.to_thread(write, store, Said(entry, visit="V2", slot=entry, value=entry))
            await asyncio.sleep(0.1)
        await until(lambda: states(store)[0] == "parked")
        await until(lambda: set(states(store)[1:]) == {"accepted"})

    run(store, hang_on_97, scenario, "attempts_max = 2\nconnections_max = 2\n")
    assert rows(store)[0].reason == "no answer within 0.4 s, while it answered others (attempt 2)"


def test_a_receiver_that_lies_is_parked_with_its_bytes(store: Store) -> None:
    write(store, Said(1, value=97), Said(2, visit="V2", value=60))

    def lie(message: bytes) -> Answers:
        return Answers((frame("AA", b"ANOTHER" if b"|97|" in message else control_id_of(message)),))

    async def scenario(listener: Listener) -> None:
        await until(lambda: sorted(states(store)) == ["accepted", "parked"])

    run(store, lie, scenario)
    with store.open() as conn:
        (parked,) = [row for row in rows(store) if row.state == "parked"]
        kept = deliver_status.delivery(conn, parked.delivery)
    assert (kept.row.reason, kept.answer) == ("acknowledges another message", frame("AA", b"ANOTHER"))
    assert kept.body is not None


def test_nothing_of_nobody_and_nothing_of_who_was_erased_leaves_the_house(store: Store) -> None:
    with store.open() as conn:
        patient_acts.erase(conn, "P2^HOSP^MR", author=OPERATOR)
    write(store, Said(1, visit="V9", value=97), Said(2, visit="V2", value=60), Said(3, value=98))

    async def scenario(listener: Listener) -> None:
        await until(lambda: sorted(states(store)) == ["accepted", "parked", "parked"])

    assert told(run(store, acknowledge(), scenario)) == ["98F"]
    reasons = [row.reason for row in rows(store) if row.state == "parked"]
    assert reasons == [
        "nobody knows whose the encounter is: merge its patients, or correct the encounter",
        "the patient has been erased: nothing of it leaves the house",
    ]


def test_bytes_that_wait_are_not_sent_once_the_patient_is_erased(store: Store) -> None:
    write(store, Said(1, value=97))

    async def scenario(listener: Listener) -> None:
        await until(lambda: len(listener.messages) > 0)
        with store.open() as conn:
            patient_acts.erase(conn, "P1^HOSP^MR", author=OPERATOR)
        listener.answering = acknowledge()
        await until(lambda: states(store) == ["parked"])

    run(store, lambda _: Answers(), scenario)
    with store.open() as conn:
        assert deliver_status.delivery(conn, 1).body is None


def test_a_paused_destination_gets_nothing_until_it_is_resumed(store: Store) -> None:
    async def scenario(listener: Listener) -> None:
        with store.open() as conn:
            await until(lambda: len(deliver_status.destinations(conn)) == 1)
            deliver_acts.pause(conn, "emr", OPERATOR)
            await asyncio.to_thread(write, store, Said(1, value=97))
            await until(lambda: states(store) == ["waiting"])
            await asyncio.sleep(0.1)
            assert listener.messages == []
            deliver_acts.resume(conn, "emr", OPERATOR)
        await until(lambda: states(store) == ["accepted"])

    assert told(run(store, acknowledge(), scenario)) == ["97F"]


def test_while_another_process_serves_it_nothing_is_sent(store: Store) -> None:
    write(store, Said(1, value=97))

    async def two() -> list[bytes]:
        async with listening(acknowledge()) as listener:
            config = configured(listener.port)
            async with serving(store, config):
                await until(lambda: states(store) == ["accepted"])
                async with serving(store, config):
                    await asyncio.to_thread(write, store, *(Said(n, slot=n, value=n) for n in range(2, 30)))
                    await until(lambda: states(store) == ["accepted"] * 29)
            return listener.messages

    messages = asyncio.run(asyncio.wait_for(two(), 60))
    assert len(messages) == len(set(messages)) == 29


def test_after_the_database_was_away_it_goes_on(store: Store) -> None:
    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(write, store, Said(1, value=97))
        await until(lambda: states(store) == ["accepted"])
        store.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await asyncio.to_thread(write, store, Said(2, slot=2, value=98))
        await until(lambda: states(store) == ["accepted"] * 2)

    assert told(run(store, acknowledge(), scenario)) == ["97F", "98F"]


def test_back_off_doubles_from_a_second_to_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    config = configured(1)
    found = []
    for chance in (0.0, 1.0):
        delivering = Delivering(
            store.address, config, writer(config), receiver(config), jitter=lambda chance=chance: chance
        )
        found.append([delivering._back_off_s(failures) for failures in (1, 2, 3, 6, 1000)])
    assert found == [[1, 2, 4, 30, 30], [2, 4, 8, 60, 60]]


def test_the_sequencer_goes_on_after_a_failure(store: Store) -> None:
    sequencing = Sequencing(store.address)
    assert sequencing.work() == 0
    sequencing._conn.close()
    with pytest.raises(Exception, match="closed"):
        sequencing.work()
    assert sequencing.work() == 0
    sequencing.close()
