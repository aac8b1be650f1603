"""What the API `/fhir` looks for: which entries and values, of which encounters, in which order.

A unit is what leaves as one observation: an entry, or the pressures of one encounter, slot and site as a panel. Its
leader is the entry that it is found and sorted by. What is found here is a superset where a panel's entries differ: the
API looks at each once more. Of stays that the `Sight` of who asks does not hold nothing is found: before anything is
counted, sorted or cut into pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from clinical.chart import EntryKey, Origin, Source, Status, Version
from clinical.charted import ChartedVersion
from emr_store.chart_entries import NewVersion
from emr_store.charted import charted_slots, charted_versions, with_context
from emr_store.instants import moment, us_of
from emr_store.visible_stays import VISIBLE_SQL, Sight
from schemas.block import ValidationResult
from schemas.nomenclature import METRIC_BY_REFERENCE_ID


class Stretch(NamedTuple):
    """Of an encounter what was measured during [from, until); None: without a bound there."""

    encounter: str
    from_us: int | None
    until_us: int | None


class Unit(NamedTuple):
    """`entry`, `version`: its leader's newest. `panel`: "" of an entry alone. `sort_us`: what it is sorted by."""

    entry: UUID
    version: int
    encounter: str
    slot_us: int
    panel: str
    sort_us: int


class EncounterKey(NamedTuple):
    """An encounter as believed now, and whose it is; None: nobody knows."""

    encounter: str
    patient: str | None


_VISIBLE = f"IN (SELECT v.encounter FROM ({VISIBLE_SQL}) AS v)"  # takes the parameters of a Sight


# --- encounters ------------------------------------------------------------------------------------------------------


def patients_by_ids(conn: psycopg.Connection, ids: Collection[str], sight: Sight) -> list[str]:
    """The keys of those of these resource ids who have an encounter in sight, erased ones included."""
    return _keys(conn, _PATIENTS_BY_ID_SQL, list(ids), sight)


def patients_by_numbers(conn: psycopg.Connection, numbers: Collection[str], sight: Sight) -> list[str]:
    """The keys of those with an encounter in sight who are known by one of these numbers now, of whatever authority."""
    return _keys(conn, _PATIENTS_BY_NUMBER_SQL, list(numbers), sight)


def is_erased(conn: psycopg.Connection, patient: str) -> bool:
    """Whether the name of this patient was erased by an act."""
    return conn.execute("SELECT FROM patient_erased WHERE patient = %s", (patient,)).fetchone() is not None


def encounters_by_ids(conn: psycopg.Connection, ids: Collection[str], sight: Sight) -> list[EncounterKey]:
    """Those of these resource ids."""
    return _encounters(conn, "resource_id('Encounter', e.encounter) = ANY(%(keys)s)", ids, sight)


def encounters_by_numbers(conn: psycopg.Connection, numbers: Collection[str], sight: Sight) -> list[EncounterKey]:
    """Those of these visit numbers, of whatever authority."""
    return _encounters(conn, "split_part(split_part(e.encounter, ':', 2), '^', 1) = ANY(%(keys)s)", numbers, sight)


def encounters_with(conn: psycopg.Connection, keys: Collection[str], sight: Sight) -> list[EncounterKey]:
    """Those of these keys."""
    return _encounters(conn, "e.encounter = ANY(%(keys)s)", keys, sight)


def encounters_of_ids(conn: psycopg.Connection, patients: Collection[str], sight: Sight) -> list[EncounterKey]:
    """All of these patients, by their resource ids."""
    return _encounters(conn, "resource_id('Patient', e.patient) = ANY(%(keys)s)", patients, sight)


def encounters_of(conn: psycopg.Connection, patients: Collection[str], sight: Sight) -> list[EncounterKey]:
    """All of these patients, by their keys."""
    return _encounters(conn, "e.patient = ANY(%(keys)s)", patients, sight)


def encounters_in(conn: psycopg.Connection, beds: Collection[str], sight: Sight) -> list[EncounterKey]:
    """Those that are in one of these beds now."""
    return _encounters(
        conn,
        "e.encounter IN (SELECT b.encounter FROM encounter_bed b WHERE b.bed = ANY(%(keys)s) AND upper_inf(b.valid)"
        " AND upper_inf(b.recorded))",
        beds, sight,
    )  # fmt: skip


def stretches_of_devices(conn: psycopg.Connection, devices: Collection[UUID], sight: Sight) -> list[Stretch]:
    """Whose the values of these devices are, and when; by the beginning."""
    rows = conn.execute(_STRETCHES_SQL.encode(), {"devices": list(devices), **sight.parameters})
    return [Stretch(encounter, us_of(since), us_of(until)) for encounter, since, until in rows]


def known_beds(conn: psycopg.Connection) -> list[str]:
    """The keys of all beds that an encounter was in, or that the site has a name for."""
    rows = conn.execute("SELECT bed FROM bed_name UNION SELECT bed FROM encounter_bed WHERE bed <> '' ORDER BY 1")
    return [bed for (bed,) in rows]


class KnownDevice(NamedTuple):
    """One that was heard; of several edges the first claim. `ward`: of its bed now; "": none is known."""

    uuid: UUID
    claim: str
    name: str
    ward: str


def known_devices(conn: psycopg.Connection, at: datetime) -> list[KnownDevice]:
    """All of them, as they stand at this moment."""
    rows = conn.execute(_DEVICES_SQL, {"at": at})
    return [KnownDevice(uuid, claim or "", name or "", ward or "") for uuid, claim, name, ward in rows]


def devices_in_sight(conn: psycopg.Connection, sight: Sight) -> set[UUID]:
    """Those whose values are of a stay in sight now."""
    return {device for (device,) in conn.execute(_DEVICES_IN_SIGHT_SQL.encode(), sight.parameters)}


def _keys(conn: psycopg.Connection, sql: str, asked: list[str], sight: Sight) -> list[str]:
    return [key for (key,) in conn.execute(sql.encode(), {"asked": asked, **sight.parameters})]


def _encounters(
    conn: psycopg.Connection, condition: str, keys: Collection[str], sight: Sight
) -> list[EncounterKey]:  # fmt: skip
    sql = f"""
        SELECT e.encounter, e.patient FROM encounter e
        WHERE {condition} AND upper_inf(e.recorded) AND e.encounter {_VISIBLE} ORDER BY 1
        """
    return [EncounterKey(*row) for row in conn.execute(sql.encode(), {"keys": list(keys), **sight.parameters})]


_PATIENTS_BY_ID_SQL = f"""
SELECT DISTINCT patient FROM encounter WHERE resource_id('Patient', patient) = ANY(%(asked)s) AND upper_inf(recorded)
    AND patient IS NOT NULL AND encounter {_VISIBLE} ORDER BY 1
"""
_PATIENTS_BY_NUMBER_SQL = f"""
SELECT DISTINCT f.patient FROM adt_fact f WHERE split_part(f.patient, '^', 1) = ANY(%(asked)s) AND f.live
    AND EXISTS (SELECT FROM encounter e WHERE e.patient = f.patient AND upper_inf(e.recorded)
        AND e.encounter {_VISIBLE}) ORDER BY 1
"""
_STRETCHES_SQL = f"""
SELECT encounter, nullif(lower(valid), '-infinity'), nullif(upper(valid), 'infinity') FROM whose
WHERE device = ANY(%(devices)s) AND encounter {_VISIBLE} AND upper_inf(recorded) ORDER BY lower(valid), encounter
"""
_DEVICES_SQL = """
SELECT DISTINCT ON (d.uuid) d.uuid, d.claim, g.name,
    (SELECT ward_of_bed(n.bed) FROM device_bed b JOIN bed_name n ON n.label = b.bed
     WHERE b.registered_device = g.registered_device AND upper_inf(b.recorded) AND b.valid @> %(at)s::timestamptz
     LIMIT 1)
FROM device d LEFT JOIN registered_device g USING (uuid) ORDER BY d.uuid, d.claim IS NULL, d.device
"""
_DEVICES_IN_SIGHT_SQL = f"""
SELECT device FROM whose WHERE valid @> %(sight_at)s::timestamptz AND upper_inf(recorded) AND encounter {_VISIBLE}
"""


# --- entries ---------------------------------------------------------------------------------------------------------


class Entries(NamedTuple):
    """Which entries are looked for. `items` None: all; to each the one unit that it is meant in, None: any.

    `statuses` and `updated` hold for entries that are in no panel. `after`: those that come after this moment and
    leader in the order asked; None: from the beginning.
    """

    items: Mapping[str, str | None] | None
    statuses: Sequence[str] | None
    updated_from_us: int | None
    updated_until_us: int | None
    after: tuple[int, UUID] | None
    limit: int


def units_by_date(
    conn: psycopg.Connection, stretches: Sequence[Stretch], entries: Entries, descending: bool
) -> list[Unit]:  # fmt: skip
    """Units of these stretches, by when their leaders were measured."""
    order, beyond = ("DESC", "<") if descending else ("", ">")
    # Item by item, so that of each as many are read from the index chart_entry_item as are asked for.
    each_item, of_item = ("", "") if entries.items is None else (_EACH_ITEM, "c.item = i.item AND")
    sql = _BY_DATE_SQL.format(order=order, beyond=beyond, each_item=each_item, of_item=of_item)
    return _units(conn, sql, _named(entries) | _columns(stretches))


def count_units(conn: psycopg.Connection, stretches: Sequence[Stretch], entries: Entries) -> int:
    """How many units these stretches have, whatever `after` and `limit` say."""
    row = conn.execute(_COUNT_SQL.encode(), _named(entries) | _columns(stretches)).fetchone()
    assert row is not None
    return int(row[0])


def units_by_update(
    conn: psycopg.Connection, encounters: Collection[str] | None, entries: Entries, sight: Sight
) -> list[Unit]:  # fmt: skip
    """Units by when their newest version was recorded; `encounters` None: of all in sight."""
    named = {**_named(entries), **sight.parameters, "encounters": None if encounters is None else list(encounters)}
    return _units(conn, _BY_UPDATE_SQL, named)


def units_of(conn: psycopg.Connection, ids: Collection[UUID], sight: Sight) -> list[Unit]:
    """Those with these ids: of an entry that is in no panel its own, else the panel's."""
    return _units(conn, _BY_ID_SQL, {"ids": list(ids), **sight.parameters})


def units_of_entries(conn: psycopg.Connection, entries: Collection[UUID], sight: Sight) -> list[Unit]:
    """Those that these entries are in."""
    return _units(conn, _BY_ENTRY_SQL, {"ids": list(entries), **sight.parameters})


def versions_of(conn: psycopg.Connection, units: Sequence[Unit], panels: Mapping[str, str]) -> list[ChartedVersion]:
    """What the units say now, in their order: of a panel every entry of its slot, those in error included.

    `panels`: the panel of each item that is in one.
    """
    alone = [(unit.entry, unit.version) for unit in units if not unit.panel]
    entries = {each.entry: each for each in charted_versions(conn, alone)}
    slots = dict.fromkeys((unit.encounter, unit.slot_us) for unit in units if unit.panel)
    members: dict[tuple[str, int, str], list[ChartedVersion]] = {}
    for each in charted_slots(conn, list(slots)):
        key = each.stay.key, each.slot_us, panels.get(each.item, "")
        members.setdefault(key, []).append(each)
    found: list[ChartedVersion] = []
    for unit in units:
        if unit.panel:
            found += members[unit.encounter, unit.slot_us, unit.panel]
        else:
            found.append(entries[str(unit.entry)])
    return found


def history_of(conn: psycopg.Connection, unit: Unit) -> list[ChartedVersion]:
    """All versions of all entries of the unit, in the order in which they were recorded."""
    if not unit.panel:
        rows = conn.execute("SELECT entry, version FROM chart_entry WHERE entry = %s ORDER BY version", (unit.entry,))
    else:
        rows = conn.execute(_PANEL_HISTORY_SQL, (unit.encounter, moment(unit.slot_us), unit.panel))
    return charted_versions(conn, [(entry, version) for entry, version in rows])


def _named(entries: Entries) -> dict[str, Any]:
    at_us, entry = entries.after or (None, None)
    return {
        "items": None if entries.items is None else list(entries.items),
        "units": None if entries.items is None else list(entries.items.values()),
        "statuses": None if entries.statuses is None else list(entries.statuses),
        "updated_from": moment(entries.updated_from_us),
        "updated_until": moment(entries.updated_until_us),
        "after": moment(at_us),
        "after_entry": entry,
        "limit": entries.limit,
    }


def _columns(stretches: Iterable[Stretch]) -> dict[str, Any]:
    listed = list(stretches)
    return {
        "encounters": [each.encounter for each in listed],
        "froms": [moment(each.from_us) for each in listed],
        "untils": [moment(each.until_us) for each in listed],
    }


def _units(conn: psycopg.Connection, sql: str, named: dict[str, Any]) -> list[Unit]:
    return [
        Unit(entry, version, encounter, us_of(slot), panel or "", us_of(sort))
        for entry, version, encounter, slot, panel, sort in conn.cursor(binary=True).execute(sql.encode(), named)
    ]


_UNIT = "c.entry, c.version, c.encounter, c.slot, chart_panel(c.item)"
_NEWEST = "NOT EXISTS (SELECT FROM chart_entry n WHERE n.entry = c.entry AND n.version = c.version + 1)"
_UPDATED = """(%(updated_from)s::timestamptz IS NULL OR c.recorded_at >= %(updated_from)s)
        AND (%(updated_until)s::timestamptz IS NULL OR c.recorded_at < %(updated_until)s)"""
# Of a panel one entry leads: of those that stand the one that was measured last, for so the panel is dated.
_LEADS = """NOT EXISTS (SELECT FROM chart_entry p WHERE p.encounter = c.encounter AND p.slot = c.slot
            AND chart_panel(p.item) = chart_panel(c.item) AND (p.status <> 'entered-in-error', p.observed_at, p.entry)
                > (c.status <> 'entered-in-error', c.observed_at, c.entry)
            AND NOT EXISTS (SELECT FROM chart_entry n WHERE n.entry = p.entry AND n.version = p.version + 1))"""
_BY_DATE_WHERE = f"""{_NEWEST}
        AND CASE WHEN chart_panel(c.item) IS NULL
            THEN (%(statuses)s::text[] IS NULL OR c.status = ANY(%(statuses)s)) AND {_UPDATED} ELSE {_LEADS} END"""
_STRETCH = """unnest(%(encounters)s::text[], %(froms)s::timestamptz[], %(untils)s::timestamptz[])
    AS s(encounter, since, until)"""
_IN_STRETCH = """c.encounter = s.encounter AND c.observed_at >= coalesce(s.since, '-infinity')
        AND c.observed_at < coalesce(s.until, 'infinity')"""
_EACH_ITEM = "CROSS JOIN unnest(%(items)s::text[]) AS i(item)"
_BY_DATE_SQL = f"""
SELECT u.* FROM {_STRETCH} {{each_item}} CROSS JOIN LATERAL (
    SELECT {_UNIT}, c.observed_at FROM chart_entry c WHERE {{of_item}} {_IN_STRETCH}
        AND (%(after)s::timestamptz IS NULL OR (c.observed_at, c.entry) {{beyond}} (%(after)s, %(after_entry)s::uuid))
        AND {_BY_DATE_WHERE}
    ORDER BY c.observed_at {{order}}, c.entry {{order}} LIMIT %(limit)s) AS u
ORDER BY u.observed_at {{order}}, u.entry {{order}} LIMIT %(limit)s
"""
_COUNT_SQL = f"""
SELECT count(*) FROM {_STRETCH} JOIN chart_entry c ON {_IN_STRETCH} AND {_BY_DATE_WHERE}
WHERE %(items)s::text[] IS NULL OR EXISTS (SELECT FROM unnest(%(items)s::text[], %(units)s::text[]) AS k(item, unit)
    WHERE k.item = c.item AND (k.unit IS NULL OR c.unit IN ('', k.unit)))
"""
# Of a panel the entry leads that was recorded last.
_BY_UPDATE_SQL = f"""
SELECT {_UNIT}, c.recorded_at FROM chart_entry c
WHERE {_UPDATED} AND (%(encounters)s::text[] IS NULL OR c.encounter = ANY(%(encounters)s))
    AND (c.encounter {_VISIBLE}) IS TRUE  -- looked up in a set of them, so that the order is an index's all the same
    AND (%(after)s::timestamptz IS NULL OR (c.recorded_at, c.entry) > (%(after)s, %(after_entry)s::uuid))
    AND (%(items)s::text[] IS NULL OR c.item = ANY(%(items)s)) AND {_NEWEST}
    AND CASE WHEN chart_panel(c.item) IS NULL THEN %(statuses)s::text[] IS NULL OR c.status = ANY(%(statuses)s)
        ELSE NOT EXISTS (SELECT FROM chart_entry p WHERE p.encounter = c.encounter AND p.slot = c.slot
            AND chart_panel(p.item) = chart_panel(c.item)
            AND (p.recorded_at, p.entry) > (c.recorded_at, c.entry)) END
ORDER BY c.recorded_at, c.entry LIMIT %(limit)s
"""
_BY_ID_SQL = f"""
SELECT u.* FROM (
SELECT {_UNIT}, c.observed_at FROM chart_entry c
WHERE c.entry = ANY(%(ids)s) AND chart_panel(c.item) IS NULL AND {_NEWEST}
UNION ALL
SELECT * FROM (
    SELECT DISTINCT ON (c.encounter, c.slot, chart_panel(c.item)) {_UNIT}, c.observed_at FROM chart_entry c
    WHERE chart_panel_id(c.encounter, chart_panel(c.item), c.slot) = ANY(%(ids)s) AND c.version = 1
        AND chart_panel(c.item) IS NOT NULL
    ORDER BY c.encounter, c.slot, chart_panel(c.item), c.item, c.ordinal DESC) AS panels
) AS u WHERE u.encounter {_VISIBLE}
"""
_BY_ENTRY_SQL = f"""
SELECT {_UNIT}, c.observed_at FROM chart_entry c
WHERE c.entry = ANY(%(ids)s) AND c.encounter {_VISIBLE} AND {_NEWEST}
"""
_PANEL_HISTORY_SQL = """
SELECT entry, version FROM chart_entry WHERE encounter = %s AND slot = %s AND chart_panel(item) = %s
ORDER BY recorded_at, version, entry
"""


# --- values that no policy charted -----------------------------------------------------------------------------------


class Values(NamedTuple):
    """Which values are looked for: `items` None: all; `after`: the moment and source of the last one that was seen."""

    items: Sequence[str] | None
    after: tuple[int, Source] | None
    limit: int


def value_stretches(conn: psycopg.Connection, encounters: Collection[str]) -> list[tuple[UUID, Stretch]]:
    """The devices whose values are these encounters', and when; by the beginning."""
    rows = conn.execute(_VALUE_STRETCHES_SQL, (list(encounters),))
    return [(device, Stretch(encounter, us_of(since), us_of(until))) for device, encounter, since, until in rows]


def uncharted_values(
    conn: psycopg.Connection, stretches: Sequence[tuple[UUID, Stretch]], values: Values, descending: bool
) -> list[tuple[Source, NewVersion]]:
    """Accepted values of these stretches that are the source of no entry, by when they were measured."""
    order, beyond = ("DESC", "<") if descending else ("", ">")
    at_us, source = values.after or (None, None)
    named = _columns(stretch for _, stretch in stretches) | {
        "devices": [device for device, _ in stretches],
        "codes": None if values.items is None else _codes(values.items),
        "after": moment(at_us),
        "after_batch": source and source.batch_id, "after_leaf": source and source.leaf,
        "after_record": source and source.record, "limit": values.limit,
    }  # fmt: skip
    sql = _VALUES_SQL.format(order=order, beyond=beyond)
    return [_value(row) for row in conn.cursor(binary=True).execute(sql.encode(), named)]


def _codes(items: Iterable[str]) -> list[int]:
    return [METRIC_BY_REFERENCE_ID[item].code for item in items if item in METRIC_BY_REFERENCE_ID]


def value_of(conn: psycopg.Connection, source: Source, sight: Sight) -> tuple[Source, NewVersion] | None:
    """This one, where it is accepted, of a stay in sight, and the source of no entry."""
    # Number by number, so that the planner sees constants: reports are found by block ranges of their batches.
    batch = conn.execute("SELECT batch FROM batch WHERE batch_id = %s", (source.batch_id,)).fetchone()
    report = batch and conn.execute(_REPORT_SQL, (batch[0], source.leaf), prepare=False).fetchone()
    if not report:
        return None
    named = {"device": report[0], "observed_at": report[1], **source._asdict(), **sight.parameters}
    row = conn.cursor(binary=True).execute(_VALUE_SQL.encode(), named).fetchone()
    return None if row is None else _value(row)


def versions_of_values(conn: psycopg.Connection, values: Sequence[NewVersion]) -> list[ChartedVersion]:
    """With the patient, the encounter, the place and the device, as an entry has them."""
    return with_context(conn, values)


def _value(row: tuple[Any, ...]) -> tuple[Source, NewVersion]:
    encounter, item, observed_at, received_at, value, text, unit, decimals, batch_id, leaf, record = row
    at_us, source = us_of(observed_at), Source(bytes(batch_id), leaf, record)
    version = Version(
        number=1, status=Status.PRELIMINARY, origin=Origin.DEVICE, value=value, text=text or "", unit=unit or "",
        decimals=max(0, -(decimals or 0)), observed_at_us=at_us, sources=(source,), reason="", act_id=None,
        by_time=False, recorded_at_us=us_of(received_at),
    )  # fmt: skip
    return source, NewVersion("", EntryKey(encounter, item, at_us), 1, version)


_ACCEPTED = ", ".join(
    str(int(each))
    for each in (ValidationResult.ACCEPTED, ValidationResult.ACCEPTED_TEXT, ValidationResult.ACCEPTED_CODE)
)
_UNCHARTED = f"""o.metric IS NOT NULL AND NOT o.foreign_edge AND o.validation_result IN ({_ACCEPTED})
        AND NOT o.training AND NOT o.ambiguous AND NOT o.withdrawal"""
# By the index over encounter and moment: a stay of months has many entries of one item.
_NO_ENTRY = """NOT EXISTS (SELECT FROM chart_entry c WHERE c.encounter = s.encounter AND c.observed_at = o.observed_at
    AND c.item || '' = o.metric AND b.batch_id = ANY(c.source_batch)
    AND EXISTS (SELECT FROM unnest(c.source_batch, c.source_leaf, c.source_record) AS e(batch_id, leaf, record)
        WHERE e.batch_id = b.batch_id AND e.leaf = o.leaf AND e.record = o.record))"""
_VALUE = """s.encounter, o.metric, o.observed_at, o.received_at, o.value, o.text, o.unit, o.decimals,
    b.batch_id, o.leaf, o.record"""
_VALUE_STRETCHES_SQL = """
SELECT device, encounter, nullif(lower(valid), '-infinity'), nullif(upper(valid), 'infinity') FROM whose
WHERE encounter = ANY(%s) AND state = 'attributed' AND upper_inf(recorded) ORDER BY lower(valid), device
"""
_VALUES_SQL = f"""
SELECT {_VALUE}
FROM unnest(%(devices)s::uuid[], %(encounters)s::text[], %(froms)s::timestamptz[], %(untils)s::timestamptz[])
    AS s(device, encounter, since, until)
CROSS JOIN LATERAL (
    SELECT * FROM observation o WHERE o.device = s.device AND o.observed_at >= s.since AND o.observed_at < s.until
        AND (%(codes)s::int8[] IS NULL OR o.code = ANY(%(codes)s)) AND {_UNCHARTED}
    OFFSET 0) AS o  -- planned by itself: by the index over device and moment
JOIN batch b USING (batch)
WHERE (%(after)s::timestamptz IS NULL OR (o.observed_at, b.batch_id, o.leaf, o.record)
    {{beyond}} (%(after)s, %(after_batch)s::bytea, %(after_leaf)s::int4, %(after_record)s::int4)) AND {_NO_ENTRY}
ORDER BY o.observed_at {{order}}, b.batch_id {{order}}, o.leaf {{order}}, o.record {{order}} LIMIT %(limit)s
"""
_REPORT_SQL = (
    "SELECT d.uuid, r.observed_at FROM report r JOIN device d USING (device) WHERE r.batch = %s AND r.leaf = %s"
)
_VALUE_SQL = f"""
SELECT {_VALUE} FROM batch b JOIN observation o USING (batch)
JOIN whose s ON s.device = o.device AND s.valid @> o.observed_at AND s.encounter {_VISIBLE}
    AND upper_inf(s.recorded)
WHERE o.device = %(device)s AND o.observed_at = %(observed_at)s AND s.device = %(device)s AND b.batch_id = %(batch_id)s
    AND o.leaf = %(leaf)s AND o.record = %(record)s AND {_UNCHARTED} AND {_NO_ENTRY}
"""
