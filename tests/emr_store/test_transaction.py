import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import psycopg
import pytest
import zstandard

from emr_store import channels, conservation, registry
from emr_store.connect import open_store, open_store_async
from emr_store.latest import latest
from emr_store.latest import latest as latest_values
from emr_store.migrate import migrate
from emr_store.outbox import delivered, waiting
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer, Written
from evidence.block_seal import read_seal, validation_leaf
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from evidence.seal import batch_id
from evidence.tree import merkle_root
from schemas.block import Block, ReportFlag, ValidationResult
from schemas.report import AsSent, ClockQuality, Kind, Lane, Record, RecordKind, Report, Samples, Validity
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import PERCENT, SPO2, T0_US, Key, of_newer_layout, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
NOW_US = T0_US + 1_000_000
REGISTRY = {EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)}


@pytest.fixture
def store(database: str) -> str:
    migrate(database)
    with open_store(database) as conn:
        registry.note_platform_key(conn, PLATFORM.public_der)
        registry.add_edge(conn, UUID(bytes=b"E" * 16), "box", EDGE_KEY.public_der)
        conn.execute("DELETE FROM unlogged")  # the edge's registration
    return database


def validated(*messages: bytes) -> list[SignedBlock]:
    """Through validate and the check of store, as a broker would carry them."""
    out = []
    for block in validate("live.raw", messages, Memory(REGISTRY), NOW_US):
        assert isinstance(block, Block)
        opened = open_message(sign_block(block, PLATFORM.key_id, PLATFORM.sign, NOW_US), PLATFORM.public_der)
        assert isinstance(opened, SignedBlock)
        out.append(opened)
    return out


def write(store: str, blocks: Sequence[SignedBlock], dead_letters: Sequence[DeadLetter] = ()) -> Written:
    with open_store(store) as conn:
        return Writer(conn).store(blocks, dead_letters)


def receipts(store: str) -> list[tuple[bytes, ReceiptOutcome]]:
    async def run() -> list[tuple[bytes, ReceiptOutcome]]:
        async with await open_store_async(store) as conn:
            return [(row.batch_id, row.outcome) for row in await waiting(conn)]

    return asyncio.run(run())


def rows(store: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(store) as conn:
        return conn.execute(sql.encode()).fetchall()


def test_a_batch_becomes_rows_and_a_receipt(store: str) -> None:
    message = sealed([report(), report(at_us=T0_US + 1_000_000)], EDGE_KEY)
    written = write(store, validated(message))
    assert (written.reports, written.values, written.batches) == (2, 4, 1)
    found = rows(
        store, "SELECT metric, value, decimals, unit, validation_result FROM observation ORDER BY observed_at, record"
    )
    assert [(f[0], f[1], f[2], f[4]) for f in found] == [
        ("MDC_PULS_OXIM_SAT_O2", 97.0, 0, 0),
        ("MDC_PULS_OXIM_PULS_RATE", 72.0, -1, 0),
    ] * 2
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)]
    with open_store(store) as conn:
        latest = latest_values(conn)
        assert [(v.code, v.value, v.decimals) for v in latest] == [(149530, 72.0, -1), (150456, 97.0, 0)]
        (stream,) = conservation.streams(conn)
        assert (stream.reports, stream.accepted, stream.gaps, stream.kept) == (2, 4, 0, "{[1,2)}")
        assert [(s.last, s.stored) for s in conservation.sequences(conn)] == [(2, 2)]


def test_a_batch_that_comes_again_stores_nothing_and_gets_its_receipt_again(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    write(store, validated(message))
    again = write(store, [*validated(message), *validated(message)])
    assert (again.reports, again.duplicates) == (0, 2)
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)] * 3
    assert rows(store, "SELECT count(*) FROM report") == [(1,)]
    assert rows(store, "SELECT reports, duplicates FROM ledger") == [(1, 2)]


def test_the_same_batch_twice_in_one_chunk_is_stored_once(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    written = write(store, validated(message, message))
    assert (written.reports, written.duplicates) == (1, 1)
    assert rows(store, "SELECT count(*) FROM report") == [(1,)]


def test_two_batches_with_one_number_are_both_kept(store: str) -> None:
    first, second = sealed([report()], EDGE_KEY), sealed([report(at_us=T0_US + 5)], EDGE_KEY)
    write(store, validated(first))
    written = write(store, validated(second))
    assert written.conflicts == [batch_id(second)]
    assert rows(store, "SELECT count(*) FROM batch") == [(2,)]


def test_gaps_are_seen_and_closed(store: str) -> None:
    write(store, validated(sealed([report()], EDGE_KEY, batch_no=1)))
    write(store, validated(sealed([report()], EDGE_KEY, batch_no=4, first_sequence=4)))
    with open_store(store) as conn:
        assert conservation.streams(conn)[0].gaps == 2
    write(store, validated(*(sealed([report()], EDGE_KEY, batch_no=n, first_sequence=n) for n in (3, 2))))
    with open_store(store) as conn:
        (stream,) = conservation.streams(conn)
        assert (stream.gaps, stream.kept) == (0, "{[1,5)}")
        assert [(s.last, s.stored) for s in conservation.sequences(conn)] == [(4, 4)]


def test_latest_never_goes_back(store: str) -> None:
    new = report(records=[Record(SPO2, PERCENT, mantissa=99)], at_us=T0_US + 2_000_000)
    old = report(records=[Record(SPO2, PERCENT, mantissa=11)], at_us=T0_US)
    write(store, validated(sealed([new], EDGE_KEY, batch_no=1)))
    write(store, validated(sealed([old, old], EDGE_KEY, batch_no=2, first_sequence=2)))
    with open_store(store) as conn:
        assert [v.value for v in latest_values(conn)] == [99.0]
    assert rows(store, "SELECT count(*) FROM report") == [(3,)]


def test_missing_doubtful_and_unmapped_keep_their_words(store: str) -> None:
    records = [
        Record(SPO2, PERCENT, validity=Validity.NOT_AVAILABLE),
        Record(SPO2, PERCENT, mantissa=250, channel=1),
        Record(SPO2, PERCENT, mantissa=0, channel=2),
        Record(mantissa=5, as_sent=AsSent("99LOCAL", "\x00weird", "furlong")),
        Record(kind=RecordKind.TEXT, text="坐位\x00", as_sent=AsSent("", "POS")),
    ]
    write(store, validated(sealed([report(records=records)], EDGE_KEY)))
    found = rows(store, "SELECT value, validation_result, texts FROM report")
    assert found[0][0] == [None, 250.0, 0.0, 5.0, None]
    assert found[0][1] == [ValidationResult.MISSING, ValidationResult.DOUBTFUL_RANGE, ValidationResult.ACCEPTED,
                           ValidationResult.UNMAPPED_CODE, ValidationResult.UNMAPPED_TEXT]  # fmt: skip
    assert found[0][2] == [
        {"record": 3, "system": "99LOCAL", "code": "␀weird", "unit": "furlong"},
        {"record": 4, "text": "坐位␀", "code": "POS"},
    ]
    with open_store(store) as conn:
        (stream,) = conservation.streams(conn)
        assert (stream.accepted, stream.missing, stream.unmapped, stream.doubtful) == (1, 1, 2, 1)
        assert [(u.code, u.times) for u in channels.unmapped(conn)] == [("POS", 1), ("␀weird", 1)]


def test_events_waveforms_and_empty_reports_are_kept(store: str) -> None:
    samples = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, bytes(150), 7500))
    reports = [
        report(
            kind=Kind.EVENT, records=[Record(kind=RecordKind.TEXT, text="x", as_sent=AsSent("vitalwire", "connected"))]
        ),
        report(kind=Kind.WAVEFORM, records=[samples]),
    ]
    write(store, validated(sealed(reports, EDGE_KEY, lane=Lane.WAVEFORM)))
    assert rows(store, "SELECT code, leaf, record, rate_numerator, first_sample, count FROM waveform") == [
        (150452, 1, 0, 75, 7500, 75)
    ]
    assert rows(store, "SELECT kind, claim FROM report JOIN device USING (device)") == [(Kind.EVENT, "demo:nonin:1")]
    with open_store(store) as conn:
        (stream,) = conservation.streams(conn)
        assert (stream.reports, stream.accepted) == (2, 1)


def quarantined(message: bytes, reason: str = "root") -> DeadLetter:
    return DeadLetter(reason, "live.raw", ReceiptOutcome.QUARANTINED, message)


def stream(store: str) -> conservation.Stream:
    with open_store(store) as conn:
        (found,) = conservation.streams(conn)
        return found


def test_a_quarantined_batch_is_kept_once_and_its_edge_is_told(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    assert write(store, [], [quarantined(message)]).dead_letters == 1
    write(store, [], [quarantined(message)])
    assert rows(store, "SELECT reason, message, receipted FROM dead_letter") == [("root", message, True)]
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.QUARANTINED)] * 2
    assert (stream(store).quarantined_reports, stream(store).reports) == (1, 0)
    write(store, validated(message))  # replayed, and good this time
    found = stream(store)
    assert (found.reports, found.quarantined_reports, found.gaps) == (1, 0, 0)


def test_two_reasons_for_one_quarantined_batch_count_once(store: str) -> None:
    message = sealed([report(), report()], EDGE_KEY)
    damaged = message[:-1] + bytes([message[-1] ^ 1])  # of one header: the same batch
    write(store, [], [quarantined(message, "root"), quarantined(message, "store:DataError")])
    write(store, [], [quarantined(message, "padding"), quarantined(damaged, "body-hash")])
    assert rows(store, "SELECT count(*) FROM dead_letter") == [(4,)]
    assert stream(store).quarantined_reports == 2
    write(store, validated(message))
    assert (stream(store).quarantined_reports, stream(store).reports) == (0, 2)


def test_a_stored_batch_that_is_quarantined_later_is_stored(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    write(store, validated(message))
    refused = DeadLetter("expired-key", "live.raw", ReceiptOutcome.REFUSED, message)
    write(store, [], [quarantined(message), refused])
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)] * 3
    found = stream(store)
    assert (found.quarantined_reports, found.reports, found.kept) == (0, 1, "{[1,2)}")


def test_a_block_and_its_dead_letter_in_one_transaction(store: str) -> None:
    good, bad = sealed([report()], EDGE_KEY, batch_no=1), sealed([report()], EDGE_KEY, batch_no=2)
    write(store, validated(good), [quarantined(good), quarantined(bad)])
    assert receipts(store) == [
        (batch_id(good), ReceiptOutcome.STORED), (batch_id(good), ReceiptOutcome.STORED),
        (batch_id(bad), ReceiptOutcome.QUARANTINED),
    ]  # fmt: skip
    found = stream(store)
    assert (found.reports, found.quarantined_reports, found.gaps) == (1, 1, 0)


def test_a_refused_batch_is_told_so_and_not_counted(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    write(store, [], [DeadLetter("expired-key", "live.raw", ReceiptOutcome.REFUSED, message)])
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.REFUSED)]
    found = stream(store)
    assert (found.quarantined_reports, found.reports, found.kept) == (0, 0, "{}")


def test_an_edge_that_sends_from_another_spool_is_named_once(store: str) -> None:
    """Its disk was replaced or wiped. A lane of the same spool that was not heard before is none."""

    def replaced(spool: bytes, lane: Lane, batch_no: int = 1) -> list[bytes]:
        message = sealed([report()], EDGE_KEY, spool=spool, lane=lane, batch_no=batch_no)
        return list(write(store, validated(message)).replaced_spools)

    assert replaced(b"S" * 16, Lane.LIVE) == []
    assert replaced(b"S" * 16, Lane.BACKFILL) == []
    assert replaced(b"T" * 16, Lane.LIVE) == [b"E" * 16]
    assert replaced(b"T" * 16, Lane.BACKFILL) == []
    assert replaced(b"T" * 16, Lane.LIVE, 2) == []


def test_a_batch_of_a_newer_layout_is_told_so_by_a_store_that_cannot_read_it(store: str) -> None:
    message = of_newer_layout(sealed([report()], EDGE_KEY), EDGE_KEY)
    write(store, [], [DeadLetter("newer-layout", "live.raw", ReceiptOutcome.REFUSED, message)])
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.REFUSED)]
    assert stream(store).reports == 0


def test_what_no_edge_lets_go_of_has_a_bounded_place(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr_store.dead_letters.EVICTABLE_MAX", 2)
    quarantined_one = quarantined(sealed([report()], EDGE_KEY))
    strangers = [DeadLetter("unknown-edge", "live.raw", None, bytes([i])) for i in range(5)]
    written = write(store, [], [quarantined_one, *strangers])
    assert written.evicted_dead_letters == 3
    # The newest stay; and what an edge let go of for it, always.
    assert rows(store, "SELECT message FROM dead_letter ORDER BY id") == [
        (quarantined_one.message,), (bytes([3]),), (bytes([4]),)
    ]  # fmt: skip
    assert receipts(store) == [(batch_id(quarantined_one.message), ReceiptOutcome.QUARANTINED)]


def test_what_fails_leaves_nothing(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class SabotageError(Exception):
        pass

    def fail(*_: object) -> None:
        raise SabotageError

    with open_store(store) as conn:
        writer = Writer(conn)
        with monkeypatch.context() as patched:
            patched.setattr("emr_store.ledger.Ledger.write", fail)
            with pytest.raises(SabotageError):
                writer.store(validated(sealed([report()], EDGE_KEY)), [])
        writer.store(validated(sealed([report()], EDGE_KEY)), [])
    for table in ("report", "batch", "batch_body", "seal", "unlogged", "latest", "outbox", "device", "channel_set"):
        assert rows(store, f"SELECT count(*) FROM {table}") == [(1,)], table


def test_a_seal_is_kept_with_what_its_root_is_over(store: str) -> None:
    first = sealed([report()], EDGE_KEY, batch_no=1)
    second = sealed([report(), report()], EDGE_KEY, batch_no=2, first_sequence=2)
    write(store, validated(first))
    (block,) = validated(first, second)  # one of them came before
    write(store, [block])
    with open_store(store) as conn:
        found = conn.execute(
            "SELECT b.batch_id, b.seal, b.seal_index, b.reports, b.records, s.statement, s.leaves,"
            " o.sealed, o.validation FROM batch b JOIN seal s USING (seal) JOIN batch_body o USING (lane, batch)"
            " ORDER BY b.batch"
        ).fetchall()
    assert [f[:5] for f in found] == [(batch_id(first), 1, 0, 1, 2), (batch_id(second), 2, 1, 2, 4)]
    for message, (ident, _, index, _, _, statement, leaves, kept, validation) in zip(
        (first, second), found, strict=True
    ):
        each = [leaves[i : i + 32] for i in range(0, len(leaves), 32)]
        assert kept == message
        assert each[index] == validation_leaf(ident, zstandard.ZstdDecompressor().decompress(validation))
        assert read_seal(statement)[0].root == merkle_root(each)
    assert rows(store, "SELECT seal FROM unlogged ORDER BY id") == [(1,), (2,)]


def test_writers_of_different_streams_never_wait_for_each_other(store: str) -> None:
    write(store, validated(sealed([report(), report("another")], EDGE_KEY)))  # devices and channels are known
    other = sealed([report("another")], EDGE_KEY, spool=b"T" * 16)
    with open_store(store) as first, open_store(store) as second, first.transaction():
        second.execute("SET lock_timeout = '5s'")
        Writer(first).store(validated(sealed([report()], EDGE_KEY, batch_no=2)), [])
        assert Writer(second).store(validated(other), []).batches == 1
    assert rows(store, "SELECT count(*) FROM batch") == [(3,)]


def test_of_two_writers_with_one_batch_one_stores_it(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with open_store(store) as first, ThreadPoolExecutor(1) as pool:
        with first.transaction():
            assert Writer(first).store(validated(message), []).batches == 1
            second = pool.submit(write, store, validated(message))  # on its way twice: live, and resent by backfill
            while rows(store, waits) == [(0,)]:
                assert not second.done()
        assert (second.result().batches, second.result().duplicates) == (0, 1)
    assert rows(store, "SELECT count(*) FROM report") == [(1,)]
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)] * 2


def test_what_an_edge_is_told_waits_until_it_is_delivered(store: str) -> None:
    messages = [sealed([report()], EDGE_KEY, batch_no=n, lane=Lane.BACKFILL) for n in (1, 2, 3)]
    write(store, validated(*messages))

    async def run() -> None:
        async with await open_store_async(store) as conn:
            first, second = await waiting(conn, 2)
            assert (first.edge, first.spool, first.lane, first.batch_no, first.reason) == (
                b"E" * 16, b"S" * 16, Lane.BACKFILL, 1, ""
            )  # fmt: skip
            await delivered(conn, [first.id, second.id])
            (third,) = await waiting(conn, 2)
            assert (third.batch_no, third.batch_id) == (3, batch_id(messages[2]))
            assert third.stored_at_us > T0_US

    asyncio.run(run())


def test_a_moment_that_no_clock_can_mean_is_filed_under_its_receipt(store: str) -> None:
    ancient = Report(Kind.METRIC, "clock", 0, T0_US, ClockQuality.DEVICE, (Record(SPO2, PERCENT, mantissa=97),),
                     device_at_us=0, own_time=True)  # fmt: skip
    write(store, validated(sealed([ancient], EDGE_KEY)))
    ((at_us, flags, validation_result),) = rows(
        store, "SELECT (extract(epoch FROM observed_at) * 1000000)::int8, flags, validation_result FROM report"
    )
    assert (at_us, validation_result) == (T0_US, [ValidationResult.DOUBTFUL_CLOCK])
    assert isinstance(flags, int)
    assert flags & ReportFlag.FILED_AT_RECEIPT
    with open_store(store) as conn:
        assert latest(conn) == []  # nobody knows how old it is


def test_many_shapes_come_out_as_they_went_in(store: str) -> None:
    """Widths, nulls and decimals mixed: the grouped writing against a plain reading."""
    random = np.random.default_rng(7)
    reports, expected = [], []
    for i in range(300):
        records = []
        for j in range(int(random.integers(0, 6))):
            missing = bool(random.random() < 0.3)
            value = int(random.integers(0, 1000))
            exponent = int(random.integers(-1, 1))
            records.append(
                Record(SPO2, PERCENT, channel=j, mantissa=value, exponent=exponent,
                       validity=Validity.NOT_AVAILABLE if missing else Validity.VALID)
            )  # fmt: skip
        reports.append(report(f"device {i % 7}", T0_US + i, records or [Record(SPO2, PERCENT, mantissa=i % 100)]))
        chosen = reports[-1].records
        expected.append([None if r.validity else r.mantissa / 10**-r.exponent for r in chosen])
    write(store, validated(sealed(reports, EDGE_KEY)))
    found = rows(store, "SELECT value FROM report ORDER BY leaf")
    assert [f[0] for f in found] == expected
