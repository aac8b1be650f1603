"""The attributor: facts as they are stored, to stays, to whose each device's values are. One works at a time.

A chunk is one transaction: what it takes leaves the queue in it, so that after a crash it is taken again, and a fact
that is there already changes nothing. Everything is computed anew from all facts that a new one touches; only what
differs is written, under one recorded time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from clinical.adt_events import Effect
from clinical.facts import AdtFact
from clinical.scans import KnownScan
from clinical.stays import (
    compute_stays,
    encounter_links,
    fact_items,
    merge_items,
    patient_links,
    shared_beds,
    touched_by,
)
from emr_store import adt_facts, pid_claims, scans, sender_clock, stays, whose, worklist
from emr_store.adt_facts import Component
from emr_store.attribution_site import AttributionSite
from emr_store.session_lock import held_alone
from schemas.identity import BatchId
from schemas.report import Lane

_LOCK = 0x76_77_61_74  # one attributor at a time
CHUNK_BATCHES = 500
CHUNK_ADT_REPORTS = 2000  # of the lane ADT, more or less: the last batch is taken whole
CHUNK_DEVICES = 100
CHUNK_ENCOUNTERS = 200


@dataclass
class Taken:
    """What one chunk did."""

    batches: int = 0
    devices: int = 0
    encounters: int = 0  # that were read anew by another configuration
    groups: int = 0
    scans: int = 0  # that are new
    facts: int = 0  # of them new
    rows: int = 0  # begun and ended
    unreadable: list[tuple[BatchId, int, str]] = field(default_factory=list)

    @property
    def worked(self) -> bool:
        """Whether anything waited: more may."""
        return bool(self.batches or self.devices or self.encounters)


def alone(conn: psycopg.Connection) -> AbstractContextManager[bool]:
    """Whether we are the one that works; see `held_alone`."""
    return held_alone(conn, _LOCK)


def take_chunk(conn: psycopg.Connection, site: AttributionSite) -> Taken:
    """Take the next of what waits. The caller is `alone`."""
    with conn.transaction():
        chunk = _Chunk(conn, site, begin(conn))
        chunk.run()
    return chunk.taken


def begin(conn: psycopg.Connection) -> datetime:
    """The chunk's recorded time: later than that of any before, whatever the server's clock does."""
    row = conn.execute(
        "UPDATE attribution SET recorded_at = greatest(clock_timestamp(), recorded_at + interval '1 microsecond')"
        " RETURNING recorded_at"
    ).fetchone()
    assert row is not None
    recorded_at: datetime = row[0]
    return recorded_at


_TAKE_SQL = """
WITH waiting AS (
    SELECT w.batch, w.lane, sum(CASE w.lane WHEN %(adt)s THEN b.reports ELSE 0 END) OVER (ORDER BY w.batch)
        - CASE w.lane WHEN %(adt)s THEN b.reports ELSE 0 END AS before
    FROM (SELECT batch, lane FROM attribution_batch ORDER BY batch LIMIT %(batches)s) AS w JOIN batch b USING (batch))
DELETE FROM attribution_batch a USING waiting w WHERE a.batch = w.batch AND w.before < %(reports)s
RETURNING a.batch, a.lane
"""


_TAKE_DEVICES_SQL = """
DELETE FROM attribution_device WHERE device IN (SELECT DISTINCT device FROM attribution_device LIMIT %s)
RETURNING device
"""
_TAKE_ENCOUNTERS_SQL = """
DELETE FROM attribution_encounter
WHERE encounter IN (SELECT DISTINCT encounter FROM attribution_encounter LIMIT %s) RETURNING encounter
"""


@dataclass
class _Chunk:
    conn: psycopg.Connection
    site: AttributionSite
    recorded_at: datetime
    taken: Taken = field(default_factory=Taken)
    new_scans: list[KnownScan] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)  # of patients and visits of which more is known now

    def run(self) -> None:
        named = {"adt": int(Lane.ADT), "batches": CHUNK_BATCHES, "reports": CHUNK_ADT_REPORTS}
        waiting = sorted(self.conn.execute(_TAKE_SQL, named).fetchall())
        self.taken.batches = len(waiting)
        new = self._take_facts([batch for batch, lane in waiting if lane == Lane.ADT])
        devices = self._take_devices()
        devices |= pid_claims.take(self.conn, [batch for batch, lane in waiting if lane != Lane.ADT], self.site)
        anew = {row[0] for row in self.conn.execute(_TAKE_ENCOUNTERS_SQL, (CHUNK_ENCOUNTERS,))}
        self.taken.encounters = len(anew)
        if new or anew:
            devices |= self._recompute(new, anew)
        devices |= self._read_scans(devices)
        for device in sorted(devices):
            self.taken.rows += whose.write(self.conn, self.site, device, self.recorded_at)
        self.taken.devices = len(devices)

    def _read_scans(self, devices: set[UUID]) -> set[UUID]:
        """The new ones, and those of which more is known now."""
        touched = scans.touched(self.conn, self.numbers, devices)
        anew = {known.id: known for known in (*touched, *self.new_scans)}
        return scans.write(self.conn, self.site, anew.values(), self.recorded_at)

    def _take_devices(self) -> set[UUID]:
        rows = self.conn.execute(_TAKE_DEVICES_SQL, (CHUNK_DEVICES,))
        return {row[0] for row in rows}

    def _take_facts(self, batches: Sequence[int]) -> list[AdtFact]:
        if not batches:
            return []
        groups = adt_facts.groups_of(self.conn, batches, self.site)
        scanned = scans.take(self.conn, groups.scans, self.recorded_at)
        self.new_scans, self.taken.scans = scanned.scans, len(scanned.scans)
        self.taken.groups, self.taken.unreadable = len(groups.found), groups.unreadable + scanned.unreadable
        new = adt_facts.write_facts(self.conn, groups.found, self.recorded_at)
        self.taken.facts = len(new)
        items = [item for fact in new for item in fact_items(fact)]
        worklist.add(self.conn, worklist.FACT, items, self.recorded_at)
        self.taken.rows += len(items)
        sender_clock.note(self.conn, {fact.source for fact in new}, self.recorded_at)
        return new

    def _recompute(self, new: Sequence[AdtFact], anew: set[str]) -> set[UUID]:
        """Stays, encounters and their items, of all that the new facts touch; the devices that these touch."""
        component = self._touched([fact for fact in new if fact.live], anew)
        patients, encounters = patient_links(component.facts), encounter_links(component.facts)
        wanted = {encounters.find(key) for key in component.encounters}
        computed = compute_stays(component.facts, patients, encounters, wanted)
        changed = stays.write(self.conn, computed, patients, component.encounters, self.recorded_at)
        self.taken.rows += changed.rows
        in_beds = stays.stays_in_beds(self.conn, changed.beds)
        for scope, items, subjects in (
            (worklist.ENCOUNTER, computed.items, component.encounters),
            (worklist.LINK, merge_items(patients), component.patients),
            (worklist.BED, shared_beds(in_beds), changed.beds),
        ):
            self.taken.rows += worklist.write(self.conn, scope, items, subjects, self.recorded_at)
        numbers = component.patients | {number for fact in component.facts for number in fact.patients}
        visits = (key.partition(":")[2] for key in component.encounters)
        self.numbers |= {key.partition("^")[0] for key in (*numbers, *visits)}
        return whose.devices_touched(self.conn, self.site, changed.beds, component.encounters, numbers)

    def _touched(self, live: Sequence[AdtFact], anew: set[str]) -> Component:
        encounters = anew | {key for fact in live for key in touched_by(fact)}
        swaps = [fact.digest for fact in live if fact.effect is Effect.SWAP]
        encounters |= adt_facts.encounters_of_swaps(self.conn, swaps)
        patients = {number for fact in live for number in fact.patients[:1]}
        patients |= {key for fact in live for link in fact.patient_links for key in (link.retired, link.survivor)}
        return adt_facts.component_of(self.conn, self.site, encounters, patients)
