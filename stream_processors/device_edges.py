"""Which edges are believed of a registered device; what another edge says of it rings apart.

Else an edge could end an alarm of a monitor by claiming its name. Pure.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emr_store.signed_block import SignedBlock
from schemas.batch import Table
from schemas.report import heard_as

BelievedEdges = Mapping[bytes, frozenset[bytes]]  # of each registered device
_ID_BYTES = 16
_Array = NDArray[Any]


def alarming_devices(signed: SignedBlock, table: Table, believed: BelievedEdges) -> _Array:
    """The device that each report of a block rings for (V16): its own, but `heard_as` where its edge is not believed.

    A device that nobody registered is believed through every edge.
    """
    if not believed:
        return table.device
    counts = [header.report_count for header in signed.headers]
    edges = np.repeat(np.frombuffer(b"".join(header.edge for header in signed.headers), "V16"), counts)
    pairs = np.concatenate([_octets(table.device), _octets(edges)], axis=1).view(f"V{2 * _ID_BYTES}")[:, 0]
    distinct, which = np.unique(pairs, return_inverse=True)
    ids = [_rings_as(pair.tobytes(), believed) for pair in distinct]
    return np.frombuffer(b"".join(ids), "V16")[which]


def _rings_as(pair: bytes, believed: BelievedEdges) -> bytes:
    device, edge = pair[:_ID_BYTES], pair[_ID_BYTES:]
    edges = believed.get(device)
    if edges is None or edge in edges:
        return device
    return heard_as(uuid.UUID(bytes=device), uuid.UUID(bytes=edge)).bytes


def _octets(ids: _Array) -> _Array:
    return np.ascontiguousarray(ids).view(np.uint8).reshape(-1, _ID_BYTES)


def separately_believed(believed: BelievedEdges) -> set[bytes]:
    """The ids under which believed edges may have rung before a person agreed to them."""
    return {
        heard_as(uuid.UUID(bytes=device), uuid.UUID(bytes=edge)).bytes
        for device, edges in believed.items()
        for edge in edges
    }
