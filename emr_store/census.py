"""The census of a ward: rows that become facts when a ward is switched on, and each later one compared with ADT."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256 as sha256_of

import psycopg

from clinical.census import CensusEntry, CensusReading, CensusRow, Difference, census_source, compare, read_rows
from clinical.identity import AdtSource
from clinical.stays import encounter_links
from clinical.worklist import Item
from emr_store import acts, adt_facts, attribution, patients, worklist
from emr_store.acts import Author
from emr_store.adt_facts import StoredGroup
from emr_store.attribution_site import AttributionSite
from emr_store.instants import us_of
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class CensusFile:
    """A file as read; `at` None: it was taken now."""

    sha256: bytes
    rows: Sequence[CensusRow]
    at: datetime | None


@dataclass(frozen=True)
class CensusTaken:
    """What a census did. `loaded` are the encounters that became facts: of the first census of its source alone."""

    sha256: str
    at: datetime
    first: bool
    rows: int
    loaded: tuple[str, ...]
    differences: tuple[Difference, ...]
    act_id: str  # in hexadecimal; "" of a dry run


def take(
    conn: psycopg.Connection, site: AttributionSite, office: AdtSource, file: CensusFile, *,
    author: Author | None = None, dry_run: bool = False,
) -> CensusTaken:  # fmt: skip
    """Load the first census of a source, compare each later one; all of it or nothing.

    `office`: by whose numbers it is read. Differences open items and change nothing; those that are gone end theirs.
    Raises VitalwireError, which names the line, where one is not clear.
    """
    with conn.transaction(force_rollback=dry_run):
        recorded_at = attribution.begin(conn)
        at = file.at or recorded_at
        if at > recorded_at:
            raise VitalwireError(f"--at {at.isoformat()} lies ahead: say when the census was taken")
        source = census_source(office)
        entries = read_rows(file.rows, CensusReading(
            source=source, beds=site.beds, bed_by_label=site.bed_by_label, at_us=us_of(at),
            digest=_digest(conn, source.name, file.sha256),
            received_at_us=us_of(recorded_at),
        ))  # fmt: skip
        first = not conn.execute(
            f"SELECT FROM adt_fact f WHERE source = %s AND {adt_facts.NOT_UNDONE} LIMIT 1", (source.name,)
        ).rowcount
        new = _unknown_to_adt(conn, entries) if first else []
        differences = _differences(conn, site, entries, new)
        act_id = acts.record(conn, acts.act(
            "patient.census", author, acts.now(conn), sha256=file.sha256.hex(), source=office.name,
            taken_at=at.isoformat(), rows=len(entries), loaded=len(new), differences=len(differences),
        ))  # fmt: skip
        _load(conn, new, act_id, recorded_at)
        _ask(conn, differences, act_id, recorded_at)
    loaded = tuple(entry.fact.encounter or "" for entry in new)
    return CensusTaken(
        file.sha256.hex(), at, first, len(entries), loaded, tuple(differences), "" if dry_run else act_id.hex()
    )


def _digest(conn: psycopg.Connection, source: str, sha256: bytes) -> bytes:
    """By which facts of the file are told from others: one that was taken back and is loaded again says it anew."""
    rows = conn.execute(
        "SELECT DISTINCT u.act_id FROM fact_undone u JOIN adt_fact f USING (fact) WHERE f.source = %s ORDER BY 1",
        (source,),
    )
    undone = [bytes(row[0]) for row in rows]
    return sha256_of(b"".join([sha256, *undone])).digest() if undone else sha256


def _unknown_to_adt(conn: psycopg.Connection, entries: Sequence[CensusEntry]) -> list[CensusEntry]:
    """Those of whose visit no message says anything: of the others the messages count, and are compared."""
    rows = conn.execute(
        f"SELECT DISTINCT encounter FROM adt_fact f WHERE encounter = ANY(%s) AND live AND {adt_facts.NOT_UNDONE}",
        ([entry.fact.encounter for entry in entries],),
    )
    known = {row[0] for row in rows}
    return [entry for entry in entries if entry.fact.encounter not in known]


def _differences(
    conn: psycopg.Connection, site: AttributionSite, entries: Sequence[CensusEntry], new: Sequence[CensusEntry]
) -> list[Difference]:
    survivor = _survivors(conn, site, [entry.fact.encounter or "" for entry in entries])
    census = {survivor(entry.fact.encounter or ""): entry.fact.bed.key for entry in entries}
    in_beds = {row.encounter: row.bed for row in patients.beds_now(conn)}
    untold = {survivor(entry.fact.encounter or "") for entry in new}
    untold |= {survivor(row[0]) for row in conn.execute("SELECT DISTINCT encounter FROM attribution_encounter")}
    return compare(census, in_beds, untold)


def _survivors(conn: psycopg.Connection, site: AttributionSite, encounters: Collection[str]) -> Callable[[str], str]:
    """By the merges of visits that are known."""
    return encounter_links(adt_facts.linking_facts(conn, site, encounters, ())).find


def _load(conn: psycopg.Connection, entries: Sequence[CensusEntry], act_id: bytes, recorded_at: datetime) -> None:
    """As facts of the act, which the attributor takes up."""
    stored = [
        StoredGroup(act_id, entry.line, entry.fact.source, entry.group, entry.person, entry.fact) for entry in entries
    ]
    adt_facts.write_facts(conn, stored, recorded_at)
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO attribution_encounter VALUES (%s)", [(entry.fact.encounter,) for entry in entries]
        )


def _ask(conn: psycopg.Connection, differences: Sequence[Difference], act_id: bytes, at: datetime) -> None:
    """An item a difference. One that was there yesterday is the same item, and stays dealt with."""
    rows = conn.execute(
        "SELECT kind, subject, since, announce_at, until, facts, detail FROM worklist_item"
        " WHERE scope = %s AND upper_inf(recorded)",
        (worklist.CENSUS,),
    )
    believed = [worklist.item_of(row) for row in rows]
    known = {(item.kind, item.subject, item.detail): item for item in believed}
    at_us = us_of(at)
    items = [
        known.get((each.kind, each.encounter, each.detail))
        or Item(
            kind=each.kind, subject=each.encounter, since_us=at_us, announce_at_us=at_us, facts=(act_id,),
            detail=each.detail,
        )
        for each in differences
    ]  # fmt: skip
    subjects = {item.subject for item in (*believed, *items)}
    worklist.write(conn, worklist.CENSUS, items, subjects, at)
