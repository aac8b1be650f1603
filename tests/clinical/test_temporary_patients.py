"""Facts of a temporary patient have the keys that its links name."""

from __future__ import annotations

from clinical.identity import AdtSource
from clinical.stays import compute_stays, encounter_links, patient_links
from clinical.temporary_patients import SOURCE_NAME, Act, admission, link_groups
from tests.adt import fact, fact_of, key, patient_of, us, visit_of

SOURCE = AdtSource(name=SOURCE_NAME)


def test_a_temporary_stay_and_the_admission_after_it_are_one() -> None:
    came = fact_of(admission(Act(b"a" * 32, us(5)), "T1", key("1"), us(0)), source=SOURCE)
    linked = link_groups(Act(b"b" * 32, us(90)), "T1", patient_of("P1"), visit_of("V1"))
    facts = [came, fact("A01", 60), *(fact_of(made, source=SOURCE) for made in linked)]
    patients, encounters = patient_links(facts), encounter_links(facts)
    assert patients.find("T1^vitalwire^TEMPORARY") == patient_of("P1")
    assert encounters.find("visit:T1^vitalwire") == visit_of("V1")
    stays = compute_stays(facts, patients, encounters)
    assert [(s.encounter, s.bed, s.from_us, s.until_us) for s in stays.stays] == [
        (visit_of("V1"), key("1"), us(0), None)
    ]
    assert stays.items == []


def test_without_a_visit_the_numbers_alone_are_linked() -> None:
    (linked,) = link_groups(Act(b"b" * 32, us(90)), "T1", patient_of("P1"), None)
    made = fact_of(linked, source=SOURCE)
    assert (made.encounter, [link.survivor for link in made.patient_links]) == (None, [patient_of("P1")])
