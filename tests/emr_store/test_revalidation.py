"""A mapping act over stored batches: a new seal, rows that say what it says, and the old ones readable."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from emr_store import mapping_acts, origin
from emr_store.connect import open_store, with_role
from emr_store.ledger import Ledger
from emr_store.revalidation import Revalidation, stored_batches
from emr_store.roles import WRITER
from emr_store.transaction import Writer
from emr_store.verification import Verification
from evidence.block_seal import NO_TRAVEL, read_seal
from evidence.verification import OutsideCheckpoint
from schemas.block import ValidationResult
from schemas.report import AsSent, Record, Report, device_id
from stream_processors.mapping import remap
from stream_processors.validation import validate_stored
from tests.making import PERCENT, SPO2, T0_US, report
from tests.mapping import (
    BPM,
    CELSIUS,
    HR_CODE,
    HR_ROW,
    MINUTE_US,
    TEMP_CODE,
    TEMP_ROW,
    act,
    event_of_the_same_words,
    minute_of,
    unmapped,
    work,
)
from tests.storing import NOW_US
from tests.verifying import FIRST, SECOND, SECOND_US, Ward, checkpoint_of, summarise, verify, vitals


@pytest.fixture
def ward(database: str) -> Ward:
    return Ward(database)


def emitted(result: Verification) -> list[str]:
    return [f"{f.where}: {f.what}" for f in result.findings]


def shown(ward: Ward, table: str = "report") -> list[tuple[object, ...]]:
    return ward.rows(
        f"SELECT t.batch, t.leaf, s.code, s.unit, t.value, t.validation_result FROM {table} t JOIN channel_set s"
        " USING (channel_set) ORDER BY 1, 2"
    )


def classes(ward: Ward) -> tuple[object, ...]:
    (row,) = ward.rows("SELECT accepted, missing, unmapped, doubtful FROM ledger")
    return row


def test_values_without_a_code_get_one_and_the_old_validation_stays(ward: Ward) -> None:
    ward.emit(unmapped(), event_of_the_same_words())
    ward.seal_log()
    before = ward.rows("SELECT b.seal, y.sealed, y.validation FROM batch b JOIN batch_body y USING (batch)")
    assert classes(ward) == (1, 0, 2, 0)
    act_id = act(ward, HR_ROW, TEMP_ROW)
    assert work(ward) == 1
    assert shown(ward)[0] == (
        1, 0, [SPO2, HR_CODE, TEMP_CODE], [PERCENT, BPM, CELSIUS], [97.0, 72.0, 36.5], None
    )  # fmt: skip
    assert shown(ward)[1][2] == [0]  # an event is no value
    assert classes(ward) == (3, 0, 0, 0)
    assert ward.rows("SELECT b.seal, y.sealed, y.validation FROM batch b JOIN batch_body y USING (batch)") == before
    ((statement, kept),) = ward.rows("SELECT s.statement, v.act_id FROM batch_validation v JOIN seal s USING (seal)")
    assert isinstance(statement, bytes)
    seal, progress = read_seal(statement)
    assert progress.is_signed_by(ward.platform.public_der)
    assert (seal.act_id.hex(), kept, seal.batches, seal.travel_hash) == (act_id, bytes.fromhex(act_id), 1, NO_TRAVEL)
    assert seal.signed_at_us == NOW_US + SECOND_US
    ward.seal_log()
    summarise(ward.address)
    result = verify(ward.address, ward.trust(checkpoint_of(ward.address)))
    assert emitted(result) == []
    assert (result.counts["validated anew"], result.counts["validated again"]) == (1, 8)


def test_where_a_value_came_from_shows_the_newest_seal_and_that_there_was_another(ward: Ward) -> None:
    ward.emit(unmapped())
    act(ward, HR_ROW)
    work(ward)
    ward.seal_log()
    with ward.open() as conn:
        ((ident,),) = conn.execute("SELECT batch_id FROM batch").fetchall()
        where = origin.origin(conn, bytes(ident))
    assert where is not None
    assert (where["signed_ms"], where["earlier_seals"]) == ((NOW_US + SECOND_US) // 1000, 1)
    assert where["position"] == 4  # after the log's beginning, a registration, the first seal and the act


def test_a_writer_may_do_it_and_no_more(ward: Ward) -> None:
    """By the rights of the group alone, with which the processors work."""
    minute_of(ward, 0, FIRST)
    act(ward, HR_ROW, TEMP_ROW)
    with open_store(with_role(ward.address, WRITER)) as conn:
        working = Revalidation(
            conn, key=ward.platform, remap=remap, revalidate=validate_stored, clock_us=lambda: NOW_US
        )
        assert working.work()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("DELETE FROM report")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("UPDATE batch_validation SET validation = NULL")
    assert emitted(verify(ward.address)) == []


def test_bytes_that_retention_took_are_gone_from_each_validation(ward: Ward) -> None:
    minute_of(ward, 0, FIRST)
    act(ward, HR_ROW, TEMP_ROW)
    work(ward)
    ward.seal_log()
    with ward.open() as conn:
        conn.execute("SELECT setval('batch_number', %s)", (1 << 24,))
        conn.execute("UPDATE batch SET stored_at = now() - interval '9 days'")
        conn.execute("TRUNCATE report, report_minute, minute_touched, latest")
        conn.execute("UPDATE day_stored SET first_stored_at = NULL")
        conn.execute("INSERT INTO dropped VALUES ('report', '2020-01-01', '2030-01-01', 1)")
        assert conn.execute("SELECT drop_body(1::int2, 0, interval '8 days')").fetchone() == (True,)
        assert conn.execute("SELECT validation FROM batch_validation").fetchall() == [(None,)]
    result = verify(ward.address)
    assert emitted(result) == []
    assert result.emptied == 1


def test_latest_shows_what_the_newest_validation_says(ward: Ward) -> None:
    minute_of(ward, 0, FIRST, SECOND)
    ward.emit(vitals(FIRST, T0_US))
    act(ward, HR_ROW, TEMP_ROW)
    work(ward)
    rows = shown(ward, "latest")
    assert [row[3] for row in rows if row[2] == [SPO2, HR_CODE, TEMP_CODE]] == [[PERCENT, BPM, CELSIUS]] * 2
    assert len(rows) == 3
    assert emitted(verify(ward.address)) == []


def test_latest_falls_back_to_what_stays_as_it_was(ward: Ward) -> None:
    """The newest reports of a device are changed by the act and older ones are not; also of one batch."""
    ward.emit(unmapped(at_us=T0_US), unmapped(at_us=T0_US + SECOND_US, hr=71))
    ward.emit(unmapped(at_us=T0_US + 2 * SECOND_US, hr=72))
    act(ward, HR_ROW, since_us=T0_US + SECOND_US)
    work(ward)
    assert [(row[0], row[1], row[4]) for row in shown(ward, "latest")] == [
        (1, 0, [97.0, 72.0, None]), (2, 0, [97.0, 72.0, None])
    ]  # fmt: skip
    assert emitted(verify(ward.address)) == []


def test_minutes_are_summed_up_anew(ward: Ward) -> None:
    minute_of(ward, 0, FIRST)
    summarise(ward.address)
    sql = "SELECT s.code, q.count FROM report_minute q JOIN channel_set s USING (channel_set)"
    assert ward.rows(sql) == [([SPO2, 0, 0], [6, 0, 0])]
    act(ward, HR_ROW, TEMP_ROW)
    work(ward)
    assert ward.rows(sql) == []
    assert emitted(verify(ward.address)) == []
    summarise(ward.address)
    assert ward.rows(sql) == [([SPO2, HR_CODE, TEMP_CODE], [6, 6, 6])]
    assert emitted(verify(ward.address)) == []


def test_an_act_is_of_its_device_and_its_time_alone(ward: Ward) -> None:
    ward.emit(unmapped(FIRST, T0_US), unmapped(SECOND, T0_US), unmapped(FIRST, T0_US + 10 * SECOND_US))
    act(ward, HR_ROW, device=str(device_id(FIRST)), until_us=T0_US + 5 * SECOND_US)
    work(ward)
    assert [row[2] == [SPO2, HR_CODE, 0] for row in shown(ward)] == [True, False, False]
    assert emitted(verify(ward.address)) == []


def test_a_later_act_overrules_an_earlier_one(ward: Ward) -> None:
    """Who mapped it to the wrong metric maps it again; all three validations are held against the bytes."""
    ward.emit(unmapped())
    act(ward, {"metric": "MDC_PULS_OXIM_PULS_RATE", "code": "101", "unit": "/min"}, TEMP_ROW)
    act(ward, HR_ROW)
    assert work(ward) == 2
    assert shown(ward)[0][2] == [SPO2, HR_CODE, TEMP_CODE]
    ward.seal_log()
    summarise(ward.address)
    result = verify(ward.address)
    assert emitted(result) == []
    assert (result.counts["validated anew"], result.counts["validated again"]) == (1, 9)
    with ward.open() as conn:
        (batch,) = stored_batches(conn, [1])
    assert len(batch.acts) == 2


def test_what_an_act_says_that_cannot_be_is_doubted_and_kept(ward: Ward) -> None:
    ward.emit(unmapped(hr=7200, temp="warm"), unmapped(at_us=T0_US + 1, hr=-100, temp="n/a"))
    act(ward, HR_ROW | {"missing": ["-100"]}, TEMP_ROW)
    work(ward)
    assert [row[5] for row in shown(ward)] == [
        [0, ValidationResult.DOUBTFUL_RANGE, ValidationResult.DOUBTFUL_TEXT],
        [0, ValidationResult.MISSING, ValidationResult.MISSING]
    ]  # fmt: skip
    assert classes(ward) == (2, 2, 0, 2)
    assert emitted(verify(ward.address)) == []


def test_an_act_that_changes_nothing_makes_no_seal(ward: Ward) -> None:
    ward.emit(unmapped())
    act(ward, HR_ROW | {"code": "999"})
    assert work(ward) == 1
    assert work(ward) == 0
    assert ward.rows("SELECT * FROM batch_validation") == []
    ((done,),) = ward.rows("SELECT done_at IS NOT NULL FROM mapping_work")
    assert done


def test_what_comes_after_an_act_is_not_meant(ward: Ward) -> None:
    ward.emit(unmapped())
    act(ward, HR_ROW)
    ward.emit(unmapped(at_us=T0_US + 1))
    work(ward)
    assert [row[2][1] for row in shown(ward)] == [HR_CODE, 0]  # type: ignore[index]


def test_an_act_that_was_interrupted_goes_on_and_does_nothing_twice(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emr_store.revalidation.CHUNK_BATCHES", 1)
    for minute in range(4):
        minute_of(ward, minute, FIRST)
    act(ward, HR_ROW, TEMP_ROW)
    write, calls = Ledger.write, [0]

    def fail_once(self: Ledger) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise RuntimeError("the power went")
        write(self)

    monkeypatch.setattr(Ledger, "write", fail_once)
    with pytest.raises(RuntimeError):
        work(ward)
    assert ward.rows("SELECT batch FROM batch_validation ORDER BY 1") == [(1,), (2,)]
    assert emitted(verify(ward.address)) == []
    assert work(ward) == 1
    assert ward.rows("SELECT batch FROM batch_validation ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    ((batches, records),) = ward.rows("SELECT batches, records FROM mapping_work")
    assert (batches, records) == (4, 48)
    assert emitted(verify(ward.address)) == []


def test_reports_whose_rows_retention_took_stay_gone(ward: Ward) -> None:
    minute_s = T0_US // MINUTE_US * 60
    ward.emit(*(unmapped(at_us=minute_s * SECOND_US + at * 20 * SECOND_US) for at in range(6)))
    summarise(ward.address)
    with open_store(ward.address) as conn:
        conn.execute("DELETE FROM report WHERE leaf < 3")
        conn.execute(
            "INSERT INTO dropped VALUES ('report', to_timestamp(%s), to_timestamp(%s), 1)", (minute_s, minute_s + 60)
        )
    act(ward, HR_ROW, TEMP_ROW)
    work(ward)
    assert [row[:2] for row in shown(ward)] == [(1, 3), (1, 4), (1, 5)]
    assert emitted(verify(ward.address)) == []
    summarise(ward.address)
    assert ward.rows("SELECT count(*) FROM report_minute") == [(2,)]  # that of the rows that are gone, and the new one
    assert emitted(verify(ward.address)) == []


def test_acts_are_worked_off_beside_writers_and_nothing_is_found(ward: Ward) -> None:
    """One batch after another is stored and validated anew, minutes are summed up, and it is looked at meanwhile."""
    stop = threading.Event()
    blocks = [ward.validate(ward.seal(unmapped(FIRST, T0_US + at * SECOND_US))) for at in range(150)]

    def store() -> None:
        with ward.open() as conn:
            writer = Writer(conn)
            for block in blocks:
                if stop.is_set():
                    return
                writer.store([block], [])

    def seal_and_summarise() -> None:
        while not stop.is_set():
            ward.seal_log()
            summarise(ward.address)

    with ThreadPoolExecutor() as pool:
        working = [pool.submit(store), pool.submit(seal_and_summarise)]
        try:
            for index in range(6):
                act(ward, HR_ROW, why=f"{index}")
                work(ward)
                assert emitted(verify(ward.address)) == []
        finally:
            stop.set()
        for each in working:
            each.result()
    assert ward.rows("SELECT count(*) > 0 FROM batch_validation") == [(True,)]
    assert emitted(verify(ward.address)) == []


def test_the_owners_function_takes_no_report_whose_batch_is_not_validated_anew(ward: Ward) -> None:
    ward.emit(unmapped())
    take = "SELECT take_reports(1, '{0}', '-infinity', 'infinity')"
    with ward.open() as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="batch 1 is not validated anew"):
            conn.execute(take)
        act(ward, HR_ROW)
        work(ward)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # by an earlier transaction
            conn.execute(take)
    assert len(shown(ward)) == 1


def test_since_and_a_checkpoint_look_at_what_was_validated_anew(ward: Ward) -> None:
    minute_of(ward, 0, FIRST)
    minute_of(ward, 1, SECOND)
    ward.seal_log()
    ward.rows("UPDATE batch SET stored_at = now() - interval '1 day' RETURNING 1")
    ward.rows("UPDATE latest l SET stored_at = b.stored_at FROM batch b WHERE b.batch = l.batch RETURNING 1")
    after = OutsideCheckpoint("monday.note", checkpoint_of(ward.address))
    since = datetime.now(UTC) - timedelta(hours=1)
    assert verify(ward.address, since=since).counts["batches"] == 0
    act(ward, HR_ROW, device=str(device_id(SECOND)))
    work(ward)
    ward.seal_log()
    for scope in ({"since": since}, {"after": after}):
        result = verify(ward.address, **scope)
        assert emitted(result) == []
        assert (result.counts["batches"], result.counts["validated anew"]) == (1, 1)


def test_the_list_says_how_far_each_act_is(ward: Ward) -> None:
    ward.emit(unmapped())
    act_id = act(ward, HR_ROW, why="new monitors")
    with ward.open() as conn:
        (waiting,) = mapping_acts.listed(conn)
        assert (waiting.act_id, waiting.by, waiting.why, waiting.done_at) == (
            act_id,
            "os:ann@ward",
            "new monitors",
            None,
        )
        assert (waiting.next_batch, waiting.last_batch) == (0, 1)
    work(ward)
    with ward.open() as conn:
        (done,) = mapping_acts.listed(conn)
        assert (done.batches, done.records, done.done_at is None) == (1, 1, False)


def changing(at: int, *, hr: bool) -> Report:
    """What a device sends that sends only what changed: another list nearly every time."""
    numbers = [Record(SPO2, PERCENT, mantissa=90 + at % 8), Record(149530, 264864, mantissa=60 + at % 30)]
    chosen = [numbers[0]] * (at % 2) + [numbers[1]] * (at % 3 > 0)
    named = [Record(mantissa=70 + at % 20, as_sent=AsSent("99X", "101^HR"))] * hr
    other = [Record(mantissa=5, as_sent=AsSent("99X", "7^Other"))] * (at % 4 > 1)
    return report(FIRST, T0_US + at * SECOND_US, chosen + other + named)


def test_devices_that_send_only_what_changed_are_mapped_under_their_supersets(ward: Ward) -> None:
    """Lists of channels that were there before, longer ones that the act makes, and values that nothing takes over."""
    for first in range(0, 40, 4):
        ward.emit(*(changing(first + i, hr=i % 2 == 0) for i in range(4)))
    summarise(ward.address)
    assert emitted(verify(ward.address)) == []
    assert ward.rows("SELECT count(*) FROM superset") == [(1,)]
    act(ward, HR_ROW, since_us=T0_US + 10 * SECOND_US)
    work(ward)
    assert emitted(verify(ward.address)) == []
    summarise(ward.address)
    assert emitted(verify(ward.address)) == []
    newest = ward.rows("SELECT value, leaf, batch FROM latest_value WHERE code = %s", HR_CODE)
    assert newest == [(70 + 38 % 20, 2, 10)]
    ((rows,),) = ward.rows("SELECT count(*) FROM observation WHERE metric = 'MDC_ECG_HEART_RATE'")
    assert rows == 15
    ward.emit(changing(40, hr=True), changing(41, hr=True))
    act(ward, HR_ROW | {"metric": "MDC_PULS_OXIM_PULS_RATE"}, {"metric": "MDC_TEMP", "code": "7"})
    work(ward)
    summarise(ward.address)
    assert emitted(verify(ward.address)) == []
    assert ward.rows("SELECT count(*) FROM latest_value WHERE code = %s", HR_CODE) == [(0,)]


def test_values_under_a_superset_fall_back_to_what_stays_as_it_was(ward: Ward) -> None:
    for at in range(12):
        ward.emit(changing(at, hr=True), changing(at + 100, hr=at % 5 == 0))
    act(ward, HR_ROW, since_us=T0_US + 100 * SECOND_US)
    work(ward)
    summarise(ward.address)
    assert emitted(verify(ward.address)) == []
