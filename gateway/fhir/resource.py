"""What leaves: a resource as bytes, and what a request and its headers have to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.fhir.cursor import Position


@dataclass(frozen=True, kw_only=True)
class Resource:
    """`version` 0: of a type without versions. `updated_us` None: nobody notes it. `encounters`: whose data it is."""

    kind: str
    id: str
    body: bytes
    version: int = 0
    updated_us: int | None = None
    encounters: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """Its version, or what it is of."""
        return f'W/"{self.version or sha256(self.body).hexdigest()[:16]}"'


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of a search. `next`: what the next one begins after; None: this is the last. `total` None: uncounted."""

    resources: Sequence[Resource]
    next: Position | None = None
    total: int | None = None
