"""What a store holds, in numbers."""

from __future__ import annotations

from emr_store.connect import current_incarnation
from emr_store.store_counts import count_store, has_recovered, replayed_until, server_facts, stream_ends
from tests.charting import spo2
from tests.storing import EDGE, Store


def test_what_was_stored_is_counted(database: str) -> None:
    store = Store(database)
    with store.open() as conn:
        empty = count_store(conn)
        assert (empty.reports, empty.batches, empty.log_size, empty.newest_stored_at) == (0, 0, 0, None)
        store.emit(spo2(50, 97), spo2(51, 98))
        store.emit(spo2(52, 99))
        store.seal_log()
        found = count_store(conn)
        assert (found.reports, found.batches) == (3, 2)
        assert found.acts == empty.acts + 1  # the log began
        assert found.log_size >= 3
        assert found.newest_stored_at is not None
        assert found.incarnation == current_incarnation(conn).hex()
        (end,) = stream_ends(conn)
        assert (end.edge.bytes, end.label, end.last_batch_no) == (EDGE, "box", 2)


def test_what_the_server_says_of_itself(database: str) -> None:
    with Store(database).open() as conn:
        facts = server_facts(conn)
        assert int(facts.system_identifier) > 0
        assert (facts.timeline, facts.tablespaces) == (1, 0)
        assert facts.segment_bytes == 16 << 20
        assert facts.version // 10_000 == 18
        assert int(facts.settings["max_connections"]) > 0
        assert has_recovered(conn)
        assert replayed_until(conn) is None
