"""What a receiver of the log needs: its slot, and what replication connections alone are told."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emr_store.connect import CONNECT_TIMEOUT_S
from schemas.errors import VitalwireError


def timeline_history(conninfo: str, timeline: int) -> str:
    """The text of a timeline's history file; empty for the first one, which has none.

    Raises StoreError where the server is away or the login lacks REPLICATION, VitalwireError where it knows none.
    """
    stated = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    stated |= {"replication": "true", "connect_timeout": str(CONNECT_TIMEOUT_S)}
    with psycopg.connect(make_conninfo("", **stated), autocommit=True) as conn:
        if timeline == 1:
            return ""  # the connection itself was the question: who may not have one is told so now
        # The protocol of replication knows simple queries alone.
        result = conn.pgconn.exec_(f"TIMELINE_HISTORY {timeline}".encode())
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            reason = result.error_message.decode(errors="replace").strip()
            raise VitalwireError(f"the server does not tell the history of timeline {timeline}: {reason}")
        return (result.get_value(0, 1) or b"").decode()


def ensure_slot(conn: psycopg.Connection, name: str) -> None:
    """Have the server keep its log from now on, also before anybody has begun to receive it.

    Raises StoreError where the login lacks REPLICATION.
    """
    conn.execute(
        "SELECT pg_create_physical_replication_slot(%(name)s, true)"
        " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(name)s)",
        {"name": name},
    )
