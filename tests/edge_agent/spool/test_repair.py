"""What is damaged is set aside, never deleted, and a fresh spool begins."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.spool import Kept, Spool
from schemas.errors import VitalwireError
from schemas.report import Lane, Record
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, put
from tests.making import T0_US, report


def damage_head(file: Path) -> None:
    with file.open("r+b") as f:
        f.write(b"x" * 100)


def damage_tail(file: Path) -> None:
    with file.open("r+b") as f:
        f.truncate(file.stat().st_size // 2)


def damage_middle(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (size - 8192))


@pytest.mark.parametrize("damage", [damage_head, damage_tail, damage_middle])
def test_a_damaged_file_is_set_aside_and_a_fresh_spool_begins(
    make: Callable[..., Spool], tmp_path: Path, events: list[str], damage: Callable[[Path], None]
) -> None:
    spool = make()
    for i in range(50):
        put(spool, report(at_us=T0_US + i))
    spool.close()
    damage(tmp_path / "spool" / "spool.db")
    before = (tmp_path / "spool" / "spool.db").read_bytes()
    fresh = make()
    (aside,) = (tmp_path / "spool").glob("spool-damaged-*.db")
    assert aside.read_bytes() == before
    assert fresh.spool_id != spool.spool_id
    assert put(fresh, report()) is Kept.KEPT
    assert fresh.figures.reports == 1
    fresh.close()
    assert events == ["spool-damaged"]


def test_damage_that_shows_while_running_is_set_aside_too(
    make: Callable[..., Spool], tmp_path: Path, events: list[str]
) -> None:
    spool = make(bytes_max=64 * MIB)
    for i in range(3):
        put(spool, *[report(str(n), T0_US + i, [Record(150456, mantissa=n)] * 300) for n in range(90)])
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    spool.close()
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sealed'").fetchone()
    db.close()
    with (tmp_path / "spool" / "spool.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\x55" * 4096)
    spool = make(bytes_max=64 * MIB)
    first = spool.spool_id
    assert events == []
    with pytest.raises(VitalwireError, match="malformed"):
        spool.unreceipted(Lane.LIVE, 0, MIB)
    assert put(spool, report()) is Kept.KEPT
    assert spool.spool_id != first
    assert spool.figures.open_batches == 0
    spool.close()
    assert events == ["spool-damaged"]
