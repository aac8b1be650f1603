"""Moments, as scripts take them."""

from __future__ import annotations

from datetime import datetime


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return int(moment.timestamp() * 1000)


def milliseconds_or_none(moment: datetime | None) -> int | None:
    """None where there is no such moment."""
    return None if moment is None else milliseconds(moment)
