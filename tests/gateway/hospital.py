"""A ward with an admission office, for the pages: a monitor at ICU-1 whose number contradicts its bed."""

from __future__ import annotations

from emr_store import places
from emr_store.instants import moment
from schemas.adt import Person
from schemas.report import Kind, device_id
from tests.adt import group, us
from tests.attributing import Hospital, text_of
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = device_id(CLAIM)
NUMBER = "00012345"


def open_hospital(database: str) -> Hospital:
    """A monitor at ICU-1, nobody in any bed."""
    made = Hospital(Store(database, b"O" * 16))
    made.store.emit(event(CLAIM, "identity", CLAIM, us(0)), report(CLAIM, us(1)))
    with made.store.open() as conn:
        places.assign(conn, str(DEVICE), "ICU-1", name="监护仪1", since=moment(us(-1000)))
    return made


def admit(hospital: Hospital) -> None:
    """张三 into ICU-1, 李四 into ICU-2."""
    hospital.emit(group("A01", 0, patient=NUMBER, admitted=-90_000), person=Person(name="张三"))
    hospital.emit(group("A01", 0, visit="V2", patient="P2", bed="2"), person=Person(name="李四"))
    hospital.attribute()


def disagree(hospital: Hospital) -> None:
    """The monitor at ICU-1 names the other one."""
    hospital.store.emit(report(CLAIM, us(20), [text_of("HL7", "PID-3", "P2^^^HOSP^MR")], Kind.CONTEXT))
    hospital.attribute()
