import asyncio
from contextlib import suppress

from stream_processors import stage
from stream_processors.__main__ import prepare
from stream_processors.config import ProcessorsConfig

LIMIT_S = 30
NOBODY = "127.0.0.1:1"  # nothing listens there


def test_a_worker_is_not_ready_until_the_broker_has_answered(kafka: str) -> None:
    async def prepared() -> None:
        async with asyncio.timeout(LIMIT_S):
            waiting = asyncio.create_task(prepare(ProcessorsConfig(kafka=NOBODY)))
            while not stage.waits:
                await asyncio.sleep(0.01)
            assert list(stage.waits.values()) == [f"waits for the broker at {NOBODY}"]
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            await prepare(ProcessorsConfig(kafka=kafka))

    try:
        asyncio.run(prepared())
        assert stage.waits == {}
    finally:
        stage.waits.clear()
