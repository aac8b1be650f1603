"""The spool: what is kept stays kept, in order, whatever happens to its process or its file."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.spool import Kept, Spool
from evidence.seal import FIRST_PREVIOUS, batch_id, open_sealed, signed_by
from schemas.errors import VitalwireError
from schemas.report import Lane
from tests.edge_agent.spool.keeping import KEY, MIB, SEAL, SECOND_US, cut_all, delivery, in_lane, put, sequences
from tests.making import T0_US, report


def test_a_batch_is_sealed_signed_and_chained_and_comes_back_the_same(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        assert put(spool, report(at_us=T0_US + i), report("other", at_us=T0_US + i)) is Kept.KEPT
        assert spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = spool.unreceipted(Lane.LIVE, 0, 10 * MIB)
    previous = FIRST_PREVIOUS
    for number, sealed in batches:
        header, table = open_sealed(sealed)
        assert (header.batch_no, header.previous, header.lane, header.spool) == (number, previous, 1, spool.spool_id)
        assert signed_by(sealed, KEY.public_der)
        assert len(table) == 2
        assert (
            table.encoded_report(0)[16:64] != table.encoded_report(1)[16:64]
        )  # salts, and the hashes of the one frame with them
        previous = batch_id(sealed)
    assert [n for n, _ in batches] == [1, 2, 3]
    assert set(map(tuple, sequences(batches).values())) == {(1, 2, 3)}
    spool.close()
    again = make()
    assert again.unreceipted(Lane.LIVE, 0, 10 * MIB) == batches  # killed after the broker's word: the same bytes again
    assert again.spool_id == spool.spool_id
    assert [n for n, _ in again.unreceipted(Lane.LIVE, 1, 1)] == [2]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(["put", "put", "put-many", "cut", "copy"]), min_size=1, max_size=25), data=st.data()
)
def test_whatever_happens_sequences_have_no_gap_and_nothing_kept_is_lost(
    steps: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`copy` stands for SIGKILL: the files as they lie there while the process runs are opened by another."""
    root, now_us = tmp_path_factory.mktemp("spool"), T0_US
    folders = (root / str(i) for i in count())
    spool = Spool(folder := next(folders), bytes_max=10 * MIB, receipt_hold_s=100)
    kept: dict[bytes, int] = defaultdict(int)
    for step in [*steps, "cut"]:
        now_us += data.draw(st.sampled_from([1, SECOND_US, 20 * SECOND_US]))
        if step.startswith("put"):
            claims = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3))
            outcomes: SimpleQueue[Kept] = SimpleQueue()
            frames = 1 if step == "put" else 20
            for _ in range(frames):
                spool.put([report(c, now_us) for c in claims], done=outcomes.put)
            assert [outcomes.get(timeout=10) for _ in range(frames)] == [Kept.KEPT] * frames
            for claim in claims:
                kept[report(claim).device.bytes] += frames
        elif step == "cut":
            cut_all(spool, now_us)
        else:
            shutil.copytree(folder, folder := next(folders))
            spool.close()
            spool = Spool(folder, bytes_max=10 * MIB, receipt_hold_s=100)
    cut_all(spool, now_us + SECOND_US)
    found: dict[bytes, list[int]] = defaultdict(list)
    for lane in Lane:
        batches = spool.unreceipted(lane, 0, 100 * MIB)
        assert [n for n, _ in batches] == list(range(1, len(batches) + 1))
        for device, numbers in sequences(batches).items():
            found[device] += numbers
    assert {d: sorted(n) for d, n in found.items()} == {d: list(range(1, n + 1)) for d, n in kept.items()}
    assert spool.figures.reports == spool.figures.report_bytes == 0
    spool.close()


@pytest.mark.parametrize("percent", [0, 3, 20, 50, 77, 96, 99])
def test_a_truncated_log_leaves_a_prefix(make: Callable[..., Spool], tmp_path: Path, percent: int) -> None:
    spool = make()
    for i in range(20):
        put(spool, report(at_us=T0_US + i), report("other", T0_US + i))
    shutil.copytree(tmp_path / "spool", tmp_path / "torn")
    log = tmp_path / "torn" / "spool.db-wal"
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size * percent // 100)
    torn = make("torn")
    kept = torn.figures.reports
    assert kept % 2 == 0  # whole transactions
    assert percent < 96 or kept >= 30
    put(torn, report(at_us=T0_US + 100), report("other", T0_US + 100))
    torn.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    numbers = sequences(torn.unreceipted(Lane.LIVE, 0, MIB))
    assert list(numbers.values()) == [list(range(1, kept // 2 + 2))] * 2


def test_one_agent_at_a_time_and_no_newer_file(make: Callable[..., Spool], tmp_path: Path) -> None:
    spool = make()
    with pytest.raises(VitalwireError, match="another agent"):
        make()
    spool.close()
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(VitalwireError, match="newer"):
        make()
    assert not list((tmp_path / "spool").glob("spool-damaged-*"))


def test_a_spool_knows_when_its_agent_was_last_at_work(make: Callable[..., Spool]) -> None:
    def opened_at() -> int | None:
        spool = make()
        spool.close()
        return spool.last_at_work_us

    assert opened_at() is None
    spool = make()
    put(spool, report(at_us=T0_US))
    put(spool, report(at_us=T0_US - SECOND_US))
    spool.close()
    assert opened_at() == report(at_us=T0_US).received_at_us
    spool = make()
    cut_all(spool, T0_US + 7 * SECOND_US)
    spool.close()
    assert opened_at() == T0_US + 7 * SECOND_US
    spool = make()
    put(spool, in_lane(Lane.WAVEFORM, at_us=T0_US + 8 * SECOND_US))
    spool.close()
    assert opened_at() == report(at_us=T0_US + 8 * SECOND_US).received_at_us


def test_a_full_disk_refuses_and_keeps_nothing_of_the_group(make: Callable[..., Spool], events: list[str]) -> None:
    spool = make(bytes_max=100 * MIB)
    put(spool, report())
    assert spool._db is not None
    (pages,) = spool._db.execute("PRAGMA page_count").fetchone()
    spool._db.execute(f"PRAGMA max_page_count = {pages + 12}")  # SQLite's own "database or disk is full"
    kept = 1
    while put(spool, report(at_us=T0_US + kept), sender="s", frame=struct.pack("Q", kept)) is Kept.KEPT:
        kept += 1
    assert events == ["spool-full"]
    assert spool.figures.reports == kept
    with pytest.raises(VitalwireError, match="full"):
        cut_all(spool, T0_US + SECOND_US)
    spool._db.execute("PRAGMA max_page_count = 1000000")
    # The one that was refused is no repeat: nothing of its transaction counts.
    assert put(spool, report(at_us=T0_US + kept), sender="s", frame=struct.pack("Q", kept)) is Kept.KEPT
    cut_all(spool, T0_US + SECOND_US)
    assert list(sequences(spool.unreceipted(Lane.LIVE, 0, MIB)).values()) == [list(range(1, kept + 2))]


def test_of_a_transaction_that_failed_late_nothing_counts(make: Callable[..., Spool]) -> None:
    spool = make()
    assert spool._db is not None
    put(spool, report())

    def refuse_the_last_statement(action: int, table: str | None, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if (action, table) == (sqlite3.SQLITE_UPDATE, "meta") else sqlite3.SQLITE_OK

    spool._db.set_authorizer(refuse_the_last_statement)
    assert put(spool, report(), sender="s") is Kept.FULL
    assert spool.figures.reports == 1
    spool._db.set_authorizer(None)
    cut_all(spool, T0_US + SECOND_US)  # another transaction makes nothing of it good
    assert put(spool, report(), sender="s") is Kept.KEPT
    cut_all(spool, T0_US + SECOND_US)
    assert list(sequences(spool.unreceipted(Lane.LIVE, 0, MIB)).values()) == [[1, 2]]


def test_what_comes_after_the_end_is_not_acknowledged(make: Callable[..., Spool]) -> None:
    spool = make()
    put(spool, report())
    spool.close()
    assert put(spool, report()) is Kept.FULL


def test_all_outcomes_of_a_commit_are_told_at_one_time(make: Callable[..., Spool]) -> None:
    outcomes: SimpleQueue[list[tuple[object, Kept]]] = SimpleQueue()
    spool = make(on_settled=outcomes.put)

    def unused(kept: Kept) -> None:
        raise AssertionError

    others = [lambda _, n=n: n for n in range(20)]
    for done in others:
        spool.put([report()], delivery(b"same", "sender"), done)
    settled = outcomes.get(timeout=10)
    while len(settled) < len(others):
        settled += outcomes.get(timeout=10)
    assert settled == [(done, Kept.DUPLICATE if n else Kept.KEPT) for n, done in enumerate(others)]
    spool.close()
    spool.put([report()], done=unused)
    assert outcomes.get(timeout=10) == [(unused, Kept.FULL)]


def test_what_is_proved_is_no_resend(make: Callable[..., Spool]) -> None:
    """Two connections, the same bytes without a time of their own."""

    def send(connection: int) -> Kept:
        outcomes: SimpleQueue[Kept] = SimpleQueue()
        timeless = msgspec.structs.replace(report(), own_time=False)
        spool.put([timeless], replace(delivery(b"x", "sender", connection), token=0), outcomes.put)
        return outcomes.get(timeout=10)

    spool = make()
    assert send(1) is Kept.KEPT
    assert send(2) is Kept.DUPLICATE  # the answer to the first may have been lost
    spool.prove(2, range(1))
    assert send(3) is Kept.KEPT
    spool.prove(3, range(1))
    spool.close()  # a proof that waits for no frame is kept too
    spool = make()
    assert send(4) is Kept.KEPT
