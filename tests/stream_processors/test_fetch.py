import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import faust
import pytest

from stream_processors import fetch


def made() -> Any:
    """The consumer of an app that fetches promptly; it keeps the loop that runs, if any."""
    app = faust.App("test", broker="kafka://127.0.0.1:1", web_enabled=False)
    fetch.fetch_promptly(app)
    return app.consumer


@pytest.fixture
def consumer() -> Any:
    return made()


def test_a_drained_partition_is_looked_at_again_at_once(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    async def getmany(active_partitions: set[Any], timeout: float) -> dict[Any, Any]:
        asked.append(timeout)
        return {}

    full: set[Any] = set()
    monkeypatch.setattr(consumer, "flow_active", True)
    monkeypatch.setattr(consumer, "_get_active_partitions", lambda: full)
    monkeypatch.setattr(consumer, "_getmany", getmany)
    monkeypatch.setattr(consumer, "_buffered_partitions", {"full"})

    async def look() -> None:
        assert await consumer._wait_next_records(1.0) == ({}, set())
        assert asked == []  # every partition's buffer is full: nothing may be fetched
        full.add("drained")
        await consumer._wait_next_records(1.0)
        consumer._buffered_partitions.clear()  # nothing is left out any more
        await consumer._wait_next_records(1.0)

    asyncio.run(asyncio.wait_for(look(), 5))
    assert asked == [fetch.RESUME_WAIT_S, fetch.IDLE_WAIT_S]


def test_a_fetch_waits_shortly_at_the_broker(consumer: Any) -> None:
    async def made() -> Any:
        return consumer._new_consumer_thread()._create_worker_consumer(consumer.transport)._fetch_max_wait_ms

    assert asyncio.run(made()) == fetch.FETCH_WAIT_MS


def put_while(consumer: Any, putting: Callable[[], Coroutine[Any, Any, int]]) -> Any:
    """What faust is answered that waits for this coroutine, or for the flow to be suspended."""
    return consumer.wait_first(putting(), consumer.suspend_flow.wait())


def test_a_message_that_has_room_is_put_by_one_task() -> None:
    async def put() -> int:
        return len(asyncio.all_tasks())

    async def look() -> Any:
        return await put_while(made(), put)

    answer = asyncio.run(look())
    assert (answer.results, answer.stopped) == ([2], False)


def test_a_message_that_has_to_wait_is_waited_for() -> None:
    async def look() -> Any:
        room = asyncio.Event()

        async def put() -> int:
            asyncio.get_running_loop().call_later(0.01, room.set)
            await room.wait()
            return 7

        return await put_while(made(), put)

    assert asyncio.run(asyncio.wait_for(look(), 5)).results == [7]


def test_a_message_that_waits_is_given_up_when_the_flow_is_suspended() -> None:
    ended = []

    async def look() -> Any:
        consumer = made()

        async def put() -> int:
            asyncio.get_running_loop().call_soon(consumer.suspend_flow.set)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            return 7

        answer = await put_while(consumer, put)
        await asyncio.sleep(0)
        return answer

    answer = asyncio.run(asyncio.wait_for(look(), 5))
    assert (answer.results, ended) == ([True], [True])


def test_what_goes_wrong_with_a_message_is_raised() -> None:
    async def put() -> int:
        raise RuntimeError("no room")

    async def look() -> Any:
        return await put_while(made(), put)

    with pytest.raises(RuntimeError, match="no room"):
        asyncio.run(look())


def test_a_stop_ends_the_putting_of_a_message() -> None:
    ended = []

    async def look() -> None:
        async def put() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            return 7

        fetching = asyncio.ensure_future(put_while(made(), put))
        asyncio.get_running_loop().call_soon(fetching.cancel)
        with pytest.raises(asyncio.CancelledError):
            await fetching
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(look(), 5))
    assert ended == [True]
