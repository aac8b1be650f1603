"""What was found on the hospital side, before anybody says whether it is well."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from emr_store.server_health import StoreHealth


@dataclass(frozen=True)
class CertificateFact:
    """A certificate of a file; `problem`: why it cannot be read, "" where it can."""

    path: Path
    used_for: str
    begins: datetime | None = None
    ends: datetime | None = None
    problem: str = ""


@dataclass(frozen=True)
class DiskFact:
    """The file system that a folder is on."""

    used_for: str
    path: Path
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class TopicFact:
    """A topic that the processors need; `partitions` 0: it is not there. `under_replicated`: so many lack a replica."""

    name: str
    partitions: int
    partitions_expected: int
    replicas: int
    under_replicated: int


@dataclass(frozen=True)
class LagFact:
    """How many messages of a topic a worker has not taken yet."""

    worker: str
    topic: str
    messages: int


@dataclass(frozen=True)
class EdgeFact:
    """An edge that is registered; `clock_ahead_ms` and `version` as it said last, None: it did not say."""

    label: str
    heard_at: datetime | None
    clock_ahead_ms: float | None = None
    version: str | None = None


@dataclass(frozen=True)
class BackupFact:
    """The newest base backup and the log beside it; None: there is none. `folder` of the configuration."""

    folder: Path
    newest_at: datetime | None = None
    newest_timeline: int | None = None
    noted_at: datetime | None = None
    wal_received_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True)
class Facts:
    """None, or an empty list: it was not looked at, and `not_looked` says why; `unreachable`: what did not answer."""

    now: datetime
    program: str  # our version
    certificates: list[CertificateFact] = field(default_factory=list)
    disks: list[DiskFact] = field(default_factory=list)
    store: StoreHealth | None = None
    store_clock_ahead_s: float | None = None
    brokers: int | None = None
    replication_expected: int = 1
    topics: list[TopicFact] = field(default_factory=list)
    lags: list[LagFact] = field(default_factory=list)
    edges: list[EdgeFact] = field(default_factory=list)
    backup: BackupFact | None = None
    unreachable: dict[str, str] = field(default_factory=dict)
    not_looked: dict[str, str] = field(default_factory=dict)
