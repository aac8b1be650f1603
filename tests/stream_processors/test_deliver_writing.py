"""What messages say, out of charts: HL7 v2 the versions that were taken, FHIR what a slot says now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from adapters.emr.observation import panel_id
from adapters.emr.oru import OruStyle
from clinical.charted import ChartedVersion
from emr_store import acts, deliver
from emr_store.deliver import Accepted, Delivered, Made, Message, Parked, Skipped
from schemas.errors import VitalwireError
from stream_processors.deliver_writing import (
    NEVER_SENT,
    NOBODY,
    SAID,
    FhirWriter,
    Hl7Writer,
    Writer,
    Written,
    charted_of,
    written,
)
from tests.delivering import Said, admit, say, slot_of, take_all, uuid_of, visit_of
from tests.storing import NOW_US, Store

SYS, DIA = "MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"
FHIR = FhirWriter("emr", preliminary=False, identifier_systems={})
HL7 = Hl7Writer("emr", OruStyle())


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    store = Store(database)
    admit(store, "V1", "V2")
    with store.open() as found:
        yield found


class Desk:
    """A destination whose messages are written one after the other."""

    def __init__(self, conn: psycopg.Connection, writer: Writer, name: str = "emr") -> None:
        self.conn, self.writer = conn, writer
        self.number = deliver.open_destination(conn, name, acts.now(conn) - timedelta(days=9))

    def next(self) -> list[Message]:
        take_all(self.conn, self.number)
        return deliver.next_messages(self.conn, self.number, (), 99)

    def write(self) -> list[Written]:
        found = self.writer.write(self.conn, self.number, self.next(), NOW_US)
        deliver.keep_bodies(self.conn, [each for each in found if isinstance(each, Made)])
        deliver.settle(self.conn, self.number, [each for each in found if not isinstance(each, Made)])
        return found

    def accept(self, made: Made, version: str = "1") -> None:
        had = [
            Delivered(each, number, f'Observation/{each} W/"{version}"')
            for each, number in zip(made.said, made.said_versions, strict=True)
        ]
        deliver.settle(self.conn, self.number, [Accepted(made.delivery, "200", had)])


def only(found: Sequence[Written]) -> Made:
    (made,) = found
    assert isinstance(made, Made)
    return made


def requests(made: Made) -> list[tuple[str, str]]:
    """Method and URL of each observation's entry."""
    entries = msgspec.json.decode(made.body)["entry"]
    return [
        (each["request"]["method"], each["request"]["url"].partition("?")[0])
        for each in entries if each["resource"]["resourceType"] == "Observation"
    ]  # fmt: skip


def test_a_panel_goes_as_one_resource_and_is_replaced_as_a_whole(conn: psycopg.Connection) -> None:
    desk = Desk(conn, FHIR)
    say(conn, Said(1, item=SYS, value=120), Said(2, item=DIA, value=80), Said(3))
    made = only(desk.write())
    panel = UUID(panel_id(visit_of("V1"), "non-invasive", int(slot_of(0).timestamp() * 1e6)))
    assert set(made.said) == {panel, uuid_of(1), uuid_of(2), uuid_of(3)}
    assert len(requests(made)) == 2
    desk.accept(made)
    say(conn, Said(2, 2, "amended", item=DIA, value=85))
    made = only(desk.write())
    assert requests(made) == [("PUT", f"Observation/{panel}")]
    assert dict(zip(made.said, made.said_versions, strict=True)) == {panel: 3, uuid_of(1): 1, uuid_of(2): 2}


def test_where_several_versions_waited_the_newest_is_said_once(conn: psycopg.Connection) -> None:
    desk = Desk(conn, FHIR)
    say(conn, Said(1))
    say(conn, Said(1, 2, "amended", value=79))
    made = only(desk.write())
    assert made.versions == [2]
    assert b'"value":79' in made.body
    desk.accept(made)
    assert desk.write() == [Skipped(2, SAID)]


def test_what_is_withdrawn_before_it_was_sent_is_never_sent(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, visit="V2"))
    say(conn, Said(1, 2, "entered-in-error"), Said(2, 2, "entered-in-error", visit="V2"))
    assert {each.delivery: each.reason for each in Desk(conn, FHIR).write() if isinstance(each, Skipped)} == {
        1: NEVER_SENT, 2: NEVER_SENT
    }  # fmt: skip


def test_a_withdrawal_behind_one_that_people_skipped_has_nothing_to_say(conn: psycopg.Connection) -> None:
    desk = Desk(conn, HL7)
    say(conn, Said(1))
    say(conn, Said(1, 2, "entered-in-error"))
    made = only(desk.write())
    deliver.settle(conn, desk.number, [Skipped(made.delivery, "skipped by an act")])
    assert desk.write() == [Skipped(2, NEVER_SENT)]


def test_what_nobody_confirmed_stays_in_the_house(conn: psycopg.Connection) -> None:
    desk = Desk(conn, FHIR)
    say(conn, Said(1, item=SYS, value=120), Said(2, status="preliminary", item=DIA, value=80))
    made = only(desk.write())
    assert made.entries == [uuid_of(1)]
    assert b'"value":80' not in made.body
    desk.accept(made)
    say(conn, Said(2, 2, item=DIA, value=80))
    made = only(desk.write())
    assert (sorted(made.said_versions), len(requests(made))) == ([1, 2, 3], 1)


def test_the_same_versions_have_the_same_control_id_and_others_another(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, visit="V2"))
    desk = Desk(conn, HL7)
    messages = desk.next()
    first, again = (HL7.write(conn, desk.number, messages, NOW_US + 7) for _ in range(2))
    assert first == again
    assert len({each.control_id for each in first if isinstance(each, Made)}) == 2


def test_of_nobodys_encounter_nothing_is_written(conn: psycopg.Connection) -> None:
    say(conn, Said(1, visit="V9"))
    for number, writer in ((1, HL7), (2, FHIR)):
        assert Desk(conn, writer, f"emr-{number}").write() == [Parked(number, 0, "", NOBODY, b"")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VitalwireError("the item cannot be charted"), "it cannot be written: the item cannot be charted"),
        (KeyError("P1"), "it cannot be written: KeyError"),
    ],
)
def test_what_cannot_be_written_is_parked(conn: psycopg.Connection, error: Exception, reason: str) -> None:
    say(conn, Said(1))
    (message,) = Desk(conn, HL7).next()

    def make(versions: Sequence[ChartedVersion]) -> Any:
        raise error

    found = written(message, charted_of(conn, [message])[message.delivery], make)
    assert found == Parked(message.delivery, 0, "", reason, b"")
