import pytest

from emr_store import dead_letters
from evidence.dead_letter import DeadLetter
from tests.storing import Store

SECOND = 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def test_what_is_dead_is_listed_shown_and_marked(store: Store) -> None:
    for i in range(3):
        store.write([], [DeadLetter("unknown-edge", "live.raw", None, bytes([i] * (i + 1)))])
    with store.open() as conn:
        assert [(d.id, d.size) for d in dead_letters.newest(conn, 2)] == [(3, 3), (2, 2)]
        assert dead_letters.find(conn, 4) is None
        item, message = dead_letters.find(conn, 2) or (None, b"")
        assert item is not None
        assert (item.reason, item.topic, item.receipted, item.replayed_at, message) == (
            "unknown-edge", "live.raw", False, None, b"\x01\x01"
        )  # fmt: skip
        dead_letters.mark_replayed(conn, 2)
        assert [d.replayed_at is not None for d in dead_letters.newest(conn)] == [False, True, False]
