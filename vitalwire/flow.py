"""One report followed through every stage, and the conservation ledger: what `make run` shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from emr_store import arrivals, conservation, origin
from emr_store.arrivals import Arrival
from emr_store.attributed_values import PARTS
from emr_store.connect import open_store
from emr_store.latest import latest
from schemas.nomenclature import METRIC_BY_REFERENCE_ID


def path_text(p: origin.Path) -> str:
    """A report's times, stage by stage."""
    start = p.received_at
    place = "not in the log yet" if p.position is None else f"leaf {p.position} of the log"
    lines = [f"one report of {p.bed or p.claim or p.device}"]
    for name, moment, note in (
        ("measured", p.observed_at, "by the device's clock"),
        ("received", start, "by the edge, kept in its spool"),
        ("cut and signed", p.created_at, f"batch {p.batch_no}, leaf {p.leaf}, id {p.batch_id.hex()[:8]}"),
        ("validated, sealed", p.signed_at, place),
        ("stored", p.stored_at, "one transaction, receipt included"),
    ):
        ms = (moment - start).total_seconds() * 1000
        lines.append(f"  {name:18} {moment.astimezone():%H:%M:%S.%f}"[:-3] + f"  {ms:+8.0f} ms  {note}")
    return "\n".join(lines)


def arrivals_text(found: Sequence[Arrival]) -> str:
    """The last stage: what of a chart is in other systems, one value of each; "" while nothing is."""
    return "\n".join(_arrival(each) for each in found)


def _arrival(a: Arrival) -> str:
    metric = METRIC_BY_REFERENCE_ID.get(a.item)
    said = a.text if a.value is None else f"{a.value:.{a.decimals}f} {a.unit}".rstrip()
    of_bed = f" of bed {a.bed}" if a.bed else ""
    line = f"… → chart → EMR: {metric.short if metric else a.item} {said}{of_bed}, entry {a.entry} version {a.version}"
    accepted = f"accepted at {a.settled_at.astimezone():%H:%M:%S.%f}"[:-3] + f" by {a.destination} as {a.control_id}"
    if a.received_at is None:
        return f"{line}, {accepted}"
    charted_s, accepted_s = ((at - a.received_at).total_seconds() for at in (a.recorded_at, a.settled_at))
    return f"{line}\n  {accepted}; {charted_s:.1f} s from the port to the chart, {accepted_s:.1f} s to the EMR"


def equations(total: dict[str, int]) -> str:
    """Conservation in words: of reports, and of the values in those that are stored; what the edges did not hear."""
    amounts = ("stored", "quarantined", "on_the_way", "lost", "unexplained")
    classes = ("accepted", "doubtful", "unmapped", "missing")
    reports, values = (
        " + ".join(f"{total[name]} {name.replace('_', ' ')}" for name in names if total[name] or name != "unexplained")
        for names in (amounts, classes)
    )
    first = f"reports  {total['said']} said = {reports}\n"
    gaps = f"\nnot heard in 24 h: {total['gap_s']} s in {total['gaps']} gaps" if total["gaps"] else ""
    return f"{first}values   {sum(total[name] for name in classes)} = {values}{gaps}"


def whose_equation(values: dict[str, int], waves: dict[str, int]) -> str:
    """Accepted values = whose they are, in words; where there are waves, a line of their stretches."""
    lines = [f"whose    {values['accepted']} accepted = {_parts(values)}"]
    if waves["accepted"]:
        lines.append(f"waves    {waves['accepted']} stretches = {_parts(waves)}")
    return "\n".join(lines)


def _parts(total: dict[str, int]) -> str:
    return " + ".join(f"{total[part]} {WHOSE_WORDS.get(part, part)}" for part in PARTS if total[part]) or "0"


WHOSE_WORDS = {
    "scan": "by scan", "act": "by a person", "bed+pid": "by bed and number", "bed": "by bed", "pid": "by number",
    "nobody": "nobody's", "conflict": "in conflict",
}  # fmt: skip


def flow(database: str) -> tuple[origin.Path | None, dict[str, int]]:
    """The newest live report's way, and the counts of both equations; raises StoreError."""
    with open_store(database) as conn:
        return origin.newest_path(conn), conservation.conservation(conn)


def balance(database: str) -> bool:
    """Whether every report that devices said is stored or quarantined, and no batch is missing between others."""
    with open_store(database) as conn:
        total = conservation.conservation(conn)
        return total["said"] == total["stored"] + total["quarantined"] and all(
            s.gaps == 0 for s in conservation.streams(conn)
        )


def arrived(database: str) -> list[Arrival]:
    """The newest of each destination; raises StoreError."""
    with open_store(database) as conn:
        return arrivals.newest_arrivals(conn)


def destinations_without(database: str, since: datetime) -> list[str]:
    """Those that accepted nothing since then; raises StoreError."""
    with open_store(database) as conn:
        return [name for name, some in arrivals.destinations_with_arrivals(conn, since).items() if not some]


def transports_with_values(database: str, since: datetime) -> set[str]:
    """Over which of the demo's transports values have come since then."""
    names = {"demo": "serial", "mllp": "MLLP", "eui64": "MLLP", "mqtt": "MQTT"}
    with open_store(database) as conn:
        claims = [v.claim or "" for v in latest(conn) if v.received_at >= since]
    return {t for claim in claims for start, t in names.items() if claim.startswith(start)}
