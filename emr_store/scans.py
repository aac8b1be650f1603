"""Scans as rows: kept once as they were said, and read anew whenever what is known of their numbers changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from clinical.encounter import Encounter
from clinical.identity import AdtSource, patient_key
from clinical.patient_numbers import PatientNumbers
from clinical.scans import KnownScan, is_number, is_visit, of_number, open_at, problem, scan_id
from clinical.stays import encounter_links, patient_links
from emr_store import adt_facts, stays, worklist
from emr_store.adt_facts import ScanReport
from emr_store.attribution_site import AttributionSite
from emr_store.instants import moment, us_of
from schemas.adt import Identifier
from schemas.identity import BatchId
from schemas.scan import ScanAction, WristbandNumber, decode_scan


@dataclass
class Taken:
    """What some reports came to; `unreadable` are (batch_id, leaf, why) of those of a newer program."""

    scans: list[KnownScan] = field(default_factory=list)  # that are new
    unreadable: list[tuple[BatchId, int, str]] = field(default_factory=list)


def take(conn: psycopg.Connection, reports: Iterable[ScanReport], recorded_at: datetime) -> Taken:
    """Keep those that are not kept yet."""
    taken = Taken()
    for report in reports:
        try:
            known = known_scan(report)
        except msgspec.MsgspecError as error:
            taken.unreadable.append((report.batch_id, report.leaf, str(error)))
            continue
        row = scan_row(report)
        if conn.execute(_KEEP_SQL, (*row[:-1], recorded_at, row.said)).rowcount:
            taken.scans.append(known)
    return taken


def known_scan(report: ScanReport) -> KnownScan:
    """The scan of a report; raises msgspec.MsgspecError for one that an edge of a newer program made."""
    scan = decode_scan(report.text)
    identity = scan_id(scanner=report.device.bytes, digest=scan.digest, retained=report.retained)
    return KnownScan(id=identity, scan=scan, received_at_us=us_of(report.received_at), retained=report.retained)


class ScanRow(NamedTuple):
    """A row of `device_scan`, without when it was taken."""

    scan: bytes
    batch_id: bytes
    leaf: int
    device: UUID
    number: str
    action: str
    at: datetime | None
    received_at: datetime
    retained: bool
    effective: bool
    said: str


_KEEP_SQL = """
INSERT INTO device_scan VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def scan_row(report: ScanReport) -> ScanRow:
    """What is kept of a report's scan; raises msgspec.MsgspecError as `known_scan`."""
    known = known_scan(report)
    scan = known.scan
    return ScanRow(
        scan=known.id, batch_id=report.batch_id, leaf=report.leaf, device=known.device,
        number=scan.wristband.value if scan.wristband else "", action=scan.action.value, at=moment(scan.at_us),
        received_at=report.received_at, retained=known.retained, effective=known.without_effect is None,
        said=report.text,
    )  # fmt: skip


# --- which scans are to be read anew ---------------------------------------------------------------------------------

_COLUMNS = "s.scan, s.said, s.received_at, s.retained"


def touched(conn: psycopg.Connection, numbers: Collection[str], devices: Collection[UUID]) -> list[KnownScan]:
    """Those whose wristband has one of these numbers, and those of these devices that a question is asked of."""
    by_number = _load(conn, "s.number <> '' AND s.number = ANY(%s) AND s.effective", list(numbers))
    of_devices = _load(
        conn,
        "s.device = ANY(%s) AND s.effective AND EXISTS (SELECT FROM worklist_item i"
        " WHERE i.subject = 'scan:' || left(encode(s.scan, 'hex'), 16) AND upper_inf(i.recorded))",
        list(devices),
    )
    return list({known.id: known for known in (*by_number, *of_devices)}.values())


def ends_of(conn: psycopg.Connection, device: UUID) -> list[int]:
    """When scans said that the device was taken off its patient."""
    rows = conn.execute(
        "SELECT DISTINCT at FROM device_scan WHERE device = %s AND effective AND action = %s ORDER BY at",
        (device, ScanAction.DISASSOCIATE.value),
    )
    return [us_of(row[0]) for row in rows]


def _load(conn: psycopg.Connection, where: LiteralString, asked: Sequence[object]) -> list[KnownScan]:
    if not asked:
        return []
    rows = conn.execute(f"SELECT {_COLUMNS} FROM device_scan s WHERE {where} ORDER BY s.at, s.scan", (asked,))
    return [
        KnownScan(id=bytes(scan), scan=decode_scan(said), received_at_us=us_of(received_at), retained=retained)
        for scan, said, received_at, retained in rows
    ]


# --- what they mean --------------------------------------------------------------------------------------------------


def write(
    conn: psycopg.Connection, site: AttributionSite, scans: Iterable[KnownScan], recorded_at: datetime
) -> set[UUID]:
    """Read each by what is known now, and write what differs; the devices whose values may be another's than before."""
    changed: set[UUID] = set()
    for known in scans:
        encounters = _named(conn, site, known) if known.without_effect is None else []
        unclear = problem(known, device_known=_is_known(conn, known.device), encounters=encounters)
        items = [] if unclear is None or _is_repeated(conn, known) else [known.item(unclear)]
        worklist.write(conn, worklist.SCAN, items, [known.subject], recorded_at)
        if known.without_effect is not None:
            continue
        ends = known.scan.action is ScanAction.DISASSOCIATE
        if ends or _associate(conn, known, encounters[0] if unclear is None else None, recorded_at):
            changed.add(known.device)
    return changed


def _is_repeated(conn: psycopg.Connection, known: KnownScan) -> bool:
    """Whether what a broker retained had been heard when it was scanned: then it asks nothing."""
    if not known.retained:
        return False
    found = conn.execute(
        "SELECT FROM device_scan r JOIN device_scan s ON s.said = r.said AND NOT s.retained WHERE r.scan = %s LIMIT 1",
        (known.id,),
    )
    return bool(found.rowcount)


def _associate(conn: psycopg.Connection, known: KnownScan, encounter: str | None, recorded_at: datetime) -> bool:
    """Believe this encounter, None: nobody by this scan; whether another was believed before."""
    row = conn.execute(
        "SELECT encounter FROM device_encounter WHERE scan = %s AND upper_inf(recorded)", (known.id,)
    ).fetchone()
    believed = row[0] if row else None
    if believed == encounter:
        return False
    conn.execute(
        "UPDATE device_encounter SET recorded = tstzrange(lower(recorded), %s) WHERE scan = %s AND upper_inf(recorded)",
        (recorded_at, known.id),
    )
    if encounter is not None:
        conn.execute(
            "INSERT INTO device_encounter (device, encounter, valid, recorded, by_scan, scan)"
            " VALUES (%s, %s, tstzrange(%s, NULL), tstzrange(%s, NULL), true, %s)",
            (known.device, encounter, moment(known.scan.at_us), recorded_at, known.id),
        )
    return True


def _is_known(conn: psycopg.Connection, device: UUID) -> bool:
    return bool(conn.execute("SELECT FROM device WHERE uuid = %s LIMIT 1", (device,)).rowcount)


def _named(conn: psycopg.Connection, site: AttributionSite, known: KnownScan) -> list[str]:
    """The encounters that its wristband names and that are open at its moment."""
    scan = known.scan
    if scan.wristband is None or scan.at_us is None:
        return []
    source = site.source_of_scans(scan.adt_source)
    found: set[str] = set()
    if scan.number_of is not WristbandNumber.PATIENT:
        found |= {each.key for each in open_at(_by_visit(conn, site, scan.wristband, source), scan.at_us)}
    if scan.number_of is not WristbandNumber.VISIT:
        encounters, owners = _by_patient(conn, site, scan.wristband, source)
        found |= {each.key for each in of_number(open_at(encounters, scan.at_us), owners)}
    return sorted(found)


def _by_visit(
    conn: psycopg.Connection, site: AttributionSite, wristband: Identifier, source: AdtSource
) -> list[Encounter]:
    rows = conn.execute(
        "SELECT DISTINCT encounter FROM adt_fact WHERE split_part(split_part(encounter, ':', 2), '^', 1) = %s AND live",
        (wristband.value,),
    )
    keys = {row[0] for row in rows if is_visit(row[0], wristband, source)}
    find = encounter_links(adt_facts.linking_facts(conn, site, keys, ())).find
    survivors = {find(key) for key in keys}
    return [believed.encounter for believed in stays.believed_encounters(conn, keys=survivors)]


def _by_patient(
    conn: psycopg.Connection, site: AttributionSite, wristband: Identifier, source: AdtSource
) -> tuple[list[Encounter], set[str]]:
    """The encounters of the patients whose number it is, and under which own numbers messages name these."""
    exact = patient_key(
        Identifier(value=wristband.value, authority=wristband.authority, type=wristband.type or source.patient_type),
        source,
    )
    rows = conn.execute(
        "SELECT DISTINCT n FROM (SELECT unnest(patients) AS n FROM adt_fact"
        " WHERE live AND (patients @> ARRAY[%(exact)s] OR split_part(patient, '^', 1) = %(value)s)) AS of_facts",
        {"exact": exact, "value": wristband.value},
    )
    numbers = {row[0] for row in rows if is_number(row[0], wristband, source)}
    naming = adt_facts.facts_naming(conn, site, numbers)
    owners = {fact.patients[0] for fact in naming}
    linking = adt_facts.linking_facts(conn, site, (), owners)
    named = PatientNumbers([*naming, *linking], patient_links(linking)).named_by(numbers)
    return [believed.encounter for believed in stays.believed_encounters(conn, patients=named)], owners
