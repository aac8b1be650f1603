"""What may block for long (opening a port, asking the DNS) runs in a thread of its own, never in the shared pool.

Sixteen terminal servers that do not answer would fill the pool, and a live port beside them would wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T], undo: Callable[[T], object] = lambda _: None) -> T:
    """Its result, or what it raises; `undo` gets a result that nobody waits for any more."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():  # cancelled
            if error is None:
                undo(result)  # type: ignore[arg-type]
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as caught:  # noqa: BLE001 - raised where it is awaited
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended
            if error is None:
                undo(result)  # type: ignore[arg-type]

    Thread(target=run, name="link", daemon=True).start()
    return await future
