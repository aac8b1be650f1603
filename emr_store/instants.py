"""Microseconds since 1970 UTC, as the record counts them, and PostgreSQL's moments, which are as exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@overload
def moment(at_us: int) -> datetime: ...
@overload
def moment(at_us: int | None) -> datetime | None: ...
def moment(at_us: int | None) -> datetime | None:
    """None stays None: an end that is not known."""
    return None if at_us is None else EPOCH + at_us * _US


@overload
def us_of(at: datetime) -> int: ...
@overload
def us_of(at: datetime | None) -> int | None: ...
def us_of(at: datetime | None) -> int | None:
    """Exact, where `timestamp()` would round."""
    return None if at is None else (at - EPOCH) // _US
