import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from emr_store import places, proof, read
from emr_store.latest import latest
from schemas.block import Quarantine, Verdict
from schemas.report import AsSent, Kind, Record, RecordKind, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import EDGE, NOW_US, Store, event

SECOND = 1_000_000
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def numeric(code: int, unit: int, value: int, channel: int = 0) -> Record:
    return Record(code, unit, channel=channel, mantissa=value)


def test_a_latest_value_names_its_verdict_its_bed_and_its_origin(store: Store) -> None:
    store.say(event("demo:nonin:1", "connected", ""))
    store.say(report(records=[numeric(SPO2, PERCENT, 250)]))
    with store.open() as conn:
        places.assign(conn, "demo:nonin:1", "ICU-01", name="n", since=LONG_AGO)
        (value,) = latest(conn)
        where = read.origin(conn, value.batch)
        assert read.origin(conn, 99) is None
    assert (value.claim, value.bed, value.name, value.registered) == ("demo:nonin:1", "ICU-01", "n", True)
    assert (value.verdict, value.leaf) == (Verdict.DOUBTFUL_RANGE, 0)
    assert where is not None
    assert where | {"batch_id": ""} == {
        "batch_no": 2, "batch_id": "", "edge": f"box {UUID(bytes=EDGE)}", "lane": "live", "signed_ms": NOW_US // 1000,
        "position": 2,
    }  # fmt: skip


def test_the_view_has_a_row_a_value_with_names(store: Store) -> None:
    store.say(report(records=[numeric(SPO2, PERCENT, 97), Record(1, 2, mantissa=3), numeric(PULSE, PER_MIN, 70)]))
    store.say(event("x", "connected", ""))
    found = store.rows("SELECT metric, value, unit, verdict, record, bed, kind FROM observation ORDER BY record")
    assert found == [
        ("MDC_PULS_OXIM_SAT_O2", 97.0, "%", 0, 0, None, 1),
        (None, 3.0, None, Verdict.UNMAPPED_CODE, 1, None, 1),
        ("MDC_PULS_OXIM_PULS_RATE", 70.0, "/min", 0, 2, None, 1),
    ]


def test_a_quarantined_batch_is_no_gap_and_hides_none(store: Store) -> None:
    first, second, third, fourth, fifth = (store.seal(report(at_us=T0_US + i)) for i in range(5))

    def stream() -> read.Stream:
        with store.open() as conn:
            (found,) = read.streams(conn)
            return found

    store.write([store.judge(first)])
    store.write([], [Quarantine("root", "live.raw", True, second)])
    assert (stream().last_batch_no, stream().gaps) == (2, 0)  # adjacent and the newest
    store.write([], [Quarantine("root", "live.raw", True, fifth)])
    assert (stream().last_batch_no, stream().gaps) == (5, 2)
    store.write([store.judge(fourth)])
    assert (stream().last_batch_no, stream().gaps) == (5, 1)
    store.write([store.judge(third), store.judge(fifth)])
    assert (stream().last_batch_no, stream().gaps, stream().quarantined_reports) == (5, 0, 1)
    assert stream().duplicates == 0
    store.write([store.judge(third)])
    assert stream().duplicates == 1


def test_each_devices_own_count_stands_beside_what_is_kept(store: Store) -> None:
    one, two, three = store.seal(report("a"), report("b")), store.seal(report("b")), store.seal(report("b"))
    store.write([store.judge(m) for m in (one, three)])
    with store.open() as conn:
        assert {s.device: (s.last, s.stored) for s in read.sequences(conn)} == {
            device_id("a"): (1, 1), device_id("b"): (3, 2)
        }  # fmt: skip
        total = read.conservation(conn)
        assert (total["said"], total["stored"], total["quarantined"]) == (4, 3, 0)
    store.write([store.judge(two)])
    with store.open() as conn:
        assert [read.conservation(conn)[k] for k in ("stored", "accepted")] == [4, 8]


def test_what_is_dead_is_listed_shown_and_marked(store: Store) -> None:
    for i in range(3):
        store.write([], [Quarantine("unknown-edge", "live.raw", False, bytes([i] * (i + 1)))])
    with store.open() as conn:
        assert [(d.id, d.size) for d in read.dead(conn, 2)] == [(3, 3), (2, 2)]
        assert read.dead_message(conn, 4) is None
        item, message = read.dead_message(conn, 2) or (None, b"")
        assert item is not None
        assert (item.reason, item.topic, item.receipted, item.replayed_at, message) == (
            "unknown-edge", "live.raw", False, None, b"\x01\x01"
        )  # fmt: skip
        read.mark_replayed(conn, 2)
        assert [d.replayed_at is not None for d in read.dead(conn)] == [False, True, False]


def test_what_has_no_code_is_counted_by_name(store: Store) -> None:
    heart = AsSent("99MR", "HR^Heart", "bpm")
    position = Record(kind=RecordKind.TEXT, text="坐位", as_sent=AsSent("", "POS"))
    store.say(report(records=[numeric(SPO2, PERCENT, 97), Record(mantissa=72, as_sent=heart), position]),
              report(records=[Record(mantissa=64, as_sent=heart)]),
              report("b", records=[Record(mantissa=64, as_sent=heart)]), event("a", "connected", "x"))  # fmt: skip
    with store.open() as conn:
        found = [(u.device, u.system, u.code, u.unit, u.times, u.example) for u in read.unmapped(conn)]
    first, second = device_id("demo:nonin:1"), device_id("b")
    assert found[0] == (first, "99MR", "HR^Heart", "bpm", 2, "64")
    assert found[1:] == [(first, "", "POS", "", 1, "坐位"), (second, "99MR", "HR^Heart", "bpm", 1, "64")]


def test_the_newest_report_has_a_way(store: Store) -> None:
    with store.open() as conn:
        assert read.newest_path(conn) is None
    store.say(report())
    store.say(report("b", T0_US + SECOND))
    with store.open() as conn:
        path = read.newest_path(conn)
    assert path is not None
    assert (path.batch_no, path.position, path.lane, path.leaf) in {(1, 1, 1, 0), (2, 2, 1, 0)}
    assert path.received_at < path.stored_at


EDGE_CLAIM = f"edge:{UUID(bytes=EDGE)}"


def test_events_and_counts_are_the_newest_each(store: Store) -> None:
    store.say(event(EDGE_CLAIM, "counts", '{"frames:a": 1}'), event(EDGE_CLAIM, "counts", '{"a": 7}', T0_US + SECOND),
              event("a", "silent", "30 s", T0_US + 2 * SECOND), event("a", "counts", "its own", T0_US + 3 * SECOND),
              event(EDGE_CLAIM, "started", "", T0_US), report(kind=Kind.METRIC))  # fmt: skip
    with store.open() as conn:
        assert [(e.claim, e.texts[0]["code"]) for e in read.events(conn, 2)] == [
            ("a", "silent"), (EDGE_CLAIM, "started")
        ]  # fmt: skip
        assert [(edge, text) for edge, _, text in read.edge_counts(conn)] == [(UUID(bytes=EDGE), '{"a": 7}')]


def equation(store: Store) -> list[int]:
    with store.open() as conn:
        total = read.conservation(conn)
    names = ("said", "stored", "quarantined", "on_the_way", "lost", "unexplained")
    assert total["said"] == sum(total[name] for name in names[1:])
    return [total[name] for name in names]


@pytest.mark.parametrize(
    ("counts", "on_the_way", "unexplained"),
    [
        (None, 0, 3),
        ('{"unreceipted_batches": 1, "waiting_reports": 0}', 3, 0),  # any of them may lie in it
        ('{"unreceipted_batches": 0, "waiting_reports": 2}', 2, 1),
        ('{"unreceipted_batches": 0, "waiting_reports": 9}', 3, 0),
        ('{"unreceipted_batches": "many"}', 0, 3),
        ("no JSON", 0, 3),
        ("{}", 0, 3),
    ],
)
def test_what_is_missing_is_on_the_way_as_far_as_its_edge_says(
    store: Store, counts: str | None, on_the_way: int, unexplained: int
) -> None:
    store.seal(report("a"), report("a"), report("b"))  # and never comes
    told = [] if counts is None else [event(EDGE_CLAIM, "counts", counts)]
    store.say(report("a"), report("b"), *told)
    stored = 2 + len(told)
    assert equation(store) == [stored + 3, stored, 0, on_the_way, 0, unexplained]


def test_what_went_with_a_spool_that_its_edge_has_no_longer_is_lost(store: Store) -> None:
    store.seal(report("a"))
    store.say(report("a"), event(EDGE_CLAIM, "counts", '{"unreceipted_batches": 1}'))
    with store.open() as conn:
        for table in ("sequence_noted", "ledger"):
            conn.execute(f"UPDATE {table} SET spool = %s".encode(), [UUID(int=1)])
    assert equation(store) == [3, 2, 0, 1, 0, 0]
    store.said.clear()
    store.say(report("a"))
    assert equation(store) == [4, 3, 0, 0, 1, 0]


def test_gaps_of_the_last_day_are_told(store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.say(
        *(event(EDGE_CLAIM, "gap", f"{who} from {now_us} to {now_us + 90 * SECOND}", now_us) for who in ("a was", "b")),
        event(EDGE_CLAIM, "gap", f"c was gone from {now_us} to {now_us + SECOND}", now_us - 25 * 3600 * SECOND),
        event("x", "silent", f"y from {now_us} to {now_us + SECOND}", now_us),
        event(EDGE_CLAIM, "gap", "since long ago", now_us),
    )
    with store.open() as conn:
        total = read.conservation(conn)
    assert (total["gaps"], total["gap_s"]) == (3, 180)  # one does not say how long


WORDS = "report_words|kind_observed_at_idx"  # as a partition's is called


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_no_question_of_words_scans_what_has_none(parts: str, store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.say(report(), report(at_us=now_us), event(EDGE_CLAIM, "counts", "{}", now_us))
    with store.open() as conn:
        conn.execute("SET enable_seqscan = off")
        for sql, parameters, index in (
            (read._EVENTS_SQL, [1], WORDS), (read._UNMAPPED_SQL, [1], WORDS), (read._GAPS_SQL, None, WORDS),
            (read._COUNTS_SQL, None, "report_device|device_observed_at_idx"),
        ):  # fmt: skip
            plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {sql}".encode(), parameters))
            assert re.search(index, plan), plan
            assert not re.search("Seq Scan on (report|_hyper)", plan), plan


def test_what_is_stored_while_verify_runs_is_no_finding(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.say(report())
    look = proof._next_seal

    def look_and_store(conn: object, after: int) -> object:
        found = look(conn, after)  # type: ignore[arg-type]
        if found is None:
            store.say(report(at_us=T0_US + SECOND))
        return found

    monkeypatch.setattr(proof, "_next_seal", look_and_store)
    with store.open() as conn:
        result = proof.verify(conn, LONG_AGO)
    assert (result.findings, result.reports) == ([], 1)


def test_verify_looks_at_what_is_since_then_alone(store: Store) -> None:
    store.say(report())
    with store.open() as conn:
        conn.execute("UPDATE seal SET stored_at = now() - interval '1 day'")
        conn.execute("UPDATE report SET value[1] = 1")
    store.say(report())
    with store.open() as conn:
        assert (proof.verify(conn, datetime.now(UTC)).seals, proof.verify(conn, LONG_AGO).seals) == (0, 2)
        hour_ago = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 3600, UTC)
        since = proof.verify(conn, hour_ago)
        assert (since.seals, since.reports, since.findings) == (1, 1, [])
        assert proof.verify(conn, LONG_AGO).findings
