"""Versions of chart entries for tests of what leaves the house."""

from __future__ import annotations

from clinical.chart import Origin, Status, Version
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay
from schemas.adt import Identifier

SLOT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
ENTRY = "0190aaaa-0000-7000-8000-000000000001"
PERSON = Person(
    key="4711^HOSPITAL^MR",
    identifiers=(
        Identifier(value="4711", authority="HOSPITAL", type="MR"),
        Identifier(value="ZY9", authority="HIS&1.2.3&ISO", type="VN"),
    ),
    family="张", given="三", name="张三", birth_date="1970-05-01", sex="M",
)  # fmt: skip
STAY = Stay(key="visit:V1^HOSPITAL", patient_class="I", admitted_at_us=SLOT_US - 86_400_000_000, discharged_at_us=None)
PLACE = Place(key="main^icu^1^bed-07", name="ICU bed 7")
DEVICE = Instrument(uuid="0190aaaa-0000-7000-8000-0000000000dd", claim="0012210000000001", name="Monitor 7")


def charted(
    item: str = "MDC_PULS_OXIM_SAT_O2", value: float | None = 97.0, *, text: str = "", unit: str = "%",
    decimals: int = 0, status: Status = Status.FINAL, number: int = 1, entry: str = ENTRY, ordinal: int = 1,
    observed_at_us: int = SLOT_US - 10_000_000, by_time: bool = False, reason: str = "newest in the window",
    person: Person | None = PERSON, stay: Stay = STAY, place: Place | None = PLACE,
    device: Instrument | None = DEVICE, by_name: str = "", slot_us: int = SLOT_US,
) -> ChartedVersion:  # fmt: skip
    """A version with these."""
    version = Version(
        number=number, status=status, origin=Origin.DEVICE, value=value, text=text, unit=unit, decimals=decimals,
        observed_at_us=observed_at_us, sources=(), reason=reason, act_id=None, by_time=by_time,
        recorded_at_us=SLOT_US + number * 1_000_000,
    )  # fmt: skip
    return ChartedVersion(
        entry=entry, ordinal=ordinal, item=item, slot_us=slot_us, version=version, person=person, stay=stay,
        place=place, device=device, by_name=by_name,
    )  # fmt: skip
