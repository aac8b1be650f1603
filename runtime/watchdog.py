"""Ends a worker that stops making attempts; one that goes on trying, for however long, is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import structlog

CHECK_S = 1.0
_log = structlog.get_logger("watchdog")


class AttemptsWatchdog:
    """Once started, runs `on_stall` when any work in hand has made no attempt for `limit_s`. No work, no stall."""

    def __init__(
        self, limit_s: float, on_stall: Callable[[], object], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_s, self._on_stall, self._monotonic_s = limit_s, on_stall, monotonic_s
        self._attempted_s: dict[object, float] = {}

    @contextmanager
    def work(self) -> Iterator[Callable[[], None]]:
        """A piece of work until it is done or given up; call what this yields at each attempt."""
        piece = object()

        def attempted() -> None:
            self._attempted_s[piece] = self._monotonic_s()

        attempted()
        try:
            yield attempted
        finally:
            del self._attempted_s[piece]

    def check(self) -> None:
        """Look once. The pieces are looked at one by one: others that go well do not hide the one that hangs."""
        now_s = self._monotonic_s()
        idle_s = now_s - min(tuple(self._attempted_s.values()), default=now_s)
        if idle_s > self._limit_s:
            _log.error("no attempt: the worker is ended", idle_s=round(idle_s, 1), limit_s=self._limit_s)
            self._on_stall()

    def start(self) -> None:
        """Look each second, in a thread of its own: the event loop may be what is stuck."""
        Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(CHECK_S)
            self.check()
