"""Whose values are: facts of admission offices to stays, stays to intervals of devices, as a background task.

One process works at a time (`emr_store.attribution.alone`); what it computes lies in the database alone.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import structlog

from adapters.formats.hl7_patients import claimed_identifiers
from clinical.beds import BedRegistry, bed_key
from clinical.identity import AdtSource, PidTrust
from emr_store import adt_facts, attribution, whose
from emr_store.attribution_site import AttributionSite
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store
from stream_processors.config import AdtSourceConfig, ProcessorsConfig
from stream_processors.recurring_work import keep_doing

LOOK_EVERY_S = 0.2
MEASURING_EVERY = 25  # looks: who measures for nobody is asked for every five seconds
WAITS = "attribution waits"  # in `waits`
_log = structlog.get_logger("attribute")


def site_of(config: ProcessorsConfig) -> AttributionSite:
    """How what admission offices send is read here."""
    digest = sha256(msgspec.json.encode([config.adt_source, config.bed])).digest()
    return AttributionSite(
        read_identifiers=claimed_identifiers,
        sources={source.name: _source(source) for source in config.adt_source},
        pid_trust={source.name: PidTrust(source.pid) for source in config.adt_source},
        beds=BedRegistry(
            (_key(bed.location) for bed in config.bed),
            {alias: bed.location for bed in config.bed for alias in bed.aliases},
        ),
        bed_by_label={bed.name: _key(bed.location) for bed in config.bed},
        digest=digest,
    )


def _source(config: AdtSourceConfig) -> AdtSource:
    return AdtSource(
        name=config.name,
        authority=config.authority,
        patient_type=config.patient_type,
        visit_prefix_type=config.visit_prefix_type,
        a08_moves=config.a08_moves,
        processing_ids_live=config.processing_ids_live,
    )


def _key(location: str) -> str:
    ward, room, bed, facility, *_ = [*location.split("^"), ""]
    return bed_key(facility=facility, ward=ward, room=room, bed=bed)


async def keep_attributing(conninfo: str, config: ProcessorsConfig) -> None:
    """Take what is stored as it comes, until the program ends."""
    attributor = Attributor(conninfo, site_of(config))
    await keep_doing(attributor.attribute, every_s=LOOK_EVERY_S, waits_as=WAITS, log=_log)


class Attributor:
    """A connection that takes what waits; opened when it is wanted, and anew after one that failed."""

    def __init__(self, conninfo: str, site: AttributionSite) -> None:
        self._conninfo, self._site = conninfo, site
        self._conn: Any = None
        self._looks = 0
        self._reread = False

    def attribute(self) -> int:
        """All that waits; how many facts were new. Nothing while another process works."""
        if self._conn is None:
            self._conn = open_store(self._conninfo)
        try:
            with attribution.alone(self._conn) as held:
                return self._take_all() if held else 0
        except BaseException:
            self._conn.close()
            self._conn = None
            raise

    def close(self) -> None:
        """End its connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _take_all(self) -> int:
        if not self._reread:
            keep_bed_names(self._conn, self._site.bed_names)
            changed = adt_facts.reread(self._conn, self._site)
            self._reread = True
            if changed:
                _log.info("ADT is read by another configuration than before", facts=changed)
        if self._looks % MEASURING_EVERY == 0:
            whose.note_measuring(self._conn)
        self._looks += 1
        facts = 0
        while True:
            taken = attribution.take_chunk(self._conn, self._site)
            facts += taken.facts
            for batch_id, leaf, _ in taken.unreadable:
                _log.error("an ADT group cannot be read", batch=batch_id.hex(), leaf=leaf)
            if not taken.worked:
                return facts
