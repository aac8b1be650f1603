"""The sealer: what waits becomes leaves, each once, and checkpoints are over them."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from emr_store import log
from emr_store.connect import current_incarnation
from emr_store.transaction import Writer
from evidence.act import Act, LogHead, predecessor_of, read_act
from evidence.block_seal import SEAL_BYTES, read_seal
from evidence.checkpoint import Checkpoint, read_checkpoint
from evidence.tree import leaf_hash, merkle_root
from schemas.errors import VitalwireError
from tests.making import T0_US, report
from tests.storing import NOW_US, Store


@pytest.fixture
def store(database: str) -> Store:
    made = Store(database)
    made.rows("DELETE FROM unlogged RETURNING 1")  # its edge's registration: each test says what waits
    return made


def put_act(store: Store, why: str = "a monitor was moved") -> Act:
    """As who does something puts it beside what was done."""
    act = Act("device.move", "os:nurse@ward", T0_US, why, {"device": "1"})
    with store.open() as conn, conn.transaction():
        conn.execute(
            "INSERT INTO act (act_id, kind, body, at) VALUES (%s, %s, %s, now())", [act.act_id, act.kind, act.body]
        )
        conn.execute("INSERT INTO unlogged (act) VALUES (%s)", [act.act_id])
    return act


def read_log(store: Store, incarnation: bytes | None = None) -> tuple[Checkpoint, list[bytes]]:
    """The newest checkpoint, its signature checked, and the leaves; the root is over them."""
    with store.open() as conn:
        note, leaves = log.entries(conn, incarnation)
        found = list(leaves)
    checkpoint = read_checkpoint(note, store.platform.public_der)
    assert (checkpoint.size, checkpoint.root) == (len(found), merkle_root([leaf_hash(leaf) for leaf in found]))
    return checkpoint, found


def test_seals_and_acts_become_leaves(store: Store) -> None:
    store.emit(report())
    act = put_act(store)
    store.emit(report())
    assert store.seal_log() == 4
    checkpoint, (begin, first, done, second) = read_log(store)
    assert predecessor_of(read_act(begin)[0]) is None
    assert [len(seal) for seal in (first, second)] == [SEAL_BYTES] * 2
    assert [read_seal(seal)[1].is_signed_by(store.platform.public_der) for seal in (first, second)] == [True, True]
    read, statement = read_act(done)
    assert read == act
    assert statement.is_signed_by(store.platform.public_der)
    assert store.rows("SELECT statement FROM act WHERE act_id = %s", act.act_id) == [(done,)]
    assert store.rows("SELECT count(*) FROM unlogged") == [(0,)]
    with store.open() as conn:
        assert checkpoint.origin == f"vitalwire/test/{current_incarnation(conn).hex()}"
        assert read_checkpoint(log.newest_checkpoint(conn), store.platform.public_der) == checkpoint


def test_a_log_grows_and_nothing_new_signs_nothing(store: Store) -> None:
    assert store.seal_log() == 1
    assert store.seal_log() == 0
    store.emit(report())
    assert store.seal_log() == 1
    assert store.seal_log() == 0
    _, leaves = read_log(store)
    assert len(leaves) == 2
    assert store.rows("SELECT size FROM log") == [(2,)]


def test_before_the_first_checkpoint_there_is_none(store: Store) -> None:
    with store.open() as conn:
        assert log.newest_checkpoint(conn) == b""
        with pytest.raises(VitalwireError, match="no checkpoint of it yet"):
            log.entries(conn)


def test_what_commits_out_of_order_is_logged_once_and_never_lost(store: Store) -> None:
    store.emit(report())
    store.seal_log()
    with store.open() as slow:
        with slow.transaction():
            Writer(slow).store([store.validate(store.seal(report()))], [])
            first = slow.execute("SELECT id FROM unlogged").fetchone()
            put_act(store)
            ((second,),) = store.rows("SELECT id FROM unlogged")
            assert first is not None
            assert first[0] < second
            assert store.seal_log() == 1  # the later one, which is committed
        assert store.seal_log() == 1
    assert store.seal_log() == 0
    assert store.rows("SELECT seal FROM log_entry ORDER BY position") == [(None,), (1,), (None,), (2,)]
    _, leaves = read_log(store)
    assert len(leaves) == 4


def test_many_are_taken_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHUNK_LEAVES", 3)
    for i in range(7):
        put_act(store, str(i))
    assert [store.seal_log() for _ in range(4)] == [4, 3, 1, 0]
    _, leaves = read_log(store)
    assert [read_act(leaf)[0].why for leaf in leaves] == ["", *"0123456"]


def test_of_two_sealers_one_works(store: Store) -> None:
    with store.open() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [log._LOCK])
        assert store.seal_log() == 0
        other.execute("SELECT pg_advisory_unlock(%s)", [log._LOCK])  # a closed session ends when its server sees it
    assert store.seal_log() == 1


def test_a_sealer_that_failed_lets_the_next_one_work(store: Store) -> None:
    def refuse(message: bytes) -> bytes:
        raise OSError("the key store is away")

    store.emit(report())
    sign, store.platform.sign = store.platform.sign, refuse  # type: ignore[method-assign]
    with store.open() as conn, pytest.raises(OSError, match="away"):
        log.seal_unlogged(conn, site="test", key=store.platform, now_us=NOW_US)
    assert store.rows("SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM unlogged)") == [(0, 1)]
    store.platform.sign = sign  # type: ignore[method-assign]
    assert store.seal_log() == 2


def test_a_checkpoint_that_a_crash_prevented_is_signed_by_the_next_call(store: Store) -> None:
    store.emit(report())
    store.seal_log()
    store.rows("DELETE FROM checkpoint RETURNING 1")
    assert store.seal_log() == 0
    read_log(store)


def test_of_each_minute_the_last_checkpoint_stays(store: Store) -> None:
    minute_us = NOW_US // 60_000_000 * 60_000_000
    for second in (0, 1, 59, 60, 61, 200):
        put_act(store, str(second))
        store.seal_log(minute_us + second * 1_000_000)
    assert store.rows("SELECT size FROM checkpoint ORDER BY size") == [(4,), (6,), (7,)]


Promote = Callable[[str], None]


@pytest.fixture
def promote(monkeypatch: pytest.MonkeyPatch) -> Promote:
    """As after a restore or a failover: the same rows in another incarnation."""

    def to(name: str) -> None:
        def incarnation(conn: psycopg.Connection) -> bytes:
            return name.encode().ljust(16)

        monkeypatch.setattr(log, "current_incarnation", incarnation)

    return to


def test_a_new_incarnation_begins_a_log_that_names_the_one_before(store: Store, promote: Promote) -> None:
    promote("first")
    store.emit(report())
    store.seal_log()
    before, _ = read_log(store)
    store.emit(report())
    promote("second")
    with store.open() as conn:
        assert log.newest_checkpoint(conn) == b""  # a note of the other log would be an old one
    assert store.seal_log() == 2
    now, (begin, seal) = read_log(store)
    head = LogHead(b"first".ljust(16), before.size, before.root)
    assert predecessor_of(read_act(begin)[0]) == head
    assert len(seal) == SEAL_BYTES
    assert now.origin != before.origin
    assert read_log(store, b"first".ljust(16))[0] == before


def test_a_copy_that_comes_back_goes_on_with_its_log(store: Store, promote: Promote) -> None:
    for name in ("first", "second", "first"):
        promote(name)
        for _ in range(2):
            store.emit(report())
            store.seal_log()
    sizes = store.rows("SELECT incarnation, size FROM log ORDER BY log")
    assert [(bytes(name).strip(), size) for name, size in sizes] == [(b"second", 3), (b"first", 5)]  # type: ignore[call-overload]
    read_log(store)


def test_a_leaf_that_somebody_deleted_is_named(store: Store) -> None:
    store.emit(report())
    store.emit(report())
    store.seal_log()
    store.rows("DELETE FROM seal WHERE seal = 1 RETURNING 1")
    with store.open() as conn, pytest.raises(VitalwireError, match="leaf 1 of the log is gone"):
        list(log.entries(conn)[1])


def test_what_waits_and_is_gone_is_said_with_its_remedy(store: Store) -> None:
    store.emit(report())
    store.rows("DELETE FROM seal RETURNING 1")
    with pytest.raises(VitalwireError, match=r"row \d+ of `unlogged` names a seal or act that is not in the store"):
        store.seal_log()
