"""Seen keys: what was committed within the hour is found, whatever failed in between, and nothing else."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent import seen
from edge_agent.seen import SeenKeys

WINDOW_US = 1000


def open_file(path: str = ":memory:") -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        db.executescript(seen.SCHEMA)
    return db


def key(number: int) -> bytes:
    return sha256(number.to_bytes(4)).digest()[: seen.KEY_BYTES]


_steps = st.lists(
    st.tuples(
        st.sampled_from(["commit", "commit", "commit", "fail", "tidy", "reopen"]),
        st.lists(st.integers(0, 30), max_size=6),
        st.integers(0, 400),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(_steps, st.sampled_from([1, 3, 1000]))
def test_it_knows_what_a_plain_table_knows(steps: list[tuple[str, list[int], int]], run_keys: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "RUN_KEYS_MIN", run_keys)
        patch.setattr(seen, "RUN_KEYS_MAX", 2 * run_keys)
        db = open_file()
        keys, known, now_us = SeenKeys(db), dict[bytes, int](), 10_000
        for step, numbers, later_us in steps:
            now_us += later_us
            since_us = now_us - WINDOW_US
            asked = [key(n) for n in numbers]
            if step == "reopen":  # rows that were made one have the moment of the newest: see `tidy`
                keys = SeenKeys(db)
            db.execute("BEGIN")
            found = keys.begin(asked, since_us)
            if step == "tidy":
                keys.tidy(since_us)
            assert {k for k in asked if known.get(k, 0) >= since_us} <= found
            assert found <= set(known)
            for each in asked:
                keys.add(each, now_us)
                assert each in keys.added
            keys.write(now_us)
            if step == "fail":
                db.execute("ROLLBACK")
            else:
                db.execute("COMMIT")
                known |= dict.fromkeys(asked, now_us)


def test_what_is_older_than_the_window_is_not_found_and_leaves_the_file() -> None:
    db = open_file()
    keys = SeenKeys(db)
    for at_us in (100, 200):
        keys.begin([], 0)
        keys.add(key(at_us), at_us)
        keys.write(at_us)
    assert keys.begin([key(100), key(200)], 101) == {key(200)}
    keys.tidy(101)
    assert len(keys) == 1
    assert keys.begin([key(100), key(200)], 0) == {key(200)}
    keys.begin([], 0)
    keys.tidy(201)
    assert db.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    assert len(keys) == 0


def test_it_is_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "KEYS_MAX", 100)
    monkeypatch.setattr(seen, "KEYS_LEFT", 90)
    db = open_file()
    keys = SeenKeys(db)
    for n in range(150):
        keys.begin([], 0)
        keys.add(key(n), n)
        keys.write(n)
    keys.begin([], 0)
    keys.tidy(0)
    assert keys.begin([key(n) for n in range(150)], 0) == {key(n) for n in range(60, 150)}
    assert SeenKeys(db).begin([key(n) for n in range(150)], 0) >= {key(n) for n in range(60, 150)}


def test_its_rows_are_few_and_all_is_found_after_a_restart(tmp_path: Path) -> None:
    db = open_file(str(tmp_path / "seen.db"))
    keys = SeenKeys(db)
    for n in range(50):
        db.execute("BEGIN")
        keys.begin([], 0)
        if n % 10 == 9:
            keys.tidy(0)
        for i in range(100):
            keys.add(key(n * 100 + i), n)
        keys.write(n)
        db.execute("COMMIT")
    assert db.execute("SELECT count(*) FROM seen").fetchone()[0] <= 5 + 10
    assert SeenKeys(db).begin([key(n) for n in range(5_001)], 0) == {key(n) for n in range(5_000)}
