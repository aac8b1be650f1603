"""A sender's clock behind ours is one question, until a message comes in time."""

from __future__ import annotations

from clinical.sender_clock import MESSAGES
from emr_store import patient_acts
from emr_store.instants import moment
from schemas.report import Lane
from tests.adt import group, us
from tests.attributing import Hospital, adt_report
from tests.storing import Store


def asked(hospital: Hospital) -> list[tuple[str, str, object]]:
    with hospital.store.open() as conn:
        return [(q.subject, q.detail, q.since) for q in patient_acts.questions(conn) if q.kind == "clock_behind"]


def send(hospital: Hospital, second: int, late_s: int) -> None:
    """A report is received when it is recorded; MSH-7 is before that."""
    made = group("A08", second, sent=second - late_s)
    hospital.store.emit(adt_report(made), lane=Lane.ADT)
    hospital.attribute()


def test_all_messages_late_are_a_clock_and_one_in_time_ends_the_question(database: str) -> None:
    hospital = Hospital(Store(database))
    for second in range(MESSAGES - 1):
        send(hospital, second, 90 + second)
    assert asked(hospital) == []
    send(hospital, 100, 300)
    found = [("adt", "90", moment(us(100)))]
    assert asked(hospital) == found
    send(hospital, 101, 200)
    assert asked(hospital) == found  # the same question
    send(hospital, 102, 3)
    assert asked(hospital) == []
