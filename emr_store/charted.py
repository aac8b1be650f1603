"""Reads what an EMR is told of a chart (clinical/charted.py): in as many queries for one version as for thousands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg

from clinical import charted
from clinical.chart import Source
from clinical.charted import ChartedVersion, Instrument, Person, Place
from clinical.encounter import Encounter, Stay
from clinical.key_words import bed_words
from clinical.person_names import whole_name
from emr_store import chart_entries, chart_persons, stays
from emr_store.bed_names import bed_names
from emr_store.chart_entries import NewVersion
from emr_store.instants import moment
from emr_store.stays import BelievedEncounter
from schemas.adt import Identifier

_body = msgspec.json.Decoder(Encounter)


def charted_versions(conn: psycopg.Connection, wanted: Sequence[tuple[UUID, int]]) -> list[ChartedVersion]:
    """These versions (entry, number), in the order asked. Raises VitalwireError where one is not there."""
    return with_context(conn, chart_entries.versions_of(conn, wanted))


def charted_slots(conn: psycopg.Connection, slots: Sequence[tuple[str, int]]) -> list[ChartedVersion]:
    """The newest version of every entry of these slots (encounter, end of the slot in microseconds).

    By slot in the order asked, then item and ordinal; entries in error are among them.
    """
    return with_context(conn, chart_entries.newest_in_slots(conn, slots))


def with_context(conn: psycopg.Connection, versions: Sequence[NewVersion]) -> list[ChartedVersion]:
    """These versions with the patient, the encounter, the place and the device, in their order."""
    if not versions:
        return []
    keys = {each.key.encounter for each in versions}
    encounters = _encounters(conn, keys)
    known_persons = persons(conn, {known.patient for known in encounters.values() if known.patient is not None})
    places = _Places(conn, keys)
    devices = _instruments(conn, versions)
    acts = {each.version.act_id for each in versions if each.version.act_id is not None}
    acted = chart_persons.persons(conn, acts)
    found = []
    for each in versions:
        version, known = each.version, encounters.get(each.key.encounter)
        by = acted.get(version.act_id) if version.act_id is not None else None
        found.append(
            ChartedVersion(
                entry=each.entry,
                ordinal=each.ordinal,
                item=each.key.item,
                slot_us=each.key.at_us,
                version=version,
                person=None if known is None or known.patient is None else known_persons[known.patient],
                stay=_stay(each.key.encounter, known, each.key.at_us),
                place=places.at(each.key.encounter, version.observed_at_us),
                device=devices.get(_report_of(version.sources[0])) if version.sources else None,
                by_name="" if by is None else by.name,
                pending=by is not None and by.pending,
            )
        )
    return found


class StayNow(NamedTuple):
    """An encounter with whose it is and in which bed; None: nobody knows, or in none."""

    stay: charted.Stay
    person: Person | None
    place: Place | None


def stays_at(conn: psycopg.Connection, keys: Sequence[str], at_us: int) -> list[StayNow]:
    """These encounters as they were at that moment, by what is believed now; in the order asked."""
    encounters = _encounters(conn, keys)
    known_persons = persons(conn, {known.patient for known in encounters.values() if known.patient is not None})
    places = _Places(conn, keys)
    found = []
    for key in keys:
        known = encounters.get(key)
        person = None if known is None or known.patient is None else known_persons[known.patient]
        found.append(StayNow(_stay(key, known, at_us), person, places.at(key, at_us)))
    return found


# --- the encounter and its patient -----------------------------------------------------------------------------------


def _encounters(conn: psycopg.Connection, keys: Collection[str]) -> dict[str, BelievedEncounter]:
    """As believed now; of one that is believed no more (its admission was struck, it was merged into another) what was
    believed last: what the chart says of it must be taken back from the patient that it was told of."""
    found = {known.encounter.key: known for known in stays.believed_encounters(conn, keys=keys)}
    gone = [key for key in keys if key not in found]
    if gone:
        for key, body, patient in conn.execute(_LAST_BELIEVED_SQL, (gone,)):
            found[key] = BelievedEncounter(_body.decode(body), patient)
    return found


# The patient by the links that are believed now: a link is followed unless a later one undid it. UNION, and not UNION
# ALL: links in a circle end.
_LAST_BELIEVED_SQL = """
WITH RECURSIVE last AS (
    SELECT DISTINCT ON (encounter) encounter, body, patient FROM encounter WHERE encounter = ANY(%s)
    ORDER BY encounter, upper(recorded) DESC),
way AS (
    SELECT patient AS began, patient, 0 AS steps FROM last WHERE patient IS NOT NULL
    UNION
    SELECT w.began, l.survivor, w.steps + 1 FROM way w JOIN patient_link l ON l.retired = w.patient
    WHERE upper_inf(l.recorded) AND l.kind <> 'unlink' AND w.steps < 20 AND NOT EXISTS (
        SELECT FROM patient_link u WHERE u.kind = 'unlink' AND l.kind = 'link' AND upper_inf(u.recorded)
            AND (u.retired, u.survivor) IN ((l.retired, l.survivor), (l.survivor, l.retired))
            AND lower(u.recorded) >= lower(l.recorded)))
SELECT encounter, body, (SELECT w.patient FROM way w WHERE w.began = last.patient ORDER BY steps DESC LIMIT 1) FROM last
"""


def _stay(key: str, known: BelievedEncounter | None, at_us: int) -> charted.Stay:
    if known is None:
        return charted.Stay(key=key, patient_class="", admitted_at_us=None, discharged_at_us=None)
    # A slot may end after the discharge in it: the class that had begun last.
    begun = [period for period in known.encounter.classes if period.from_us <= at_us]
    return charted.Stay(
        key=key,
        patient_class=begun[-1].patient_class if begun else "",
        admitted_at_us=known.encounter.admitted_at_us,
        discharged_at_us=known.encounter.discharged_at_us,
    )


def persons(conn: psycopg.Connection, keys: Collection[str]) -> dict[str, Person]:
    """By the patient's key, the survivor of merges."""
    return {key: _person(key, *said) for key, *said in conn.execute(_PERSONS_SQL, (list(keys),))}


# Numbers beside the patient's own: as the newest message about the patient has them.
_PERSONS_SQL = """
SELECT k.patient, p.family, p.given, p.name, p.birth_date, p.sex, e.patient IS NOT NULL, (
    SELECT f.patients FROM adt_fact f WHERE f.patient = k.patient AND f.live
        AND NOT EXISTS (SELECT FROM fact_undone u WHERE u.fact = f.fact)
    ORDER BY coalesce(f.recorded_at, f.received_at) DESC, f.received_at DESC LIMIT 1)
FROM unnest(%s::text[]) AS k(patient)
LEFT JOIN patient_person p USING (patient) LEFT JOIN patient_erased e USING (patient)
"""


def _person(
    key: str, family: str | None, given: str | None, name: str | None, birth_date: str | None, sex: str | None,
    erased: bool, numbers: Sequence[str] | None,
) -> Person:  # fmt: skip
    each_once = dict.fromkeys((key, *(numbers or ())))
    return Person(
        key=key,
        identifiers=tuple(identifier_of(number) for number in each_once),
        family=family or "",
        given=given or "",
        name=whole_name(family=family or "", given=given or "", name=name or ""),
        birth_date=iso_date(birth_date or ""),
        sex=sex or "",
        erased=erased,
    )


def identifier_of(patient: str) -> Identifier:
    """Of a patient's key, value^authority^type."""
    value, _, rest = patient.partition("^")
    authority, _, kind = rest.partition("^")
    return Identifier(value=value, authority=authority, type=kind)


def iso_date(sent: str) -> str:
    """Of HL7's YYYY[MM[DD]] as much as is a date: YYYY-MM-DD, YYYY-MM, YYYY, or ""."""
    for digits, shown in ((8, 10), (6, 7), (4, 4)):
        text = sent[:digits]
        if len(text) == digits and text.isascii() and text.isdigit():
            try:
                known = date.fromisoformat(text + "00000101"[digits:])
            except ValueError:
                continue
            return known.isoformat()[:shown]
    return ""


# --- the bed and the device ------------------------------------------------------------------------------------------


class _Places:
    """In which bed an encounter was, as believed now."""

    def __init__(self, conn: psycopg.Connection, encounters: Collection[str]) -> None:
        believed = stays.stays_of_encounters(conn, encounters)
        self._names, self._as_sent = bed_names(conn), _beds_as_sent(conn, believed)
        self._stays: dict[str, list[Stay]] = defaultdict(list)
        for stay in believed:
            self._stays[stay.encounter].append(stay)

    def at(self, encounter: str, at_us: int) -> Place | None:
        for stay in self._stays.get(encounter, ()):
            if stay.from_us <= at_us and (stay.until_us is None or at_us < stay.until_us):
                as_sent = self._as_sent.get((stay.from_fact, stay.bed), "")
                return Place(key=stay.bed, name=bed_words(stay.bed, self._names), as_sent=as_sent)
        return None


def _beds_as_sent(conn: psycopg.Connection, believed: Iterable[Stay]) -> dict[tuple[bytes, str], str]:
    """By the message that began a stay, and its bed."""
    facts = list({stay.from_fact for stay in believed})
    rows = conn.execute("SELECT fact, bed, bed_as_sent FROM adt_fact WHERE fact = ANY(%s)", (facts,))
    return {(bytes(fact), bed): as_sent for fact, bed, as_sent in rows}


class _ReportOf(NamedTuple):
    """The public identity of a report."""

    batch_id: bytes
    leaf: int


def _report_of(source: Source) -> _ReportOf:
    return _ReportOf(source.batch_id, source.leaf)


def _instruments(conn: psycopg.Connection, versions: Sequence[NewVersion]) -> dict[_ReportOf, Instrument]:
    """By the report that a version's first source is in; what retention dropped is not there."""
    unknown = {_report_of(each.version.sources[0]): each for each in versions if each.version.sources}
    found: dict[_ReportOf, Instrument] = {}
    # The device of nearly all is one that is believed to be the encounter's; of the others any may be.
    for sql in (_OWN_DEVICES_SQL, _ANY_DEVICES_SQL):
        if not unknown:
            break
        named = {
            "batches": [report.batch_id for report in unknown],
            "leaves": [report.leaf for report in unknown],
            "moments": [moment(each.version.observed_at_us) for each in unknown.values()],
            "encounters": [each.key.encounter for each in unknown.values()],
        }
        for batch_id, leaf, uuid, claim, name in conn.cursor(binary=True).execute(sql.encode(), named):
            report = _ReportOf(bytes(batch_id), leaf)
            found[report] = Instrument(uuid=str(uuid), claim=claim or "", name=name or "")
            unknown.pop(report, None)
    return found


# Reports are found by device and moment, not by their batch. A report at a time (LIMIT): of many the planner would
# read all.
_DEVICES_SQL = """
SELECT k.batch_id, k.leaf, d.uuid, d.claim, g.name
FROM unnest(%(batches)s::bytea[], %(leaves)s::int4[], %(moments)s::timestamptz[], %(encounters)s::text[])
    AS k(batch_id, leaf, observed_at, encounter)
JOIN batch b ON b.batch_id = k.batch_id
CROSS JOIN LATERAL ({candidates}) AS d
CROSS JOIN LATERAL (SELECT FROM report r WHERE r.device = d.device AND r.observed_at = k.observed_at
    AND r.batch = b.batch AND r.leaf = k.leaf LIMIT 1) AS r
LEFT JOIN registered_device g ON g.uuid = d.uuid
"""
_OWN_DEVICES_SQL = _DEVICES_SQL.format(
    candidates="""
    SELECT d.device, d.uuid, d.claim FROM whose w JOIN device d ON d.uuid = w.device
    WHERE w.encounter = k.encounter AND upper_inf(w.recorded) AND lower(w.valid) <= k.observed_at
        AND (upper_inf(w.valid) OR upper(w.valid) > k.observed_at) OFFSET 0"""
)
_ANY_DEVICES_SQL = _DEVICES_SQL.format(candidates="SELECT * FROM device d WHERE d.edge = b.edge OFFSET 0")
