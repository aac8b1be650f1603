"""What a person takes back: a census, a temporary patient, a link of two. Its facts stay, and count no more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from emr_store import acts, attribution
from emr_store.acts import Author
from evidence.act import parse_act
from schemas.errors import VitalwireError

KINDS = ("patient.census", "patient.temporary", "patient.link")
ID_CHARS_MIN = 6


@dataclass(frozen=True)
class Undone:
    """What was taken back; `act` in hexadecimal, `encounters` are those that its facts named."""

    act: str
    kind: str
    facts: int
    encounters: tuple[str, ...]


@dataclass(frozen=True)
class Unlinked:
    """Two patient numbers that are two again, and how many facts had made them one."""

    retired: str
    survivor: str
    facts: int


def undo(conn: psycopg.Connection, act: str, *, author: Author | None = None) -> Undone:
    """Take back an act of KINDS: `act` is its id, or the beginning of it.

    Raises VitalwireError where no or several acts fit, where it is another kind, and where nothing of it counts.
    """
    with conn.transaction():
        act_id, kind = _find(conn, act)
        rows = conn.execute(
            "SELECT fact, encounter FROM adt_fact f WHERE batch_id = %s AND (source = 'act' OR"
            " starts_with(source, 'census:')) AND NOT EXISTS (SELECT FROM fact_undone u WHERE u.fact = f.fact)",
            (act_id,),
        ).fetchall()
        if not rows:
            raise VitalwireError(
                f"nothing that the act {act_id.hex()[:12]} said counts: it was taken back before, or it is a census"
                " that was compared alone"
            )
        facts = [bytes(row[0]) for row in rows]
        encounters = tuple(sorted({row[1] for row in rows if row[1] is not None}))
        at = attribution.begin(conn)
        undoing = acts.record(conn, acts.act(
            "patient.undo", author, acts.now(conn), act=act_id.hex(), undone=kind, facts=len(facts)
        ))  # fmt: skip
        _take_back(conn, facts, undoing, at)
        conn.execute(
            "UPDATE worklist_item SET recorded = tstzrange(lower(recorded), %s)"
            " WHERE scope = 'census' AND facts = ARRAY[%s::bytea] AND upper_inf(recorded)",
            (at, act_id),
        )
        return Undone(act_id.hex(), kind, len(facts), encounters)


def unlink(conn: psycopg.Connection, retired: str, survivor: str, *, author: Author | None = None) -> Unlinked:
    """Say that two patient numbers, keys or the numbers alone, were never one: by a link of a person or a message.

    Raises VitalwireError where they are not linked, and where several pairs have these numbers.
    """
    with conn.transaction():
        rows = conn.execute(_LINKS_SQL, {"retired": retired, "survivor": survivor}).fetchall()
        pairs = sorted({(row[0], row[1]) for row in rows})
        if not pairs:
            raise VitalwireError(
                f"nothing says that {retired!r} goes on as {survivor!r}: write the retired number first, as `vitalwire"
                " patients show` has them"
            )
        if len(pairs) > 1:
            named = ", ".join(f"{one} {other}" for one, other in pairs)
            raise VitalwireError(f"{len(pairs)} pairs have these numbers: write them with authority and type: {named}")
        ((retired_key, survivor_key),) = pairs
        facts = sorted({bytes(row[2]) for row in rows})
        at = attribution.begin(conn)
        act_id = acts.record(conn, acts.act(
            "patient.unlink", author, acts.now(conn), retired=retired_key, survivor=survivor_key,
            facts=[fact.hex() for fact in facts],
        ))  # fmt: skip
        _take_back(conn, _with_the_rest_of_acts(conn, facts), act_id, at)
        return Unlinked(retired_key, survivor_key, len(facts))


def _find(conn: psycopg.Connection, act: str) -> tuple[bytes, str]:
    if len(act) < ID_CHARS_MIN or not set(act.lower()) <= set("0123456789abcdef"):
        raise VitalwireError(f"{act!r} is no id of an act: `vitalwire acts list` has them")
    rows = conn.execute(
        "SELECT act_id, body FROM act WHERE starts_with(encode(act_id, 'hex'), %s) LIMIT 2", (act.lower(),)
    ).fetchall()
    if len(rows) != 1:
        found = "several acts have" if rows else "no act has"
        raise VitalwireError(f"{found} the id {act!r}: `vitalwire acts list` has them")
    kind = parse_act(bytes(rows[0][1])).kind
    if kind not in KINDS:
        raise VitalwireError(f"the act {act!r} is a {kind}: only {', '.join(KINDS)} can be taken back")
    return bytes(rows[0][0]), kind


_LINKS_SQL = """
SELECT l.retired, l.survivor, l.fact FROM patient_link l
WHERE l.kind IN ('link', 'merge') AND upper_inf(l.recorded)
    AND %(retired)s IN (l.retired, split_part(l.retired, '^', 1))
    AND %(survivor)s IN (l.survivor, split_part(l.survivor, '^', 1))
"""


def _with_the_rest_of_acts(conn: psycopg.Connection, facts: Collection[bytes]) -> list[bytes]:
    """A link by a person says two things at once: whose number it is, and which visit goes on."""
    rows = conn.execute(
        "SELECT fact FROM adt_fact WHERE source = 'act' AND batch_id IN"
        " (SELECT batch_id FROM adt_fact WHERE fact = ANY(%s) AND source = 'act')",
        (list(facts),),
    )
    return sorted({*facts, *(bytes(row[0]) for row in rows)})


def _take_back(conn: psycopg.Connection, facts: Collection[bytes], act_id: bytes, at: datetime) -> None:
    """From now on the facts count no more; all that they touched waits to be computed anew."""
    asked = {"facts": list(facts), "act": act_id, "at": at}
    conn.execute("INSERT INTO fact_undone SELECT unnest(%(facts)s::bytea[]), %(at)s, %(act)s", asked)
    for of in ("patient", "encounter"):
        conn.execute(
            f"UPDATE {of}_link SET recorded = tstzrange(lower(recorded), %(at)s)"
            " WHERE fact = ANY(%(facts)s) AND upper_inf(recorded)".encode(),
            asked,
        )
    conn.execute(
        "UPDATE worklist_item SET recorded = tstzrange(lower(recorded), %(at)s)"
        " WHERE scope = 'fact' AND facts && %(facts)s AND upper_inf(recorded)",
        asked,
    )
    # The name is of the newest message: where that was one of these, nobody knows it until the next.
    conn.execute("DELETE FROM patient_person WHERE fact = ANY(%(facts)s)", asked)
    conn.execute(_WAIT_SQL, asked)


_WAIT_SQL = """
WITH numbers (key) AS (
    SELECT unnest(patients) FROM adt_fact WHERE fact = ANY(%(facts)s)
    UNION SELECT retired FROM patient_link WHERE fact = ANY(%(facts)s)
    UNION SELECT survivor FROM patient_link WHERE fact = ANY(%(facts)s)),
devices AS (
    INSERT INTO attribution_device SELECT DISTINCT d.uuid FROM pid_claim c JOIN device d USING (device)
    WHERE c.patients && (SELECT array_agg(key) FROM numbers))
INSERT INTO attribution_encounter
SELECT encounter FROM adt_fact WHERE fact = ANY(%(facts)s) AND encounter IS NOT NULL
UNION SELECT encounter FROM adt_fact WHERE patient IN (SELECT key FROM numbers) AND encounter IS NOT NULL
UNION SELECT retired FROM encounter_link WHERE fact = ANY(%(facts)s)
UNION SELECT survivor FROM encounter_link WHERE fact = ANY(%(facts)s)
"""
