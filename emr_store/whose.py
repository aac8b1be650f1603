"""Whose the values of a device are: intervals, computed anew from all that is known of the device."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from clinical.association import Association
from clinical.attribution import Attribution, Basis, State, Whose, attribute, unattended_items
from clinical.device import Device, DeviceBed, PidMute
from clinical.differences import differences
from clinical.encounter import Stay
from clinical.identity import Links, PidTrust
from clinical.patient_numbers import PatientNumbers
from clinical.stays import encounter_links, patient_links
from clinical.worklist import Item
from emr_store import adt_facts, chart_queue, pid_claims, scans, stays, worklist
from emr_store.attribution_site import AttributionSite
from emr_store.instants import moment, us_of
from schemas.report import Kind

# A bed, a scan and a patient's number may begin "for ever before": no device measured then.
_BEGINNING_US = 0


def write(conn: psycopg.Connection, site: AttributionSite, device: UUID, recorded_at: datetime) -> int:
    """Compute one device anew and write what differs; how many rows."""
    found = _attributed(conn, site, device)
    subject = str(device)
    rows = worklist.write(conn, worklist.DEVICE, found.items, [subject], recorded_at)
    measuring = _measuring_items(conn, device, found.whose)
    rows += worklist.write(conn, worklist.MEASURING, measuring, [subject], recorded_at)
    return rows + _write_whose(conn, device, found.whose, recorded_at)


def _write_whose(conn: psycopg.Connection, device: UUID, computed: Iterable[Whose], recorded_at: datetime) -> int:
    before, after = believed(conn, device), list(computed)
    changes = differences(before, after)
    chart_queue.note_whose(conn, device, before, after)
    with conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE whose SET recorded = tstzrange(lower(recorded), %s)"
            " WHERE device = %s AND lower(valid) = %s AND upper_inf(recorded)",
            [(recorded_at, device, moment(row.from_us)) for row in changes.to_end],
        )
        cursor.executemany(
            "INSERT INTO whose VALUES (%s, %s, tstzrange(%s, NULL), %s, %s, %s, %s, %s, %s)",
            [
                (device, stays.valid(row.from_us, row.until_us), recorded_at, row.state.value, row.encounter,
                 row.patient, row.basis.value, row.proposed, list(row.facts)) for row in changes.to_begin
            ],
        )  # fmt: skip
    return len(changes.to_end) + len(changes.to_begin)


def believed(conn: psycopg.Connection, device: UUID) -> list[Whose]:
    """Of one device, by time, as believed now."""
    sql = f"SELECT {WHOSE_COLUMNS} FROM whose WHERE device = %s AND upper_inf(recorded) ORDER BY lower(valid)"
    return [whose_of(row) for row in conn.execute(sql.encode(), (device,))]


WHOSE_COLUMNS = "device, lower(valid), upper(valid), state, encounter, patient, basis, proposed, facts"


def whose_of(row: tuple[Any, ...]) -> Whose:
    """A row of WHOSE_COLUMNS."""
    device, from_at, until_at, state, encounter, patient, basis, proposed, facts = row
    return Whose(
        device=str(device),
        from_us=us_of(from_at),
        until_us=us_of(until_at),
        state=State(state),
        encounter=encounter,
        patient=patient,
        basis=Basis(basis),
        proposed=proposed,
        facts=tuple(bytes(fact) for fact in facts),
    )


# --- which devices a change touches ----------------------------------------------------------------------------------


def devices_touched(
    conn: psycopg.Connection, site: AttributionSite, beds: set[str], encounters: Collection[str],
    numbers: Collection[str],
) -> set[UUID]:  # fmt: skip
    """Those that ever stood at these beds, were an encounter's by scan or act, or whose sender named these numbers."""
    asked = {"labels": site.labels_of(beds), "encounters": list(encounters), "numbers": list(numbers)}
    return {row[0] for row in conn.execute(_TOUCHED_SQL, asked)}


_TOUCHED_SQL = """
SELECT uuid FROM device_bed JOIN registered_device USING (registered_device)
    WHERE bed = ANY(%(labels)s) AND upper_inf(recorded)
UNION SELECT device FROM device_encounter WHERE encounter = ANY(%(encounters)s) AND upper_inf(recorded)
UNION SELECT uuid FROM pid_claim JOIN device USING (device) WHERE patients && %(numbers)s
"""


def note_measuring(conn: psycopg.Connection) -> None:
    """Have those devices computed anew that began to measure for nobody, so that people hear of it."""
    conn.execute(_MEASURING_SQL)


_MEASURING_SQL = """
INSERT INTO attribution_device
SELECT DISTINCT w.device FROM whose w JOIN device d ON d.uuid = w.device
WHERE upper_inf(w.valid) AND upper_inf(w.recorded) AND w.state = 'nobody' AND w.basis = ''
    AND (EXISTS (SELECT FROM latest l WHERE l.device = d.device AND l.observed_at >= lower(w.valid))
        OR EXISTS (SELECT FROM latest_by_channel l WHERE l.device = d.device AND l.changed_at >= lower(w.valid)
            AND lower(w.valid) <= ANY (l.observed_at)))
    AND NOT EXISTS (SELECT FROM worklist_item i WHERE i.subject = w.device::text AND i.scope = 'measuring'
        AND upper_inf(i.recorded))
"""


def _measuring_items(conn: psycopg.Connection, device: UUID, computed: list[Whose]) -> list[Item]:
    """Of the interval that lasts alone: what is over can be looked up, and nobody has to hurry."""
    lasting = [row for row in computed if row.until_us is None and row.state is State.NOBODY]
    if not lasting:
        return []
    row = conn.execute(
        "SELECT min(observed_at) FROM report JOIN device USING (device)"
        " WHERE uuid = %s AND kind = %s AND observed_at >= %s",
        (device, int(Kind.METRIC), moment(lasting[0].from_us)),
    ).fetchone()
    measured = [] if row is None or row[0] is None else [us_of(row[0])]
    return unattended_items(lasting, measured)


# --- evidence --------------------------------------------------------------------------------------------------------


def _attributed(conn: psycopg.Connection, site: AttributionSite, uuid: UUID) -> Attribution:
    device = _device(conn, site, uuid)
    beds = {placed.bed for placed in device.beds}
    associated = {a.encounter for a in device.associations if a.encounter is not None}
    claimed = {number for claim in device.claims for number in claim.patients}
    naming = adt_facts.facts_naming(conn, site, claimed)
    in_beds = stays.stays_in_beds(conn, beds)
    keys = {stay.encounter for stay in in_beds} | associated
    encounters = {b.encounter.key: b.encounter for b in stays.believed_encounters(conn, keys=keys)}
    patients = {p for e in encounters.values() for p in e.patients} | {f.patients[0] for f in naming}
    linking = adt_facts.linking_facts(conn, site, associated, patients)
    links = patient_links(linking)
    numbers = PatientNumbers([*naming, *linking], links)
    device = _with_surviving_encounters(device, encounter_links(linking))
    of_associations = {a.encounter for a in device.associations if a.encounter is not None}
    named = numbers.named_by(claimed) if device.pid is PidTrust.TRUSTED else ()
    more = stays.believed_encounters(conn, keys=of_associations - encounters.keys(), patients=named)
    encounters |= {b.encounter.key: b.encounter for b in more}
    elsewhere = [s for s in stays.stays_of_encounters(conn, of_associations) if s.bed not in beds]
    all_stays = [*in_beds, *elsewhere]
    known = _received_at_us(conn, all_stays) if device.associations else {}
    return attribute(device, all_stays, encounters, numbers, known)


def _with_surviving_encounters(device: Device, links: Links) -> Device:
    """A visit that got another number since is the same visit."""
    associations = [
        a if a.encounter is None else msgspec.structs.replace(a, encounter=links.find(a.encounter))
        for a in device.associations
    ]
    return Device(
        id=device.id, beds=device.beds, associations=associations, claims=device.claims, mutes=device.mutes,
        scan_ends_us=device.scan_ends_us, pid=device.pid,
    )  # fmt: skip


def _device(conn: psycopg.Connection, site: AttributionSite, uuid: UUID) -> Device:
    row = conn.execute("SELECT min(claim) FROM device WHERE uuid = %s", (uuid,)).fetchone()
    assert row is not None
    _, trust = site.source_of_claims(row[0])
    beds = [
        DeviceBed(
            bed=site.bed_of(bed), from_us=_begin(from_at), until_us=us_of(until_at), act=bytes(act),
            recorded_at_us=us_of(recorded_at),
        )
        for bed, from_at, until_at, act, recorded_at in conn.execute(_BEDS_SQL, (uuid,))
    ]  # fmt: skip
    associations = [
        Association(
            encounter=encounter, from_us=_begin(from_at), until_us=us_of(until_at), recorded_at_us=us_of(recorded_at),
            act=bytes(act), by_scan=by_scan,
        )
        for encounter, from_at, until_at, recorded_at, act, by_scan in conn.execute(_ASSOCIATIONS_SQL, (uuid,))
    ]  # fmt: skip
    mutes = [PidMute(from_us=us_of(from_at), act=bytes(act)) for from_at, act in conn.execute(_MUTES_SQL, (uuid,))]
    return Device(
        id=str(uuid), beds=beds, associations=associations, claims=pid_claims.claims_of(conn, uuid), mutes=mutes,
        scan_ends_us=scans.ends_of(conn, uuid), pid=trust,
    )  # fmt: skip


_BEDS_SQL = """
SELECT bed, lower(valid), upper(valid), b.act_id,
    (SELECT min(lower(h.recorded)) FROM device_bed h WHERE h.registered_device = b.registered_device
        AND h.bed = b.bed AND lower(h.valid) IS NOT DISTINCT FROM lower(b.valid)) AS first_recorded_at
FROM device_bed b JOIN registered_device USING (registered_device)
WHERE uuid = %s AND upper_inf(recorded) ORDER BY valid
"""
_ASSOCIATIONS_SQL = """
SELECT encounter, lower(valid), upper(valid), coalesce(s.taken_at, lower(recorded)), coalesce(act_id, scan), by_scan
FROM device_encounter e LEFT JOIN device_scan s USING (scan)
WHERE e.device = %s AND upper_inf(recorded) ORDER BY 4, 5
"""
_MUTES_SQL = "SELECT from_at, act_id FROM pid_mute WHERE device = %s AND upper_inf(recorded) ORDER BY from_at, act_id"


def _begin(at: datetime | None) -> int:
    return _BEGINNING_US if at is None else us_of(at)


def _received_at_us(conn: psycopg.Connection, all_stays: Iterable[Stay]) -> dict[bytes, int]:
    rows = conn.execute(
        "SELECT fact, received_at FROM adt_fact WHERE fact = ANY(%s)", (list({s.from_fact for s in all_stays}),)
    )
    return {bytes(fact): us_of(received_at) for fact, received_at in rows}
