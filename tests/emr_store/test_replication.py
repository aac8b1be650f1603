"""The history of a timeline, as a replication connection tells it."""

from __future__ import annotations

import pytest

from emr_store.replication import timeline_history
from schemas.errors import VitalwireError


def test_the_first_timeline_came_from_none(database: str) -> None:
    assert timeline_history(database, 1) == ""


def test_a_timeline_that_the_server_does_not_know(database: str) -> None:
    with pytest.raises(VitalwireError, match="history of timeline 9"):
        timeline_history(database, 9)
