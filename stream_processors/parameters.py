"""What devices say that nobody has given a code: counted as it is stored, and how much of all parameters is mapped."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge

from emr_store import parameters
from emr_store.connect import open_store
from emr_store.parameters import State
from runtime.clock import now_us
from stream_processors.recurring_work import keep_doing

EVERY_S = 60.0
TURNS_MAX = 10  # of batches in one go: a store that is new to this has years to count
PARAMETERS_WAIT = "parameters wait"  # in `waits`
_log = structlog.get_logger("parameters")
_parameters = Gauge(
    "vitalwire_parameters", "Parameters that devices sent within a day, by how they stand", ["state"]
)  # fmt: skip


async def count_parameters(conninfo: str) -> None:
    """Count what has no code, and how many parameters stand how, once a minute."""
    await keep_doing(lambda: count(conninfo), every_s=EVERY_S, waits_as=PARAMETERS_WAIT, log=_log)


def count(conninfo: str) -> None:
    """Once. Raises StoreError."""
    with open_store(conninfo) as conn:
        for _ in range(TURNS_MAX):
            if not parameters.note_unmapped(conn):
                break
        found = parameters.parameters(conn)
    devices = parameters.coverage(found, datetime.fromtimestamp(now_us() / 1e6, UTC))
    _parameters.labels(State.MAPPED).set(sum(device.mapped for device in devices))
    _parameters.labels(State.UNMAPPED).set(sum(device.unmapped for device in devices))
    _parameters.labels(State.UNIT_IN_DOUBT).set(sum(device.unit_in_doubt for device in devices))
