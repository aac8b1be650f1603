"""Observations as JSON beside fhir.resources (R4B), which builds a model of the same content and dumps it; one core."""

from __future__ import annotations

import time
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from fhir.resources.R4B.observation import Observation

from adapters.emr.fhir_json import observation_json
from adapters.emr.observation import ChartedObservation, observations
from clinical.chart import Origin, Source, Status, Version
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay
from schemas.adt import Identifier

T0_US = 1_777_630_500_000_000
US_PER_MINUTE = 60_000_000
MINUTES = 60
PERSON = Person(
    key="1001^HOSPITAL^MR",
    identifiers=(Identifier(value="1001", authority="HOSPITAL", type="MR"),),
    family="王",
    given="芳",
    name="王芳",
    birth_date="1980-01-01",
    sex="F",
)
STAY = Stay(key="visit:V1^HOSPITAL", patient_class="I", admitted_at_us=T0_US, discharged_at_us=None)
PLACE = Place(key="main^icu^2^07", name="ICU-07")
MONITOR = Instrument(uuid=str(uuid5(NAMESPACE_URL, "monitor")), claim="0011223344556677", name="Monitor 7")
# What a monitor says each minute, with its digits; the pressures are one panel.
SAID = (
    ("MDC_ECG_HEART_RATE", "/min", 70.0, 0),
    ("MDC_PULS_OXIM_SAT_O2", "%", 97.0, 0),
    ("MDC_RESP_RATE", "/min", 15.0, 0),
    ("MDC_TEMP", "Cel", 36.5, 1),
    ("MDC_PRESS_BLD_NONINV_SYS", "mm[Hg]", 120.0, 0),
    ("MDC_PRESS_BLD_NONINV_DIA", "mm[Hg]", 80.0, 0),
    ("MDC_PRESS_BLD_NONINV_MEAN", "mm[Hg]", 93.0, 0),
)


def charted(metric: str, unit: str, value: float, decimals: int, minute: int) -> ChartedVersion:
    """One value of one minute."""
    at_us = T0_US + minute * US_PER_MINUTE
    version = Version(
        number=1,
        status=Status.FINAL,
        origin=Origin.DEVICE,
        value=value + minute % 7,
        text="",
        unit=unit,
        decimals=decimals,
        observed_at_us=at_us,
        sources=(Source(bytes(16), minute, 1),),
        reason="last valid",
        act_id=None,
        by_time=False,
        recorded_at_us=at_us + 1_500_000,
    )
    return ChartedVersion(
        entry=str(uuid5(NAMESPACE_URL, f"{metric}/{minute}")),
        ordinal=1,
        item=metric,
        slot_us=at_us,
        version=version,
        person=PERSON,
        stay=STAY,
        place=PLACE,
        device=MONITOR,
    )


def made() -> list[ChartedObservation]:
    """An hour of one patient."""
    return observations(charted(*said, minute) for minute in range(MINUTES) for said in SAID)


def by_model(content: dict[str, object]) -> bytes:
    """What a program does that has the content at hand and lets fhir.resources write it."""
    return Observation.model_validate(content).model_dump_json().encode()


def normal(found: object) -> object:
    """Numbers as decimals without zeros at their end: the library writes 36.50 as 36.5."""
    if isinstance(found, dict):
        return {name: normal(value) for name, value in found.items()}
    if isinstance(found, list):
        return [normal(value) for value in found]
    return Decimal(str(found)).normalize() if isinstance(found, int | float) else found


def ratios(seconds_each: float = 1.0) -> dict[str, float]:
    """How many Observations ours writes while fhir.resources writes one; in turns, so that both share the weather."""
    ours = made()
    contents: list[dict[str, object]] = [msgspec.json.decode(observation_json(each)) for each in ours]
    for observation, content in zip(ours, contents, strict=True):
        assert normal(msgspec.json.decode(observation_json(observation))) == normal(
            msgspec.json.decode(by_model(content))
        )

    def by_hand() -> None:
        for observation in ours:
            observation_json(observation)

    def by_library() -> None:
        for content in contents:
            by_model(content)

    writers = (by_hand, by_library)
    written, spent_s = dict.fromkeys(writers, 0), dict.fromkeys(writers, 0.0)
    while min(spent_s.values()) < seconds_each:
        for writer in writers:
            start = time.perf_counter()
            while (turn_s := time.perf_counter() - start) < seconds_each / 10:
                writer()
                written[writer] += len(ours)
            spent_s[writer] += turn_s
    own, theirs = (written[writer] / spent_s[writer] for writer in writers)
    return {"fhir_vs_fhir_resources": own / theirs}
