"""How many vital signs the store gives to another than a naive reader of the same messages does, in any order.

The ward of the simulated hospital goes into a store again and again: each message comes up to 60 s late and one in ten
a second time, so that values come before the admissions that they belong to, and the attributor takes what came after
each 40 messages.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import psycopg

from benchmarks.attribution import put, take_all
from benchmarks.databases import drop_database
from benchmarks.pipeline import Bench
from benchmarks.simhospital import SIMHOSPITAL, Message, Naive, read_messages
from clinical.beds import BedRegistry, bed_key
from clinical.identity import AdtSource, PidTrust, patient_keys
from emr_store import places
from emr_store.attribution_site import AttributionSite
from emr_store.connect import open_store
from emr_store.instants import moment
from schemas.report import device_id

SHUFFLES, SHUFFLES_QUICK = 100, 5
LATE_S, RESENT_SHARE = 60, 0.1
CHUNK_MESSAGES = 40  # to the attributor's next turn
SOURCE = AdtSource(name="ward", authority="SIM", patient_type="MRN", processing_ids_live=("P", "T"))
Owner = tuple[str, str | None]  # basis or state, and the visit


def measure(quick: bool) -> dict[str, float]:
    """On a database of its own. Raises FileNotFoundError where the messages are not there."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), edges=1)
        try:
            bench.make_database()
            messages = read_messages(SIMHOSPITAL / "ward.hl7")
            return {"wrong_attributions": measure_on(bench.database, messages, SHUFFLES_QUICK if quick else SHUFFLES)}
        finally:
            drop_database(bench.server, bench.name)


def measure_on(database: str, messages: Sequence[Message], shuffles: int) -> int:
    """Vital signs of all shuffles together that have another owner than the naive reader says."""
    ward = Ward(messages)
    expected = ward.expected()
    wrong = 0
    with open_store(database) as conn:
        ward.place_devices(conn)
        for seed in range(shuffles):
            conn.execute(_EMPTY_SQL)
            found = ward.owners(conn, shuffled(ward.messages, seed))
            wrong += sum(found.get(message) != owner for message, owner in expected.items())
    return wrong


# What the attributor made of the shuffle before; devices and their beds stay.
_EMPTY_SQL = """
TRUNCATE adt_fact, fact_undone, patient_link, encounter_link, encounter, encounter_bed, pid_claim, whose, worklist_item,
    attribution_batch, attribution_device, batch, report
"""


def shuffled(messages: Iterable[Message], seed: int) -> list[Message]:
    """In the order in which they arrive."""
    chance = random.Random(seed)
    arrivals = [((message.sent or 0) + chance.uniform(0, LATE_S), message) for message in messages]
    resent = [(at + chance.uniform(0, LATE_S), message) for at, message in arrivals if chance.random() < RESENT_SHARE]
    return [message for _, message in sorted([*arrivals, *resent], key=lambda arrival: arrival[0])]


class Ward:
    """The messages of the ward, and how its site is configured."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self._bed_keys: dict[str, str] = {}  # by the naive reader's name
        for message in messages:
            for group in message.adt_groups:
                for sent in (group.visit.bed, group.visit.prior_bed) if group.visit else ():
                    if sent is not None and sent.bed:
                        key = bed_key(facility=sent.facility, ward=sent.ward, room=sent.room, bed=sent.bed)
                        self._bed_keys[f"{sent.ward}/{sent.bed}"] = key

    @property
    def _observations(self) -> list[Message]:
        return [message for message in self.messages if message.event == "ORU^R01"]

    def expected(self) -> dict[bytes, Owner]:
        """By the message's digest, what the naive reader says of its values."""
        naive = Naive(list(self.messages))
        return {
            _digest(message): naive.owner(group.bed, group.patient, message.observed or 0)
            for message in self._observations
            for group in message.groups[:1]
        }

    def place_devices(self, conn: psycopg.Connection) -> None:
        """A device each bed, and one each patient of whom values come without a bed."""
        for claim in sorted({_claim(message) for message in self._observations}):
            device = device_id(claim)
            conn.execute(
                "INSERT INTO device (uuid, claim, edge) VALUES (%s, %s, %s)", (device, claim, device_id("edge"))
            )
            label = claim.removeprefix(f"{SOURCE.name}/PV1-3=")
            if label in self._bed_keys:
                places.assign(conn, str(device), label, since=datetime(2000, 1, 1, tzinfo=UTC))

    def owners(self, conn: psycopg.Connection, arrivals: Sequence[Message]) -> dict[bytes, Owner]:
        """What the store says when all have come."""
        site = self._site()
        for start in range(0, len(arrivals), CHUNK_MESSAGES):
            arrived = arrivals[start : start + CHUNK_MESSAGES]
            adt = [group for message in arrived if message.event.startswith("A") for group in message.adt_groups]
            put(conn, adt, source=SOURCE.name)
            _put_claims(conn, [message for message in arrived if message.event == "ORU^R01"])
            take_all(conn, site)
        return {
            bytes(fact): (basis or state, encounter.split(":")[1].split("^")[0] if encounter else None)
            for fact, state, basis, encounter in conn.execute(_OWNERS_SQL)
        }

    def _site(self) -> AttributionSite:
        return AttributionSite(
            read_identifiers=lambda _: (),
            sources={SOURCE.name: SOURCE},
            pid_trust={SOURCE.name: PidTrust.TRUSTED},
            beds=BedRegistry(self._bed_keys.values()),
            bed_by_label=self._bed_keys,
        )


_OWNERS_SQL = """
SELECT c.fact, w.state, w.basis, w.encounter FROM pid_claim c JOIN device d USING (device)
JOIN whose w ON w.device = d.uuid AND w.valid @> c.from_at AND upper_inf(w.recorded)
"""


def _claim(message: Message) -> str:
    group = message.groups[0]
    return f"{SOURCE.name}/PV1-3={group.bed}" if group.bed else f"{SOURCE.name}/PID-3={group.patient}"


def _put_claims(conn: psycopg.Connection, observations: Sequence[Message]) -> None:
    """The patient numbers beside their values, each message at a microsecond of its own: times are to the second."""
    with conn.transaction(), conn.cursor() as cursor:
        for message in observations:
            number = int(message.msh[9])
            cursor.execute(_CLAIM_SQL, {
                "device": device_id(_claim(message)), "at": moment((message.observed or 0) * 1_000_000 + number),
                "sequence": number, "fact": _digest(message),
                "patients": list(patient_keys(message.adt_groups[0].patients, SOURCE)),
            })  # fmt: skip


_CLAIM_SQL = """
WITH claimed AS (INSERT INTO pid_claim SELECT device, %(at)s, %(sequence)s, %(patients)s, %(fact)s FROM device
    WHERE uuid = %(device)s ON CONFLICT DO NOTHING)
INSERT INTO attribution_device VALUES (%(device)s)
"""


def _digest(message: Message) -> bytes:
    return sha256(message.text.encode()).digest()
