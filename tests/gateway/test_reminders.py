from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emr_store.looks import AuditAwayError
from emr_store.reviews import ReviewKind
from gateway.access.decision import Decision
from gateway.access.viewer import Grant
from gateway.access.words import Action, Answer, Relation, Role
from gateway.looks import Looks
from gateway.reminders import ReminderLimits, Reminders
from tests.gateway.looking import AT_US, NURSE, OWN, kept, see
from tests.gateway.test_app import connect
from tests.gateway.ward import Page, Ward

GLASS = Decision(Answer.ALLOWED, Relation.BREAK_GLASS)
NONE = Decision(Answer.ALLOWED, Relation.NONE)
LIMITS = ReminderLimits(bulk_window_s=600, bulk_stays={Role.NURSE: 3, Role.RECORD_OFFICE: 5})
RECORDS = replace(NURSE, id="R1", role=Role.RECORD_OFFICE, wards=frozenset())


@pytest.fixture
def looks(ward: Ward) -> Looks:
    return Looks(ward.database, reminders=Reminders(LIMITS))


def kinds(looks: Looks, person: str = "N1", after_s: float = 0.0) -> list[str]:
    return [shown.reminder.kind for shown in looks.reminders.of(person, AT_US + round(after_s * 1e6))]


def reviews(ward: Ward) -> list[str]:
    return kept(
        ward.database,
        "SELECT concat_ws(' ', kind, person, encounter, patient, nullif(detail, '')) FROM review ORDER BY 1",
    )


def test_ones_own_work_is_worth_no_reminder(looks: Looks, ward: Ward) -> None:
    see(looks, *(f"V{n}" for n in range(50)), page="ward")
    see(looks, *(f"V{n}" for n in range(50)), page="devices", decision=NONE)
    see(looks, "V1")
    see(looks, "V2", viewer=RECORDS, decision=NONE)
    assert (kinds(looks), kinds(looks, "R1"), reviews(ward)) == ([], [], [])


def test_outside_ones_relations_the_person_is_told_at_once_and_the_auditor_too(looks: Looks, ward: Ward) -> None:
    see(looks, "V1", decision=GLASS)
    see(looks, "V1", page="chart", decision=GLASS)  # the same day: once
    assert kinds(looks) == ["outside_relations"]
    assert reviews(ward) == ["outside_relations N1 V1 PV1"]
    see(looks, "V2", decision=NONE)
    assert reviews(ward) == ["outside_relations N1 V1 PV1", "outside_relations N1 V2 PV2"]


def test_a_restricted_record_is_worth_one_whatever_the_relation(looks: Looks, ward: Ward) -> None:
    see(looks, "V1", restricted=True)
    assert (kinds(looks), reviews(ward)) == (["restricted"], ["restricted N1 V1 PV1"])


def test_many_stays_in_a_short_time_are_bulk_by_role(looks: Looks, ward: Ward) -> None:
    for n in range(3):
        see(looks, f"V{n}", at_s=n)
    see(looks, "V1", page="chart", at_s=4)  # one that counts already
    assert kinds(looks) == []
    see(looks, "V3", at_s=601)  # the first ones are too long ago
    assert kinds(looks, after_s=601) == []
    see(looks, "V4", at_s=602)
    see(looks, "V5", at_s=603)
    assert kinds(looks, after_s=603) == ["bulk"]
    assert reviews(ward) == ["bulk N1 stays=4"]
    see(looks, *(f"W{n}" for n in range(6)), viewer=RECORDS, decision=NONE, action=Action.EXPORT)
    assert reviews(ward)[1:] == ["bulk R1 stays=6"]


def test_what_leaves_ones_own_ward_counts_for_bulk(looks: Looks, ward: Ward) -> None:
    see(looks, *(f"V{n}" for n in range(4)), action=Action.PRINT, decision=OWN)
    assert kinds(looks) == ["bulk"]


def test_a_grant_that_ends_soon_is_told(looks: Looks, ward: Ward) -> None:
    minute_us = 60_000_000
    grants = {
        "V1": (Grant(Relation.CONSULTED, 0, AT_US + 15 * minute_us),),
        "V2": (Grant(Relation.CONSULTED, 0, AT_US + 16 * minute_us),),
        "V3": (Grant(Relation.CONSULTED, 0, AT_US + minute_us), Grant(Relation.TEAM, 0, AT_US + 99 * minute_us)),
        "V4": (Grant(Relation.CONSULTED, 0, AT_US),),
    }
    viewer = replace(NURSE, grants=grants)
    for stay in grants:
        see(looks, stay, viewer=viewer, decision=Decision(Answer.ALLOWED, Relation.CONSULTED))
    found = looks.reminders.of("N1", AT_US)
    (shown,) = [each for each in found if each.reminder.kind is ReviewKind.GRANT_EXPIRING]
    assert (shown.reminder.encounter, shown.reminder.until_us) == ("V1", AT_US + 15 * minute_us)
    assert [row.split()[:3] for row in reviews(ward) if "bulk" not in row] == [["grant_expiring", "N1", "V1"]]


def test_a_reminder_is_shown_for_a_quarter_of_an_hour(looks: Looks, ward: Ward) -> None:
    see(looks, "V1", decision=GLASS)
    assert kinds(looks, after_s=899) == ["outside_relations"]
    assert kinds(looks, after_s=900) == []


def test_what_could_not_be_kept_is_said_by_the_next_look(looks: Looks, ward: Ward) -> None:
    with ward.away(), pytest.raises(AuditAwayError):
        see(looks, "V1", decision=GLASS)
    assert kinds(looks) == []
    looks._away_until_us = 0
    see(looks, "V1", decision=GLASS)
    assert reviews(ward) == ["outside_relations N1 V1 PV1"]


def test_a_page_asks_for_the_reminders_of_who_is_signed_in(page: Page) -> None:
    assert json.load(connect(page, "/reminders")) == {"now": pytest.approx(0, abs=2**45), "reminders": []}


def test_reminders_have_names_that_pages_know() -> None:
    assert {kind.value for kind in ReviewKind} >= {"outside_relations", "bulk", "restricted", "grant_expiring"}
