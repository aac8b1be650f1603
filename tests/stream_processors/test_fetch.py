import asyncio
from typing import Any

import faust
import pytest

from stream_processors import fetch


@pytest.fixture
def consumer() -> Any:
    app = faust.App("test", broker="kafka://127.0.0.1:1", web_enabled=False)
    fetch.fetch_promptly(app)
    return app.consumer


def test_a_drained_partition_is_looked_at_again_at_once(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    async def getmany(active_partitions: set[Any], timeout: float) -> dict[Any, Any]:
        asked.append(timeout)
        return {}

    full: set[Any] = set()
    monkeypatch.setattr(consumer, "flow_active", True)
    monkeypatch.setattr(consumer, "_get_active_partitions", lambda: full)
    monkeypatch.setattr(consumer, "_getmany", getmany)

    async def look() -> None:
        assert await consumer._wait_next_records(1.0) == ({}, set())
        assert asked == []  # every partition's buffer is full: nothing may be fetched
        full.add("drained")
        await consumer._wait_next_records(1.0)

    asyncio.run(asyncio.wait_for(look(), 5))
    assert asked == [fetch.RESUME_WAIT_S]


def test_a_fetch_waits_shortly_at_the_broker(consumer: Any) -> None:
    async def made() -> Any:
        return consumer._new_consumer_thread()._create_worker_consumer(consumer.transport)._fetch_max_wait_ms

    assert asyncio.run(made()) == fetch.FETCH_WAIT_MS
