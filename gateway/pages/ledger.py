"""The ledger: what devices said, and what became of it, of the whole store."""

from __future__ import annotations

from typing import Any

from emr_store import read


def ledger(conn: Any) -> dict[str, int]:
    """The two equations in numbers; raises StoreError."""
    return read.conservation(conn)
