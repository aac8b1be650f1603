"""JSON logs on standard error, with what may name a patient taken out."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# Keys that no log line carries, whoever writes them.
REDACTED = frozenset({"patient", "patient_id", "name", "mrn", "frame", "payload", "message", "pid", "birth", "address"})
# For libraries that configure logging themselves: leave it as it is.
QUIET: dict[str, Any] = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out the values of keys that may name a patient, and show control bytes instead of obeying them."""
    for key, value in event.items():
        if key in REDACTED:
            event[key] = "[redacted]"
        elif isinstance(value, str):
            event[key] = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
    return event


def set_up(level: int = logging.INFO, stream: TextIO = sys.stderr) -> None:
    """One JSON object a line, or coloured lines on a terminal."""
    last: Any = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            redact,
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logging.basicConfig(level=logging.ERROR, stream=stream)


def printable(data: bytes, limit: int = 256) -> str:
    """Raw bytes for people: control bytes as \\xNN, the rest as UTF-8 or Latin-1; cut at `limit` bytes."""
    cut = data[:limit]
    try:
        text = cut.decode()
    except UnicodeDecodeError:
        text = cut.decode("latin-1")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return shown + ("…" if len(data) > limit else "")
