"""What a tile is told of the patient in its bed: a part of the name, and each doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from clinical.census import CensusRow
from clinical.key_words import NO_BED_NAMES
from emr_store import census, patient_acts, places, temporary_patients
from emr_store.census import CensusFile
from emr_store.instants import moment
from gateway.access.viewer import Viewer
from gateway.access.words import Role
from gateway.asking import Asking
from gateway.pages import detail
from gateway.pages.places import visible_of
from gateway.pages.ward import Ward as PageWard
from gateway.permission import AccessRefusedError
from schemas.adt import Person
from schemas.report import Kind, device_id
from tests.adt import SOURCE, group, us
from tests.attributing import Hospital, text_of
from tests.gateway.asking import asking, everything, name_beds
from tests.gateway.signing_in import SITE_WARD
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = device_id(CLAIM)
ZHANG = Person(name="张三")
NUMBER = "00012345"


class Screen:
    """The patient of the one bed, as a page has it after each picture."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital, self.patient, self.adt, self.sent = hospital, None, None, 0
        self.known = False
        self._conn = hospital.store.open()
        self._ward, self._number = PageWard(self._conn), 0

    def look(self) -> Any:
        self.hospital.attribute()
        self._number += 1
        whole = self._number == 1
        picture = self._ward.read(self._number, whole=whole)
        message = picture.message(everything(picture), whole=whole)
        picture = json.loads(message[6:])
        self.adt = picture.get("adt", self.adt)
        self.known = picture.get("patients_known", self.known)
        found = [bed["patient"] for bed in picture["beds"] if "patient" in bed]
        self.sent = len(found)
        if found:
            (self.patient,) = found
        return self.patient

    def close(self) -> None:
        self._conn.close()


@pytest.fixture
def hospital(database: str) -> Hospital:
    made = Hospital(Store(database))
    made.store.emit(event(CLAIM, "identity", CLAIM, us(0)), report(CLAIM, us(1)))
    with made.store.open() as conn:
        places.assign(conn, str(DEVICE), "ICU-1", since=moment(us(-1000)))
    return made


@pytest.fixture
def screen(hospital: Hospital) -> Iterator[Screen]:
    made = Screen(hospital)
    yield made
    made.close()


def part(shown: Any, *names: str) -> tuple[Any, ...]:
    return tuple(shown[name] for name in names)


def test_a_name_and_a_number_in_part_and_the_first_day(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER, admitted=-90_000), person=ZHANG)
    shown = screen.look()
    assert part(shown, "presence", "name", "number", "basis") == ("here", "张**", "2345", "bed")
    assert part(shown, "since", "admitted", "absence") == (us(0) // 1000, us(-90_000) // 1000, None)
    assert "张三" not in json.dumps(shown, ensure_ascii=False)
    assert NUMBER not in json.dumps(shown)


def test_only_what_changed_is_sent(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    screen.look()
    screen.look()
    assert screen.sent == 0
    hospital.emit(group("A01", 5, patient="9", visit="V9", bed="2"))
    screen.look()
    assert screen.sent == 0  # another bed's
    hospital.emit(group("A08", 10, patient=NUMBER), person=Person(family="Ruiz", given="Ana"))
    assert part(screen.look(), "name", "presence") == ("R. A.", "here")
    assert screen.sent == 1


def test_the_newest_message_of_an_admission_office_is_told(hospital: Hospital, screen: Screen) -> None:
    assert part(screen.look(), "presence") == ("nobody",)
    assert screen.adt is None
    hospital.emit(group("A01", 0))
    screen.look()
    ((received,),) = hospital.store.rows("SELECT max(received_at) FROM adt_fact")
    assert screen.adt == int(received.timestamp() * 1000)  # type: ignore[attr-defined]


def test_a_census_and_an_act_are_no_messages_of_an_admission_office(hospital: Hospital, screen: Screen) -> None:
    screen.look()
    assert not screen.known
    with hospital.store.open() as conn:
        temporary_patients.admit(conn, hospital.site, "ICU-1", since=moment(us(0)))
    assert part(screen.look(), "presence") == ("here",)
    assert (screen.known, screen.adt) == (True, None)
    row = CensusRow(line=2, bed="ICU-2", patient="P7^HOSP^MR", visit="V7", name="", admitted_at_us=None)
    with hospital.store.open() as conn:
        taken = census.take(conn, hospital.site, SOURCE, CensusFile(b"7" * 32, [row], moment(us(5))))
    assert taken.loaded
    screen.look()
    assert screen.adt is None
    hospital.emit(group("A08", 10, visit="V7", patient="P7", bed="2"))
    screen.look()
    assert screen.adt is not None


@pytest.mark.parametrize(("event_", "absence"), [("A21", "leave"), ("A09", "away")])
def test_who_is_absent_keeps_the_name(hospital: Hospital, screen: Screen, event_: str, absence: str) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.emit(group(event_, 60, patient=NUMBER))
    assert part(screen.look(), "presence", "absence", "name", "since") == (
        "absent", absence, "张**", us(60) // 1000
    )  # fmt: skip


def test_who_left_is_not_named(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.emit(group("A03", 60, patient=NUMBER))
    assert part(screen.look(), "presence", "name", "number") == ("left", "", "")


def test_two_in_one_bed_are_both_named(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.emit(group("A01", 5, visit="V2", patient="P2"), person=Person(name="李四"))
    shown = screen.look()
    assert part(shown, "presence", "name") == ("two", "")
    assert sorted((each["name"], each["number"]) for each in shown["both"]) == [("张**", "2345"), ("李**", "P2")]


def test_bed_and_monitor_that_disagree_name_nobody(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.emit(group("A01", 0, visit="V2", patient="P2", bed="2"), person=Person(name="李四"))
    screen.look()
    hospital.store.emit(report(CLAIM, us(20), [text_of("HL7", "PID-3", "P2^^^HOSP^MR")], Kind.CONTEXT))
    assert part(screen.look(), "presence", "name", "number", "both") == ("conflict", "", "", [])


def test_a_name_that_was_erased_goes_from_the_tile(hospital: Hospital, screen: Screen) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    screen.look()
    with hospital.store.open() as conn:
        patient_acts.erase(conn, f"{NUMBER}^HOSP^MR")
    assert part(screen.look(), "name", "number") == ("", "2345")


def test_the_detail_has_the_whole_and_the_facts_behind_it(hospital: Hospital) -> None:
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.attribute()
    who = asking(hospital.store.address)
    with hospital.store.open() as conn:
        found = detail.whose(conn, who, DEVICE, NO_BED_NAMES)
        assert detail.whose(conn, who, UUID(int=1), NO_BED_NAMES) == {
            "state": None,
            "patient": None,
            "facts": [],
        }
    assert found is not None
    assert part(found, "state", "basis", "visit") == (
        "attributed",
        "bed",
        {"key": "visit:V1^HOSP", "en": "visit V1", "zh": "就诊 V1"},
    )
    assert part(found["patient"], "name", "number") == ("张三", NUMBER)
    assert [fact["kind"] for fact in found["facts"]] == ["act", "adt"]
    assert "A01" in found["facts"][1]["en"]


def test_what_a_viewer_may_not_see_is_not_sent(hospital: Hospital) -> None:
    """Another ward's nurse sees no bed, an engineer nobody's name, a display of the ward a masked one."""
    address = hospital.store.address
    hospital.emit(group("A01", 0, patient=NUMBER), person=ZHANG)
    hospital.attribute()
    name_beds(address)
    others, engineer = asking(address, "N2", Role.NURSE, ["h^w5"]), asking(address, "B1", Role.BIOMEDICAL_ENGINEER, [])
    display = replace(others, viewer=Viewer("display:1", "1", Role.STATION_DISPLAY, wards=frozenset([SITE_WARD])))
    locked = replace(asking(address), viewer=replace(asking(address).viewer, locked=True))

    def beds(who: Asking) -> Any:
        picture = PageWard(conn).read(1, whole=True)
        return json.loads(picture.document(visible_of(who, picture.places)))["beds"]

    with hospital.store.open() as conn:
        assert beds(others) == []
        assert [bed["patient"] for bed in beds(engineer)] == [{"hidden": True}]
        assert [bed["patient"] for bed in beds(locked)] == [{"hidden": True}]
        assert [bed["alarms"] for bed in beds(locked)] == [[]]
        assert [bed["patient"]["name"] for bed in beds(asking(address))] == ["张**"]
        assert [bed["patient"]["name"] for bed in beds(display)] == ["张**"]
        for who in (others, engineer, locked, display):
            with pytest.raises(AccessRefusedError):
                detail.whose(conn, who, DEVICE, NO_BED_NAMES)
