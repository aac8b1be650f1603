"""The numbers of devices and channel lists that a connection knows."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from emr_store.devices import Devices
from emr_store.transaction import Writer
from schemas.report import Record
from tests.making import PERCENT, SPO2, report
from tests.storing import EDGE, Store


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def ids(*names: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(name.ljust(16) for name in names), "V16")


def test_each_device_has_one_number_for_every_connection(store: Store) -> None:
    with store.open() as first, store.open() as second:
        one, two, one_more = Devices(first).numbers(ids(b"one", b"two", b"one"), ids(EDGE, EDGE, EDGE)).tolist()
        assert one == one_more != two
        assert Devices(second).numbers(ids(b"two"), ids(EDGE)).tolist() == [two]


def test_a_number_of_a_rolled_back_transaction_is_none(store: Store) -> None:
    with store.open() as conn:
        devices = Devices(conn)
        with conn.transaction():
            devices.numbers(ids(b"one"), ids(EDGE))
            raise psycopg.Rollback
        devices.rolled_back()
        (number,) = devices.numbers(ids(b"one"), ids(EDGE)).tolist()
        devices.committed()
        devices.rolled_back()  # of a later transaction: what stands is still known
        assert store.rows("SELECT device FROM device") == [(number,)]
        conn.execute("DELETE FROM device")
        assert devices.numbers(ids(b"one"), ids(EDGE)).tolist() == [number]


def test_a_channel_list_of_a_rolled_back_transaction_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = store.validate(store.seal(report(records=[Record(SPO2, PERCENT, 7, mantissa=97)])))

    def fail(*_: object) -> None:
        raise psycopg.OperationalError("the line is cut")

    with store.open() as conn:
        writer = Writer(conn)
        writer.store([store.validate(store.seal(report()))], [])
        with monkeypatch.context() as patched:
            patched.setattr("emr_store.ledger.Ledger.write", fail)
            with pytest.raises(psycopg.OperationalError):
                writer.store([other], [])
        assert store.rows("SELECT count(*) FROM channel_set") == [(1,)]
        writer.store([other], [])
        assert store.rows("SELECT count(*) FROM report JOIN channel_set USING (channel_set)") == [(2,)]
