"""Which checkpoints of the hospital's log are kept, and what two of them say against each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.spool import KeptCheckpoint, Spool, WitnessedCheckpoint, checkpoints, read_kept, rejected, schema
from edge_agent.spool.checkpoints import HOUR_US, LAG_US
from evidence.checkpoint import Checkpoint, log_origin
from schemas.errors import VitalwireError
from tests.edge_agent.spool.keeping import Clock, put

LOG, OTHER_LOG = log_origin("ward", b"A" * 16), log_origin("ward", b"B" * 16)


def witnessed(size: int, root: bytes = b"", origin: str = LOG, stored_at_us: int = 0) -> WitnessedCheckpoint:
    root = root or size.to_bytes(32)
    return WitnessedCheckpoint(Checkpoint(origin, size, root), b"note %d " % size + root, stored_at_us)


def sizes(kept: list[KeptCheckpoint], origin: str = LOG) -> list[int]:
    return [each.size for each in kept if each.origin == origin]


def test_a_log_that_grows_is_kept_and_nothing_is_said(make: Callable[..., Spool]) -> None:
    spool = make()
    assert spool.witness([witnessed(1), witnessed(5)]) == []
    # Receipts come in any order, and another worker's may be a moment behind.
    assert spool.witness([witnessed(3), witnessed(5), witnessed(5)]) == []
    assert sizes(spool.checkpoints()) == [1, 5]
    spool.close()
    assert sizes(make().checkpoints()) == [1, 5]


def test_another_root_of_the_same_size_is_a_fork_said_once_and_both_are_kept(make: Callable[..., Spool]) -> None:
    spool = make()
    spool.witness([witnessed(5), witnessed(7)])
    (finding,) = spool.witness([witnessed(5, b"x" * 32), witnessed(5, b"x" * 32)])
    assert finding.slug == "log-forked"
    assert LOG in finding.text
    assert "5 entries" in finding.text
    assert "vitalwire edge witness" in finding.text
    kept = [(each.size, each.root[:1], each.contradiction) for each in spool.checkpoints()]
    assert kept == [(5, b"\0", ""), (5, b"x", "log-forked"), (7, b"\0", "")]
    assert spool.witness([witnessed(8)]) == []


def test_a_smaller_one_of_a_later_receipt_says_that_the_log_shrank(make: Callable[..., Spool]) -> None:
    spool = make()
    spool.witness([witnessed(900, stored_at_us=1000)])
    assert spool.witness([witnessed(10, stored_at_us=1000 + LAG_US)]) == []
    (finding,) = spool.witness([witnessed(10, stored_at_us=1001 + LAG_US)])
    assert (finding.slug, "had 900 entries and now has 10" in finding.text) == ("log-shrunk", True)
    # What was seen once more later counts from then.
    spool.witness([witnessed(900, stored_at_us=10 * LAG_US)])
    assert spool.witness([witnessed(11, stored_at_us=11 * LAG_US)]) == []


def test_a_new_log_stands_beside_the_one_before_and_is_said(make: Callable[..., Spool]) -> None:
    spool = make()
    assert spool.witness([witnessed(900, stored_at_us=1)]) == []
    (finding,) = spool.witness([witnessed(1, origin=OTHER_LOG, stored_at_us=10 * LAG_US)])
    assert (finding.slug, OTHER_LOG in finding.text) == ("log-began", True)
    assert spool.witness([witnessed(2, origin=OTHER_LOG, stored_at_us=10 * LAG_US)]) == []
    kept = spool.checkpoints()
    assert (sizes(kept), sizes(kept, OTHER_LOG)) == ([900], [1, 2])
    assert [each.contradiction for each in kept] == ["", "", ""]


def test_the_newest_and_one_an_hour_are_kept(
    make: Callable[..., Spool], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "THIN_EVERY", 1)
    monkeypatch.setattr(checkpoints, "_THIN", checkpoints._THIN.replace("OFFSET 100", "OFFSET 3"))
    spool = make()
    clock.us = clock.us // HOUR_US * HOUR_US
    for size in range(1, 41):
        spool.witness([witnessed(size)])
        clock.us += HOUR_US // 10
    assert sizes(spool.checkpoints()) == [1, 11, 21, 31, 38, 39, 40]


def test_a_log_that_grows_for_long_is_thinned_now_and_then(make: Callable[..., Spool]) -> None:
    spool = make()
    for first in range(1, 1000, 7):
        spool.witness([witnessed(size) for size in range(first, first + 7)])
    kept = sizes(spool.checkpoints())
    assert kept[0] == 1
    assert checkpoints.NEWEST_KEPT <= len(kept) <= checkpoints.NEWEST_KEPT + checkpoints.THIN_EVERY + 7
    assert kept[-checkpoints.NEWEST_KEPT :] == list(range(1002 - checkpoints.NEWEST_KEPT, 1002))


def test_their_number_is_bounded_and_no_log_loses_its_newest(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "THIN_EVERY", 1)
    monkeypatch.setattr(checkpoints, "_BOUND", checkpoints._BOUND.replace("- 2000)", "- 5)"))
    spool = make()
    spool.witness([witnessed(size) for size in range(1, 5)])
    spool.witness([witnessed(size, origin=OTHER_LOG) for size in range(1, 10)])
    kept = spool.checkpoints()
    assert (sizes(kept), sizes(kept, OTHER_LOG)) == ([4], [6, 7, 8, 9])
    spool.witness([witnessed(4, n.to_bytes(32)) for n in range(500, 700)])
    assert len([each for each in spool.checkpoints() if each.contradiction]) == checkpoints.CONTRADICTIONS_MAX


def test_a_spool_that_is_held_in_the_version_before_keeps_none(make: Callable[..., Spool], tmp_path: Path) -> None:
    before = schema.SCHEMA.replace(checkpoints.SCHEMA, "SELECT 1").replace(rejected.SCHEMA, "SELECT 1")
    folder = tmp_path / "spool"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "spool.db")) as db:
        db.executescript(f"{before}; PRAGMA user_version = {checkpoints.SINCE_VERSION - 1}")
    spool = make(hold_version=True)
    assert spool.witness([witnessed(1)]) == []
    assert spool.checkpoints() == []
    spool.close()
    assert read_kept(folder) == []
    spool = make()
    spool.witness([witnessed(1)])
    assert sizes(spool.checkpoints()) == [1]


def test_they_are_read_while_no_agent_runs(make: Callable[..., Spool], tmp_path: Path) -> None:
    spool = make()
    put(spool)
    spool.witness([witnessed(3)])
    with pytest.raises(VitalwireError, match="in use by an agent that does not answer"):
        read_kept(tmp_path / "spool")
    kept = spool.checkpoints()
    spool.close()
    assert read_kept(tmp_path / "spool") == kept
    with pytest.raises(VitalwireError, match=r"cannot be read .*is `spool` in the configuration right"):
        read_kept(tmp_path / "another")
