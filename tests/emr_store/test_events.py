import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from emr_store import channels, conservation, events
from schemas.report import Kind
from tests.making import T0_US, report
from tests.storing import EDGE, Store, event

SECOND = 1_000_000


EDGE_CLAIM = f"edge:{UUID(bytes=EDGE)}"


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def test_events_and_counts_are_the_newest_each(store: Store) -> None:
    store.emit(event(EDGE_CLAIM, "counts", '{"frames:a": 1}'), event(EDGE_CLAIM, "counts", '{"a": 7}', T0_US + SECOND),
              event("a", "silent", "30 s", T0_US + 2 * SECOND), event("a", "counts", "its own", T0_US + 3 * SECOND),
              event(EDGE_CLAIM, "started", "", T0_US), report(kind=Kind.METRIC))  # fmt: skip
    with store.open() as conn:
        assert [(e.claim, e.texts[0]["code"]) for e in events.events(conn, 2)] == [
            ("a", "silent"), (EDGE_CLAIM, "started")
        ]  # fmt: skip
        assert [(edge, text) for edge, _, text in events.edge_counts(conn)] == [(UUID(bytes=EDGE), '{"a": 7}')]


WORDS = "report_words|kind_observed_at_idx"  # as a partition's is called
VALUE_WORDS = "report_value_words|[0-9]_observed_at_idx"


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_no_question_of_words_scans_what_has_none(parts: str, store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.emit(report(), report(at_us=now_us), event(EDGE_CLAIM, "counts", "{}", now_us))
    with store.open() as conn:
        conn.execute("SET enable_seqscan = off")
        for sql, parameters, index in (
            (events._EVENTS_SQL, [1], WORDS), (conservation._GAPS_SQL, None, WORDS),
            (channels._UNMAPPED_SQL, [1], VALUE_WORDS),
            (events._COUNTS_SQL, None, "report_device|device_observed_at_idx"),
        ):  # fmt: skip
            plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {sql}".encode(), parameters))
            assert re.search(index, plan), plan
            assert not re.search("Seq Scan on (report|_hyper)", plan), plan
