"""The spool: what is kept stays kept, in order, whatever happens to its process or its file."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.driver import Source
from edge_agent.delivery import Delivery
from edge_agent.spool import LEVELS, Kept, Spool
from evidence.seal import FIRST_PREVIOUS, batch_id, open_sealed, seal, signed_by
from evidence.statements import Receipt, ReceiptOutcome
from schemas import layout
from schemas.batch import TailKind
from schemas.errors import VitalwireError
from schemas.report import Kind, Lane, Record, Report
from tests.making import T0_US, Key, report

KEY, EDGE = Key(), b"E" * 16
SEAL = partial(seal, edge=EDGE, config_hash=bytes(32), key_id=KEY.key_id, sign=KEY.sign)
SECOND_US = 1_000_000
MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.us = T0_US

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, clock: Clock, events: list[str]) -> Iterator[Callable[..., Spool]]:
    opened: list[Spool] = []

    def open_spool(folder: str = "spool", bytes_max: int = MIB, hold_s: float = 100) -> Spool:
        spool = Spool(
            tmp_path / folder, bytes_max=bytes_max, receipt_hold_s=hold_s, now_us=clock,
            on_event=lambda slug, text: events.append(slug),
        )  # fmt: skip
        opened.append(spool)
        return spool

    yield open_spool
    for spool in opened:
        spool.close()


def put(spool: Spool, *reports: Report, frame: bytes = b"frame", sender: str = "", connection: int = 1) -> Kept:
    told: SimpleQueue[Kept] = SimpleQueue()
    delivery = Delivery(frame, Source("bed"), T0_US, lambda *_: None, sender=sender, connection=connection)
    spool.put(reports, delivery, told.put)
    return told.get(timeout=10)


def receipt(spool: Spool, lane: Lane, number: int, sealed: bytes, store: bytes = b"A" * 16, at_us: int = 1) -> Receipt:
    return Receipt(
        ReceiptOutcome.STORED, EDGE, spool.spool_id, lane, number, batch_id(sealed), 7, store, at_us
    )  # fmt: skip


def sequences(batches: list[tuple[int, bytes]]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = defaultdict(list)
    for _, sealed in batches:
        _, table = open_sealed(sealed)
        for device, sequence in zip(table.device.tolist(), table.sequence.tolist(), strict=True):
            found[bytes(device)].append(sequence)
    return found


def cut_all(spool: Spool, now_us: int) -> None:
    for lane in Lane:
        while spool.cut(lane, SEAL, now_us):
            pass


def test_a_batch_is_sealed_signed_and_chained_and_comes_back_the_same(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        assert put(spool, report(at_us=T0_US + i), report("other", at_us=T0_US + i)) is Kept.KEPT
        assert spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = spool.wanted(Lane.LIVE, 0, 10 * MIB)
    previous = FIRST_PREVIOUS
    for number, sealed in batches:
        header, table = open_sealed(sealed)
        assert (header.batch_no, header.previous, header.lane, header.spool) == (number, previous, 1, spool.spool_id)
        assert signed_by(sealed, KEY.public_der)
        assert len(table) == 2
        assert table.leaf(0)[16:64] != table.leaf(1)[16:64]  # salts, and the hashes of the one frame with them
        previous = batch_id(sealed)
    assert [n for n, _ in batches] == [1, 2, 3]
    assert set(map(tuple, sequences(batches).values())) == {(1, 2, 3)}
    spool.close()
    again = make()
    assert again.wanted(Lane.LIVE, 0, 10 * MIB) == batches  # killed after the broker's word: the same bytes again
    assert again.spool_id == spool.spool_id
    assert [n for n, _ in again.wanted(Lane.LIVE, 1, 1)] == [2]


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
            told: SimpleQueue[Kept] = SimpleQueue()
            frames = 1 if step == "put" else 20
            for _ in range(frames):
                spool.put([report(c, now_us) for c in claims], done=told.put)
            assert [told.get(timeout=10) for _ in range(frames)] == [Kept.KEPT] * frames
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
        batches = spool.wanted(lane, 0, 100 * MIB)
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
    numbers = sequences(torn.wanted(Lane.LIVE, 0, MIB))
    assert list(numbers.values()) == [list(range(1, kept // 2 + 2))] * 2


def damage_head(file: Path) -> None:
    with file.open("r+b") as f:
        f.write(b"x" * 100)


def damage_tail(file: Path) -> None:
    with file.open("r+b") as f:
        f.truncate(file.stat().st_size // 2)


def damage_middle(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (size - 8192))


@pytest.mark.parametrize("damage", [damage_head, damage_tail, damage_middle])
def test_a_damaged_file_is_set_aside_and_a_fresh_spool_begins(
    make: Callable[..., Spool], tmp_path: Path, events: list[str], damage: Callable[[Path], None]
) -> None:
    spool = make()
    for i in range(50):
        put(spool, report(at_us=T0_US + i))
    spool.close()
    damage(tmp_path / "spool" / "spool.db")
    before = (tmp_path / "spool" / "spool.db").read_bytes()
    fresh = make()
    (aside,) = (tmp_path / "spool").glob("spool-damaged-*.db")
    assert aside.read_bytes() == before
    assert fresh.spool_id != spool.spool_id
    assert put(fresh, report()) is Kept.KEPT
    assert fresh.figures.reports == 1
    fresh.close()
    assert events == ["spool-damaged"]


def test_damage_that_shows_while_running_is_set_aside_too(
    make: Callable[..., Spool], tmp_path: Path, events: list[str]
) -> None:
    spool = make(bytes_max=64 * MIB)
    for i in range(3):
        put(spool, *[report(str(n), T0_US + i, [Record(150456, mantissa=n)] * 300) for n in range(90)])
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    spool.close()
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sealed'").fetchone()
    db.close()
    with (tmp_path / "spool" / "spool.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\x55" * 4096)
    spool = make(bytes_max=64 * MIB)
    first = spool.spool_id
    assert events == []
    with pytest.raises(VitalwireError, match="malformed"):
        spool.wanted(Lane.LIVE, 0, MIB)
    assert put(spool, report()) is Kept.KEPT
    assert spool.spool_id != first
    assert spool.figures.open_batches == 0
    spool.close()
    assert events == ["spool-damaged"]


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


def test_lanes_by_kind_and_by_how_long_a_report_waited(make: Callable[..., Spool]) -> None:
    spool = make()
    now_us = T0_US + 60 * SECOND_US
    put(spool, report("old", now_us - 11 * SECOND_US), report("new", now_us - 2 * SECOND_US))
    put(spool, report("wave", now_us - 20 * SECOND_US, kind=Kind.WAVEFORM))
    cut_all(spool, now_us)
    for lane, claim in ((Lane.LIVE, "new"), (Lane.BACKFILL, "old"), (Lane.WAVEFORM, "wave")):
        assert list(sequences(spool.wanted(lane, 0, MIB))) == [report(claim).device.bytes]


def test_a_batch_is_cut_when_its_oldest_has_waited_or_it_is_large(make: Callable[..., Spool]) -> None:
    spool = make(bytes_max=10 * MIB)
    put(spool, r := report())
    assert not spool.cut(Lane.LIVE, SEAL, r.received_at_us + 399_999)
    assert not spool.cut(Lane.BACKFILL, SEAL, r.received_at_us + 399_999)
    assert spool.cut(Lane.LIVE, SEAL, r.received_at_us + 400_000)
    put(spool, r)
    assert spool.cut(
        Lane.LIVE, SEAL, r.received_at_us - 1
    )  # the clock was set back: not left lying until it catches up
    large = report(records=[Record(150456, mantissa=1)] * 5000)
    for _ in range(7):
        put(spool, large)
    assert spool.cut(Lane.LIVE, SEAL, r.received_at_us)
    header, _ = open_sealed(spool.wanted(Lane.LIVE, 2, MIB)[0][1])
    assert header.report_count == 5
    assert layout.CUT_BYTES <= header.plain_bytes <= layout.PLAIN_BYTES_MAX
    assert not spool.cut(Lane.LIVE, SEAL, r.received_at_us)


def test_at_quota_batches_with_a_receipt_go_first_and_nothing_else(
    make: Callable[..., Spool], events: list[str]
) -> None:
    spool = make(bytes_max=40_000)
    for i in range(20):
        assert put(spool, report(at_us=T0_US + i)) is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.wanted(Lane.LIVE, 0, MIB)[0]
    assert spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])[0]
    assert spool.figures.held_bytes == len(sealed)
    kept = 0
    while put(spool, report(at_us=T0_US + kept)) is Kept.KEPT:
        kept += 1
    assert spool.figures.held_bytes == 0
    assert kept == spool.figures.reports == 40_000 // 156
    assert events == ["spool-level"] * len(LEVELS) + ["spool-full"]
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.wanted(Lane.LIVE, 0, MIB)[0]
    assert number == 2  # nothing was overwritten
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    assert put(spool, report()) is Kept.KEPT
    assert events[-1] == "spool-keeps-again"


def test_a_spool_knows_when_its_agent_was_last_at_work(make: Callable[..., Spool], clock: Clock) -> None:
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
    put(spool, report(at_us=T0_US + 8 * SECOND_US, kind=Kind.WAVEFORM))
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
    assert list(sequences(spool.wanted(Lane.LIVE, 0, MIB)).values()) == [list(range(1, kept + 2))]


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
    assert put(spool, report(), sender="s") is Kept.KEPT
    cut_all(spool, T0_US + SECOND_US)
    assert list(sequences(spool.wanted(Lane.LIVE, 0, MIB)).values()) == [[1, 2]]


def test_receipts_release_and_are_held_until_their_time(make: Callable[..., Spool], clock: Clock) -> None:
    spool = make(hold_s=100)
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = dict(spool.wanted(Lane.LIVE, 0, MIB))
    good = receipt(spool, Lane.LIVE, 2, batches[2])
    other_spool = Receipt(**{**good.__dict__, "spool": b"X" * 16, "batch_no": 3, "batch_id": batch_id(batches[3])})
    other_bytes = Receipt(**{**good.__dict__, "batch_no": 3})
    assert spool.receipted([good, other_spool, other_bytes, good]) == ([good, good], False)
    assert [n for n, _ in spool.wanted(Lane.LIVE, 0, MIB)] == [1, 3]
    assert (spool.figures.open_batches, spool.figures.held_bytes) == (2, len(batches[2]))
    clock.us += 99 * SECOND_US
    put(spool, report())
    assert spool.figures.held_bytes
    clock.us += 20 * SECOND_US
    put(spool, report())
    assert not spool.figures.held_bytes
    assert [n for n, _ in spool.wanted(Lane.LIVE, 0, MIB)] == [1, 3]


def test_another_store_wants_all_that_is_held(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = dict(spool.wanted(Lane.LIVE, 0, MIB))

    def told(number: int, store: bytes, at_us: int) -> tuple[list[Receipt], bool]:
        return spool.receipted([receipt(spool, Lane.LIVE, number, batches[number], store, at_us)])

    def wanted() -> list[int]:
        return [n for n, _ in spool.wanted(Lane.LIVE, 0, MIB)]

    told(1, b"A" * 16, 100), told(2, b"A" * 16, 110)
    assert wanted() == [3]
    settled, changed = told(3, b"B" * 16, 120)
    assert (len(settled), changed, wanted()) == (1, True, [1, 2])
    # What the store before it said late, or again, settles nothing and changes nothing back.
    assert told(2, b"A" * 16, 110) == ([], False)
    assert told(3, b"A" * 16, 90) == ([], False)
    assert wanted() == [1, 2]
    spool.close()
    spool = make()
    assert told(1, b"B" * 16, 130)[1] is False
    assert wanted() == [2]


def test_what_does_not_fit_the_layout_is_kept_as_rejected(make: Callable[..., Spool]) -> None:
    spool = make()
    bad = [
        report("good"),
        report("many", records=[Record()] * 10_001),
        report("wide", records=[Record(code=2**40)]),
        report("\ud800", records=[Record(mantissa=2**70)]),
    ]
    assert put(spool, *bad, frame=b"the bytes") is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    _, table = open_sealed(spool.wanted(Lane.LIVE, 0, MIB)[0][1])
    assert table.kind.tolist() == [Kind.METRIC, Kind.REJECTED]
    tail = table.tail(1)
    assert (layout.REPORT_LEVEL, TailKind.FRAME, b"the bytes") in tail
    assert (0, TailKind.AS_SENT, b"vitalwire\x1ftoo-many-records\x1f") in tail


def test_what_comes_after_the_end_is_not_acknowledged(make: Callable[..., Spool]) -> None:
    spool = make()
    put(spool, report())
    spool.close()
    assert put(spool, report()) is Kept.FULL
