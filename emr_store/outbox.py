"""What leaves after COMMIT: receipts to edges."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

LOT = 1000


async def waiting(conn: psycopg.AsyncConnection) -> list[tuple[int, bytes, bytes]]:
    """The oldest receipts not yet delivered: id, edge, receipt."""
    cursor = await conn.execute("SELECT id, uuid_send(edge), receipt FROM outbox ORDER BY id LIMIT %s", (LOT,))
    return [(r[0], bytes(r[1]), bytes(r[2])) for r in await cursor.fetchall()]


async def delivered(conn: psycopg.AsyncConnection, ids: Sequence[int]) -> None:
    """These are with the broker."""
    await conn.execute("DELETE FROM outbox WHERE id = ANY(%s)", (list(ids),))
