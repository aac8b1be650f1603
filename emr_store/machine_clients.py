"""Programs that ask the API, as registered: `machine_client`. Each change has its act."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import psycopg
from psycopg.rows import class_row

from clinical.wards import ward_of_bed
from emr_store import acts
from emr_store.acts import Author
from emr_store.bed_names import bed_names
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class ClientRow:
    """One that was registered. `wards`: keys of those whose stays it reads; none: everybody's."""

    client: str
    public_key: bytes  # SubjectPublicKeyInfo
    scopes: list[str]
    wards: list[str]
    registered_at: datetime
    revoked_at: datetime | None


def register(
    conn: psycopg.Connection, client: str, public_key: bytes, scopes: Collection[str], wards: Collection[str],
    author: Author | None = None,
) -> None:  # fmt: skip
    """Let it ask from now on. `wards`: as the site writes them. Raises VitalwireError for a name that was given."""
    with conn.transaction():
        if find(conn, client) is not None:
            raise VitalwireError(f"a client {client} was registered already, and names are never used again")
        keys, at = _ward_keys(conn, wards), acts.now(conn)
        act_id = acts.record(
            conn,
            acts.act(
                "client.register",
                author,
                at,
                client=client,
                key_sha256=sha256(public_key).hexdigest(),
                scopes=sorted(scopes),
                wards=keys,
            ),
        )
        conn.execute(
            "INSERT INTO machine_client VALUES (%s, %s, %s, %s, %s, %s)",
            (client, public_key, sorted(scopes), keys, at, act_id),
        )


def revoke(conn: psycopg.Connection, client: str, author: Author | None = None) -> None:
    """It asks no longer. Raises VitalwireError for one that is not there, or was revoked."""
    with conn.transaction():
        found = find(conn, client)
        if found is None or found.revoked_at is not None:
            raise VitalwireError(f"no client {client} may ask now: `vitalwire people client list` shows all")
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act("client.revoke", author, at, client=client))
        conn.execute("INSERT INTO machine_client_revoked VALUES (%s, %s, %s)", (client, at, act_id))


def find(conn: psycopg.Connection, client: str) -> ClientRow | None:
    """Of this name, revoked ones too."""
    return (
        conn.cursor(row_factory=class_row(ClientRow))
        .execute(f"{_SQL} WHERE client = %s".encode(), (client,))
        .fetchone()
    )


def listed(conn: psycopg.Connection) -> list[ClientRow]:
    """All of them, by name."""
    return conn.cursor(row_factory=class_row(ClientRow)).execute(f"{_SQL} ORDER BY client".encode()).fetchall()


def use_assertion(conn: psycopg.Connection, client: str, jti: str, expires_at: datetime) -> bool:
    """Whether it was not used before."""
    return conn.execute(
        "INSERT INTO machine_assertion VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (client, jti, expires_at)
    ).rowcount == 1  # fmt: skip


_SQL = """
SELECT client, public_key, scopes, wards, registered_at, revoked_at
FROM machine_client LEFT JOIN machine_client_revoked USING (client)
"""


def _ward_keys(conn: psycopg.Connection, wards: Collection[str]) -> list[str]:
    """Of "ICU", or of "ICU^FACILITY" where several facilities have one. Raises VitalwireError."""
    known = {ward_of_bed(bed) for bed in bed_names(conn)}
    found = []
    for written in wards:
        ward, _, facility = written.lower().partition("^")
        fit = sorted(
            key for key in known if key.partition("^")[2] == ward and (not facility or key.startswith(f"{facility}^"))
        )
        if len(fit) != 1:
            why = f"is one of {', '.join(fit)}: write WARD^FACILITY" if fit else "is no ward of a [[bed]]"
            raise VitalwireError(f"the ward {written} {why}")
        found += fit
    return sorted(found)
