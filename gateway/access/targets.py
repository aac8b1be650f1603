"""What a decision is asked about, as the store knows it at the moment of the question."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from emr_store import visible_stays
from emr_store.instants import moment
from emr_store.visible_stays import StayFacts
from gateway.access.table import shipped_table
from gateway.access.viewer import Target
from gateway.access.words import DataClass


def stay_target(conn: Any, data_class: DataClass, encounter: str, at_us: int) -> Target | None:
    """Of one stay; None: there is none of this key. Raises StoreError."""
    return stay_targets(conn, data_class, [encounter], at_us).get(encounter)


def stay_targets(conn: Any, data_class: DataClass, encounters: Collection[str], at_us: int) -> dict[str, Target]:
    """Of those of these stays that are there, by encounter. Raises StoreError."""
    found = visible_stays.stay_facts(conn, encounters, moment(at_us), _own_ward_after(), _archived_after())
    return {facts.encounter: _target(data_class, facts) for facts in found.values()}


def patient_targets(conn: Any, data_class: DataClass, patient: str, at_us: int) -> dict[str, Target]:
    """Of each stay of a patient: who may see one of them may see that one. Raises StoreError."""
    return stay_targets(conn, data_class, visible_stays.stays_of_patient(conn, patient), at_us)


def device_target(conn: Any, data_class: DataClass, device: UUID, at_us: int) -> Target:
    """Of what a device says now: of the stay whose values they are, else of the bed's ward. Raises StoreError."""
    place = visible_stays.device_place(conn, device, moment(at_us))
    if place.encounter is not None:
        target = stay_target(conn, data_class, place.encounter, at_us)
        if target is not None:
            return target
    return Target(data_class, wards=frozenset({place.ward} if place.ward else ()))


def _own_ward_after() -> timedelta:
    return timedelta(hours=shipped_table().own_ward_after_h)


def _archived_after() -> timedelta:
    return timedelta(days=shipped_table().archived_after_days)


def _target(data_class: DataClass, facts: StayFacts) -> Target:
    return Target(
        data_class, facts.encounter, facts.wards, facts.restricted, archived=facts.archived, patient=facts.patient
    )
