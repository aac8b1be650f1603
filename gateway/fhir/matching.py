"""Whether an observation is one that a search asks for: by what stands in the resource, parameter by parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapters.emr import fhir_codes
from adapters.emr.fhir_codes import Coding
from adapters.emr.fhir_json import References, references
from adapters.emr.observation import PANELS, ChartedObservation
from clinical.chart import Status
from clinical.chart_items import ITEMS
from gateway.fhir.parameters import Search
from gateway.fhir.values import Token
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

DEVICE_TAG = "device"
STATUS_SYSTEM = "http://hl7.org/fhir/observation-status"
STATUSES = tuple(status.value for status in Status)


@dataclass(frozen=True)
class Looked:
    """An observation with what a search looks at."""

    observation: ChartedObservation
    refers: References
    identifiers: tuple[tuple[str, str], ...]  # system and value
    tags: tuple[str, ...]

    @property
    def effective_us(self) -> int:
        """effectiveDateTime."""
        return max(member.version.observed_at_us for member in self.observation.members)

    @property
    def updated_us(self) -> int:
        """meta.lastUpdated."""
        return self.observation.newest.version.recorded_at_us


def look_at(observation: ChartedObservation) -> Looked:
    """An observation of the chart."""
    ids = dict.fromkeys((observation.id, *(member.entry for member in observation.members)))
    by_time = observation.newest.version.by_time and observation.status is Status.FINAL
    tags = (fhir_codes.BY_TIME,) if by_time else ()
    return Looked(observation, references(observation), tuple((fhir_codes.ENTRY, each) for each in ids), tags)


def matches(search: Search, looked: Looked) -> bool:
    """Whether each parameter of the search holds."""
    ids, refers = search.ids("_id"), looked.refers
    if ids is not None and looked.observation.id not in ids:
        return False
    for names, kind, reference in (
        (("patient", "subject"), "Patient", refers.subject),
        (("encounter",), "Encounter", refers.encounter),
        (("device",), "Device", refers.device),
    ):
        stated = search.ids(*names)
        if stated is not None and reference not in {f"{kind}/{each}" for each in stated}:
            return False
    if not search.span("date").holds(looked.effective_us) or not search.span("_lastUpdated").holds(looked.updated_us):
        return False
    first = looked.observation.members[0].item
    return (
        _any_of_each(search.tokens("identifier"), looked.identifiers)
        and _any_of_each(search.tokens("code"), _pairs(_codings(looked.observation)))
        and _any_of_each(search.tokens("combo-code"), _pairs(_all_codings(looked.observation)))
        and _any_of_each(search.tokens("category"), [(fhir_codes.CATEGORY, fhir_codes.category(first))])
        and _any_of_each(search.tokens("status"), [(STATUS_SYSTEM, looked.observation.status.value)])
        and _any_of_each(search.tokens("_tag"), [(fhir_codes.TAG, tag) for tag in looked.tags])
    )


def _any_of_each(groups: Sequence[Sequence[Token]], pairs: Iterable[tuple[str, str]]) -> bool:
    listed = list(pairs)
    return all(any(token.matches(*pair) for token in group for pair in listed) for group in groups)


def _pairs(codings: Iterable[Coding]) -> list[tuple[str, str]]:
    return [(coding.system, coding.code) for coding in codings]


def _codings(observation: ChartedObservation) -> tuple[Coding, ...]:
    if observation.panel:
        return fhir_codes.panel_codings(observation.panel)
    first = observation.members[0]
    return fhir_codes.codings(first.item, first.version.unit)


def _all_codings(observation: ChartedObservation) -> tuple[Coding, ...]:
    """Those of its components too."""
    found = _codings(observation)
    if observation.panel:
        for member in observation.members:
            found += fhir_codes.codings(member.item, "")
    return found


_UNITS: dict[str, str] = {metric.reference_id: UNIT_BY_REFERENCE_ID[metric.unit].ucum for metric in METRICS}


def items_of(search: Search, *, in_panels: bool) -> dict[str, str | None] | None:
    """The items that code, combo-code and category leave, each with the one unit that is meant, None: any.

    None: they are not asked for. `in_panels`: pressures are components of a panel; else each is one by itself.
    """
    if not any(search.tokens(name) for name in ("code", "combo-code", "category")):
        return None
    found: dict[str, str | None] = {}
    for item in (*_UNITS, *ITEMS):
        category = [(fhir_codes.CATEGORY, fhir_codes.category(item))]
        if not _any_of_each(search.tokens("category"), category):
            continue
        member = PANELS.get(item) if in_panels else None
        if member is not None:
            own = fhir_codes.panel_codings(member.panel)
            siblings = [each for each in PANELS if PANELS[each].panel == member.panel]
            whole = own + tuple(coding for each in siblings for coding in fhir_codes.codings(each, ""))
            if _hold(search, own, whole):
                found[item] = None
        elif _hold(search, *[fhir_codes.codings(item, "")] * 2):
            other = fhir_codes.codings(item, "{other}")
            found[item] = None if _hold(search, other, other) else _UNITS.get(item)
    return found


def _hold(search: Search, own: Sequence[Coding], whole: Sequence[Coding]) -> bool:
    return _any_of_each(search.tokens("code"), _pairs(own)) and _any_of_each(search.tokens("combo-code"), _pairs(whole))
