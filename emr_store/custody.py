"""Custody copies: what goes into one, and that it was made, confirmed and opened, each an act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from emr_store import acts, holds
from emr_store.acts import Author
from evidence.custody_copy import CopyList
from schemas.errors import VitalwireError

SIDES = ("hospital", "patient")


class Contents(NamedTuple):
    """What is complete of a stay: versions of chart entries as JSON, a line each, and the signed acts behind them."""

    encounter: str
    patient: str
    since: datetime | None
    until: datetime
    versions: list[bytes]
    acts: list[bytes]
    stays: list[bytes]
    batches: list[bytes]
    days: list[datetime]  # on which something was measured


class Part(NamedTuple):
    """A part of a copy that was made; hashes and the act in hexadecimal; `confirmed_by`: sides."""

    copy: UUID
    part: int
    encounter: str
    since: datetime | None
    until: datetime
    versions: int
    list_sha256: str
    file_sha256: str
    made_at: datetime
    act_id: str
    confirmed_by: list[str]


_VERSIONS_SQL = """
SELECT to_jsonb(c)::text, c.act_id, c.source_batch, date_trunc('day', c.observed_at) FROM chart_entry c
WHERE encounter = %(encounter)s AND recorded_at < %(until)s
    AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)
ORDER BY slot, item, ordinal, version
"""


def contents(conn: psycopg.Connection, encounter: str, since: datetime | None, until: datetime) -> Contents:
    """Of what was recorded in [since, until) of this encounter's key; raises VitalwireError where there is nothing."""
    named = {"encounter": encounter, "since": since, "until": until}
    rows = conn.execute(_VERSIONS_SQL, named).fetchall()
    if not rows:
        raise VitalwireError(f"nothing was charted of {encounter} in that time: there is nothing to copy")
    act_ids = sorted({bytes(row[1]) for row in rows if row[1] is not None})
    found = conn.execute(
        "SELECT coalesce(statement, body) FROM act WHERE act_id = ANY(%s) ORDER BY at, act_id", (act_ids,)
    ).fetchall()
    stays = conn.execute(
        "SELECT to_jsonb(b)::text FROM encounter_bed b WHERE encounter = %s AND upper_inf(recorded) ORDER BY valid",
        (encounter,),
    ).fetchall()
    patient = conn.execute(
        "SELECT patient FROM encounter WHERE encounter = %s AND upper_inf(recorded)", (encounter,)
    ).fetchone()
    return Contents(
        encounter=encounter, patient=(patient and patient[0]) or "", since=since, until=until,
        versions=[row[0].encode() for row in rows], acts=[bytes(row[0]) for row in found],
        stays=[row[0].encode() for row in stays],
        batches=sorted({bytes(batch) for row in rows for batch in row[2]}), days=sorted({row[3] for row in rows}),
    )  # fmt: skip


def parts(conn: psycopg.Connection, copy: UUID | None = None) -> list[Part]:
    """Of one copy, or of all, the oldest first."""
    cursor = conn.cursor(row_factory=class_row(Part))
    return cursor.execute(
        "SELECT copy, part, encounter, since, until, versions, encode(list_sha256, 'hex') AS list_sha256,"
        " encode(file_sha256, 'hex') AS file_sha256, made_at, encode(act_id, 'hex') AS act_id, ARRAY("
        " SELECT side FROM custody_confirmation c WHERE c.copy = p.copy AND c.part = p.part ORDER BY side"
        ") AS confirmed_by FROM custody_part p WHERE %(copy)s::uuid IS NULL OR copy = %(copy)s ORDER BY made_at, part",
        {"copy": copy},
    ).fetchall()


def record_part(
    conn: psycopg.Connection, made: CopyList, found: Contents, file_sha256: bytes, author: Author
) -> bytes:  # fmt: skip
    """The act's id; retention is kept from what the copy stands on. In the caller's transaction.

    Raises VitalwireError where no reason is given.
    """
    if not author.why.strip():
        raise VitalwireError("a custody copy needs its reason: --why 'dispute 2026-31'")
    at, copy = acts.now(conn), UUID(made.copy)
    act_id = acts.record(conn, acts.act(
        "custody.copy", author, at, copy=made.copy, part=made.part, encounter=made.encounter,
        list_sha256=made.digest.hex(), file_sha256=file_sha256.hex(), versions=made.versions,
    ))  # fmt: skip
    conn.execute(
        "INSERT INTO custody_part VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (copy, made.part, found.encounter, found.since, found.until, made.versions, made.digest, file_sha256, at,
         act_id),
    )  # fmt: skip
    _hold(conn, copy, found, author)
    return act_id


def confirm(conn: psycopg.Connection, copy: UUID, part: int, side: str, name: str, author: Author) -> None:
    """A side says that the list is right. Raises VitalwireError for no such part, side or name, or a second word."""
    if side not in SIDES:
        raise VitalwireError(f"--side is {' or '.join(SIDES)}")
    if not name.strip():
        raise VitalwireError("--name is empty: who confirms for this side")
    with conn.transaction():
        found = next((each for each in parts(conn, copy) if each.part == part), None)
        if found is None:
            raise VitalwireError(f"there is no part {part} of {copy}: see `vitalwire custody list`")
        if side in found.confirmed_by:
            raise VitalwireError(f"the {side} has confirmed this part already")
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act(
            "custody.confirm", author, at, copy=str(copy), part=part, side=side, name=name.strip(),
            list_sha256=found.list_sha256,
        ))  # fmt: skip
        conn.execute(
            "INSERT INTO custody_confirmation VALUES (%s, %s, %s, %s, %s, %s)",
            (copy, part, side, name.strip(), at, act_id),
        )


def record_opening(
    conn: psycopg.Connection, copy: UUID, part: int, people: Sequence[str], author: Author
) -> bytes:  # fmt: skip
    """That two people opened it, and why; the act's id.

    Raises VitalwireError for no reason, for one person twice, and for a part that was never made here.
    """
    names = [name.strip() for name in people]
    if not author.why.strip():
        raise VitalwireError("opening a custody copy needs its reason: --why 'court order 2026-8'")
    if len(names) != 2 or not all(names) or names[0].casefold() == names[1].casefold():
        raise VitalwireError("two people open a custody copy: name both, each with the share of one side")
    with conn.transaction():
        if all(each.part != part for each in parts(conn, copy)):
            raise VitalwireError(f"no part {part} of {copy} was made by this store")
        return acts.record(conn, acts.act(
            "custody.open", author, acts.now(conn), copy=str(copy), part=part, people=names
        ))  # fmt: skip


def _hold(conn: psycopg.Connection, copy: UUID, found: Contents, author: Author) -> None:
    rows = conn.execute(_PARTITIONS_SQL, {"batches": found.batches, "days": found.days}).fetchall()
    held = {hold.partition for hold in holds.holds(conn)}
    possible = {partition.partition for partition in holds.partitions(conn)}
    for partition in {row[0] for row in rows} & possible:
        if partition not in held:
            holds.add(conn, partition, Author(author.by, f"custody copy {copy}: {author.why}"))
        conn.execute("INSERT INTO custody_hold VALUES (%s, %s) ON CONFLICT DO NOTHING", (copy, partition))


# The sealed bytes of these batches and the rows of their days, by the partitions in which they lie.
_PARTITIONS_SQL = """
SELECT DISTINCT b.tableoid::regclass::text FROM batch JOIN batch_body b USING (lane, batch)
WHERE batch_id = ANY(%(batches)s)
UNION SELECT (SELECT r.tableoid::regclass::text FROM report r
    WHERE r.observed_at >= day AND r.observed_at < day + interval '1 day' LIMIT 1)
FROM unnest(%(days)s::timestamptz[]) AS day
"""


def lines(rows: Sequence[bytes]) -> bytes:
    """One row a line, each in the store's own JSON."""
    return b"".join(row + b"\n" for row in rows)
