"""Two people: who asks does not agree, an agreement is for one deed, by one of the two, in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from emr_store import acts, roles, second_person
from emr_store.acts import Author
from emr_store.connect import open_store, with_role
from emr_store.migrate import migrate
from emr_store.second_person import Kind, SecondPersonError, person_of

ANN, BOB, EVE = Author("os:ann@office", "case 7"), Author("staff:1002"), Author("os:eve@office")
COPY: dict[str, Any] = {"copy": "7", "pages": 12}


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    migrate(database)
    with open_store(with_role(database, roles.CLERK)) as conn:
        yield conn


def done(conn: psycopg.Connection, author: Author, details: dict[str, Any] = COPY) -> None:
    with conn.transaction():
        request = second_person.agreed(conn, Kind.CUSTODY_COPY, details, author)
        act_id = acts.record(conn, acts.act("custody.open", author, acts.now(conn), second_person=str(request)))
        second_person.use(conn, request, act_id)


def test_it_is_done_once_by_one_of_the_two(conn: psycopg.Connection) -> None:
    request = second_person.ask(conn, Kind.CUSTODY_COPY, COPY, ANN)
    assert second_person.ask(conn, Kind.CUSTODY_COPY, COPY, ANN) == request
    with pytest.raises(SecondPersonError) as waits:
        done(conn, ANN)
    assert waits.value.request == request
    (asked,) = second_person.asked(conn)
    assert (asked.request, asked.kind, asked.details, asked.by, asked.why, asked.agrees) == (
        request, "custody_copy", COPY, ANN.by, "case 7", None,
    )  # fmt: skip
    second_person.agree(conn, request, BOB)
    for author, details in ((EVE, COPY), (ANN, {"copy": "7", "pages": 13})):
        with pytest.raises(SecondPersonError):
            done(conn, author, details)
    done(conn, BOB)
    assert second_person.asked(conn) == []
    for author in (ANN, BOB):
        with pytest.raises(SecondPersonError):
            done(conn, author)
    with pytest.raises(SecondPersonError, match="was done already"), conn.transaction():
        second_person.use(conn, request, acts.record(conn, acts.act("custody.open", ANN, acts.now(conn))))
    assert [act.kind for act in acts.acts(conn)][-3:] == ["second.ask", "second.agree", "custody.open"]


@pytest.mark.parametrize("by", ["os:ann@office", "os:ann@ward", "os:ANN@ward", "staff:ann", "page:ann@ward"])
def test_who_asks_does_not_agree_wherever_he_sits(conn: psycopg.Connection, by: str) -> None:
    request = second_person.ask(conn, Kind.LOST_KEY, {"key": "a"}, ANN)
    with pytest.raises(SecondPersonError, match="it takes another person"):
        second_person.agree(conn, request, Author(by))
    second_person.decline(conn, request, Author(by))
    assert second_person.asked(conn) == []


def test_what_was_declined_is_asked_anew(conn: psycopg.Connection) -> None:
    request = second_person.ask(conn, Kind.BULK_EXPORT, COPY, ANN)
    second_person.decline(conn, request, BOB)
    with pytest.raises(SecondPersonError, match="answered already"):
        second_person.agree(conn, request, BOB)
    assert second_person.ask(conn, Kind.BULK_EXPORT, COPY, ANN) != request
    with pytest.raises(SecondPersonError, match="nobody asked for this"):
        second_person.agree(conn, uuid4(), BOB)


def test_a_question_is_not_for_ever(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        request = second_person.ask(conn, Kind.CUSTODY_COPY, COPY, ANN)
        conn.execute("UPDATE second_person SET expires_at = now() - interval '1 second'")
        with pytest.raises(SecondPersonError, match="too long ago"):
            second_person.agree(conn, request, BOB)
        again = second_person.ask(conn, Kind.CUSTODY_COPY, COPY, ANN)
        second_person.agree(conn, again, BOB)
        conn.execute("UPDATE second_person SET expires_at = now() - interval '1 second'")
        with pytest.raises(SecondPersonError):
            done(conn, ANN)
        assert second_person.asked(conn) == []


def test_a_person_is_the_same_on_every_machine() -> None:
    assert person_of("os:ann@a") == person_of("page:Ann@b") == "ann"
    assert person_of("staff:1001") == "1001"
