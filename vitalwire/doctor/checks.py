"""The checks: each looks at facts alone, and says in a sentence what is wrong, and how it is mended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from vitalwire.doctor.facts import Facts

Severity = Literal["fault", "warning"]  # data, or its proof, is in danger now; or will be if nobody does anything

CERTIFICATE_WARNING, CERTIFICATE_FAULT = timedelta(days=30), timedelta(days=7)
DISK_WARNING, DISK_FAULT = 0.15, 0.05  # of it free
STORE_CLOCK_WARNING_S, STORE_CLOCK_FAULT_S = 1.0, 30.0
EDGE_CLOCK_WARNING_MS, EDGE_CLOCK_FAULT_MS = 1_000.0, 30_000.0
LAG_WARNING, LAG_FAULT = 1_000, 50_000  # messages: batches and blocks
SILENT_EDGE = timedelta(minutes=5)
SLOT_WARNING_BYTES, SLOT_FAULT_BYTES = 2 << 30, 20 << 30
STANDBY_WARNING_BYTES = 256 << 20
BACKUP_WARNING, BACKUP_FAULT = timedelta(days=2), timedelta(days=7)
NOTE_WARNING = timedelta(minutes=10)
GB = 1e9


class Finding(NamedTuple):
    """What is wrong with what, and its mend."""

    check: str
    severity: Severity
    where: str
    what: str
    mend: str


@dataclass(frozen=True)
class Check:
    """A row of the table; `looks_at` says it to people, `needs` are the facts without any of which it sees nothing."""

    name: str
    looks_at: str
    find: Callable[[Facts], Iterator[Finding]]
    needs: tuple[str, ...]

    def sees(self, facts: Facts) -> bool:
        """Whether there was anything to look at."""
        return any(getattr(facts, name) for name in self.needs)


def _unreachable(facts: Facts) -> Iterator[Finding]:
    for what, why in facts.unreachable.items():
        mend = "as it says; else: is it started, and no firewall between?"
        yield Finding("reach", "fault", what, f"could not be looked at: {why}", mend)


def _certificates(facts: Facts) -> Iterator[Finding]:
    for each in facts.certificates:
        where = f"{each.path} ({each.used_for})"
        if each.problem:
            yield Finding("certificates", "fault", where, f"cannot be read: {each.problem}", "put the file back")
        elif each.begins is not None and each.begins > facts.now:
            mend = "look at this machine's clock; else ask who issued it"
            yield Finding("certificates", "fault", where, f"is not valid before {_day(each.begins)}", mend)
        elif each.ends is not None and each.ends <= facts.now + CERTIFICATE_WARNING:
            severity: Severity = "fault" if each.ends <= facts.now + CERTIFICATE_FAULT else "warning"
            what = f"ended on {_day(each.ends)}" if each.ends <= facts.now else f"ends on {_day(each.ends)}"
            mend = "have it issued anew, put it in its place, and start what uses it again"
            yield Finding("certificates", severity, where, what, mend)


def _disks(facts: Facts) -> Iterator[Finding]:
    for each in facts.disks:
        free = each.free_bytes / each.total_bytes if each.total_bytes else 0.0
        if free < DISK_WARNING:
            what = f"{each.free_bytes / GB:.1f} GB of {each.total_bytes / GB:.1f} GB are free ({free:.0%})"
            mend = "make room or enlarge it; keep_reports_days and keep_batches_days say how long the store keeps"
            severity: Severity = "fault" if free < DISK_FAULT else "warning"
            yield Finding("disks", severity, f"{each.path} ({each.used_for})", what, mend)


def _clocks(facts: Facts) -> Iterator[Finding]:
    ahead_s = facts.store_clock_ahead_s
    if ahead_s is not None and abs(ahead_s) >= STORE_CLOCK_WARNING_S:
        severity: Severity = "fault" if abs(ahead_s) >= STORE_CLOCK_FAULT_S else "warning"
        what = f"its clock is {ahead_s:+.1f} s from this machine's"
        yield Finding("clocks", severity, "the database", what, "set both by NTP (chrony)")
    for edge in facts.edges:
        ahead_ms = edge.clock_ahead_ms
        if ahead_ms is not None and abs(ahead_ms) >= EDGE_CLOCK_WARNING_MS:
            severity = "fault" if abs(ahead_ms) >= EDGE_CLOCK_FAULT_MS else "warning"
            what = f"its clock is {ahead_ms / 1000:+.1f} s from the broker's"
            yield Finding("clocks", severity, f"edge {edge.label}", what, "set the box by NTP (chrony)")


def _lag(facts: Facts) -> Iterator[Finding]:
    for each in facts.lags:
        if each.messages >= LAG_WARNING:
            severity: Severity = "fault" if each.messages >= LAG_FAULT else "warning"
            what = f"{each.messages:,} messages of {each.topic} wait"
            mend = "`vitalwire processors run` at work? Look at its log; a backlog after an outage goes by itself"
            yield Finding("lag", severity, f"worker {each.worker}", what, mend)


def _partitions(facts: Facts) -> Iterator[Finding]:
    for topic in facts.topics:
        if topic.partitions == 0:
            mend = "start the processors, which create it"
            yield Finding("partitions", "fault", f"topic {topic.name}", "is not there", mend)
        elif topic.partitions != topic.partitions_expected:
            what = f"has {topic.partitions} partitions, and {topic.partitions_expected} are configured"
            mend = "set `partitions` to what there is: more cannot be taken back, and move streams"
            yield Finding("partitions", "warning", f"topic {topic.name}", what, mend)
    if facts.store is not None:
        for month in facts.store.missing_months:
            what = f"no partition is there for {month}: the next report of that month makes it under a lock"
            mend = "start the processors, which make them ahead; their log says what holds them up"
            yield Finding("partitions", "warning", "table report", what, mend)


def _replication(facts: Facts) -> Iterator[Finding]:
    lacking = [topic for topic in facts.topics if topic.under_replicated]
    for topic in lacking:
        what = f"{topic.under_replicated} of {topic.partitions} partitions lack a replica"
        yield Finding(
            "replication", "fault", f"topic {topic.name}", what, "start the broker that is away; look at its disk"
        )
    thin = [topic.name for topic in facts.topics if topic.partitions and topic.replicas < facts.replication_expected]
    if thin:
        what = f"have fewer replicas than the {facts.replication_expected} configured: {', '.join(thin[:4])}"
        yield Finding("replication", "warning", f"{len(thin)} topics", what, "kafka-reassign-partitions adds replicas")
    if facts.store is None:
        return
    for standby in facts.store.standbys:
        if standby.state != "streaming" or standby.behind_bytes >= STANDBY_WARNING_BYTES:
            what = f"is {standby.state}, {standby.behind_bytes / GB:.2f} GB behind"
            yield Finding("replication", "warning", f"receiver {standby.name}", what, "look at its disk and network")
    for slot in facts.store.slots:
        yield from _slot(slot.name, slot.active, slot.wal_status, slot.retained_bytes)
    archiver = facts.store.archiver
    if archiver is not None and archiver.is_failing and archiver.last_failed_at is not None:
        what = f"failed last at {_minute(archiver.last_failed_at)}, {archiver.failed} times in all"
        mend = "PostgreSQL's log has its words; until then the log fills the database's own disk"
        yield Finding("replication", "fault", "archive_command", what, mend)


def _slot(name: str, active: bool, wal_status: str, retained_bytes: int) -> Iterator[Finding]:
    mend = f"start its receiver, or, if it is gone for good: SELECT pg_drop_replication_slot('{name}')"
    if wal_status == "lost":
        what = "its receiver can never catch up: the server has removed what it needs"
        yield Finding("replication", "fault", f"slot {name}", what, f"make a base backup; {mend}")
    elif not active or retained_bytes >= SLOT_WARNING_BYTES:
        severity: Severity = "fault" if retained_bytes >= SLOT_FAULT_BYTES else "warning"
        state = "is received" if active else "nobody receives"
        what = f"{state}; {retained_bytes / GB:.2f} GB of the log are kept for it on the database's disk"
        yield Finding("replication", severity, f"slot {name}", what, mend)


def _backups(facts: Facts) -> Iterator[Finding]:
    backup, run = facts.backup, "vitalwire backup run"
    if backup is None:
        return
    where = str(backup.folder)
    if backup.problem:
        yield Finding("backups", "fault", where, backup.problem, "vitalwire backup check")
        return
    if backup.newest_at is None:
        yield Finding("backups", "fault", where, "there is no base backup", run)
        return
    age = facts.now - backup.newest_at
    if age >= BACKUP_WARNING:
        severity: Severity = "fault" if age >= BACKUP_FAULT else "warning"
        yield Finding(
            "backups", severity, where, f"the newest base backup is {age.days} days old", f"{run}, each night"
        )
    if facts.store is not None and backup.newest_timeline != facts.store.timeline:
        what = f"the newest base backup is of timeline {backup.newest_timeline}"
        what += f", and the database writes to {facts.store.timeline}: it was restored, or a standby took over"
        yield Finding("backups", "fault", where, what, run)
    newest = max(filter(None, (backup.noted_at, backup.wal_received_at)), default=None)
    if newest is None or facts.now - newest >= NOTE_WARNING:
        since = "never" if newest is None else f"not since {_minute(newest)}"
        mend = "vitalwire backup wal (or archive_command) at work? What is not received is lost with the machine"
        yield Finding("backups", "fault", where, f"the log of the database was received {since}", mend)


_NUMBERS = re.compile(r"\d+")


def _versions(facts: Facts) -> Iterator[Finding]:
    ours = _release(facts.program)
    for edge in facts.edges:
        if edge.version is not None and _release(edge.version) < ours:
            what = f"runs {edge.version}, and the hospital side {facts.program}"
            yield Finding("versions", "warning", f"edge {edge.label}", what, "vitalwire edge upgrade, on the box")
    if facts.store is not None and facts.store.pending:
        numbers = ", ".join(map(str, facts.store.pending))
        yield Finding("versions", "fault", "the database", f"migrations {numbers} are not applied", "vitalwire migrate")


def _edges(facts: Facts) -> Iterator[Finding]:
    for edge in facts.edges:
        if edge.heard_at is None or facts.now - edge.heard_at >= SILENT_EDGE:
            since = "was never heard" if edge.heard_at is None else f"was heard last at {_minute(edge.heard_at)}"
            mend = "on the box: vitalwire edge check; gone for good: vitalwire registry edge revoke"
            yield Finding("edges", "fault", f"edge {edge.label}", since, mend)


def _schema(facts: Facts) -> Iterator[Finding]:
    if facts.store is None:
        return
    for index in facts.store.missing_indexes:
        what = f"the index {index.name} is gone or not valid: what asks by it reads all of the table"
        statement = index.statement.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)
        yield Finding(
            "schema", "warning", f"table {index.table}", what, f"DROP INDEX IF EXISTS {index.name}; {statement}"
        )
    if facts.store.roles_problem:
        yield Finding("schema", "warning", "the database", "its groups do not hold", facts.store.roles_problem)
    if not facts.store.has_checksums:
        what = "its pages have no checksums: a disk that changes a byte is not noticed there"
        yield Finding("schema", "warning", "the database", what, "stopped: pg_checksums --enable")


CHECKS = (
    Check("reach", "the database and the broker answer", _unreachable, ("store", "brokers")),
    Check(
        "certificates",
        "of the broker, the gateway and the destinations: when they end",
        _certificates,
        ("certificates",),
    ),
    Check("disks", "of backups, the database and the broker, where they are this machine's", _disks, ("disks",)),
    Check("clocks", "of the database and of each edge", _clocks, ("store", "edges")),
    Check("lag", "what validate, store and alarm have not taken yet", _lag, ("lags",)),
    Check("partitions", "of topics and of months", _partitions, ("topics", "store")),
    Check("replication", "of topics, standbys, slots, the archive", _replication, ("topics", "store")),
    Check("backups", "their age, their timeline, the log beside them", _backups, ("backup",)),
    Check("versions", "of edges, and of the schema", _versions, ("edges", "store")),
    Check("edges", "heard in the last five minutes", _edges, ("edges",)),
    Check("schema", "indexes, groups of users, checksums", _schema, ("store",)),
)


def findings(facts: Facts) -> list[Finding]:
    """Of all checks, the faults first."""
    found = [finding for check in CHECKS for finding in check.find(facts)]
    return sorted(found, key=lambda finding: finding.severity != "fault")


def _release(version: str) -> tuple[int, ...]:
    """What stands before a suffix, as numbers."""
    return tuple(int(number) for number in _NUMBERS.findall(version.split("+")[0])[:3])


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d")


def _minute(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
