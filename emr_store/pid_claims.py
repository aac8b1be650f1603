"""The patient numbers beside a device's values: taken from its reports of kind CONTEXT, read back as claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import psycopg
from psycopg.rows import class_row

from clinical.device import PidClaim
from clinical.identity import patient_keys
from emr_store.attribution_site import AttributionSite
from emr_store.instants import moment, us_of
from evidence.seal import open_body
from schemas.filed_at import filed_at_us
from schemas.identity import BatchId
from schemas.report import LATE_CONTEXT, Kind

PATIENT_NUMBERS = "PID-3"


class _Text(msgspec.Struct):
    """Of report.texts."""

    code: str = ""
    system: str = ""
    text: str = ""


class _Row(NamedTuple):
    device: int
    uuid: UUID
    claim: str | None
    batch: int
    batch_id: BatchId
    leaf: int
    observed_at: datetime
    sequence: int
    texts: str


_texts = msgspec.json.Decoder(list[_Text])
_CLAIMS_SQL = f"""
SELECT c.device, d.uuid, d.claim, c.batch, b.batch_id, c.leaf, c.observed_at, c.sequence, c.texts::text
FROM report c JOIN batch b USING (batch) JOIN device d USING (device)
WHERE c.kind = {int(Kind.CONTEXT)} AND c.batch = ANY(%s) AND c.texts IS NOT NULL
ORDER BY c.batch, c.device, c.sequence
"""
_BODIES_SQL = "SELECT batch, sealed FROM batch JOIN batch_body USING (lane, batch) WHERE batch = ANY(%s)"


def take(conn: psycopg.Connection, batches: Sequence[int], site: AttributionSite) -> set[UUID]:
    """Keep what the reports of these batches claim; the devices that they speak of.

    An edge says the numbers where they are others than before on the connection, dated by the message. They hold from
    then on, and at each moment at which the reports that follow in the batch were measured, which may be earlier. Those
    of a message that came after a later one, as the edge marks them, hold at its own moments alone: what was said for
    the time around them stands.
    """
    found = [_Row._make(row) for row in conn.execute(_CLAIMS_SQL, (list(batches),))]
    if not found:
        return set()
    measured = {
        batch: _Measured(bytes(sealed))
        for batch, sealed in conn.execute(_BODIES_SQL, (list({row.batch for row in found}),))
    }
    for row, after in zip(found, [*found[1:], None], strict=True):
        same = after is not None and (after.batch, after.device) == (row.batch, row.device)
        moments = {us_of(row.observed_at)}
        if row.batch in measured:  # else retention took its bytes
            moments |= measured[row.batch].between(row.uuid, row.sequence, after.sequence if same and after else None)
        numbers, fact = list(_numbers(row.claim, row.texts, site)), _fact(row)
        of_row = [_Claim(row.device, moment(from_us), row.sequence, numbers, fact) for from_us in sorted(moments)]
        with conn.cursor() as cursor:
            cursor.executemany(_PUT_SQL, [*of_row, *(_resumed(conn, of_row) if _is_late(row) else ())])
    return {row.uuid for row in found}


class _Claim(NamedTuple):
    """A row of pid_claim."""

    device: int
    from_at: datetime
    sequence: int
    patients: list[str]
    fact: bytes


_PUT_SQL = "INSERT INTO pid_claim VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_NEXT = timedelta(microseconds=1)
_NOTHING_BEFORE = b"-"  # behind the fact that shows it: before it nobody was named


def _resumed(conn: psycopg.Connection, claims: Sequence[_Claim]) -> list[_Claim]:
    """What was said of the time around a message that came late: it goes on behind each of its moments."""
    first = claims[0]
    before = conn.execute(_BEFORE_SQL, (first.device, first.from_at, first.sequence)).fetchone()
    patients, fact = before or ([], first.fact + _NOTHING_BEFORE)
    return [claim._replace(from_at=claim.from_at + _NEXT, patients=patients, fact=bytes(fact)) for claim in claims]


_BEFORE_SQL = """
SELECT patients, fact FROM pid_claim WHERE device = %s AND from_at < %s AND sequence < %s
ORDER BY from_at DESC, sequence DESC LIMIT 1
"""


def reread(conn: psycopg.Connection, site: AttributionSite) -> int:
    """Make the keys of all claims anew, by another configuration than before; how many reports name others.

    Their devices wait then. What retention took the row of stays as it was: the values beside it are gone too.
    """
    changed: list[tuple[bytes, list[str], UUID]] = []
    with conn.cursor("claims", row_factory=class_row(_KeptClaim)) as cursor:
        for kept in cursor.execute(_KEPT_SQL):
            numbers = list(_numbers(kept.claim, kept.texts, site))
            if numbers != kept.patients:
                changed.append((kept.fact, numbers, kept.uuid))
    with conn.cursor() as cursor:
        cursor.executemany("UPDATE pid_claim SET patients = %s WHERE fact = %s", [(n, f) for f, n, _ in changed])
        cursor.executemany("INSERT INTO attribution_device VALUES (%s)", [(d,) for d in {d for *_, d in changed}])
    return len(changed)


class _KeptClaim(NamedTuple):
    fact: bytes
    patients: list[str]
    uuid: UUID
    claim: str | None
    texts: str


_KEPT_SQL = f"""
SELECT c.fact, c.patients, d.uuid, d.claim, r.texts::text AS texts
FROM (SELECT DISTINCT fact, patients FROM pid_claim) AS c JOIN batch b ON b.batch_id = substr(c.fact, 1, 32)
JOIN report r ON r.batch = b.batch AND int4send(r.leaf) = substr(c.fact, 33, 4) AND r.kind = {int(Kind.CONTEXT)}
JOIN device d ON d.device = r.device WHERE r.texts IS NOT NULL AND length(c.fact) = 36
"""


class _Measured:
    """When the reports of a batch were measured, as their rows are filed."""

    def __init__(self, sealed: bytes) -> None:
        _, table = open_body(sealed, checked=True)
        self._device, self._sequence = table.device, table.sequence
        self._is_metric = table.kind == Kind.METRIC
        self._observed_at_us = filed_at_us(table.observed_at_us, table.received_at_us)

    def between(self, device: UUID, after: int, before: int | None) -> set[int]:
        """Of the device's values after one sequence number and before another; None: to the end of the batch."""
        mine = self._is_metric & (self._device == np.frombuffer(device.bytes, "V16")[0]) & (self._sequence > after)
        if before is not None:
            mine &= self._sequence < before
        return set(self._observed_at_us[mine].tolist())


def _fact(row: _Row) -> bytes:
    return bytes(row.batch_id) + row.leaf.to_bytes(4)


def _is_late(row: _Row) -> bool:
    return any((t.system, t.code) == ("vitalwire", LATE_CONTEXT) for t in _texts.decode(row.texts))


def _numbers(claim: str | None, texts: str, site: AttributionSite) -> tuple[str, ...]:
    source, _ = site.source_of_claims(claim)
    sent = [t.text for t in _texts.decode(texts) if (t.system, t.code) == ("HL7", PATIENT_NUMBERS)]
    return patient_keys((number for text in sent for number in site.read_identifiers(text)), source)


# Not through an edge that the device does not belong to.
_OF_DEVICE_SQL = """
SELECT c.from_at, c.patients, c.fact FROM pid_claim c JOIN device d USING (device)
WHERE d.uuid = %s AND (
    NOT EXISTS (SELECT FROM registered_device g WHERE g.uuid = d.uuid)
    OR EXISTS (SELECT FROM device_edge_believed e WHERE e.device = c.device AND e.valid @> c.from_at))
ORDER BY c.from_at, c.sequence, c.fact
"""


def claims_of(conn: psycopg.Connection, device: UUID) -> list[PidClaim]:
    """By time; equal neighbours are one. What was said at one instant counts together at that instant, for nobody can
    tell which of its values is whose; what was said last of it goes on."""
    points: list[_Point] = []
    for from_at, patients, fact in conn.execute(_OF_DEVICE_SQL, (device,)):
        said = _Point(us_of(from_at), tuple(patients), bytes(fact))
        if points and points[-1].from_us == said.from_us + 1:
            points.pop()
        if points and points[-1].from_us == said.from_us:
            together = points.pop()
            points.append(together._replace(patients=tuple(dict.fromkeys((*together.patients, *said.patients)))))
            points.append(said._replace(from_us=said.from_us + 1))
        else:
            points.append(said)
    runs = [point for at, point in enumerate(points) if not at or points[at - 1].patients != point.patients]
    ends: list[int | None] = [point.from_us for point in runs[1:]]
    return [
        PidClaim(patients=point.patients, from_us=point.from_us, until_us=until_us, fact=point.fact)
        for point, until_us in zip(runs, [*ends, None], strict=False)
    ]


class _Point(NamedTuple):
    """From this moment on a sender named these."""

    from_us: int
    patients: tuple[str, ...]
    fact: bytes
