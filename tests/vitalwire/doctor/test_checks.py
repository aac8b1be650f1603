"""Each finding, by the facts that make it; and none where all is well."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emr_store.server_health import Archiver, MissingIndex, Slot, Standby, StoreHealth
from vitalwire.doctor.checks import CHECKS, Finding, findings
from vitalwire.doctor.facts import BackupFact, CertificateFact, DiskFact, EdgeFact, Facts, LagFact, TopicFact

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STORE = StoreHealth(
    now=NOW,
    timeline=2,
    data_directory="",
    has_checksums=True,
    slots=[Slot("vitalwire_backup", True, "reserved", 1000)],
    standbys=[Standby("pg_receivewal", "streaming", 0)],
    archiver=Archiver(NOW, NOW - DAY, 3),
    missing_indexes=[],
    missing_months=[],
    pending=[],
    roles_problem="",
)
TOPIC = TopicFact("live.raw", 4, 4, 3, 0)
EDGE = EdgeFact("ICU box 2", NOW - timedelta(seconds=3), 12.0, "0.9.1")
BACKUP = BackupFact(Path("/b"), NOW - timedelta(hours=5), 2, NOW - timedelta(minutes=1), NOW - timedelta(hours=1))
CERTIFICATE = CertificateFact(Path("kafka.crt"), "ours for the broker", NOW - DAY, NOW + 90 * DAY)
DISK = DiskFact("backups", Path("/b"), 1000, 500)
WELL = Facts(
    now=NOW, program="0.9.1", certificates=[CERTIFICATE], disks=[DISK], store=STORE, store_clock_ahead_s=0.2, brokers=3,
    replication_expected=3, topics=[TOPIC], lags=[LagFact("store", "live.signed", 12)], edges=[EDGE], backup=BACKUP,
)  # fmt: skip


def only(facts: Facts) -> Finding:
    (found,) = findings(facts)
    assert found.mend
    return found


def test_where_all_is_well_nothing_is_found() -> None:
    assert findings(WELL) == []
    assert all(check.sees(WELL) for check in CHECKS)


def test_what_was_not_looked_at_is_no_finding() -> None:
    assert findings(Facts(now=NOW, program="1")) == []
    assert not any(check.sees(Facts(now=NOW, program="1")) for check in CHECKS)


def test_what_does_not_answer() -> None:
    found = only(replace(WELL, unreachable={"the broker k:9092": "no answer"}))
    assert (found.check, found.severity, found.where) == ("reach", "fault", "the broker k:9092")


@pytest.mark.parametrize(
    ("changed", "severity", "said"),
    [
        ({"ends": NOW + 20 * DAY}, "warning", "ends on 2026-12-20"),
        ({"ends": NOW + 2 * DAY}, "fault", "ends on"),
        ({"ends": NOW - DAY}, "fault", "ended on"),
        ({"begins": NOW + DAY}, "fault", "not valid before"),
        ({"problem": "No such file or directory"}, "fault", "cannot be read"),
    ],
)
def test_certificates(changed: dict[str, object], severity: str, said: str) -> None:
    found = only(replace(WELL, certificates=[replace(CERTIFICATE, **changed)]))  # type: ignore[arg-type]
    assert (found.check, found.severity) == ("certificates", severity)
    assert said in found.what


@pytest.mark.parametrize(("free", "severity"), [(149, "warning"), (49, "fault"), (0, "fault")])
def test_disks(free: int, severity: str) -> None:
    found = only(replace(WELL, disks=[replace(DISK, free_bytes=free)]))
    assert (found.check, found.severity) == ("disks", severity)


@pytest.mark.parametrize(("ahead_s", "severity"), [(-1.5, "warning"), (31, "fault")])
def test_the_clock_of_the_database(ahead_s: float, severity: str) -> None:
    found = only(replace(WELL, store_clock_ahead_s=ahead_s))
    assert (found.check, found.severity) == ("clocks", severity)
    assert f"{ahead_s:+.1f} s" in found.what


@pytest.mark.parametrize(("ahead_ms", "severity"), [(1_200, "warning"), (-31_000, "fault")])
def test_the_clock_of_an_edge(ahead_ms: float, severity: str) -> None:
    found = only(replace(WELL, edges=[replace(EDGE, clock_ahead_ms=ahead_ms)]))
    assert (found.check, found.severity, found.where) == ("clocks", severity, "edge ICU box 2")


@pytest.mark.parametrize(("messages", "severity"), [(1_000, "warning"), (60_000, "fault")])
def test_lag(messages: int, severity: str) -> None:
    found = only(replace(WELL, lags=[LagFact("store", "live.signed", messages)]))
    assert (found.check, found.severity, found.where) == ("lag", severity, "worker store")


def test_partitions() -> None:
    assert only(replace(WELL, topics=[replace(TOPIC, partitions=0)])).severity == "fault"
    assert "8 are configured" in only(replace(WELL, topics=[replace(TOPIC, partitions_expected=8)])).what
    found = only(replace(WELL, store=STORE._replace(missing_months=["2026-12"])))
    assert (found.check, found.where) == ("partitions", "table report")


def test_replicas_of_topics() -> None:
    assert only(replace(WELL, topics=[replace(TOPIC, under_replicated=2)])).severity == "fault"
    assert only(replace(WELL, topics=[replace(TOPIC, replicas=1)])).severity == "warning"


@pytest.mark.parametrize(
    ("slot", "severity", "said"),
    [
        (Slot("s", False, "reserved", 1000), "warning", "nobody receives"),
        (Slot("s", True, "extended", 3 << 30), "warning", "is received"),
        (Slot("s", False, "extended", 30 << 30), "fault", "32.21 GB"),
        (Slot("s", False, "lost", 0), "fault", "never catch up"),
    ],
)
def test_slots(slot: Slot, severity: str, said: str) -> None:
    found = only(replace(WELL, store=STORE._replace(slots=[slot])))
    assert (found.check, found.severity) == ("replication", severity)
    assert said in found.what


def test_standbys_and_the_archive() -> None:
    behind = STORE._replace(standbys=[Standby("b", "catchup", 1)])
    assert "catchup" in only(replace(WELL, store=behind)).what
    failing = STORE._replace(archiver=Archiver(NOW - DAY, NOW, 40))
    assert "40 times" in only(replace(WELL, store=failing)).what
    never = STORE._replace(archiver=Archiver(None, NOW, 1))
    assert only(replace(WELL, store=never)).where == "archive_command"


@pytest.mark.parametrize(
    ("changed", "severity", "said"),
    [
        ({"newest_at": NOW - 3 * DAY}, "warning", "3 days old"),
        ({"newest_at": NOW - 8 * DAY}, "fault", "8 days old"),
        ({"newest_at": None}, "fault", "no base backup"),
        ({"newest_timeline": 1}, "fault", "timeline 1"),
        ({"noted_at": NOW - timedelta(minutes=11)}, "fault", "not since"),
        ({"noted_at": None, "wal_received_at": None}, "fault", "never"),
        ({"problem": "it is no folder"}, "fault", "no folder"),
    ],
)
def test_backups(changed: dict[str, object], severity: str, said: str) -> None:
    found = only(replace(WELL, backup=replace(BACKUP, **changed)))  # type: ignore[arg-type]
    assert (found.check, found.severity) == ("backups", severity)
    assert said in found.what


def test_versions() -> None:
    found = only(replace(WELL, edges=[replace(EDGE, version="0.8.12")]))
    assert (found.check, found.severity) == ("versions", "warning")
    assert findings(replace(WELL, edges=[replace(EDGE, version="0.10.0")])) == []  # as numbers, not as letters
    assert findings(replace(WELL, edges=[replace(EDGE, version=None)])) == []
    assert only(replace(WELL, store=STORE._replace(pending=[23, 24]))).mend == "vitalwire migrate"


def test_edges_that_are_not_heard() -> None:
    assert only(replace(WELL, edges=[replace(EDGE, heard_at=None)])).what == "was never heard"
    assert only(replace(WELL, edges=[replace(EDGE, heard_at=NOW - timedelta(minutes=6))])).check == "edges"


def test_the_schema() -> None:
    index = MissingIndex("batch_ident", "batch", "CREATE INDEX batch_ident ON batch (batch_id);")
    found = only(replace(WELL, store=STORE._replace(missing_indexes=[index])))
    assert "CREATE INDEX CONCURRENTLY batch_ident ON batch (batch_id);" in found.mend
    assert only(replace(WELL, store=STORE._replace(roles_problem="let the DBA"))).mend == "let the DBA"
    assert "checksums" in only(replace(WELL, store=STORE._replace(has_checksums=False))).what


def test_faults_come_first() -> None:
    facts = replace(WELL, disks=[replace(DISK, free_bytes=100)], topics=[replace(TOPIC, partitions=0)])
    assert [each.severity for each in findings(facts)] == ["fault", "warning"]
