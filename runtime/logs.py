"""JSON logs on standard error: one object a line with ts, level, event and logger, and nothing that names a patient."""

from __future__ import annotations

import logging.config
import re
import sys
import time
import traceback
from typing import Any

import structlog

# Keys that may name a patient, whoever writes them: alone, or as a word of a longer key (raw_frame, patient_id).
REDACTED = re.compile(r"name|message|pid|address|(.*_)?(patient|mrn|birth|frame|payload)(_.*)?", re.IGNORECASE)
LIBRARY_CHARS = 300  # of what a library says
SAME_LINE_EVERY_S = 10.0
WORDS_MAX = 1000  # remembered


def printable(data: bytes, limit: int = 256) -> str:
    """Raw bytes for people: control bytes and what is not UTF-8 as \\xNN; cut at `limit` bytes."""
    return escaped(data[:limit].decode("utf-8", "backslashreplace")) + ("…" if len(data) > limit else "")


def escaped(text: str) -> str:
    """Text for people: control characters shown and not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def redact(logger: Any, method: str, event: Any) -> Any:
    """Take out the values of keys that may name a patient, and show control bytes instead of obeying them."""
    if isinstance(event, dict):
        return {k: "[redacted]" if REDACTED.fullmatch(k) else redact(logger, method, v) for k, v in event.items()}
    if isinstance(event, (list, tuple)):
        return [redact(logger, method, v) for v in event]
    if isinstance(event, (bytes, bytearray)):
        return f"[{len(event)} bytes]"
    return event if isinstance(event, (int, float, type(None))) else escaped(str(event))


def _where(_: Any, __: str, event: Any) -> Any:
    """An exception as its type and place: its text may hold what a device sent, and so a patient's name."""
    info = event.pop("exc_info", None)
    error = sys.exception() if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[:-6:-1]
        event["error"] = " < ".join([type(error).__name__, *(f"{f.name} {f.filename}:{f.lineno}" for f in frames)])
    return event


class _Named(structlog.WriteLogger):
    def __init__(self, name: str = "vitalwire") -> None:
        super().__init__(sys.stderr)
        self.name = name


class _Library(logging.Handler):
    """What libraries log, in our form; only the first line: what follows is often the message that they choked on.

    The same words come once in AGAIN_S: while a broker is away its client says hundreds of lines a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._emitted: dict[str, tuple[float, int]] = {}  # when, and how often since

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = record.getMessage()
        except (TypeError, ValueError, KeyError):  # a library that misses its own format shall not fail over it
            line = str(record.msg)
        line = line.strip().split("\n")[0][:LIBRARY_CHARS]
        now_s, (emitted_s, more) = time.monotonic(), self._emitted.get(line, (-SAME_LINE_EVERY_S, 0))
        if now_s - emitted_s < SAME_LINE_EVERY_S and not record.exc_info:
            self._emitted[line] = emitted_s, more + 1
            return
        if len(self._emitted) >= WORDS_MAX:
            self._emitted.clear()
        self._emitted[line] = now_s, 0
        repeated = {"times_more": more} if more else {}
        structlog.get_logger(record.name).log(record.levelno, line, exc_info=record.exc_info, **repeated)


# For `logging.config.dictConfig`, also by libraries that insist on calling it themselves.
QUIET: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"ours": {"()": _Library}},
    "root": {"level": "ERROR", "handlers": ["ours"]},
}


def set_up() -> None:
    """Send our logs and those of libraries to standard error: JSON, or coloured lines on a terminal."""
    json = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            _where,
            redact,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_Named,
    )
    logging.config.dictConfig(QUIET)
