"""Whose a number is."""

from __future__ import annotations

from clinical.patient_numbers import PatientNumbers
from clinical.stays import patient_links
from schemas.adt import Identifier, Merge
from tests.adt import fact, number, patient_of

NATIONAL = Identifier(value="N1", authority="STATE", type="NI")


def test_each_number_that_was_sent_names_the_patient() -> None:
    numbers = PatientNumbers([fact("A01", 0, patients=(number("P1"), NATIONAL))], patient_links([]))
    assert numbers.named_by(["N1^STATE^NI"]) == numbers.named_by([patient_of("P1")]) == {patient_of("P1")}
    assert numbers.named_by(["N2^STATE^NI"]) == frozenset()


def test_a_number_of_two_patients_names_both_until_they_are_one() -> None:
    facts = [fact("A01", 0, patients=(number(name), NATIONAL), visit=name) for name in ("P1", "P2")]
    both = {patient_of("P1"), patient_of("P2")}
    assert PatientNumbers(facts, patient_links(facts)).named_by(["N1^STATE^NI"]) == both
    merge = fact("A40", 1, patient="P2", merges=(Merge(patients=(number("P1"),)),))
    assert PatientNumbers(facts, patient_links([merge])).named_by(["N1^STATE^NI"]) == {patient_of("P2")}


def test_the_numbers_of_a_test_message_are_unknown() -> None:
    numbers = PatientNumbers([fact("A01", 0, processing_id="T")], patient_links([]))
    assert numbers.named_by([patient_of("P1")]) == frozenset()


def test_a_number_known_by_its_merge_alone_is_known() -> None:
    merge = fact("A40", 1, patient="P2", merges=(Merge(patients=(number("P1"),)),))
    assert PatientNumbers([merge], patient_links([merge])).named_by([patient_of("P1")]) == {patient_of("P2")}
