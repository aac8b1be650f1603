"""The ledger: what devices said, and what became of it, of the whole store."""

from __future__ import annotations

from typing import Any

from emr_store.conservation import conservation


def ledger(conn: Any) -> dict[str, int]:
    """The two equations in numbers; raises StoreError."""
    return conservation(conn)
