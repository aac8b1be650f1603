"""Looks and the words that closed reviews, held against the acts that the log has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import psycopg

from emr_store.instants import us_of
from emr_store.look_minutes import LOOK_COLUMNS, MINUTE, MinuteLooks, look_of
from emr_store.looks import LookEnd
from emr_store.verification import Verification
from evidence.act import Act

_FETCH = 2000
CLOSE = "review.close"


class _Said(msgspec.Struct):
    """What an act `look.minute` says; unknown details of a later program are passed over."""

    minute_us: int
    looks: int
    ends: int
    sha256: str


def check_looks(conn: psycopg.Connection, acts: Sequence[Act], result: Verification) -> None:
    """Step 6, looks: each minute's are what its act says, none was added, changed or taken away."""
    said = {act.act_id: act.details for act in acts if act.kind == MINUTE}
    _check_minute_rows(conn, said, result)
    for act_id, found in _by_act(conn):
        details = said.pop(act_id, None)
        if details is None:
            result.add(_where(act_id), f"no act in the log says its {len(found.looks)} looks")
            continue
        result.counts["look"] += len(found.looks)
        minute_us = details.get("minute_us", 0)
        if found.details(minute_us) != details:
            result.add(_where(act_id, details), f"its looks are not what the act says: {_difference(found, details)}")
        if result.is_full:
            return
    for act_id, details in said.items():
        result.add(_where(act_id, details), "the looks that the act says are gone")
    for what, count in conn.execute(_UNSAID_SQL).fetchall():
        result.add("looks", f"{count} {what}: no act of a minute says them, and none is to")
    row = conn.execute("SELECT count(*) FROM look_unsealed").fetchone()
    if row is not None and row[0]:
        result.not_proved.append(f"{row[0]} looks and ends of looks: no act says them yet")


def check_reviews(conn: psycopg.Connection, acts: Sequence[Act], result: Verification) -> None:
    """Step 6, reviews that were closed: by whom and with which word the acts say."""
    said = {act.act_id: (str(act.details.get("review")), act.by, act.why.strip()) for act in acts if act.kind == CLOSE}
    for act_id, review, by, word in conn.execute("SELECT act_id, review::text, by, word FROM review_closed"):
        known = said.pop(bytes(act_id), None)
        result.counts["review_closed"] += 1
        if known != (review, by, word):
            result.add(f"review {review[:8]}", "it was not closed as an act in the log says")
    for review, by, _ in said.values():
        result.add(f"review {review[:8]}", f"an act in the log says that {by} closed it, and it stands open")


def _check_minute_rows(
    conn: psycopg.Connection, said: dict[bytes, dict[str, Any]], result: Verification
) -> None:  # fmt: skip
    left = dict(said)
    for minute, looks, ends, digest, act_id in conn.execute(_MINUTES_SQL):
        details = left.pop(bytes(act_id), None)
        row = {"minute_us": us_of(minute), "looks": looks, "ends": ends, "sha256": bytes(digest).hex()}
        if details != row:
            result.add(_where(bytes(act_id), details), "its row of look_minute is not what the act says")
    for act_id, details in left.items():
        result.add(_where(act_id, details), "its row of look_minute is gone")


def _by_act(conn: psycopg.Connection) -> Iterator[tuple[bytes, MinuteLooks]]:
    with conn.cursor(name="looks") as cursor:
        cursor.itersize = _FETCH
        rows: Iterator[Any] = iter(cursor.execute(_SEALED_SQL))
        for act_id, members in groupby(rows, key=lambda row: bytes(row[0])):
            found = MinuteLooks()
            for _, is_end, until_at, *look in members:
                if is_end and until_at is not None:
                    found.ends.append(LookEnd(look[0], until_at))
                elif not is_end and look[1] is not None:
                    found.looks.append(look_of(tuple(look)))
            yield act_id, found


def _difference(found: MinuteLooks, details: dict[str, Any]) -> str:
    try:
        said = msgspec.convert(details, _Said)
    except msgspec.ValidationError as error:
        return f"that cannot be read: {error}"
    if (len(found.looks), len(found.ends)) != (said.looks, said.ends):
        return f"{len(found.looks)} looks and {len(found.ends)} ends, and not {said.looks} and {said.ends}"
    return "one or more were changed"


def _where(act_id: bytes, details: dict[str, Any] | None = None) -> str:
    from_us = (details or {}).get("minute_us")
    minute = f" {from_us}" if isinstance(from_us, int) else ""
    return f"looks of minute{minute} (act {act_id.hex()[:16]})"


_SEALED_SQL = f"""
SELECT s.act_id, s.is_end, e.until_at, {LOOK_COLUMNS.replace("l.look,", "s.look,", 1)}
FROM look_sealed s LEFT JOIN look l ON l.look = s.look LEFT JOIN look_end e ON s.is_end AND e.look = s.look
ORDER BY s.act_id
""".encode()
_MINUTES_SQL = "SELECT minute, looks, ends, sha256, act_id FROM look_minute"
_UNSAID_SQL = """
SELECT 'looks', count(*) FROM look l
WHERE NOT EXISTS (SELECT FROM look_sealed s WHERE s.look = l.look AND NOT s.is_end)
    AND NOT EXISTS (SELECT FROM look_unsealed u WHERE u.look = l.look AND NOT u.is_end) HAVING count(*) > 0
UNION ALL
SELECT 'ends of looks', count(*) FROM look_end e
WHERE NOT EXISTS (SELECT FROM look_sealed s WHERE s.look = e.look AND s.is_end)
    AND NOT EXISTS (SELECT FROM look_unsealed u WHERE u.look = e.look AND u.is_end) HAVING count(*) > 0
"""
