"""Numbers of devices: never one twice, and a table that does not grow without end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.spool import Spool
from edge_agent.spool import sequences as module
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SECOND_US, Clock, cut_all, emitted, put, sequences
from tests.making import T0_US, report


def rows(spool: Spool) -> int:
    assert spool._db is not None
    (count,) = spool._db.execute("SELECT count(*) FROM device").fetchone()
    return int(count)


def numbers(spool: Spool, claim: str) -> list[int]:
    cut_all(spool, T0_US + SECOND_US)
    return sorted(sequences(spool.unreceipted(Lane.LIVE, 0, 100 * MIB)).get(report(claim).device.bytes, []))


def test_a_device_that_left_the_table_and_comes_back_uses_no_number_again(
    make: Callable[..., Spool], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEVICES_MAX", 10)
    monkeypatch.setattr(module, "EVICTED_AT_ONCE", 2)
    spool = make()

    def fold() -> None:
        clock.us += 20 * SECOND_US
        put(spool, report("clockwork"))

    for _ in range(5):
        put(spool, report("quiet"))
    for i in range(3):
        fold()
        put(spool, *(report(f"busy {i}-{n}") for n in range(5)))
    fold()
    assert rows(spool) <= 10
    assert numbers(spool, "quiet") == [1, 2, 3, 4, 5]
    put(spool, report("quiet"), report("new"), report("busy 2-4"))
    # An event says up to where nothing is to be waited for, and takes a number itself.
    assert numbers(spool, "quiet") == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(spool, "new") == [6, 7]
    assert numbers(spool, "busy 0-4") == [1]
    assert numbers(spool, "busy 2-4") == [6, 7, 8]  # new after the first had left
    devices = [device for device, _ in emitted(spool, "sequence-floor")]
    assert devices.count(report("quiet").device.bytes) == devices.count(report("new").device.bytes) == 1
    spool.close()
    again = make()
    put(again, report("quiet"), report("newer"))
    assert numbers(again, "quiet")[-1] == 8
    assert numbers(again, "newer") == [6, 7]


@pytest.mark.parametrize("folds", [False, True])
def test_after_a_kill_a_device_counts_on(make: Callable[..., Spool], tmp_path: Path, clock: Clock, folds: bool) -> None:
    spool = make()
    for i in range(3):
        put(spool, report("a", T0_US + i), report("b", T0_US + i))
        if folds:
            clock.us += 20 * SECOND_US
    shutil.copytree(tmp_path / "spool", tmp_path / "killed")
    killed = make("killed")
    assert killed._db is not None
    assert module.last_numbers(killed._db) == {report("a").device.bytes: 3, report("b").device.bytes: 3}
    put(killed, report("a"), report("b"))
    assert numbers(killed, "a") == numbers(killed, "b") == [1, 2, 3, 4]


def test_what_is_in_memory_is_bounded_too(
    make: Callable[..., Spool], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED_MAX", 3)
    spool = make()
    for i in range(3):
        put(spool, *(report(str(n), T0_US + i) for n in range(9)))
        clock.us += 20 * SECOND_US
    put(spool, report("0"))
    assert spool._sequences is not None
    assert len(spool._sequences._last) == 1
    assert numbers(spool, "0") == [1, 2, 3, 4]
