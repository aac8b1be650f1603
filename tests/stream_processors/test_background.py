import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from emr_store import acts, looks, mapping_acts, sign_in_attempts
from emr_store.connect import current_incarnation, open_store
from emr_store.migrate import migrate
from emr_store.outbox import OutboxRow
from emr_store.retention import Keep
from evidence.checkpoint import read_checkpoint
from evidence.receipt import RECEIPT_BATCHES_MAX, Receipt, ReceiptOutcome, read_receipt
from runtime import config as configuration
from runtime.errors import UserError
from schemas.report import AsSent, Record
from schemas.topics import TOPICS, receipt_partition
from stream_processors import background, stage
from stream_processors.config import LimitConfig, ProcessorsConfig
from stream_processors.stage import Output
from tests.emr_store.test_look_minutes import LOOK
from tests.making import T0_US, Key, report
from tests.storing import EDGE, Store
from tests.stream_processors.platform import AsSigningKey
from vitalwire.embedded import EmbeddedServices

LIMIT_S = 20


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def row(number: int, **changes: Any) -> OutboxRow:
    fields: dict[str, Any] = {
        "id": number, "edge": EDGE, "spool": b"S" * 16, "lane": 1, "batch_no": number,
        "batch_id": number.to_bytes(32), "outcome": ReceiptOutcome.STORED, "reason": "", "stored_at_us": T0_US + number,
    }  # fmt: skip
    return OutboxRow(**fields | changes)


def test_a_receipt_names_the_batches_of_one_stream_outcome_and_reason() -> None:
    rows = [
        row(1), row(2), row(3, lane=2), row(4, outcome=ReceiptOutcome.QUARANTINED, reason="root"),
        row(5, outcome=ReceiptOutcome.QUARANTINED, reason="magic"), row(6, edge=b"F" * 16), row(7, spool=b"T" * 16),
        row(8), row(9, outcome=ReceiptOutcome.REFUSED, reason="expired-key"),
    ]  # fmt: skip
    found = background.receipts_of(rows, b"I" * 16, b"note")
    assert [[b.batch_no for b in r.batches] for r in found] == [[1, 2, 8], [3], [4], [5], [6], [7], [9]]
    assert found[0] == Receipt(
        ReceiptOutcome.STORED, EDGE, b"S" * 16, 1, found[0].batches, b"I" * 16, T0_US + 8, "", b"note"
    )  # fmt: skip
    assert [(r.outcome, r.reason) for r in found if r.reason] == [
        (ReceiptOutcome.QUARANTINED, "root"), (ReceiptOutcome.QUARANTINED, "magic"),
        (ReceiptOutcome.REFUSED, "expired-key"),
    ]  # fmt: skip


def test_no_receipt_is_larger_than_its_topic_takes() -> None:
    count, key = 2 * RECEIPT_BATCHES_MAX + 1, Key()
    found = background.receipts_of([row(n) for n in range(1, count + 1)], b"I" * 16, b"n" * 4096)
    assert [len(r.batches) for r in found] == [RECEIPT_BATCHES_MAX, RECEIPT_BATCHES_MAX, 1]
    (topic,) = (t for t in TOPICS if t.name == "receipts")
    assert max(len(r.encode(key.key_id, key.sign)) for r in found) < topic.message_bytes_max - 1024


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def while_it_runs(task: Coroutine[Any, Any, None], run: Coroutine[Any, Any, None]) -> None:
    async def both() -> None:
        running = asyncio.ensure_future(task)
        try:
            await run
        finally:
            running.cancel()

    asyncio.run(asyncio.wait_for(both(), LIMIT_S))


def test_receipts_leave_the_outbox_signed_when_the_broker_has_them(store: Store) -> None:
    store.emit(report())
    store.emit(report())
    store.seal_log()
    sent: list[Output] = []
    failures = [ConnectionError("the broker is away")]
    committed = asyncio.Event()

    async def send(outputs: Sequence[Output]) -> None:
        if outputs and failures:
            raise failures.pop()
        sent.extend(outputs)

    async def run() -> None:
        await until(lambda: bool(sent))
        await asyncio.to_thread(store.emit, report(at_us=T0_US + 1))
        committed.set()
        await until(lambda: len(sent) == 2 and store.rows("SELECT count(*) FROM outbox") == [(0,)])

    key = AsSigningKey(store.platform)
    while_it_runs(background.deliver_receipts(store.address, key, committed, send), run())
    assert [(o.topic, o.partition, o.key) for o in sent] == [("receipts", receipt_partition(EDGE), EDGE)] * 2
    first, second = (read_receipt(o.value, store.platform.public_der) for o in sent)
    assert [[b.batch_no for b in r.batches] for r in (first, second)] == [[1, 2], [3]]
    checkpoint = read_checkpoint(first.checkpoint, store.platform.public_der)
    assert checkpoint.origin == f"vitalwire/test/{first.incarnation.hex()}"


def test_a_receipt_names_the_server_that_its_rows_were_read_from(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two questions another server may have taken over, which does not have these rows."""
    store.emit(report())
    sent: list[Output] = []

    async def send(outputs: Sequence[Output]) -> None:
        sent.extend(outputs)

    key = AsSigningKey(store.platform)
    with EmbeddedServices(tmp_path) as other:
        migrate(other.database)
        monkeypatch.setattr(background, "open_store", lambda _: open_store(other.database))
        delivering = background.deliver_receipts(store.address, key, asyncio.Event(), send)
        while_it_runs(delivering, until(lambda: bool(sent)))
        with store.open() as conn, open_store(other.database) as elsewhere:
            here = current_incarnation(conn)
            assert here != current_incarnation(elsewhere)
    assert read_receipt(sent[0].value, store.platform.public_der).incarnation == here


def test_the_log_gets_what_waits_and_a_checkpoint(store: Store) -> None:
    key = AsSigningKey(store.platform)

    def sizes() -> list[object]:
        return [size for (size,) in store.rows("SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1")]

    async def run() -> None:
        await asyncio.to_thread(store.emit, report())
        await until(lambda: bool(sizes()))
        await asyncio.to_thread(store.emit, report())
        await until(lambda: sizes() == [4])  # the log's beginning, the registration of its edge, and two seals

    while_it_runs(background.keep_sealing(store.address, "test", key), run())
    assert store.rows("SELECT count(*) FROM unlogged") == [(0,)]
    ((note,),) = store.rows("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")
    assert read_checkpoint(bytes(note), store.platform.public_der).size == 4  # type: ignore[call-overload]


def test_the_sealer_goes_on_after_its_connection_broke(store: Store) -> None:
    async def run() -> None:
        await until(lambda: bool(store.rows("SELECT 1 FROM checkpoint")))
        store.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        )
        await asyncio.to_thread(store.emit, report())
        await until(lambda: store.rows("SELECT count(*) FROM unlogged") == [(0,)])

    while_it_runs(background.keep_sealing(store.address, "test", AsSigningKey(store.platform)), run())


def test_why_the_log_waits_is_said_with_its_remedy_until_it_is_mended(store: Store) -> None:
    stage.waits.clear()
    store.emit(report())
    store.rows("DELETE FROM seal RETURNING 1")

    async def run() -> None:
        await until(lambda: bool(stage.waits))
        (reason,) = stage.waits.values()  # what /readyz says
        assert reason.startswith("the log waits: row ")
        assert "restore it from a backup, or delete the row" in reason
        await asyncio.to_thread(store.rows, "DELETE FROM unlogged WHERE seal IS NOT NULL RETURNING 1")
        await until(lambda: not stage.waits)

    with capture_logs() as logged:
        while_it_runs(background.keep_sealing(store.address, "test", AsSigningKey(store.platform)), run())
    first = logged[0]
    assert (first["event"], first["error"]) == ("the log waits", "VitalwireError")
    assert "restore it from a backup, or delete the row" in first["detail"]


def test_looks_of_closed_minutes_become_acts(store: Store) -> None:
    with store.open() as conn:
        looks.write(conn, LOOK)

    async def run() -> None:
        await until(lambda: store.rows("SELECT count(*) FROM look_sealed") == [(1,)])

    while_it_runs(background.seal_looks(store.address), run())
    assert store.rows("SELECT kind FROM act WHERE kind = 'look.minute'") == [("look.minute",)]


def test_what_is_kept_no_longer_is_dropped(store: Store) -> None:
    store.emit(report())
    store.rows("UPDATE day_stored SET last_stored_at = now() - interval '9 days' RETURNING 1")

    async def run() -> None:
        await until(lambda: store.rows("SELECT what FROM dropped") == [("report",)])

    while_it_runs(background.drop_old(store.address, Keep(reports=7)), run())


def test_old_rows_of_sign_ins_are_removed_and_the_log_says_how_many(store: Store) -> None:
    with store.open() as conn:
        for days in (1, 366, 400):
            at = datetime.now(UTC) - timedelta(days=days)
            sign_in_attempts.note(conn, "N1", "10.0.0.7", at, factor="provider", succeeded=True)

    async def run() -> None:
        await until(lambda: store.rows("SELECT count(*) FROM sign_in_attempt") == [(1,)])
        await until(lambda: any(each["event"] == "rows of sign-ins removed" for each in logged))

    with capture_logs() as logged:
        while_it_runs(background.purge_sign_ins(store.address, 365), run())
    (said,) = [each for each in logged if each["event"] == "rows of sign-ins removed"]
    assert (said["attempts"], said["assertions"], said["logouts"], said["challenges"]) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("keep_reports_days = 1", "below 7"), ("keep_sign_in_attempts_days = 9", "below 190"),
     ("keep_adt_batches_days = 6", "below 7"),
     ("keep_minutes_days = 1", "below 30"), ("keep_batches_days = 3", "below 30"),
     ("keep_batches_days = 365", "set keep_reports_days"),
     ("keep_batches_days = 365\nkeep_reports_days = 366", "and no higher")],
)  # fmt: skip
def test_how_long_to_keep_is_refused_where_it_is_a_slip(text: str, refusal: str) -> None:
    with pytest.raises(UserError, match=refusal):
        configuration.decode(text, ProcessorsConfig, "processors.toml")
    kept = configuration.decode("keep_batches_days = 366\nkeep_reports_days = 366", ProcessorsConfig, "processors.toml")
    assert (kept.keep_batches_days, kept.keep_minutes_days, kept.keep_adt_batches_days) == (366, 0, 30)
    assert kept.keep_sign_in_attempts_days == 365


def test_other_alarm_limits_than_before_are_an_act_once(store: Store) -> None:
    low = LimitConfig(metric="MDC_PULS_OXIM_SAT_O2", low=90.0)
    for limits in ((low,), (low,), ()):
        asyncio.run(asyncio.wait_for(background.note_limits(store.address, limits), LIMIT_S))
    with store.open() as conn:
        found = [a for a in acts.acts(conn) if a.kind == "limits.change"]
    stated = {"metric": "MDC_PULS_OXIM_SAT_O2", "low": 90.0, "high": None, "priority": "medium"}
    assert [a.details["limits"] for a in found] == [[stated], []]
    assert found[0].why == "read from the configuration at the start"


def test_a_mapping_act_is_worked_off_and_said(store: Store) -> None:
    store.emit(report(records=[Record(mantissa=72, as_sent=AsSent("99X", "101^HR"))]))
    row = {"metric": "MDC_ECG_HEART_RATE", "code": "101", "unit": "MDC_DIM_BEAT_PER_MIN"}
    with store.open() as conn:
        act_id = mapping_acts.record(conn, {"rows": [row]})

    with capture_logs() as logged:

        async def run() -> None:
            await until(lambda: bool(logged))

        while_it_runs(background.validate_anew(store.address, AsSigningKey(store.platform)), run())
    assert store.rows("SELECT validation_result FROM report") == [(None,)]
    assert store.rows("SELECT act_id FROM batch_validation") == [(bytes.fromhex(act_id),)]
    assert [(entry["event"], entry["act"]) for entry in logged] == [("mapping act done", act_id)]
    assert store.rows("SELECT done_at IS NOT NULL FROM mapping_work") == [(True,)]


def test_a_mapping_act_without_sense_waits_and_is_said(store: Store) -> None:
    store.emit(report(records=[Record(mantissa=72, as_sent=AsSent("99X", "101^HR"))]))
    with store.open() as conn:
        mapping_acts.record(conn, {"rows": 7})

    with capture_logs() as logged:

        async def run() -> None:
            await until(lambda: bool(logged))

        while_it_runs(background.validate_anew(store.address, AsSigningKey(store.platform)), run())
    assert (logged[0]["event"], "says no mapping" in logged[0]["detail"]) == ("mapping acts wait", True)
