"""The queue: in order, bounded, and a proof goes with the next frame."""

from __future__ import annotations

import pytest

from edge_agent.spool import queue
from edge_agent.spool.queue import Frame, Kept, Proof, Queue
from tests.edge_agent.spool.keeping import delivery
from tests.making import report


def nothing(kept: Kept) -> None:
    """Nobody is told."""


def test_what_waits_is_taken_at_one_time_and_in_order() -> None:
    scheduled: list[int] = []
    q = Queue(lambda: scheduled.append(1))
    first, second, proof = Frame([], None, nothing), Frame([report()], None, nothing), Proof(1, range(3))
    q.prove(proof)
    assert scheduled == []
    assert q.put(first)
    q.prove(proof)
    assert q.put(second)
    assert len(q) == 4
    assert scheduled == [1]
    assert q.take() == [proof, first, proof, second]
    assert q.put(first)
    assert scheduled == [1, 1]


def test_beyond_its_bound_frames_are_refused_until_it_was_taken() -> None:
    q, large = Queue(lambda: None), Frame([report()], delivery(bytes(queue.QUEUE_BYTES_MAX // 3)), nothing)
    assert [q.put(large) for _ in range(4)] == [True, True, False, False]
    q.take()
    assert q.put(large)


def test_many_proofs_do_not_wait_for_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PROOFS_MAX", 3)
    scheduled: list[int] = []
    q = Queue(lambda: scheduled.append(1))
    for _ in range(3):
        q.prove(Proof(1, range(1)))
    assert scheduled == []
    q.prove(Proof(1, range(1)))
    assert scheduled == [1]


def test_after_its_end_nothing_is_taken() -> None:
    def ended() -> None:
        raise RuntimeError

    assert not Queue(ended).put(Frame([], None, nothing))
