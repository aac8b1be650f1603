"""Connections that are used again: to open one takes client and server as long as a hundred small questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from emr_store.connect import open_store

IDLE_MAX = 4  # more are closed when they come back
IDLE_S = 30.0  # one that was not used for so long is not used again
T = TypeVar("T")


@dataclass(frozen=True)
class _Idle:
    conn: psycopg.Connection
    since_s: float  # monotonic


class IdleConnections:
    """To one store, for questions that are asked all the time; may be used by several threads at once."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    def ask(self, question: Callable[[psycopg.Connection], T]) -> T:
        """What `question` finds; it changes nothing, for it is asked again where its connection was cut meanwhile.

        Raises StoreError.
        """
        known = self._take()
        if known is not None:
            try:
                return self._asked(known, question)
            except psycopg.OperationalError:
                self.close()  # the server went away, and with it the others
        return self._asked(open_store(self._conninfo), question)

    def close(self) -> None:
        """Those that nobody uses now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.conn.close()

    def __del__(self) -> None:
        """Whoever forgets it leaves no connection open."""
        self.close()

    def _asked(self, conn: psycopg.Connection, question: Callable[[psycopg.Connection], T]) -> T:
        try:
            found = question(conn)
        except BaseException:
            conn.close()
            raise
        with self._lock:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(_Idle(conn, time.monotonic()))
                return found
        conn.close()
        return found

    def _take(self) -> psycopg.Connection | None:
        """The one that was used last: those behind it grow old, and are closed."""
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is None:
            return None
        if time.monotonic() - found.since_s > IDLE_S:
            found.conn.close()
            self.close()
            return None
        return found.conn
