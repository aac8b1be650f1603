"""Whose the questions of the worklist are, and of which ward: by what each is about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg


@dataclass(frozen=True)
class QuestionPlace:
    """`encounters`: the stay, those of the patient, or the one whose values a device has now. `ward` "": none."""

    encounters: tuple[str, ...]
    ward: str


def question_places(conn: psycopg.Connection, subjects: Collection[str], at: datetime) -> dict[str, QuestionPlace]:
    """By subject: of stays, patients and devices; of what is none of these (a bed, a source) nothing."""
    rows = conn.execute(_PLACES_SQL, {"subjects": list(subjects), "at": at}).fetchall()
    return {subject: QuestionPlace(tuple(stays), ward) for subject, stays, ward in rows if stays or ward}


_PLACES_SQL = """
SELECT s.subject,
    ARRAY(
        SELECT e.encounter FROM encounter e WHERE e.encounter = s.subject AND upper_inf(e.recorded)
        UNION SELECT e.encounter FROM encounter e WHERE e.patient = s.subject AND upper_inf(e.recorded)
        UNION SELECT w.encounter FROM whose w WHERE w.device = s.device AND w.encounter IS NOT NULL
            AND upper_inf(w.recorded) AND w.valid @> %(at)s::timestamptz) AS encounters,
    coalesce((
        SELECT ward_of_bed(n.bed) FROM device_bed b JOIN registered_device r USING (registered_device)
        JOIN bed_name n ON n.label = b.bed
        WHERE r.uuid = s.device AND upper_inf(b.recorded) AND b.valid @> %(at)s::timestamptz LIMIT 1), '') AS ward
FROM (
    SELECT subject, CASE WHEN subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN subject::uuid END AS device
    FROM unnest(%(subjects)s::text[]) AS asked (subject)) AS s
"""
