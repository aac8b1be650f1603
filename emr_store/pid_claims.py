"""The patient numbers beside a device's values: taken from its reports of kind CONTEXT, read back as claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg

from clinical.device import PidClaim
from clinical.identity import patient_keys
from emr_store.attribution_site import AttributionSite
from emr_store.instants import us_of
from schemas.report import Kind

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
    batch_id: bytes
    leaf: int
    from_at: datetime
    sequence: int
    texts: str


_texts = msgspec.json.Decoder(list[_Text])
# An edge says the numbers where they are others than the connection's message before said, dated by the message; they
# speak of the values of that message and of the next, which were measured a little earlier.
_CLAIMS_SQL = f"""
SELECT c.device, d.uuid, d.claim, b.batch_id, c.leaf, least(c.observed_at, (
        SELECT min(v.observed_at) FROM report v
        WHERE v.device = c.device AND v.kind = {int(Kind.METRIC)} AND v.batch = c.batch
            AND v.sequence > c.sequence AND v.sequence < c.next_sequence
            AND v.observed_at > c.observed_at - interval '1 day' AND v.observed_at <= c.observed_at)), c.sequence,
    c.texts::text
FROM (SELECT *, lead(sequence, 1, 9223372036854775807) OVER (PARTITION BY device, batch ORDER BY sequence)
          AS next_sequence
      FROM report WHERE kind = {int(Kind.CONTEXT)} AND batch = ANY(%s) AND texts IS NOT NULL) AS c
JOIN batch b USING (batch) JOIN device d USING (device)
"""


def take(conn: psycopg.Connection, batches: Sequence[int], site: AttributionSite) -> set[UUID]:
    """Keep what the reports of these batches claim; the devices that they speak of."""
    found = [_Row._make(row) for row in conn.execute(_CLAIMS_SQL.encode(), (list(batches),))]
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pid_claim VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(row.device, row.from_at, row.sequence, list(_numbers(row, site)), _fact(row)) for row in found],
        )
    return {row.uuid for row in found}


def _fact(row: _Row) -> bytes:
    return bytes(row.batch_id) + row.leaf.to_bytes(4)


def _numbers(row: _Row, site: AttributionSite) -> tuple[str, ...]:
    source, _ = site.source_of_claims(row.claim)
    sent = [t.text for t in _texts.decode(row.texts) if (t.system, t.code) == ("HL7", PATIENT_NUMBERS)]
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
