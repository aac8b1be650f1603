"""Versions of entries as an EMR is told of them, for tests."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import msgspec

from clinical.chart import Origin, Source, Status, Version
from clinical.chart_items import item_of
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay
from schemas.adt import Identifier

T0_US = 1_777_630_500_000_000  # 2026-05-01T10:15:00Z
PERSON = Person(
    key="1001^HOSPITAL^MR",
    identifiers=(
        Identifier(value="1001", authority="HOSPITAL", type="MR"),
        Identifier(value="310101198001010013", authority="GOV&2.16.156.10011.1.3&ISO", type="NI"),
    ),
    family="王",
    given="芳",
    name="王芳",
    birth_date="1980-01-01",
    sex="F",
)  # fmt: skip
PLACE = Place(key="main^icu^2^07", name="ICU-07")
STAY = Stay(key="visit:V1^HOSPITAL", patient_class="I", admitted_at_us=T0_US - 86_400_000_000, discharged_at_us=None)
MONITOR = Instrument(uuid=str(uuid5(NAMESPACE_URL, "monitor")), claim="0011223344556677", name="Monitor 7")
SPO2, HEART_RATE, TEMPERATURE = "MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE", "MDC_TEMP_AXILLA"
SYSTOLIC, DIASTOLIC, MEAN = (f"MDC_PRESS_BLD_NONINV_{part}" for part in ("SYS", "DIA", "MEAN"))
ACT = bytes(range(32))


def version(item: str, value: float | None = 97.0, **changes: object) -> Version:
    """What the charter said first of a device's value; `changes`: fields of it that are otherwise."""
    made = Version(
        number=1,
        status=Status.PRELIMINARY,
        origin=Origin.DEVICE,
        value=value,
        text="",
        unit=item_of(item).unit,
        decimals=0,
        observed_at_us=T0_US,
        sources=(Source(bytes(range(16)), 3, 1),),
        reason="last valid",
        act_id=None,
        by_time=False,
        recorded_at_us=T0_US + 1_500_000,
    )
    return msgspec.structs.replace(made, **changes)


def charted(item: str = SPO2, value: float | None = 97.0, *, ordinal: int = 1, **changes: object) -> ChartedVersion:
    """Of the entry of `item` in the one slot; each item and ordinal is an entry of its own."""
    return ChartedVersion(
        entry=str(uuid5(NAMESPACE_URL, f"{item}/{ordinal}")),
        ordinal=ordinal,
        item=item,
        slot_us=T0_US,
        version=version(item, value, **changes),
        person=PERSON,
        stay=STAY,
        place=PLACE,
        device=MONITOR,
    )


def by_hand(item: str, value: float | None = None, text: str = "", **changes: object) -> ChartedVersion:
    """Written by a nurse."""
    made = charted(
        item, value, text=text, origin=Origin.HAND, status=Status.FINAL, sources=(), act_id=ACT, reason="", **changes
    )
    return msgspec.structs.replace(made, device=None, by_name="李 娜")


def in_error(of: ChartedVersion) -> ChartedVersion:
    """The version after it, in which a person says that it was never right."""
    said = msgspec.structs.replace(
        of.version, number=of.version.number + 1, status=Status.ENTERED_IN_ERROR, act_id=ACT, reason="wrong patient"
    )
    return msgspec.structs.replace(of, version=said, by_name="李 娜")
