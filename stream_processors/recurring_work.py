"""Work of the background that is done over and over: in a thread, retried after what fails, which /readyz says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from emr_store.connect import StoreError
from stream_processors.stage import first_line, waits

RETRY_AFTER_S = 1.0


async def keep_doing(work: Callable[[], object], *, every_s: float, waits_as: str, log: FilteringBoundLogger) -> None:
    """Do `work`, and again `every_s` after it is done, until the program ends.

    While it fails, `waits_as` stands in `waits` and is the event in `log`; of what failed only a StoreError's words
    are repeated, for those of another error may hold a patient's number.
    """
    while True:
        try:
            await asyncio.to_thread(work)
            waits.pop(waits_as, None)
            await asyncio.sleep(every_s)
        except Exception as error:  # noqa: BLE001  a background task that ends is a feed that stops
            detail = first_line(error) if isinstance(error, StoreError) else ""
            waits[waits_as] = f"{waits_as}: {type(error).__name__}"
            log.warning(waits_as, error=type(error).__name__, detail=detail)
            await asyncio.sleep(RETRY_AFTER_S)
