"""Two patients' charts on their way to two destinations: some arrived, some wait, some are parked."""

from __future__ import annotations

from datetime import timedelta

from emr_store import acts, deliver
from emr_store.deliver import Parked, Retry
from tests.attributing import Hospital
from tests.delivering import Said, accepted, made, say, take_all

REFUSED = "AE: required field missing (101) at PID-3"
BUSY = "the receiver could not now: HTTP 503"


class Deliveries:
    """`hl7` has accepted 1, parked 2 (张三's, and 5 behind it) and 3 waits; `fhir` is away, and all waits."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        with hospital.store.open() as conn:
            since = acts.now(conn) - timedelta(days=9)
            self.hl7, self.fhir = (deliver.open_destination(conn, name, since) for name in ("hl7", "fhir"))
            say(conn, Said(1, visit="V2"), Said(2), Said(3, visit="V2", slot=1, age_s=600))
            take_all(conn, self.hl7)
            first, second = deliver.next_messages(conn, self.hl7, (), 9)
            deliver.keep_bodies(conn, [made(first), made(second)])
            deliver.settle(conn, self.hl7, [accepted(first), Parked(second.delivery, 1, "AE", REFUSED, b"MSA|AE")])
            (third,) = deliver.next_messages(conn, self.hl7, (), 9)
            later = acts.now(conn) + timedelta(seconds=50)
            deliver.settle(conn, self.hl7, [Retry(third.delivery, 1, "503", BUSY, later)])
            say(conn, Said(2, 2, "amended"))
            for destination in (self.hl7, self.fhir):
                take_all(conn, destination)
            deliver.note_away(conn, self.fhir, "it refuses connections")
            self.accepted, self.parked, self.waiting = first.delivery, second.delivery, third.delivery

    def states(self, destination: int) -> list[str]:
        found = self.hospital.store.rows("SELECT destination, state FROM delivery ORDER BY delivery")
        return [str(state) for number, state in found if number == destination]
