"""A store that nobody changed gives no finding, whatever came twice, is under way, was dropped or is left out."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from emr_store import batch_proof, proof, registry
from emr_store.connect import open_store, open_store_async
from emr_store.retention import Keep, drop_old
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer
from emr_store.verification import Verification
from evidence.verification import OutsideCheckpoint
from schemas.block import Block
from schemas.report import Lane, Record, device_id
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.adt import group
from tests.attributing import adt_report
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed
from tests.storing import Store, event
from tests.verifying import FIRST, SECOND, SECOND_US, Ward, checkpoint_of, masked, revalidate, summarise, verify, vitals


@pytest.fixture
def ward(database: str) -> Ward:
    return Ward(database)


def lines(result: Verification) -> list[str]:
    return [masked(f"{f.where}: {f.what}") for f in result.findings]


def a_minute(ward: Ward, minute: int) -> None:
    first_us = T0_US + minute * 60 * SECOND_US
    ward.emit(*(vitals(claim, first_us + at * 10 * SECOND_US) for at in range(6) for claim in (FIRST, SECOND)))


def changing(ward: Ward, first_us: int) -> None:
    """A batch of a device that sends only what changed: more lists than it may have."""
    ward.emit(*(
        report("ward:changing:1", first_us + choice * SECOND_US,
               [Record(SPO2, PERCENT, channel=c, mantissa=90 + c) for c in range(3) if choice >> c & 1])
        for choice in range(1, 8)
    ))  # fmt: skip


def test_an_empty_store_has_no_finding(ward: Ward) -> None:
    assert lines(verify(ward.address)) == []
    ward.seal_log()
    assert lines(verify(ward.address)) == []


def test_batches_that_came_twice_are_no_finding(ward: Ward) -> None:
    """In a block of their own, with new ones, and with the flag GAP changed since."""
    one, two, three = (ward.seal(vitals(FIRST, T0_US + at)) for at in range(3))
    ward.write([ward.validate(one, three)])  # three comes after a gap
    ward.write([ward.validate(one), ward.validate(two, three)])
    ward.write([ward.validate(three, ward.seal(vitals(FIRST, T0_US + 9)), one)])
    ward.seal_log()
    result = verify(ward.address)
    assert lines(result) == []
    assert (result.counts["batches"], result.counts["duplicates"]) == (4, 3)


def test_two_batches_with_one_number_are_no_finding(ward: Ward) -> None:
    ward.emit(vitals(FIRST, T0_US))
    ward.batch_no -= 1
    ward.emit(vitals(FIRST, T0_US + 5))
    assert lines(verify(ward.address)) == []


def test_the_renewal_of_an_expired_key_is_no_finding(ward: Ward) -> None:
    """Nor is what the key sealed between its end and the renewal; another end than that of the act is one."""
    edge, expired, now = UUID(int=8), Key(), datetime.now(UTC)
    with ward.open() as conn:
        registry.add_edge(conn, edge, "box 3", expired.public_der, now - timedelta(days=40))
        registry.renew_edge(conn, edge, Key().public_der, timedelta(days=30))
        keys = {k.key_id: EdgeKey(k.edge.bytes, *k[2:]) for k in registry.edge_keys(conn)}
    yesterday_us, now_us = (int(moment.timestamp()) * SECOND_US for moment in (now - timedelta(days=1), now))
    batch = sealed([vitals(FIRST, yesterday_us)], expired, edge=edge.bytes, created_at_us=yesterday_us)
    (block,) = validate("live.raw", [batch], Memory(keys), now_us + 60 * SECOND_US)
    assert isinstance(block, Block)
    signed = open_message(sign_block(block, ward.platform.key_id, ward.platform.sign, now_us), ward.platform.public_der)
    assert isinstance(signed, SignedBlock)
    ward.write([signed])
    ward.seal_log()
    result = verify(ward.address)
    assert lines(result) == []
    assert result.counts["batches"] == 1
    ward.rows(
        "UPDATE edge_key SET valid_until = valid_until + interval '1 day' WHERE isfinite(valid_until) RETURNING 1"
    )
    assert [line.partition(": ")[2] for line in lines(verify(ward.address))] == [
        "its edge, or how long it is valid, is not what the act in the log says"
    ]


def test_a_spool_put_back_twice_is_no_finding(ward: Ward) -> None:
    """Its chain forks, and what was cut again comes in any order."""
    ward.emit(vitals(FIRST, T0_US))
    ward.emit(vitals(FIRST, T0_US + 1))
    number, previous = ward.batch_no, ward.previous
    ward.emit(vitals(FIRST, T0_US + 2))
    for fork in range(1, 4):
        ward.batch_no, ward.previous = number, previous
        again = [ward.seal(vitals(FIRST, T0_US + 10 * fork + at)) for at in range(3)]
        ward.write([ward.validate(again[1])])
        ward.write([ward.validate(again[0], again[2])])
    assert lines(verify(ward.address)) == []


def test_events_empty_reports_and_odd_moments_are_no_finding(ward: Ward) -> None:
    in_1970, in_2199 = 1_000_000, 7_250_000_000_000_000
    ward.emit(event(FIRST, "connected", "ttyUSB0"), event("edge:1", "counts", '{"clock_offset_ms": 5}'))
    reports = [vitals(FIRST, T0_US), vitals(FIRST, in_1970), vitals(FIRST, in_2199), vitals(SECOND, T0_US)]
    reports[3] = type(reports[3])(**{f: getattr(reports[3], f) for f in reports[3].__struct_fields__} | {"records": ()})
    for odd, moment in ((reports[1], in_1970), (reports[2], in_2199)):
        assert odd.observed_at_us == moment
    ward.emit(*reports)
    ward.seal_log()
    summarise(ward.address)
    result = verify(ward.address)
    assert lines(result) == []
    assert result.counts["report"] == 6


def test_edges_whose_clock_is_ahead_are_no_finding(ward: Ward) -> None:
    """Ahead for a while, in one batch and over several, put right, ahead anew; another device is on time."""
    now_us = time.time_ns() // 1000
    hour_us = 3600 * SECOND_US
    ward.emit(vitals(FIRST, now_us + hour_us), vitals(FIRST, now_us + hour_us // 2), vitals(SECOND, T0_US))
    assert lines(verify(ward.address)) == []
    for ahead_us in (0, hour_us, -hour_us):
        ward.emit(vitals(FIRST, now_us + ahead_us), vitals(SECOND, T0_US + 1))
        assert lines(verify(ward.address)) == []
    (newest,) = ward.rows("SELECT batch FROM latest JOIN device USING (device) WHERE uuid = %s", device_id(FIRST))
    assert newest == (3,)
    ward.rows("UPDATE latest SET stored_at = stored_at + interval '1 s' WHERE batch = 3 RETURNING 1")
    assert [f.what for f in verify(ward.address).findings] == ["it is not what the report that it points to says"]


def test_rows_that_are_not_committed_yet_are_no_finding(ward: Ward) -> None:
    """One moment: neither the rows, nor the batches, nor the latest values of what commits meanwhile."""
    a_minute(ward, 0)
    ward.seal_log()
    looked: list[tuple[int, int]] = []
    after = batch_proof.BatchProof.open

    def store_while_looking(self: batch_proof.BatchProof, first: int, last: int) -> batch_proof.Window:
        looked.append((first, last))
        a_minute(ward, len(looked))
        ward.seal_log()
        summarise(ward.address)
        return after(self, first, last)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(batch_proof.BatchProof, "open", store_while_looking)
        result = verify(ward.address)
    assert looked
    assert lines(result) == []
    assert result.counts["batches"] == 1
    assert lines(verify(ward.address)) == []


def test_verify_beside_writers_at_full_load_finds_nothing(ward: Ward) -> None:
    """Two writers, the sealer and the summariser at work, while it is looked at again and again."""
    stop = threading.Event()
    moments = [T0_US + second * SECOND_US for second in range(400)]
    blocks = [ward.validate(ward.seal(vitals(FIRST, at_us), vitals(SECOND, at_us))) for at_us in moments]

    def store(first: int) -> None:
        """Every second block, each with the one after it: the other writer brings half of them too."""
        with ward.open() as conn:
            writer = Writer(conn)
            for at in range(first, len(blocks), 2):
                if stop.is_set():
                    return
                writer.store(blocks[at : at + 2], [])

    def seal_and_summarise() -> None:
        while not stop.is_set():
            ward.seal_log()
            summarise(ward.address)

    with ThreadPoolExecutor() as pool:
        working = [pool.submit(store, 0), pool.submit(store, 1), pool.submit(seal_and_summarise)]
        seen = set()
        try:
            for _ in range(6):
                result = verify(ward.address, ward.trust(*filter(None, [checkpoint_of(ward.address)])))
                assert lines(result) == []
                seen.add(result.counts["batches"])
        finally:
            stop.set()
        for each in working:
            each.result()
    assert lines(verify(ward.address)) == []
    assert len(seen) > 1  # it was stored meanwhile


def test_windows_cut_anywhere_find_the_same(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_proof, "WINDOW_BYTES", 1)
    for minute in range(5):
        a_minute(ward, minute)
    ward.seal_log()
    result = verify(ward.address)
    assert lines(result) == []
    assert (result.counts["batches"], result.counts["report"]) == (5, 60)
    with ward.open() as conn, conn.transaction(force_rollback=True):
        conn.execute("UPDATE report SET value[1] = 1 WHERE batch = 3 AND leaf = 0")
        conn.execute("UPDATE report SET batch = 77 WHERE batch = 5 AND leaf = 1")
        assert [line.split(":")[0] for line in lines(verify(conn))][:3] == [
            "batch ID (edge 45454545, live, number 3) leaf 0", "batch number 77 of this database leaf 1",
            "batch ID (edge 45454545, live, number 5) leaf 1",
        ]  # fmt: skip


def test_since_looks_at_what_was_stored_since(ward: Ward) -> None:
    for minute in range(4):
        a_minute(ward, minute)
    ward.seal_log()
    now = datetime.now(UTC)
    ward.rows("UPDATE batch SET stored_at = now() - interval '1 day' WHERE batch <= 2 RETURNING 1")
    result = verify(ward.address, since=now - timedelta(hours=1))
    assert lines(result) == []
    assert (result.counts["batches"], result.counts["report"], result.counts["seals"]) == (2, 24, 2)
    before = "all up to batch ID (edge 45454545, live, number 2): it was stored before, and was not looked at"
    assert before in map(masked, result.not_proved)
    assert any(line.startswith("the ledger's ranges and sums") for line in result.not_proved)
    ward.rows("UPDATE report SET value[1] = 1 WHERE batch = 2 RETURNING 1")
    assert lines(verify(ward.address, since=now - timedelta(hours=1))) == []
    assert len(lines(verify(ward.address))) > 10
    ward.rows("UPDATE report SET value[1] = 1 WHERE batch = 3 AND leaf = 0 RETURNING 1")
    assert len(lines(verify(ward.address, since=now - timedelta(hours=1)))) > 0
    assert verify(ward.address, since=now + timedelta(hours=1)).counts["batches"] == 0


def test_from_a_checkpoint_looks_at_what_came_after_it(ward: Ward) -> None:
    a_minute(ward, 0)
    a_minute(ward, 1)
    ward.seal_log()
    after = OutsideCheckpoint("monday.note", checkpoint_of(ward.address))
    a_minute(ward, 2)
    ward.seal_log(T0_US + 60 * SECOND_US)
    a_minute(ward, 3)
    result = verify(ward.address, after=after)
    assert lines(result) == []
    assert (result.counts["batches"], result.counts["outside checkpoints"]) == (2, 1)
    before = "all up to batch ID (edge 45454545, live, number 2): it was stored before, and was not looked at"
    assert before in map(masked, result.not_proved)
    assert "1 seals are not in the log yet: their order is not proved" in result.not_proved
    ward.rows("UPDATE log_entry SET leaf_hash = sha256('x') WHERE position = 2 RETURNING 1")
    assert any(f.where == "checkpoint file monday.note" for f in verify(ward.address, after=after).findings)


def test_what_retention_took_is_listed_and_no_finding(ward: Ward) -> None:
    for minute in range(3):
        a_minute(ward, minute)
    ward.seal_log()
    summarise(ward.address)
    ward.rows("UPDATE day_stored SET first_stored_at = now() - interval '9 d', last_stored_at = now() - interval '9 d'"
              " RETURNING 1")  # fmt: skip

    async def drop() -> None:
        async with await open_store_async(ward.address) as conn:
            await drop_old(conn, Keep(reports=1))

    asyncio.run(drop())
    assert ward.rows("SELECT count(*) FROM report") == [(0,)]
    result = verify(ward.address)
    assert lines(result) == []
    assert "the rows of 36 reports: retention took them; their bytes were checked" in result.not_proved
    a_minute(ward, 5)  # into the same partition
    assert lines(verify(ward.address)) == []


def test_devices_that_send_only_what_changed_are_no_finding(ward: Ward) -> None:
    """Nor when the rows, and then the bytes, are taken by retention, or only what is new is looked at."""
    changing(ward, T0_US)
    changing(ward, T0_US + 20 * SECOND_US)
    summarise(ward.address)
    ward.seal_log()
    changing(ward, T0_US + 40 * SECOND_US)
    assert lines(verify(ward.address)) == []
    since = verify(ward.address, after=OutsideCheckpoint("monday.note", checkpoint_of(ward.address)))
    assert (lines(since), since.counts["batches"]) == ([], 1)
    with ward.open() as conn:
        conn.execute("DELETE FROM report")
        conn.execute("TRUNCATE minute_touched, report_minute")
        conn.execute("INSERT INTO dropped VALUES ('report', '2026-01-01', '2027-01-01', 3)")
        assert lines(verify(ward.address)) == []
        conn.execute("DELETE FROM batch_body")
        conn.execute("INSERT INTO dropped_body VALUES (1, 0, 4, now(), now())")
    assert lines(verify(ward.address)) == []


def test_bodies_that_retention_took_are_listed_and_no_finding(ward: Ward) -> None:
    for minute in range(3):
        a_minute(ward, minute)
    ward.seal_log()
    with ward.open() as conn:
        conn.execute("DELETE FROM batch_body WHERE batch < 3")
        conn.execute("DELETE FROM report WHERE batch < 3")
        conn.execute("TRUNCATE minute_touched, report_minute")
        conn.execute("INSERT INTO dropped_body VALUES (1, 0, 3, now(), now())")
        conn.execute("INSERT INTO dropped VALUES ('report', '2026-01-01', '2027-01-01', 2)")
    result = verify(ward.address)
    assert lines(result) == []
    assert (result.emptied, result.batches) == (2, 1)
    assert any(line.startswith("the bytes of 2 batches") for line in result.not_proved)


def test_words_of_channels_are_held_against_their_batches_though_bytes_of_the_lane_adt_were_dropped(ward: Ward) -> None:
    ward.fill()
    ward.emit(adt_report(group("A01", 0)), lane=Lane.ADT)
    ward.seal_log()
    ward.rows("UPDATE batch SET stored_at = stored_at - interval '31 d' WHERE lane = 4 RETURNING 1")

    async def drop() -> None:
        async with await open_store_async(ward.address) as conn:
            await drop_old(conn, Keep(adt_batches=30))

    asyncio.run(drop())
    result = verify(ward.address)
    assert (lines(result), result.emptied) == ([], 1)
    ward.rows("INSERT INTO channel SELECT device, channel + 1, code, words, digest, since, batch, leaf FROM channel"
              " RETURNING 1")  # fmt: skip
    assert any("no report gave it these words" in line for line in lines(verify(ward.address)))


def test_progress_and_what_is_not_given_are_said(ward: Ward) -> None:
    a_minute(ward, 0)
    steps: list[str] = []
    with open_store(ward.address) as conn:
        result = proof.verify(conn, revalidate=revalidate, on_progress=lambda what, *_: steps.append(what))
        assert {"values", "minutes"} <= set(steps)
        assert [line.split("(")[-1] for line in result.not_proved[:3]] == [
            "give --platform-key)", "give --trust)", "--checkpoint)"
        ]  # fmt: skip
        without = proof.verify(conn)
        assert "that validation of the bytes gives these results: it was not computed again" in without.not_proved


def test_a_store_that_is_wrong_everywhere_is_not_read_for_ever(ward: Ward) -> None:
    for minute in range(100):
        a_minute(ward, minute)
    ward.rows("UPDATE report SET value[1] = 1 RETURNING 1")
    result = verify(ward.address)
    assert result.is_full
    assert len(result.findings) < 1100


def test_the_store_of_other_tests_is_honest(database: str) -> None:
    """Its batches do not name each other; that is no finding."""
    store = Store(database)
    for at in range(3):
        store.emit(vitals(FIRST, T0_US + at))
    assert lines(verify(store.address)) == []
    with psycopg.connect(store.address) as conn:
        assert conn.execute("SELECT count(*) FROM batch").fetchone() == (3,)
