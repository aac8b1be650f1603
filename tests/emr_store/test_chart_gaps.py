"""Why slots are empty, out of what was heard."""

from __future__ import annotations

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_gaps
from emr_store.instants import moment
from schemas.report import Kind, Record, Validity
from tests.adt import group, us
from tests.charting import CLAIM, LATER, POLICIES, SPO2_ID, Ward, spo2
from tests.making import PERCENT, SPO2, report
from tests.storing import EDGE, event

EDGE_CLAIM = "edge:45454545-4545-4545-4545-454545454545"


@pytest.fixture
def ward(database: str) -> Ward:
    """A patient from second 0 on; the edge says its counts all the time but from 1320 to 1710."""
    assert EDGE == b"E" * 16
    made = Ward(database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    spoken = [second for second in range(0, 3000, 30) if not 1320 < second < 1700]
    made.store.emit(*(event(EDGE_CLAIM, "counts", "{}", us(second)) for second in spoken))
    return made


def why(ward: Ward, at: float) -> list[tuple[str, str]]:
    """Reason and the first evidence of the slot that ends at this second."""
    with ward.store.open() as conn:
        gaps = chart_gaps.explain_slot(conn, ward.policies, "visit:V1^HOSP", SPO2_ID, moment(us(at)), us(LATER))
    return [(gap.reason.value, gap.evidence[0][1] if gap.evidence else "") for gap in gaps]


def test_a_device_that_was_heard_and_did_not_say_this_is_not_measured(ward: Ward) -> None:
    assert why(ward, 400) == [("not measured", "")]


def test_the_device_said_that_it_has_no_reading(ward: Ward) -> None:
    missing = Record(SPO2, PERCENT, validity=Validity.NOT_AVAILABLE)
    ward.emit(report(CLAIM, us(300), [missing]))
    assert why(ward, 400) == [("lead off", "")]


def test_what_was_heard_of_device_edge_and_port(ward: Ward) -> None:
    ward.store.emit(
        event(CLAIM, "silent", "30 s", us(450)), event(CLAIM, "heard-again", "", us(600)),
        event(EDGE_CLAIM, "broker-lost", "", us(750)), event(EDGE_CLAIM, "broker-reached", "", us(900)),
    )  # fmt: skip
    assert why(ward, 700) == [("unplugged", "silent")]
    assert why(ward, 1000) == [("network", "broker-lost")]
    assert why(ward, 1600) == [("box away", "45454545-4545-4545-4545-454545454545")]


def test_a_rejected_frame_of_the_same_edge_is_shown(ward: Ward) -> None:
    rejected = event("icu/rejected", "hl7-segment", "no PID", us(1050))
    ward.store.emit(report("icu/rejected", us(1050), rejected.records, Kind.REJECTED))
    assert why(ward, 1300) == [("rejected", "hl7-segment")]


def test_nobodys_part_of_a_slot_an_absence_and_no_policy(ward: Ward) -> None:
    ward.hospital.emit_records([group("A21", 100), group("A22", 390), group("A03", 500)])
    assert why(ward, 400)[0] == ("absent", "visit:V1^HOSP")
    ward.emit(spo2(650, 97))
    assert why(ward, 700) == [("cut by a move", "")]
    assert why(ward, 401) == [("no policy", "")]


def test_a_slot_that_is_not_charted_yet_says_so(ward: Ward) -> None:
    ward.emit(spo2(350, 97))
    assert why(ward, 400) == [("not yet", "")]
