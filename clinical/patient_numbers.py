"""Whose a patient number is: a monitor may show another of a patient's numbers than the hospital's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from clinical.encounter import Encounter
from clinical.facts import AdtFact
from clinical.identity import Links


class PatientNumbers:
    """Whose the numbers are that messages name beside the patient's own: a claim may carry any of them."""

    def __init__(self, facts: Iterable[AdtFact], links: Links) -> None:
        self.links = links
        self._owners: dict[str, set[str]] = defaultdict(set)
        for fact in facts:
            if not fact.live:
                continue
            for patient in fact.patients:
                self._owners[patient].add(fact.patients[0])
            for link in fact.patient_links:
                self._owners[link.retired].add(link.retired)
                self._owners[link.survivor].add(link.survivor)

    def named_by(self, numbers: Iterable[str]) -> frozenset[str]:
        """The patients; none where no number is known, several where the numbers contradict each other."""
        return frozenset(self.links.find(owner) for number in numbers for owner in self._owners.get(number, ()))

    def patient_of(self, encounter: Encounter) -> str | None:
        """None: its messages name two patients that no merge made one, or none."""
        patients = {self.links.find(patient) for patient in encounter.patients}
        return patients.pop() if len(patients) == 1 else None
