"""A connection is used again, unless it was cut or has been idle for long."""

from __future__ import annotations

import threading

import psycopg
import pytest

from emr_store import idle_connections
from emr_store.connect import StoreError, open_store
from emr_store.idle_connections import IDLE_MAX, IdleConnections


def backend(conn: psycopg.Connection) -> int:
    """The server's process."""
    return conn.info.backend_pid


def test_the_next_question_goes_over_the_same_connection(database: str) -> None:
    connections = IdleConnections(database)
    assert connections.ask(backend) == connections.ask(backend)
    connections.close()


def test_a_question_whose_connection_was_cut_is_asked_over_a_new_one(database: str) -> None:
    connections = IdleConnections(database)
    before = connections.ask(backend)
    with open_store(database) as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (before,))
    assert connections.ask(lambda conn: conn.execute("SELECT 1").fetchone()) == (1,)
    connections.close()


def test_a_question_that_fails_leaves_no_connection(database: str) -> None:
    connections = IdleConnections(database)
    before = connections.ask(backend)
    with pytest.raises(StoreError):
        connections.ask(lambda conn: conn.execute("SELECT nothing"))
    assert connections.ask(backend) != before
    connections.close()


def test_what_was_idle_for_long_is_not_used_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = IdleConnections(database)
    before = connections.ask(backend)
    monkeypatch.setattr(idle_connections, "IDLE_S", -1.0)
    assert connections.ask(backend) != before
    connections.close()


def test_those_who_ask_at_once_have_one_each_and_few_are_kept(database: str) -> None:
    connections, together, used = IdleConnections(database), threading.Barrier(IDLE_MAX + 2), set[int]()

    def question(conn: psycopg.Connection) -> None:
        used.add(backend(conn))
        together.wait(20)

    asking = [threading.Thread(target=connections.ask, args=(question,)) for _ in range(IDLE_MAX + 2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(20)
    assert len(used) == IDLE_MAX + 2
    with open_store(database) as conn:
        conn.execute("SELECT pg_sleep(0)")
        there = conn.execute("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", (list(used),)).fetchall()
    assert len(there) >= IDLE_MAX
    connections.close()
