"""What must hold after every fault: O1 to O7 of the list of faults. Audit entries (O6) come with the audit trail."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.spool import read_kept
from edge_agent.spool.chunks import split
from edge_agent.spool.sequences import last_numbers
from emr_store import proof
from emr_store.connect import StoreError, open_store
from evidence.seal import open_body
from schemas.report import Lane
from stream_processors.storing import WRITERS
from tests.faults.senders import Record, Sender, SerialSender
from tests.faults.system import System

SETTLE_S = 90.0
RECOVERY_S = 30.0  # O5
LAST_WORDS_US = 5_000_000
GROWTH = 1.10  # O7
SLACK_BYTES = 8 << 20  # an allocator's arenas
# A connection that is just being renewed, and those that the store's writers open with the first batch of a lane.
SLACK_DESCRIPTORS = 3 + WRITERS * (len(Lane) - 1)


@dataclass
class Outcome:
    """A case's line in faults.json."""

    acked: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    recovered_s: float | None = None
    ok: bool = False
    answered_s: float | None = None  # F47: what 95 of 100 answers to the neighbours of bad sources take at the most
    resent_s: float | None = None  # F41, F46: from the fault until all that the store had lost is there again
    live_p99_s: float | None = None  # F41: from the edge to the store, while everything is sent again
    usual_p99_s: float | None = None  # F41: the same on this machine before the fault
    restore_rto_s: float | None = None  # F40, F41: from the command to a database that can be started, counted
    restore_rpo_reports: int | None = None  # F41: lost for good, once the edges have sent again
    upgrade_gap_s: float | None = None  # F45: the longest in which nothing of some device was stored
    slowest_alarm_s: float | None = None  # F16: from the sender to the topic `alerts`, the database being down


def until(holds: Callable[[], bool], limit_s: float, what: str, every_s: float = 0.1) -> float:
    """Wait until it holds; the seconds that it took. A store that is away holds nothing."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        try:
            if holds():
                return time.monotonic() - began
        except StoreError:
            pass
        time.sleep(every_s)
    raise AssertionError(f"not within {limit_s} s: {what}")


def flowing(system: System, senders: Sequence[Sender], limit_s: float = RECOVERY_S) -> float:
    """O5: seconds until a record of each sender that was measured from now on is in the store."""
    now = datetime.now(UTC)
    sql = "SELECT count(DISTINCT d.uuid) FROM latest l JOIN device d USING (device) WHERE d.uuid = ANY(%s)"
    sql += " AND l.observed_at > %s"
    devices = [s.device for s in senders]

    def all_there() -> bool:
        with open_store(system.database) as conn:
            row = conn.execute(sql, (devices, now)).fetchone()
        return row == (len(devices),)

    return until(all_there, limit_s, f"new data of all {len(devices)} senders")


def footprint(system: System) -> dict[str, tuple[int, int]]:
    """Resident bytes and open descriptors of the agent and the workers."""
    found = {}
    for name, pid in system.processes.items():
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        found[name] = pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))
    return found


def check_footprint(system: System) -> None:
    """O7, beside what was measured before the fault."""
    before, after = system.footprint, footprint(system)
    assert before.keys() == after.keys()
    for name, (size, descriptors) in after.items():
        limit = before[name][0] * GROWTH + SLACK_BYTES
        assert size <= limit, f"{name} grew from {before[name][0] >> 20} to {size >> 20} MiB"
        assert descriptors <= before[name][1] * GROWTH + SLACK_DESCRIPTORS, (name, before[name], descriptors)


def settle(
    system: System, senders: Sequence[Sender], outcome: Outcome,
    others: Sequence[Sender] = (), uncounted: Collection[uuid.UUID] = (),
    verify: Callable[[System], None] | None = None,
) -> None:  # fmt: skip
    """After the fault: see data flow, stop the senders, wait until all is stored, stop the agent; O1 to O5, and O7.

    `others` spoke only while the fault lasted; what `uncounted` devices said is part of the fault. `verify` looks at
    every row (O4) where this version cannot.
    """
    outcome.recovered_s = flowing(system, senders)
    check_footprint(system)
    senders = [*senders, *others]
    for sender in senders:
        sender.stop()
    acked: dict[Record, float] = {}
    sent: dict[Record, float] = {}
    for sender in senders:
        acked |= sender.acked
        sent |= sender.sent
    outcome.acked = len(acked)
    rows: Counter[tuple[Record, float]] = Counter()

    def all_there() -> bool:
        rows.clear()
        rows.update(row for row in stored_rows(system, senders) if row[0][0] not in uncounted)
        outcome.stored = rows.total()
        outcome.lost = sum((record, value) not in rows for record, value in acked.items())
        return outcome.lost == 0

    with suppress(AssertionError):  # said below, with its number
        until(all_there, SETTLE_S, "all that was acknowledged is stored", 0.5)
    outcome.duplicated = sum(n - 1 for n in rows.values())
    assert acked
    assert (outcome.lost, outcome.duplicated) == (0, 0)  # O1
    assert not [name for name in rows if sent.get(name[0]) != name[1]]  # O2
    until(system.released, SETTLE_S, "a receipt for every batch", 0.2)
    system.stop("edge")
    check_sequences(system)
    (verify or check_rows)(system)


def check_rows(system: System) -> None:
    """O4."""
    with open_store(system.database) as conn:
        result = proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC))
    assert not result.findings
    assert result.batches > 0


def check_sequences(system: System) -> None:
    """O3: all that the devices said, by the spool's own count, is stored or still lies there; none has a gap.

    The agent speaks of itself every ten seconds: only what it cut last may lack its receipt.
    """
    now_us = time.time_ns() // 1000
    with closing(sqlite3.connect(system.folder / "spool" / "spool.db")) as spool:
        (spool_id,) = spool.execute("SELECT spool FROM meta").fetchone()
        numbered = Counter(last_numbers(spool))
        chunks = [leaves for (leaves,) in spool.execute("SELECT leaves FROM chunk")]
        waiting = Counter(leaf[:16] for leaves in chunks for leaf in split(leaves))
        sql = "SELECT batch_id, unreceipted, cut_at, bytes FROM batch JOIN sealed USING (id)"
        batches = spool.execute(sql).fetchall()
    with open_store(system.database) as conn:
        sql = (
            "SELECT uuid_send(d.uuid), q.last, q.stored FROM sequence q JOIN device d USING (device) WHERE q.spool = %s"
        )
        stored = {bytes(device): (last, n) for device, last, n in conn.execute(sql, [uuid.UUID(bytes=spool_id)])}
        rows = conn.execute("SELECT batch_id FROM batch WHERE spool = %s", [uuid.UUID(bytes=spool_id)])
        kept = {bytes(row[0]) for row in rows}
    for ident, unreceipted, cut_at_us, sealed in batches:
        assert not unreceipted or now_us - cut_at_us < LAST_WORDS_US, "a batch without its receipt"
        assert unreceipted or ident in kept, "a receipt for what is not stored"
        if ident not in kept:
            waiting.update(device.tobytes() for device in open_body(sealed)[1].device)
    assert kept <= {ident for ident, *_ in batches}
    assert numbered - waiting == Counter({device: n for device, (_, n) in stored.items()})
    assert all(last == n for last, n in stored.values())


def events(system: System, code: str) -> int:
    """O6: how many events of this code the agent has told of itself."""
    sql = "SELECT count(*) FROM report r CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t"
    return count(system, sql + f" WHERE r.kind = 6 AND t ->> 'code' = '{code}'")


def check_witness(system: System) -> None:
    """The edge, which has ended, holds checkpoints of the log before the fault and of the one after it."""
    kept = read_kept(system.folder / "spool")
    assert len({checkpoint.origin for checkpoint in kept}) == 2
    assert not [checkpoint for checkpoint in kept if checkpoint.contradiction]
    assert events(system, "log-began") == 1


def stored_batches(address: str) -> set[bytes]:
    """The ids of the batches that a store has."""
    with open_store(address) as conn:
        return {bytes(row[0]) for row in conn.execute("SELECT batch_id FROM batch")}


def count(system: System, sql: str) -> int:
    with open_store(system.database) as conn:
        row = conn.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0


def stored_rows(system: System, senders: Sequence[Sender]) -> list[tuple[Record, float]]:
    """Every row of these devices; a serial one's are named by its two values, since it has no moment of its own."""
    sql = (
        "SELECT d.uuid, s.code, (extract(epoch FROM r.observed_at) * 1000000)::int8, r.value FROM report r"
        " JOIN device d USING (device) JOIN channel_set s USING (channel_set)"
        " WHERE r.kind = 1 AND cardinality(s.code) > 0"
    )
    serial = {s.device for s in senders if isinstance(s, SerialSender)}
    with open_store(system.database) as conn:
        rows = conn.execute(sql).fetchall()
    return [
        ((device, int(value[0] * 1000 + value[1]) if device in serial else at), float(value[0]))
        for device, _, at, value in rows
    ]
