"""The act that a store was restored: the first of the restored store, written before anybody else writes to it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from emr_store.acts import Author, act, now, record
from emr_store.connect import open_store
from schemas.errors import VitalwireError

# The login of backups only reads. Of the server that is restored into nobody but us reaches the socket.
_SUPERUSER_SQL = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1"


def record_restored(conninfo: str, author: Author, details: dict[str, Any]) -> str:
    """Record it; "" where that went well, else why not: the restored store is whole without it."""
    try:
        with open_store(conninfo) as conn:
            row = conn.execute(_SUPERUSER_SQL).fetchone()
        if row is None:
            return "no superuser may log in"
        with open_store(make_conninfo(conninfo, user=str(row[0]))) as conn, conn.transaction():
            record(conn, act("store.restored", author, now(conn), **details))
    except (psycopg.Error, VitalwireError) as error:
        return " ".join(str(error).split())
    return ""
