"""The looks of a closed minute are one act, a leaf of the log; what comes home late gets a further one of its minute.

The act `look.minute` says {minute_us, looks, ends, sha256}: the SHA-256 of the canonical JSON (RFC 8785) of each look
in the order of their ids, then of each end likewise, a line each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
import rfc8785

from emr_store import acts
from emr_store.acts import Author
from emr_store.instants import moment, us_of
from emr_store.looks import Look, LookEnd
from emr_store.session_lock import held_alone

MINUTE = "look.minute"  # the kind of the act
PLATFORM = Author("platform")
GRACE = timedelta(seconds=10)  # after the end of a minute: what is being written then still belongs to it
CHUNK = 20_000  # looks and ends that are sealed in one transaction
_LOCK = 0x76_77_6C_6B  # one at a time seals looks
_MINUTE_US = 60_000_000


@dataclass
class MinuteLooks:
    """What one act says: looks and ends."""

    looks: list[Look] = field(default_factory=list)
    ends: list[LookEnd] = field(default_factory=list)

    @property
    def digest(self) -> bytes:
        """Whatever their order here."""
        lines = [_line(look) for look in sorted(self.looks, key=lambda look: str(look.look))]
        lines += [_line(end) for end in sorted(self.ends, key=lambda end: str(end.look))]
        return sha256(b"".join(lines)).digest()

    def details(self, minute_us: int) -> dict[str, Any]:
        """Of its act."""
        return {
            "minute_us": minute_us, "looks": len(self.looks), "ends": len(self.ends), "sha256": self.digest.hex(),
        }  # fmt: skip


def _line(row: Look | LookEnd) -> bytes:
    return rfc8785.dumps({name: _json(value) for name, value in vars(row).items()}) + b"\n"


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return us_of(value)
    if isinstance(value, UUID):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def seal_minutes(conn: psycopg.Connection, now: datetime | None = None) -> int:
    """Seal what closed minutes have and no act says yet, at most CHUNK of it; how many rows.

    `now` None: the store's. Does nothing while another process does it. The connection is in autocommit mode.
    """
    with held_alone(conn, _LOCK) as held:
        if not held:
            return 0
        with conn.transaction():
            at = acts.now(conn)
            return _seal(conn, at, (now or at) - GRACE)


def _seal(conn: psycopg.Connection, at: datetime, until: datetime) -> int:
    closed_at = moment(us_of(until) // _MINUTE_US * _MINUTE_US)
    minutes = defaultdict[int, MinuteLooks](MinuteLooks)
    for look in _looks(conn.execute(_UNSEALED_LOOKS_SQL, (closed_at, CHUNK))):
        minutes[us_of(look.from_at) // _MINUTE_US * _MINUTE_US].looks.append(look)
    for end in conn.execute(_UNSEALED_ENDS_SQL, (closed_at, CHUNK)):
        minutes[us_of(end[1]) // _MINUTE_US * _MINUTE_US].ends.append(LookEnd(*end))
    for minute_us, found in sorted(minutes.items()):
        _write(conn, at, minute_us, found)
    return sum(len(found.looks) + len(found.ends) for found in minutes.values())


def _write(conn: psycopg.Connection, at: datetime, minute_us: int, found: MinuteLooks) -> None:
    details = found.details(minute_us)
    act_id = acts.record(conn, acts.act(MINUTE, PLATFORM, at, **details))
    conn.execute(
        "INSERT INTO look_minute (minute, looks, ends, sha256, act_id) VALUES (%s, %s, %s, %s, %s)",
        (moment(minute_us), details["looks"], details["ends"], found.digest, act_id),
    )
    for ids, is_end in (([look.look for look in found.looks], False), ([end.look for end in found.ends], True)):
        named = {"ids": ids, "is_end": is_end, "act_id": act_id}
        conn.execute(_SEALED_SQL, named)
        conn.execute("DELETE FROM look_unsealed WHERE look = ANY(%(ids)s) AND is_end = %(is_end)s", named)


def _looks(rows: Iterable[tuple[Any, ...]]) -> Iterable[Look]:
    for row in rows:
        yield look_of(row)


def look_of(row: tuple[Any, ...]) -> Look:
    """Of the columns LOOK_COLUMNS."""
    look = Look(*row)
    return Look(**(vars(look) | {"encounters": tuple(look.encounters), "patients": tuple(look.patients)}))


LOOK_COLUMNS = ", ".join(f"l.{name}" for name in Look.__dataclass_fields__)
_UNSEALED_LOOKS_SQL = f"""
SELECT {LOOK_COLUMNS} FROM look_unsealed u JOIN look l USING (look)
WHERE NOT u.is_end AND l.from_at < %s ORDER BY l.from_at LIMIT %s
""".encode()
_UNSEALED_ENDS_SQL = """
SELECT e.look, e.until_at FROM look_unsealed u JOIN look_end e USING (look)
WHERE u.is_end AND e.until_at < %s ORDER BY e.until_at LIMIT %s
"""
_SEALED_SQL = "INSERT INTO look_sealed (look, is_end, act_id) SELECT unnest(%(ids)s::uuid[]), %(is_end)s, %(act_id)s"
