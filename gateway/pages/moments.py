"""Moments, as scripts take them."""

from __future__ import annotations

from datetime import datetime


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return int(moment.timestamp() * 1000)
