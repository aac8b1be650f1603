import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import psycopg
import pytest

from emr_store import proof, read, registry
from emr_store.connect import open_store, open_store_async
from emr_store.latest import latest as latest_values
from emr_store.migrate import migrate
from emr_store.outbox import waiting
from emr_store.writer import SignedBlock, Writer, Written
from evidence.seal import batch_id
from evidence.statements import ReceiptOutcome, read_receipt
from schemas.block import Block, Quarantine, Verdict
from schemas.report import AsSent, Kind, Lane, Record, RecordKind, Samples, Validity
from stream_processors.sign import sign
from stream_processors.store import open_message
from stream_processors.validate import EdgeKey, Memory, validate
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
NOW_US = T0_US + 1_000_000
REGISTRY = {EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)}


@pytest.fixture
def store(database: str) -> str:
    migrate(database)
    with open_store(database) as conn:
        registry.note_platform_key(conn, PLATFORM.public_der)
        registry.add_edge(conn, UUID(bytes=b"E" * 16), "box", EDGE_KEY.public_der)
    return database


def judged(*messages: bytes) -> list[SignedBlock]:
    """Through validate, sign and the check of store, as a broker would carry them."""
    out = []
    for block in validate("live.raw", messages, Memory(REGISTRY), NOW_US):
        assert isinstance(block, Block)
        opened = open_message(sign(block.encode(), PLATFORM.key_id, PLATFORM.sign, NOW_US), PLATFORM.public_der)
        assert isinstance(opened, SignedBlock)
        out.append(opened)
    return out


def write(store: str, blocks: Sequence[SignedBlock], dead: Sequence[Quarantine] = ()) -> Written:
    with open_store(store) as conn:
        return Writer(conn, PLATFORM.key_id, PLATFORM.sign).store(blocks, dead, NOW_US)


def receipts(store: str) -> list[tuple[bytes, ReceiptOutcome]]:
    async def run() -> list[tuple[bytes, ReceiptOutcome]]:
        async with await open_store_async(store) as conn:
            found = [read_receipt(r, PLATFORM.public_der) for _, _, r in await waiting(conn)]
            return [(r.batch_id, r.outcome) for r in found]

    return asyncio.run(run())


def rows(store: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(store) as conn:
        return conn.execute(sql.encode()).fetchall()


def test_a_batch_becomes_rows_and_a_receipt(store: str) -> None:
    message = sealed([report(), report(at_us=T0_US + 1_000_000)], EDGE_KEY)
    written = write(store, judged(message))
    assert (written.reports, written.values, written.batches) == (2, 4, 1)
    found = rows(store, "SELECT metric, value, decimals, unit, verdict FROM observation ORDER BY observed_at, record")
    assert [(f[0], f[1], f[2], f[4]) for f in found] == [
        ("MDC_PULS_OXIM_SAT_O2", 97.0, 0, 0),
        ("MDC_PULS_OXIM_PULS_RATE", 72.0, -1, 0),
    ] * 2
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)]
    with open_store(store) as conn:
        latest = latest_values(conn)
        assert [(v.code, v.value, v.decimals) for v in latest] == [(149530, 72.0, -1), (150456, 97.0, 0)]
        (stream,) = read.streams(conn)
        assert (stream.reports, stream.accepted, stream.gaps, stream.kept) == (2, 4, 0, "{[1,2)}")
        assert [(s.last, s.stored) for s in read.sequences(conn)] == [(2, 2)]


def test_a_batch_that_comes_again_stores_nothing_and_gets_its_receipt_again(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    write(store, judged(message))
    again = write(store, [*judged(message), *judged(message)])
    assert (again.reports, again.duplicates) == (0, 2)
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.STORED)] * 3
    assert rows(store, "SELECT count(*) FROM report") == [(1,)]
    assert rows(store, "SELECT reports, duplicates FROM ledger") == [(1, 2)]


def test_the_same_batch_twice_in_one_lot_is_stored_once(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    written = write(store, judged(message, message))
    assert (written.reports, written.duplicates) == (1, 1)
    assert rows(store, "SELECT count(*) FROM report") == [(1,)]
    with open_store(store) as conn:
        assert proof.verify(conn, _long_ago()).findings == []


def test_two_batches_with_one_number_are_both_kept(store: str) -> None:
    first, second = sealed([report()], EDGE_KEY), sealed([report(at_us=T0_US + 5)], EDGE_KEY)
    write(store, judged(first))
    written = write(store, judged(second))
    assert written.conflicts == [batch_id(second)]
    assert rows(store, "SELECT count(*) FROM batch") == [(2,)]


def test_gaps_are_seen_and_closed(store: str) -> None:
    write(store, judged(sealed([report()], EDGE_KEY, batch_no=1)))
    write(store, judged(sealed([report()], EDGE_KEY, batch_no=4, first_sequence=4)))
    with open_store(store) as conn:
        assert read.streams(conn)[0].gaps == 2
    write(store, judged(*(sealed([report()], EDGE_KEY, batch_no=n, first_sequence=n) for n in (3, 2))))
    with open_store(store) as conn:
        (stream,) = read.streams(conn)
        assert (stream.gaps, stream.kept) == (0, "{[1,5)}")
        assert [(s.last, s.stored) for s in read.sequences(conn)] == [(4, 4)]


def test_latest_never_goes_back(store: str) -> None:
    new = report(records=[Record(SPO2, PERCENT, mantissa=99)], at_us=T0_US + 2_000_000)
    old = report(records=[Record(SPO2, PERCENT, mantissa=11)], at_us=T0_US)
    write(store, judged(sealed([new], EDGE_KEY, batch_no=1)))
    write(store, judged(sealed([old, old], EDGE_KEY, batch_no=2, first_sequence=2)))
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
    write(store, judged(sealed([report(records=records)], EDGE_KEY)))
    found = rows(store, "SELECT value, verdict, texts FROM report")
    assert found[0][0] == [None, 250.0, 0.0, 5.0, None]
    assert found[0][1] == [Verdict.MISSING, Verdict.DOUBTFUL_RANGE, Verdict.ACCEPTED, Verdict.UNMAPPED_CODE,
                           Verdict.UNMAPPED_TEXT]  # fmt: skip
    assert found[0][2] == [
        {"record": 3, "system": "99LOCAL", "code": "␀weird", "unit": "furlong"},
        {"record": 4, "text": "坐位␀", "code": "POS"},
    ]
    with open_store(store) as conn:
        (stream,) = read.streams(conn)
        assert (stream.accepted, stream.missing, stream.unmapped, stream.doubtful) == (1, 1, 2, 1)
        assert [(u.code, u.times) for u in read.unmapped(conn)] == [("POS", 1), ("␀weird", 1)]


def test_events_waveforms_and_empty_reports_are_kept(store: str) -> None:
    samples = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, bytes(150), 7500))
    reports = [
        report(
            kind=Kind.EVENT, records=[Record(kind=RecordKind.TEXT, text="x", as_sent=AsSent("vitalwire", "connected"))]
        ),
        report(kind=Kind.WAVEFORM, records=[samples]),
    ]
    write(store, judged(sealed(reports, EDGE_KEY, lane=Lane.WAVEFORM)))
    assert rows(store, "SELECT code, leaf, record, rate_numerator, first_sample, count FROM waveform") == [
        (150452, 1, 0, 75, 7500, 75)
    ]
    assert rows(store, "SELECT kind, claim FROM report JOIN device USING (device)") == [(Kind.EVENT, "demo:nonin:1")]
    with open_store(store) as conn:
        assert proof.verify(conn, _long_ago()).findings == []
        (stream,) = read.streams(conn)
        assert (stream.reports, stream.accepted) == (2, 1)


def test_a_quarantined_batch_is_kept_once_and_its_edge_is_told(store: str) -> None:
    message = sealed([report()], EDGE_KEY)
    dead = Quarantine("root", "live.raw", True, message)
    assert write(store, [], [dead]).quarantined == 1
    write(store, [], [dead])
    assert rows(store, "SELECT reason, message FROM dead") == [("root", message)]
    assert receipts(store) == [(batch_id(message), ReceiptOutcome.QUARANTINED)] * 2
    with open_store(store) as conn:
        (stream,) = read.streams(conn)
        assert (stream.quarantined_reports, stream.reports) == (1, 0)
    write(store, judged(message))  # replayed, and good this time
    with open_store(store) as conn:
        (stream,) = read.streams(conn)
        assert (stream.reports, stream.quarantined_reports, stream.gaps) == (1, 0, 0)


def test_refused_bytes_have_a_bounded_place(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr_store.writer.DEAD_REFUSED_MAX", 2)
    write(store, [], [Quarantine("unknown-edge", "live.raw", False, bytes([i])) for i in range(5)])
    assert rows(store, "SELECT count(*) FROM dead") == [(2,)]
    assert receipts(store) == []


def test_what_fails_leaves_nothing(store: str) -> None:
    class SabotageError(Exception):
        pass

    def refuse(message: bytes) -> bytes:
        raise SabotageError

    with open_store(store) as conn:
        writer = Writer(conn, PLATFORM.key_id, refuse)
        with pytest.raises(SabotageError):
            writer.store(judged(sealed([report()], EDGE_KEY)), [], NOW_US)
        writer._sign = PLATFORM.sign
        writer.store(judged(sealed([report()], EDGE_KEY)), [], NOW_US)
    for table in ("report", "batch", "seal", "latest", "outbox", "device"):
        assert rows(store, f"SELECT count(*) FROM {table}") == [(1,)], table


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE report SET value[1] = 42", "value"),
        ("UPDATE report SET observed_at = observed_at + interval '1 second' WHERE leaf = 0", "is gone"),
        ("UPDATE report SET verdict = '{0,31}' WHERE leaf = 1", "verdict"),
        ("DELETE FROM report WHERE leaf = 0", "is gone"),
        ("INSERT INTO report SELECT * FROM report WHERE leaf = 0", "no report is behind"),
        ("UPDATE report SET device = (SELECT max(device) FROM device)", "is gone"),
        ("DELETE FROM batch", "is gone"),
        ("UPDATE batch SET sealed = set_byte(sealed, 400, 7)", "damaged"),
        ("UPDATE seal SET seal = set_byte(seal, 60, get_byte(seal, 60) # 1)", "chain is broken"),
        ("UPDATE seal SET judgement = ''", "verdicts"),
        ("DELETE FROM seal WHERE position = 1", "are gone"),
        ("DELETE FROM edge_key", "no registered edge key"),
        ("DELETE FROM platform_key", "no platform key"),
    ],
)
def test_verify_names_what_is_wrong(store: str, change: str, where: str) -> None:
    write(store, judged(sealed([report(), report(at_us=T0_US + 60_000_000)], EDGE_KEY)))
    write(store, judged(sealed([report("another")], EDGE_KEY, batch_no=2)))
    with open_store(store) as conn:
        assert proof.verify(conn, _long_ago()).findings == []
        conn.execute(change.encode())
        findings = proof.verify(conn, _long_ago()).findings
        assert any(where in f.what for f in findings), findings


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
    write(store, judged(sealed(reports, EDGE_KEY)))
    found = rows(store, "SELECT value FROM report ORDER BY leaf")
    assert [f[0] for f in found] == expected
    with open_store(store) as conn:
        assert proof.verify(conn, _long_ago()).findings == []


def _long_ago() -> datetime:
    return datetime(2000, 1, 1, tzinfo=UTC)
