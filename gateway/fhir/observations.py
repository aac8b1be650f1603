"""Observations: entries of charts in their newest version, and with `_tag=device` what devices said beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from adapters.emr.fhir_json import observation_json, provenance_json
from adapters.emr.observation import PANELS, ChartedObservation, observations, panel_id
from clinical.charted import ChartedVersion
from emr_store import fhir_search
from emr_store.fhir_search import Entries, Stretch, Unit
from emr_store.visible_stays import Sight
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.fhir import device_values
from gateway.fhir.cursor import Position, decode_cursor
from gateway.fhir.matching import DEVICE_TAG, STATUSES, Looked, items_of, look_at, matches
from gateway.fhir.parameters import Search
from gateway.fhir.refusals import IssueType, RequestError, bad_parameter
from gateway.fhir.resource import Found, Resource
from gateway.fhir.values import Span

UNITS_MAX = 5000  # that one request looks at: a page may have fewer than it could, and a `next`
_PANELS = {item: member.panel for item, member in PANELS.items()}
_DAY_US = 86_400_000_000
# What is counted in the store as it is found: of no other parameter is a total cheap.
_COUNTED = frozenset({"patient", "subject", "encounter", "code", "combo-code", "category", "date"})
_LISTED = frozenset({"_id", "identifier"})


def read(conn: Any, asking: Asking, identity: str) -> Resource:
    """The newest version. Raises RequestError."""
    return _resource(_one(conn, asking, identity))


def read_version(conn: Any, asking: Asking, identity: str, version: str) -> Resource:
    """One version of it. Raises RequestError."""
    return _resource(_version(conn, asking, identity, version))


def provenance(conn: Any, asking: Asking, identity: str) -> Resource:
    """Of an observation's id and version, joined by "-". Raises RequestError."""
    observation, _, version = identity.rpartition("-")
    return _provenance(_version(conn, asking, observation, version))


def provenances(conn: Any, asking: Asking, targets: Collection[str]) -> list[Resource]:
    """Of the newest versions of these observations; of those that are not there none."""
    units = fhir_search.units_of(conn, _uuids(targets), sight_of_charts(asking))
    return [_provenance(each) for each in _observations(conn, units) if not _is_erased(each)]


def search(conn: Any, asking: Asking, asked: Search) -> Found:
    """Raises RequestError."""
    tags = {token.code for group in asked.tokens("_tag") for token in group}
    if DEVICE_TAG in tags:
        if tags != {DEVICE_TAG}:
            raise bad_parameter("_tag", "device stands alone: it asks for what is in no chart")
        return _search_values(conn, asking, asked)
    if asked.asked.keys() & _LISTED:
        return _search_listed(conn, asking, asked)
    return _search_chart(conn, asking, asked)


def sight_of_charts(asking: Asking) -> Sight:
    """The stays whose observations may be read. Who would be asked for a reason gives it on a page, not here."""
    return asking.sight(Action.SEE, DataClass.CHART)


# --- one observation -------------------------------------------------------------------------------------------------


def _one(conn: Any, asking: Asking, identity: str) -> ChartedObservation | Looked:
    source = device_values.source_of(identity)
    found: ChartedObservation | Looked | None = None
    if source is not None:
        found = device_values.one(conn, source, sight_of_charts(asking))
    else:
        listed = _observations(conn, fhir_search.units_of(conn, _uuids([identity]), sight_of_charts(asking)))
        found = listed[0] if listed else None
    if found is None:
        raise not_found()
    return _not_erased(found)


def _version(conn: Any, asking: Asking, identity: str, version: str) -> ChartedObservation | Looked:
    """Of a panel a version is counted up by each version of its entries; what was recorded at once is one step."""
    if not (version.isascii() and version.isdigit() and len(version) <= 9) or version.startswith("0"):
        raise not_found()
    if device_values.source_of(identity) is not None:
        if version != "1":
            raise not_found()
        return _one(conn, asking, identity)
    units = fhir_search.units_of(conn, _uuids([identity]), sight_of_charts(asking))
    if not units:
        raise not_found()
    history, number = fhir_search.history_of(conn, units[0]), int(version)
    if number > len(history):
        raise not_found()
    if number < len(history) and _recorded_us(history[number]) == _recorded_us(history[number - 1]):
        raise not_found()  # never seen by itself
    (found,) = observations(history[:number])
    return _not_erased(found)


def _recorded_us(version: ChartedVersion) -> int:
    return version.version.recorded_at_us


def not_found() -> RequestError:
    """404, of whatever kind."""
    return RequestError(404, IssueType.NOT_FOUND, "there is no resource of this type, id and version")


def gone() -> RequestError:
    """410: it was about a person who has been erased."""
    return RequestError(410, IssueType.DELETED, "the person has been erased: nothing of them leaves the house")


def _not_erased(found: ChartedObservation | Looked) -> ChartedObservation | Looked:
    """Raises RequestError for whom is erased."""
    if _is_erased(found.observation if isinstance(found, Looked) else found):
        raise gone()
    return found


def _is_erased(observation: ChartedObservation) -> bool:
    person = observation.newest.person
    return person is not None and person.erased


def _resource(found: ChartedObservation | Looked) -> Resource:
    if isinstance(found, Looked):
        return device_values.resource_of(found.observation.newest.version.sources[0], found)
    return Resource(
        kind="Observation", id=found.id, version=found.version, body=observation_json(found),
        updated_us=found.newest.version.recorded_at_us, encounters=(found.newest.stay.key,),
    )  # fmt: skip


def _provenance(found: ChartedObservation | Looked) -> Resource:
    if isinstance(found, Looked):  # where it comes from is its identifier
        raise not_found()
    updated_us = found.newest.version.recorded_at_us
    identity = f"{found.id}-{found.version}"
    return Resource(kind="Provenance", id=identity, body=provenance_json(found), updated_us=updated_us,
                    encounters=(found.newest.stay.key,))  # fmt: skip


def _uuids(ids: Collection[str]) -> list[UUID]:
    """Those that are, as we write them."""
    found = []
    for each in ids:
        try:
            identity = UUID(each)
        except ValueError:
            continue
        if str(identity) == each:
            found.append(identity)
    return found


def _observations(conn: Any, units: Sequence[Unit]) -> list[ChartedObservation]:
    """In the order of the units, each once."""
    made = {each.id: each for each in observations(fhir_search.versions_of(conn, units, _PANELS))}
    return [made[identity] for identity in dict.fromkeys(_unit_id(unit) for unit in units)]


def _unit_id(unit: Unit) -> str:
    return panel_id(unit.encounter, unit.panel, unit.slot_us) if unit.panel else str(unit.entry)


# --- searches --------------------------------------------------------------------------------------------------------


def _encounters(conn: Any, asking: Asking, asked: Search) -> list[str] | None:
    """The encounters that patient, subject and encounter leave and that this viewer may read; None: not asked for."""
    patient_ids, encounter_ids = asked.ids("patient", "subject"), asked.ids("encounter")
    if patient_ids is None and encounter_ids is None:
        return None
    left, sight = None, sight_of_charts(asking)
    if patient_ids is not None:
        left = set(fhir_search.encounters_of_ids(conn, patient_ids, sight))
    if encounter_ids is not None:
        stated = set(fhir_search.encounters_by_ids(conn, encounter_ids, sight))
        left = stated if left is None else left & stated
    assert left is not None
    return sorted(
        each.encounter for each in left if not (each.patient is not None and fhir_search.is_erased(conn, each.patient))
    )


def _stretches(conn: Any, asking: Asking, asked: Search) -> list[Stretch] | None:
    """Where entries may be; None: anywhere."""
    encounters, devices = _encounters(conn, asking, asked), asked.ids("device")
    if devices is None:
        return None if encounters is None else [Stretch(each, None, None) for each in encounters]
    found = fhir_search.stretches_of_devices(conn, _uuids(devices), sight_of_charts(asking))
    return [each for each in found if encounters is None or each.encounter in encounters]


def _cut(stretches: Sequence[Stretch], span: Span) -> list[Stretch]:
    found = []
    for stretch in stretches:
        part = Span(stretch.from_us, stretch.until_us).cut(span)
        if part.from_us is None or part.until_us is None or part.from_us < part.until_us:
            found.append(Stretch(stretch.encounter, part.from_us, part.until_us))
    return found


def _search_chart(conn: Any, asking: Asking, asked: Search) -> Found:
    stretches = _stretches(conn, asking, asked)
    by_update = asked.sort == "_lastUpdated" or (stretches is None and not asked.sort)
    if stretches is None and not by_update:
        raise bad_parameter("_sort", "date needs one of patient, subject, encounter, device", IssueType.TOO_COSTLY)
    entries = _entries(asked)
    if stretches is not None:
        stretches = _cut(stretches, asked.span("date"))
    total = None
    if asked.total or asked.count_only:
        total = _total(conn, asked, stretches, entries)
    if asked.count_only:
        return Found(resources=(), total=total)

    def units(after: tuple[int, UUID] | None) -> list[Unit]:
        if stretches == [] or entries.items == {}:
            return []
        looked_for = entries._replace(after=after)
        if by_update:
            encounters = None if stretches is None else {stretch.encounter for stretch in stretches}
            return fhir_search.units_by_update(conn, encounters, looked_for, sight_of_charts(asking))
        return fhir_search.units_by_date(conn, stretches or (), looked_for, asked.sort == "-date")

    return _paged(conn, asked, entries.limit, units, total)


def _entries(asked: Search) -> Entries:
    updated, statuses = asked.span("_lastUpdated"), None
    if asked.tokens("status"):
        groups = asked.tokens("status")
        statuses = [each for each in STATUSES if all(any(t.code in ("", each) for t in group) for group in groups)]
    return Entries(
        items=items_of(asked, in_panels=True), statuses=statuses, updated_from_us=updated.from_us,
        updated_until_us=updated.until_us, after=None, limit=asked.count + 1,
    )  # fmt: skip


def _total(conn: Any, asked: Search, stretches: Sequence[Stretch] | None, entries: Entries) -> int:
    if stretches is None or asked.asked.keys() - _COUNTED:
        raise bad_parameter(
            "_summary" if asked.count_only else "_total",
            f"what is found is counted by {', '.join(sorted(_COUNTED))} alone", IssueType.TOO_COSTLY,
        )  # fmt: skip
    if not stretches or entries.items == {}:
        return 0
    return fhir_search.count_units(conn, stretches, entries)


def _paged(
    conn: Any, asked: Search, limit: int,
    units: Callable[[tuple[int, UUID] | None], list[Unit]], total: int | None,
) -> Found:  # fmt: skip
    after = _entry_after(asked)
    found: list[tuple[Position, ChartedObservation]] = []
    seen: set[str] = set()
    looked_at, position = 0, None
    while len(found) <= asked.count and looked_at < UNITS_MAX:
        got = units(after)
        for unit, observation in zip(got, _observations_of_each(conn, got), strict=True):
            position = Position(unit.sort_us, str(unit.entry))
            if observation.id in seen or _is_erased(observation):
                continue
            if matches(asked, look_at(observation)):
                seen.add(observation.id)
                found.append((position, observation))
        looked_at += len(got)
        if len(got) < limit:
            position = None  # there is no more
            break
        after = got[-1].sort_us, got[-1].entry
    page = found[: asked.count]
    if len(found) > asked.count:
        position = page[-1][0]
    return Found(resources=[_resource(each) for _, each in page], next=position, total=total)


def _observations_of_each(conn: Any, units: Sequence[Unit]) -> list[ChartedObservation]:
    """One a unit, also where two are of one panel."""
    made = {each.id: each for each in _observations(conn, units)}
    return [made[_unit_id(unit)] for unit in units]


def _entry_after(asked: Search) -> tuple[int, UUID] | None:
    if not asked.cursor:
        return None
    position = _position(asked)
    try:
        return position.at_us, UUID(position.key)
    except ValueError:
        raise bad_parameter("_cursor", "it is no cursor of this search") from None


def _position(asked: Search) -> Position:
    try:
        return decode_cursor(asked.cursor, asked.digest)
    except ValueError as error:
        raise bad_parameter("_cursor", str(error)) from None


def _search_listed(conn: Any, asking: Asking, asked: Search) -> Found:
    """Those with these ids or identifiers: few, found at once and sorted here."""
    units: list[Unit] = []
    ids, sight = asked.ids("_id"), sight_of_charts(asking)
    if ids is not None:
        units += fhir_search.units_of(conn, _uuids(ids), sight)
    else:
        listed = _uuids({token.code for group in asked.tokens("identifier") for token in group})
        units += fhir_search.units_of(conn, listed, sight)
        units += fhir_search.units_of_entries(conn, listed, sight)
    looked = [look_at(each) for each in _observations(conn, units) if not _is_erased(each)]
    left = [each for each in looked if matches(asked, each)]
    if ids is not None:
        values = [device_values.one(conn, source, sight) for source in map(device_values.source_of, ids) if source]
        left += [each for each in values if each and not _is_erased(each.observation) and matches(asked, each)]
    return _sorted_page(asked, left)


def _sorted_page(asked: Search, found: Sequence[Looked]) -> Found:
    def key(each: Looked) -> tuple[int, str]:
        return (each.updated_us if asked.sort == "_lastUpdated" else each.effective_us, each.observation.id)

    descending = asked.sort == "-date"
    ordered = sorted(found, key=key, reverse=descending)
    if asked.cursor:
        last = _position(asked)
        after = (last.at_us, last.key)
        ordered = [each for each in ordered if (key(each) < after if descending else key(each) > after)]
    total = len(found) if asked.total or asked.count_only else None
    if asked.count_only:
        return Found(resources=(), total=total)
    page, rest = ordered[: asked.count], ordered[asked.count :]
    following = Position(*key(page[-1])) if rest and page else None
    chart = [each if each.tags == (DEVICE_TAG,) else each.observation for each in page]
    return Found(resources=[_resource(each) for each in chart], next=following, total=total)


def _search_values(conn: Any, asking: Asking, asked: Search) -> Found:
    if asked.sort == "_lastUpdated":
        raise bad_parameter("_sort", "values of devices are sorted by date", IssueType.NOT_SUPPORTED)
    if asked.total or asked.count_only:
        name = "_summary" if asked.count_only else "_total"
        raise bad_parameter(name, "values of devices are not counted", IssueType.TOO_COSTLY)
    if asked.asked.keys() & _LISTED:
        ids = asked.ids("_id")
        stated = {token.code for group in asked.tokens("identifier") for token in group}
        sources = map(device_values.source_of, ids) if ids else map(device_values.source_of_identifier, stated)
        sight = sight_of_charts(asking)
        values = [device_values.one(conn, source, sight) for source in sources if source]
        readable = [each for each in values if each and not _is_erased(each.observation)]
        return _sorted_page(asked, [each for each in readable if matches(asked, each)])
    stretches = _stretches(conn, asking, asked)
    if stretches is None:
        raise bad_parameter("_tag", "device needs one of patient, subject, encounter, device", IssueType.REQUIRED)
    devices = asked.ids("device")
    of_device = fhir_search.value_stretches(conn, {stretch.encounter for stretch in stretches})
    if devices is not None:
        of_device = [each for each in of_device if str(each[0]) in devices]
    now_us = time.time_ns() // 1000 + _DAY_US  # a device's clock may be ahead
    found, is_all = device_values.page(conn, asked, of_device, _value_after(asked), now_us)
    readable_values = [each for each in found if not _is_erased(each[1].observation)]
    page = readable_values[: asked.count]
    following = None
    if not is_all and found:
        source, looked = found[min(asked.count, len(found)) - 1]
        following = Position(looked.effective_us, device_values.value_id(source))
    return Found(resources=[device_values.resource_of(*each) for each in page], next=following)


def _value_after(asked: Search) -> Any:
    if not asked.cursor:
        return None
    position = _position(asked)
    source = device_values.source_of(position.key)
    if source is None:
        raise bad_parameter("_cursor", "it is no cursor of this search")
    return position.at_us, source
