"""One resource of every kind and shape that leaves the house, for whoever judges them.

What writes another kind of resource adds it to `RESOURCES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import msgspec

from adapters.emr.fhir_json import (
    device_json,
    encounter_json,
    levels,
    location_json,
    observation_json,
    patient_json,
    provenance_json,
)
from adapters.emr.fhir_transaction import transaction
from adapters.emr.observation import PANEL_CODES, PANELS, ChartedObservation, observations
from clinical.chart import Status
from clinical.chart_items import ITEMS, ItemForm
from clinical.charted import ChartedVersion, Instrument, Place, Stay
from emr_store.instants import moment
from emr_store.looks import LookRow
from gateway.fhir.audit_events import audit_event_json
from schemas.adt import Identifier
from schemas.nomenclature import METRICS
from tests.charted_versions import (
    DIASTOLIC,
    HEART_RATE,
    MEAN,
    MONITOR,
    PERSON,
    PLACE,
    SPO2,
    STAY,
    SYSTOLIC,
    T0_US,
    TEMPERATURE,
    by_hand,
    charted,
    in_error,
)

NAMELESS = msgspec.structs.replace(PERSON, identifiers=(), family="", given="", name="", birth_date="", sex="")


LOOK = LookRow(
    look=UUID(int=1), person="1001", name="李 娜", role="nurse", action="see", page="patient",
    encounters=("visit:V1^HOSP",), patients=("00012345^HOSP^MR",), stays=1, detail="", relation="own_ward",
    restricted=False, session="s1", address="10.0.0.1", reason="", from_at=moment(T0_US),
    until_at=moment(T0_US + 900_000_000),
)  # fmt: skip


def locations(place: Place) -> list[bytes]:
    """The ward, the room and the bed."""
    return [location_json(level) for level in levels(place)]


def one(*entries: ChartedVersion) -> ChartedObservation:
    (observation,) = observations(entries)
    return observation


def _shapes() -> dict[str, ChartedObservation]:
    pressure = charted(SYSTOLIC, 120.0), charted(DIASTOLIC, 80.0), charted(MEAN, 93.0)
    shapes = {f"status-{status.value}": one(charted(SPO2, status=status, by_time=True)) for status in Status}
    shapes |= {
        "panel": one(*pressure),
        "panel-mean-alone": one(pressure[2]),
        "panel-member-in-error": one(in_error(pressure[0]), *pressure[1:]),
        "panel-in-error": one(*map(in_error, pressure)),
        "absent": one(charted(HEART_RATE, None)),
        "not-a-number": one(charted(HEART_RATE, float("nan"))),
        "decimals": one(charted(TEMPERATURE, 36.5, decimals=2)),
        "text-of-a-metric": one(charted(HEART_RATE, None, text="---")),
        "other-unit": one(charted("MDC_CONC_AWAY_CO2_ET", 5.0, unit="%")),
        "of-nobody": one(msgspec.structs.replace(charted(SPO2), person=None, device=None)),
        "confirmed": one(msgspec.structs.replace(charted(SPO2, act_id=bytes(32)), by_name="李 娜")),
    }
    for panel in PANEL_CODES:
        items = [item for item in PANELS if PANELS[item].panel == panel]
        shapes[f"panel-{panel}"] = one(*(charted(item, 80.0) for item in items))
    for item in ITEMS.values():
        match item.form:
            case ItemForm.NUMBER:
                entry = by_hand(item.key, item.high, decimals=item.decimals)
            case ItemForm.CHOICE:
                entry = by_hand(item.key, text=next(iter(item.choices or {})))
            case ItemForm.TEXT:
                entry = by_hand(item.key, text='病情观察 "✓"\nline')
        shapes[item.key] = one(entry)
    return shapes


OBSERVATIONS = _shapes()
OF_METRICS = {
    metric.reference_id: one(charted(metric.reference_id, metric.high, decimals=1))
    for metric in METRICS
    if metric.reference_id not in PANELS
}
# Several of one encounter and slot.
SLOT = [OBSERVATIONS[name] for name in ("status-preliminary", "panel", "acvpu", "decimals", "absent")]


def _resources() -> Iterator[tuple[str, bytes]]:
    for name, observation in OBSERVATIONS.items():
        yield f"Observation-{name}", observation_json(observation)
        yield f"Provenance-{name}", provenance_json(observation)
    for name, observation in OF_METRICS.items():
        yield f"Observation-{name}", observation_json(observation)
    yield "Patient", patient_json(PERSON)
    yield "Patient-nameless", patient_json(NAMELESS)
    number = Identifier(value="7", authority="", type="住院号")
    yield "Patient-other-type", patient_json(msgspec.structs.replace(PERSON, identifiers=(number,), birth_date="1980"))
    for patient_class in ("I", "O", "E", "P", "R", "B", "N"):
        stay = msgspec.structs.replace(STAY, patient_class=patient_class)
        yield f"Encounter-{patient_class}", encounter_json(stay, PERSON, PLACE)
    bare = Stay(key="admitted:1001^H^MR@29627175", patient_class="", admitted_at_us=None, discharged_at_us=None)
    yield "Encounter-bare", encounter_json(bare, None, None)
    yield "Encounter-over", encounter_json(msgspec.structs.replace(STAY, discharged_at_us=T0_US), PERSON, None)
    for number_of, location in enumerate(locations(PLACE) + locations(Place(key="^icu^^9", name=""))):
        yield f"Location-{number_of}", location
    yield "Device", device_json(MONITOR)
    yield "Device-bare", device_json(Instrument(uuid=MONITOR.uuid, claim="", name=""))
    yield "AuditEvent", audit_event_json(LOOK)
    yield "AuditEvent-glass", audit_event_json(replace(LOOK, relation="break_glass", reason="called", restricted=True))
    yield "AuditEvent-search", audit_event_json(replace(LOOK, encounters=(), patients=(), detail="code", name=""))
    yield "AuditEvent-audit", audit_event_json(replace(LOOK, page="audit", encounters=[], address=""))
    yield "AuditEvent-export", audit_event_json(replace(LOOK, action="export"))
    yield "Bundle-first", transaction(SLOT, {})
    known = {observation.id: 'Observation/42 W/"7"' for observation in SLOT[:2]}
    yield "Bundle-later", transaction(SLOT, known, {"HOSPITAL": "https://emr.example.org/mrn"})


RESOURCES: dict[str, bytes] = dict(_resources())
