"""What people do to deliveries: pause, resume, retry, skip. Each is an act (emr_store/acts.py)."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from emr_store import acts, deliver
from emr_store.acts import Author
from schemas.errors import VitalwireError

_IN_ACT_MAX = 1000  # numbers of deliveries that one act names; the rest it counts


def pause(conn: psycopg.Connection, name: str, author: Author | None = None) -> None:
    """Send nothing to a destination until it is resumed; what comes waits. Raises VitalwireError where it is unknown,
    and where it is paused already."""
    with conn.transaction():
        number = _destination(conn, name)
        changed = conn.execute(
            "UPDATE destination SET paused_at = clock_timestamp() WHERE destination = %s AND paused_at IS NULL",
            (number,),
        ).rowcount
        if not changed:
            raise VitalwireError(f"{name} is paused already: `vitalwire deliver resume {name}` goes on")
        acts.record(conn, acts.act("deliver.pause", author, acts.now(conn), destination=name))


def resume(conn: psycopg.Connection, name: str, author: Author | None = None) -> None:
    """Go on with what waits. Raises VitalwireError where it is unknown, and where it is not paused."""
    with conn.transaction():
        number = _destination(conn, name)
        changed = conn.execute(
            "UPDATE destination SET paused_at = NULL WHERE destination = %s AND paused_at IS NOT NULL", (number,)
        ).rowcount
        if not changed:
            raise VitalwireError(f"{name} is not paused: see `vitalwire deliver status`")
        acts.record(conn, acts.act("deliver.resume", author, acts.now(conn), destination=name))


def retry(conn: psycopg.Connection, delivery: int, author: Author | None = None, *, anew: bool = False) -> int:
    """Send a parked message again, and what is parked behind it; how many.

    The same bytes, or with `anew` made from what is known now (a name that was corrected). Raises VitalwireError where
    it is not parked, or parked behind another.
    """
    with conn.transaction():
        destination, name = _parked(conn, delivery)
        if anew:
            _forget_bodies(conn, [delivery])
        released = deliver.release(conn, destination, [delivery])
        _record_retry(conn, author, name, [delivery], anew=anew)
        return released


def retry_all(conn: psycopg.Connection, name: str = "", author: Author | None = None, *, anew: bool = False) -> int:
    """Send again all that is parked, of one destination or ("") of all; how many. Raises VitalwireError likewise."""
    with conn.transaction():
        chosen = {name: _destination(conn, name)} if name else dict(conn.execute("SELECT name, destination"
            " FROM destination ORDER BY name").fetchall())  # fmt: skip
        released = 0
        for each, destination in chosen.items():
            rows = conn.execute(_PARKED_SQL, (destination,)).fetchall()
            parked = [row[0] for row in rows]
            if not parked:
                continue
            if anew:
                _forget_bodies(conn, parked)
            released += deliver.release(conn, destination, parked)
            _record_retry(conn, author, each, parked, anew=anew)
        return released


def skip(conn: psycopg.Connection, delivery: int, author: Author) -> int:
    """Never send a parked message; what was parked behind it waits again: how many. The author says why.

    Raises VitalwireError where it is not parked, or parked behind another, and for no reason.
    """
    if not author.why.strip():
        raise VitalwireError("say why: --why 'the ward wrote it there by hand'")
    with conn.transaction():
        destination, name = _parked(conn, delivery)
        conn.execute(
            "UPDATE delivery SET state = 'skipped', settled_at = clock_timestamp(), reason = 'skipped by an act',"
            " body = NULL, next_at = NULL WHERE delivery = %s",
            (delivery,),
        )
        released = deliver.release(conn, destination, [delivery])
        acts.record(
            conn, acts.act("deliver.skip", author, acts.now(conn), destination=name, delivery=delivery)
        )  # fmt: skip
        return released


def _record_retry(
    conn: psycopg.Connection, author: Author | None, name: str, deliveries: Sequence[int], *, anew: bool
) -> None:
    listed = list(deliveries[:_IN_ACT_MAX])
    act = acts.act(
        "deliver.retry", author, acts.now(conn), destination=name, deliveries=listed, count=len(deliveries), anew=anew
    )
    acts.record(conn, act)


def _destination(conn: psycopg.Connection, name: str) -> int:
    row = conn.execute("SELECT destination FROM destination WHERE name = %s", (name,)).fetchone()
    if row is None:
        known = [each[0] for each in conn.execute("SELECT name FROM destination ORDER BY name").fetchall()]
        there = f"there are {', '.join(known)}" if known else "none has begun: name one in processors.toml"
        raise VitalwireError(f"there is no destination {name!r}: {there}")
    return int(row[0])


def _parked(conn: psycopg.Connection, delivery: int) -> tuple[int, str]:
    """The number and name of the destination of a parked message, locked; raises VitalwireError."""
    row = conn.execute(_FIND_SQL, (delivery,)).fetchone()
    if row is None:
        raise VitalwireError(f"there is no delivery {delivery}: see `vitalwire deliver list`")
    destination, name, state, behind = row
    if state != "parked":
        raise VitalwireError(f"delivery {delivery} is {state}, not parked: see `vitalwire deliver show {delivery}`")
    if behind is not None:
        raise VitalwireError(f"delivery {delivery} is parked behind {behind}: retry or skip that one")
    return destination, name


def _forget_bodies(conn: psycopg.Connection, deliveries: Sequence[int]) -> None:
    """Those that the receiver has not taken are made from what is known now; its control id stays the same."""
    conn.execute(
        "UPDATE delivery SET body = NULL, control_id = '', said = '{}', said_versions = '{}'"
        " WHERE delivery = ANY(%s) AND state = 'parked'",
        (list(deliveries),),
    )


_FIND_SQL = """
SELECT d.destination, n.name, d.state, d.behind FROM delivery d JOIN destination n USING (destination)
WHERE d.delivery = %s FOR UPDATE OF d
"""
_PARKED_SQL = """
SELECT delivery FROM delivery WHERE destination = %s AND state = 'parked' AND behind IS NULL ORDER BY delivery
FOR UPDATE
"""
