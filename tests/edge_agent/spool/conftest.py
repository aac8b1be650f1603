from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.spool import Spool
from tests.edge_agent.spool.keeping import MIB, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, clock: Clock, events: list[str]) -> Iterator[Callable[..., Spool]]:
    opened: list[Spool] = []

    def open_spool(folder: str = "spool", bytes_max: int = MIB, hold_s: float = 100, **more: Any) -> Spool:
        spool = Spool(
            tmp_path / folder, bytes_max=bytes_max, receipt_hold_s=hold_s, now_us=clock,
            on_event=lambda slug, text: events.append(slug), **more,
        )  # fmt: skip
        opened.append(spool)
        return spool

    yield open_spool
    for spool in opened:
        spool.close()
