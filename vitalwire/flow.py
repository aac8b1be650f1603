"""One report followed through every stage, and the conservation ledger: what `make run` shows."""

from __future__ import annotations

from datetime import UTC, datetime

from emr_store import read
from emr_store.connect import open_store
from emr_store.latest import latest
from evidence.statements import read_seal
from schemas.batch import read_header


def way(p: read.Path) -> str:
    """A report's times, stage by stage."""
    start = p.received_at
    cut_at = datetime.fromtimestamp(read_header(p.sealed_head).created_at_us / 1e6, UTC)
    signed_at = datetime.fromtimestamp(read_seal(p.signed).signed_at_us / 1e6, UTC)
    lines = [f"one report of {p.bed or p.claim or p.device}"]
    for name, moment, note in (
        ("measured", p.observed_at, "by the device's clock"),
        ("received", start, "by the edge, kept in its spool"),
        ("cut and signed", cut_at, f"batch {p.batch_no}, leaf {p.leaf}, id {p.batch_id.hex()[:8]}"),
        ("judged, sealed", signed_at, f"place {p.position} in the chain"),
        ("stored", p.stored_at, "one transaction, receipt included"),
    ):
        ms = (moment - start).total_seconds() * 1000
        lines.append(f"  {name:15} {moment.astimezone():%H:%M:%S.%f}"[:-3] + f"  {ms:+8.0f} ms  {note}")
    return "\n".join(lines)


def equations(total: dict[str, int]) -> str:
    """Conservation in words: of reports, and of the values in those that are stored; what the edges did not hear."""
    ways = ("stored", "quarantined", "on_the_way", "lost", "unexplained")
    classes = ("accepted", "doubtful", "unmapped", "missing")
    reports, values = (
        " + ".join(f"{total[name]} {name.replace('_', ' ')}" for name in names if total[name] or name != "unexplained")
        for names in (ways, classes)
    )
    said = f"reports  {total['said']} said = {reports}\n"
    gaps = f"\nnot heard in 24 h: {total['gap_s']} s in {total['gaps']} gaps" if total["gaps"] else ""
    return f"{said}values   {sum(total[name] for name in classes)} = {values}{gaps}"


def flow(database: str) -> tuple[read.Path | None, dict[str, int]]:
    """The newest live report's way, and the counts of both equations; raises StoreError."""
    with open_store(database) as conn:
        return read.newest_path(conn), read.conservation(conn)


def balance(database: str) -> bool:
    """Whether every report that devices said is stored or quarantined, and no batch is missing between others."""
    with open_store(database) as conn:
        total = read.conservation(conn)
        return total["said"] == total["stored"] + total["quarantined"] and all(s.gaps == 0 for s in read.streams(conn))


def transports_with_values(database: str, since: datetime) -> set[str]:
    """Over which of the demo's transports values have come since then."""
    names = {"demo": "serial", "mllp": "MLLP", "eui64": "MLLP", "mqtt": "MQTT"}
    with open_store(database) as conn:
        claims = [v.claim or "" for v in latest(conn) if v.received_at >= since]
    return {t for claim in claims for start, t in names.items() if claim.startswith(start)}
