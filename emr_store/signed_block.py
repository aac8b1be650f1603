"""A block with its seal, and its batches opened: what the writer takes."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.batch import Header, Table
from schemas.block import Block


@dataclass(frozen=True)
class SignedBlock:
    """A block with its seal (the signed statement), and its batches opened, in order."""

    seal: bytes
    block: Block
    headers: tuple[Header, ...]
    tables: tuple[Table, ...]
