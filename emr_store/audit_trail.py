"""Looks and acts together, in the order of time: who saw a patient, and what a person did. No value is in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from emr_store import looks
from emr_store.acts import moment_of
from emr_store.fhir_search import patients_by_numbers
from emr_store.looks import Asked, LookRow
from emr_store.visible_stays import EVERY_STAY
from evidence.act import Act, parse_act

TRACES_MAX = 2000
AUDIT_PAGE = "audit"  # of a look at looks


class Trace(NamedTuple):
    """A look, or an act; what the other one alone has is "" or None."""

    at: datetime
    until: datetime | None  # of a look
    person: str  # a viewer's id; of an act `by`
    name: str
    role: str
    what: str  # the action of a look; the kind of an act
    page: str
    patients: tuple[str, ...]
    encounters: tuple[str, ...]
    stays: int
    relation: str
    restricted: bool
    reason: str
    where: str  # address and session
    detail: str
    id: str  # of the look; of the act its hash


@dataclass(frozen=True)
class Span:
    """[since, until): None: from the first, to the last."""

    since: datetime | None = None
    until: datetime | None = None


def patient_keys(conn: psycopg.Connection, number: str) -> list[str]:
    """Of a number as people type it; the number itself counts as a key too."""
    return sorted({*patients_by_numbers(conn, [number], EVERY_STAY), number})


def who_saw(
    conn: psycopg.Connection, number: str, span: Span, *, hide_audit: bool = True, limit: int = TRACES_MAX
) -> list[Trace]:  # fmt: skip
    """Looks at a patient and acts on the patient's stays, the newest `limit` of them, the oldest first."""
    keys = patient_keys(conn, number)
    asked = Asked(patients=keys, since=span.since, until=span.until, hide_audit=hide_audit)
    found = [_of_look(row) for row in looks.find(conn, asked, limit)]
    rows = conn.execute(_ACTS_ON_SQL, {"keys": keys, "since": span.since, "until": span.until, "limit": limit})
    return _ordered([*found, *(_of_act(conn, each) for each in _acts(rows))], limit)


def what_did(
    conn: psycopg.Connection, person: str, span: Span, *, hide_audit: bool = True, limit: int = TRACES_MAX
) -> list[Trace]:  # fmt: skip
    """Looks and acts of one person, likewise."""
    asked = Asked(persons=[person], since=span.since, until=span.until, hide_audit=hide_audit)
    found = [_of_look(row) for row in looks.find(conn, asked, limit)]
    named = {
        "said": f'"by":"staff:{person}"'.encode(), "since": span.since, "until": span.until, "limit": limit,
    }  # fmt: skip
    of_person = [each for each in _acts(conn.execute(_ACTS_BY_SQL, named)) if each.by == f"staff:{person}"]
    return _ordered([*found, *(_of_act(conn, each) for each in of_person)], limit)


def who_read_the_audit(conn: psycopg.Connection, span: Span, *, limit: int = TRACES_MAX) -> list[Trace]:
    """Looks at looks, likewise."""
    asked = Asked(since=span.since, until=span.until, hide_audit=False, audit_only=True)
    return _ordered([_of_look(row) for row in looks.find(conn, asked, limit)], limit)


def _ordered(found: Collection[Trace], limit: int) -> list[Trace]:
    return sorted(found, key=lambda trace: (trace.at, trace.id))[-limit:]


def _acts(rows: Iterable[tuple[Any, ...]]) -> list[Act]:
    return [parse_act(bytes(body)) for (body,) in rows]


def _of_look(row: LookRow) -> Trace:
    where = " ".join(part for part in (row.address, row.session) if part)
    return Trace(
        row.from_at, row.until_at, row.person, row.name, row.role, row.action, row.page, row.patients,
        row.encounters, row.stays, row.relation, row.restricted, row.reason, where, row.detail, str(row.look),
    )  # fmt: skip


def _of_act(conn: psycopg.Connection, act: Act) -> Trace:
    """Of its details those that say where, and no value."""
    kind, _, who = act.by.partition(":")
    staff = None
    if kind == "staff":
        staff = conn.execute("SELECT name, role FROM staff WHERE staff = %s", (who,)).fetchone()
    name, role = staff or ("", "")
    patient, encounter = act.details.get("patient"), act.details.get("encounter")
    detail = ", ".join(f"{each} {act.details[each]}" for each in _TOLD if act.details.get(each))
    return Trace(
        moment_of(act), None, who if kind == "staff" else act.by, name, role, act.kind, "",
        (patient,) if isinstance(patient, str) else (), (encounter,) if isinstance(encounter, str) else (),
        1 if encounter else 0, "", False, act.why, "", detail, act.act_id.hex(),
    )  # fmt: skip


_TOLD = ("item", "status", "version", "staff", "relation", "device", "bed", "review", "review_kind", "person")
_WITHIN = """
a.at >= coalesce(%(since)s::timestamptz, '-infinity') AND a.at < coalesce(%(until)s::timestamptz, 'infinity')
ORDER BY a.at DESC LIMIT %(limit)s
"""
# By what each says, where it stands: nobody has to read through all acts.
_ACTS_ON_SQL = f"""
WITH stay AS (SELECT DISTINCT encounter FROM encounter WHERE patient = ANY(%(keys)s)),
concerned AS (
    SELECT act_id FROM chart_entry WHERE encounter IN (SELECT encounter FROM stay) AND act_id IS NOT NULL
    UNION SELECT act_id FROM access_grant WHERE encounter IN (SELECT encounter FROM stay)
    UNION SELECT e.act_id FROM access_grant_end e JOIN access_grant USING (grant_id)
        WHERE encounter IN (SELECT encounter FROM stay)
    UNION SELECT act_id FROM restricted_record WHERE patient = ANY(%(keys)s)
    UNION SELECT c.act_id FROM review_closed c JOIN review USING (review) WHERE patient = ANY(%(keys)s))
SELECT a.body FROM act a JOIN concerned USING (act_id) WHERE {_WITHIN}
"""
# As canonical JSON writes it; that it stands there as the member of that name is looked at afterwards.
_ACTS_BY_SQL = f"SELECT a.body FROM act a WHERE position(%(said)s::bytea IN a.body) > 0 AND {_WITHIN}"
