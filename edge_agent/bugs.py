"""Our own bugs in the log: each place once in a while, for a sender may meet one with every frame."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

LOG_EVERY_S = 10.0
PLACES_MAX = 1000  # remembered
_log = structlog.get_logger("bugs")
_logged_at_s: dict[tuple[str, str, type[Exception], int], float] = {}


def log_bug(what: str, error: Exception, source: str, now_s: Callable[[], float] = time.monotonic) -> None:
    """Log a bug that was met with something of this source.

    An error's text may hold what a device sent, and so a patient's name: runtime.logs shows its type and place alone.
    """
    trace, line = error.__traceback__, 0
    while trace is not None:
        line = trace.tb_lineno
        trace = trace.tb_next
    place = (what, source, type(error), line)
    if now_s() - _logged_at_s.get(place, -LOG_EVERY_S) < LOG_EVERY_S:
        return
    if len(_logged_at_s) >= PLACES_MAX:
        _logged_at_s.clear()
    _logged_at_s[place] = now_s()
    _log.error(what, source=source, exc_info=error)
