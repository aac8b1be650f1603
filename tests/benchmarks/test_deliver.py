"""The figures of delivery are taken, of messages that were accepted."""

from __future__ import annotations

from benchmarks.deliver import backlog_on
from benchmarks.emr_receiver import acknowledgement
from benchmarks.goals import GOALS
from emr_store import deliver_status
from emr_store.connect import open_store


def test_a_small_backlog_is_measured(database: str) -> None:
    figures = backlog_on(database, 4, 3)
    assert figures.keys() == {"backlog_1000_beds_8h_s", "backlog_live_p99_s"}
    assert figures.keys() <= GOALS.keys()
    assert all(value > 0 for value in figures.values())
    with open_store(database) as conn:
        (row,) = deliver_status.destinations(conn)
        assert row.accepted >= 12
        assert row.parked == 0
        assert {len(each.entries) for each in deliver_status.deliveries(conn, states=["accepted"])} == {7}


def test_the_receiver_accepts_what_it_was_sent() -> None:
    found = acknowledgement(b"\x0bMSH|^~\\&|A|B|C|D|2026||ORU^R01|number-7|P|2.5.1\rPID|1\r\x1c\r")
    assert found.endswith(b"\rMSA|AA|number-7\r\x1c\r")
