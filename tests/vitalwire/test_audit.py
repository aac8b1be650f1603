"""`vitalwire audit`, as people type it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from emr_store import chart_acts, looks, reviews
from emr_store.acts import Author, this_user
from emr_store.chart_acts import Person
from emr_store.instants import moment
from emr_store.looks import Look, LookEnd
from emr_store.reviews import Review, ReviewKind
from gateway.access.words import Role
from tests.adt import us, visit_of
from tests.commands import as_json, vitalwire
from tests.gateway.hospital import NUMBER, admit, open_hospital
from tests.gateway.signing_in import hire
from tests.storing import Store

NOW = datetime.now(UTC)
LOOK = Look(
    look=UUID(int=1), person="N1", role="nurse", action="see", page="patient", encounters=(visit_of("V1"),),
    patients=(), stays=1, detail="", relation="break_glass", restricted=True, session="s1", address="10.0.0.1",
    reason="called for help", from_at=NOW - timedelta(hours=2), until_at=NOW - timedelta(hours=1, minutes=45),
)  # fmt: skip
REVIEW = Review(UUID("3f2a91c0-0000-4000-8000-000000000001"), ReviewKind.RESTRICTED, "N1", "nurse", NUMBER,
                None, None, "", NOW)  # fmt: skip


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """N1 looked at 张三 and charted, and at somebody else."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    hospital = open_hospital(database)
    admit(hospital)
    hire(database, "N1", Role.NURSE, name="王五")
    with hospital.store.open() as conn:
        looks.write(conn, LOOK)
        looks.write(conn, LookEnd(LOOK.look, NOW - timedelta(minutes=115)))
        looks.write(conn, replace(LOOK, look=UUID(int=2), encounters=(visit_of("V2"),), person="N2"))
        nurse = Person(Author("staff:N1", "asked"), "王五")
        chart_acts.enter(conn, visit_of("V1"), "pain", 7, "", moment(us(60)), nurse)
        reviews.open_review(conn, REVIEW)
    return hospital.store


def test_who_saw_a_patient_is_told_with_looks_and_acts_and_no_value(store: Store) -> None:
    look, act = as_json(f"audit who-saw {NUMBER}")
    assert (look["person"], look["name"], look["role"], look["relation"], look["reason"], look["where"]) == (
        "N1", "王五", "nurse", "break_glass", "called for help", "10.0.0.1 s1"
    )  # fmt: skip
    assert datetime.fromisoformat(look["until"]) == NOW - timedelta(minutes=115)
    assert (act["what"], act["person"], act["role"], act["reason"]) == ("chart.enter", "N1", "nurse", "asked")
    assert act["detail"].startswith("item pain, status ")
    assert "7" not in act["detail"]
    code, text = vitalwire(f"audit who-saw {NUMBER}")
    assert code == 0
    assert re.search(r"(?m)^20\S+ \S+ +20\S+ \S+ +N1 王五 +nurse +see +patient .* break_glass +called for help", text)
    assert as_json(f"audit who-saw {NUMBER} --since 1h")[0]["what"] == "chart.enter"
    assert [each["what"] for each in as_json(f"audit who-saw {NUMBER} --until 1h")] == ["see"]
    assert vitalwire("audit who-saw 999") == (0, "Who saw 999: nothing\n")
    assert vitalwire(f"audit who-saw {NUMBER} --until x")[0] == 2


def test_what_a_person_did(store: Store) -> None:
    assert [each["what"] for each in as_json("audit what-did N1")] == ["see", "chart.enter"]
    assert [each["encounters"] for each in as_json("audit what-did N2")] == [[visit_of("V2")]]
    assert as_json("audit what-did N") == []


def test_who_reads_the_audit_leaves_a_row_that_the_audit_does_not_show(store: Store) -> None:
    as_json(f"audit who-saw {NUMBER}")
    as_json("audit what-did N1")
    as_json("audit reviews")
    rows = store.rows("SELECT person, page, patients, detail FROM look WHERE page = 'audit' ORDER BY from_at")
    assert rows == [
        (this_user().by, "audit", [NUMBER], "who-saw since=all until=now"),
        (this_user().by, "audit", [], "what-did person=N1 since=all until=now"),
        (this_user().by, "audit", [], "reviews"),
    ]


def test_reviews_are_listed_and_closed_with_a_word(store: Store) -> None:
    (found,) = as_json("audit reviews")
    assert (found["kind"], found["person"], found["patient"], found["closed_at"]) == ("restricted", "N1", NUMBER, None)
    assert re.search(r"(?m)^3f2a91c0 +20.* restricted +N1 王五 +nurse", vitalwire("audit reviews")[1])
    assert vitalwire("audit close 3f2a --word", " ")[0] == 2
    assert vitalwire("audit close 3f2a --word", "asked her") == (0, "review 3f2a91c0 is closed: asked her\n")
    assert vitalwire("audit close 3f2a --word", "again")[1].startswith("review 3f2a91c0 is closed already")
    assert vitalwire("audit close 77 --word", "x") == (2, "no review begins with '77': see `vitalwire audit reviews`")
    assert vitalwire("audit reviews") == (0, "Reviews: none is open\n")
    assert as_json("audit reviews --all")[0]["word"] == "asked her"


@pytest.mark.parametrize("command", ["who-saw", "what-did", "reviews", "close"])
def test_the_help_of_each_has_an_example(command: str) -> None:
    assert f"vitalwire audit {command}" in " ".join(vitalwire(f"audit {command} --help")[1].split())
