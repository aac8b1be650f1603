"""Ends a worker that stops making attempts; one that goes on trying, for however long, is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

import structlog

CHECK_S = 1.0
_log = structlog.get_logger("watchdog")


class AttemptsWatchdog:
    """Call it at each attempt. While `busy` says there is work and none is attempted for `limit_s`, `on_stall` runs."""

    def __init__(
        self,
        limit_s: float,
        on_stall: Callable[[], object],
        busy: Callable[[], bool] = lambda: True,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s, self._on_stall, self.busy, self._monotonic_s = limit_s, on_stall, busy, monotonic_s
        self._last_s = monotonic_s()
        self._ending = Event()

    def __call__(self) -> None:
        """An attempt is being made."""
        self._last_s = self._monotonic_s()

    def check(self) -> None:
        """Look once."""
        if not self.busy():
            self()
        elif (idle_s := self._monotonic_s() - self._last_s) > self._limit_s:
            _log.error("no attempt: the worker is ended", idle_s=round(idle_s, 1), limit_s=self._limit_s)
            self._on_stall()

    def start(self) -> None:
        """Look each second, in a thread of its own: the event loop may be what is stuck."""
        Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(CHECK_S):
            self.check()
