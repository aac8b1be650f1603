"""Looks at the hospital side, and gathers the facts; what is not configured is not looked at, and that is said."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography import x509

from emr_store import conservation, registry
from emr_store import events as edge_events
from emr_store.connect import StoreError, open_store
from emr_store.server_health import StoreHealth, store_health
from gateway.people.sign_in_config import GatewayConfig
from runtime.errors import UserError
from runtime.tls import client_context
from schemas.errors import VitalwireError
from stream_processors.config import ProcessorsConfig
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.restoring import last_noted
from vitalwire.backup.wal import parse_segment
from vitalwire.doctor.broker import broker_facts
from vitalwire.doctor.facts import BackupFact, CertificateFact, DiskFact, EdgeFact, Facts
from vitalwire.record import explained

LIMIT_S = 5.0
PEM = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Sources:
    """What there is to look at; None: not named. `disks` are folders with what they are used for."""

    database: str
    processors: ProcessorsConfig | None = None
    gateway: GatewayConfig | None = None
    backup: BackupConfig | None = None
    certificates: tuple[Path, ...] = ()
    disks: tuple[Path, ...] = ()
    insecure: bool | None = None


@dataclass
class _Gathering:
    found: dict[str, Any] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)
    not_looked: dict[str, str] = field(default_factory=dict)


def look(sources: Sources) -> Facts:
    """All that can be known now. What does not answer is a fact, too."""
    gathering = _Gathering()
    _look_at_store(sources, gathering)
    _look_at_broker(sources.processors, gathering)
    _look_at_backup(sources.backup, gathering)
    store: StoreHealth | None = gathering.found.get("store")
    gathering.found["disks"] = list(_disks(sources, store, gathering.not_looked))
    found = [certificate(path, used_for) for path, used_for in _certificate_files(sources)]
    if sources.processors is not None:
        found += _shown_by_brokers(sources.processors, gathering.not_looked)
    gathering.found["certificates"] = found
    return Facts(
        now=datetime.now(UTC), program=version("vitalwire"), unreachable=gathering.unreachable,
        not_looked=gathering.not_looked, **gathering.found,
    )  # fmt: skip


def _look_at_store(sources: Sources, gathering: _Gathering) -> None:
    try:
        with explained(sources.database, insecure=sources.insecure), open_store(sources.database) as conn:
            before = datetime.now(UTC)
            health = store_health(conn)
            after = datetime.now(UTC)
            edges = _edges(registry.edges(conn), conservation.streams(conn), edge_events.edge_counts(conn),
                           edge_events.edge_clocks(conn))  # fmt: skip
    except (UserError, VitalwireError, StoreError) as error:
        gathering.unreachable["the database"] = str(error).strip()
        return
    ahead_s = (health.now - after).total_seconds() if health.now > after else (health.now - before).total_seconds()
    is_between = before <= health.now <= after
    gathering.found |= {"store": health, "edges": edges, "store_clock_ahead_s": 0.0 if is_between else ahead_s}


def _edges(
    registered: Sequence[registry.EdgeRow], streams: Sequence[conservation.Stream], counts: Iterable[Any],
    clocks: dict[Any, float],
) -> list[EdgeFact]:  # fmt: skip
    """Those whose key is not revoked."""
    stated = {edge: json.loads(text) for edge, _, text in counts}
    found = {}
    for row in registered:
        if row.revoked_at is None:
            heard = max((each.updated_at for each in streams if each.edge == row.edge), default=None)
            told = stated.get(row.edge, {}).get("version")
            found[row.edge] = EdgeFact(row.label, heard, clocks.get(row.edge), told if isinstance(told, str) else None)
    return list(found.values())


def _look_at_broker(config: ProcessorsConfig | None, gathering: _Gathering) -> None:
    if config is None:
        gathering.not_looked["the broker"] = "no --processors names it"
        return
    try:
        found = broker_facts(config)
    except UserError as error:
        gathering.unreachable[f"the broker {config.kafka}"] = str(error)
        return
    gathering.found |= {"brokers": found.brokers, "topics": found.topics, "lags": found.lags}
    gathering.found["replication_expected"] = config.replication
    if found.lag_problem:
        gathering.not_looked["lag"] = found.lag_problem


def _look_at_backup(config: BackupConfig | None, gathering: _Gathering) -> None:
    if config is None:
        gathering.not_looked["backups"] = "no --backup names them: without any, a lost disk is a lost record"
        return
    gathering.found["backup"] = backup_fact(config)


def backup_fact(config: BackupConfig) -> BackupFact:
    """Of the folder of backups; what is wrong with reading it is a fact, too."""
    folder = BackupFolder(config.folder)
    try:
        if not folder.path.is_dir():
            return BackupFact(config.folder, problem="it is no folder")
        backups = folder.backups()
        noted = last_noted(folder)
        if not backups:
            return BackupFact(config.folder, noted_at=noted.at if noted else None)
        size = backups[-1].segment_bytes
        written = [path.stat().st_mtime for path in folder.wal.glob("*") if parse_segment(path.name, size)]
    except (UserError, OSError) as error:
        return BackupFact(config.folder, problem=str(error))
    return BackupFact(
        config.folder, newest_at=backups[-1].ended_at, newest_timeline=backups[-1].timeline,
        noted_at=noted.at if noted else None,
        wal_received_at=datetime.fromtimestamp(max(written), UTC) if written else None,
    )  # fmt: skip


# --- of this machine --------------------------------------------------------------------------------------------------


def _disks(sources: Sources, store: StoreHealth | None, not_looked: dict[str, str]) -> Iterable[DiskFact]:
    """Of each folder's file system once."""
    folders = [(path, "named with --disk") for path in sources.disks]
    if sources.backup is not None:
        folders.append((sources.backup.folder, "backups"))
    if sources.gateway is not None:
        folders.append((sources.gateway.look_journal.resolve().parent, "the journal of looks"))
    data = Path(store.data_directory) if store is not None and store.data_directory else None
    if data is not None and _is_there(data):
        folders.append((data, "the database"))
    else:
        not_looked["the database's disk"] = "it is not on this machine, or may not be seen: --disk names a folder of it"
    if not sources.disks:
        not_looked["the broker's disk"] = "no --disk names its folder"
    seen = set()
    for path, used_for in folders:
        if not _is_there(path):
            not_looked[str(path)] = "it is not there, or may not be seen"
            continue
        device = path.stat().st_dev
        if device not in seen:
            seen.add(device)
            usage = shutil.disk_usage(path)
            yield DiskFact(used_for, path, usage.total, usage.free)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _certificate_files(sources: Sources) -> Iterable[tuple[Path, str]]:
    named: list[tuple[Path | None, str]] = [(path, "named with --certificate") for path in sources.certificates]
    if (processors := sources.processors) is not None:
        named += [(processors.kafka_ca, "the broker's CA"), (processors.kafka_cert, "ours for the broker")]
        for each in processors.destination:
            named += [(each.tls_ca, f"CA of {each.name}"), (each.tls_cert, f"ours for {each.name}")]
    if (gateway := sources.gateway) is not None:
        named.append((gateway.tls_cert, "the page"))
        if gateway.provider is not None:
            named.append((gateway.provider.tls_ca, "CA of the provider"))
    return [(path, used_for) for path, used_for in named if path is not None]


def _shown_by_brokers(config: ProcessorsConfig, not_looked: dict[str, str]) -> Iterable[CertificateFact]:
    """The certificates of the brokers themselves: no file here has them, and all stands still when one ends."""
    if config.kafka_ca is None:
        return
    context = client_context(config.kafka_ca, config.kafka_cert, config.kafka_key)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # one that has ended is a finding, too
    for address in config.kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            plain = socket.create_connection((host.strip("[]"), int(port)), LIMIT_S)
            with plain, context.wrap_socket(plain, server_hostname=host.strip("[]")) as secured:
                shown = secured.getpeercert(binary_form=True)
        except (OSError, ValueError) as error:
            not_looked[f"the certificate of {address}"] = str(error)
            continue
        if shown:
            yield _described(Path(address.strip()), "shown by the broker", [x509.load_der_x509_certificate(shown)])


def _described(path: Path, used_for: str, chain: Sequence[x509.Certificate]) -> CertificateFact:
    first = min(chain, key=lambda each: each.not_valid_after_utc)
    return CertificateFact(path, used_for, max(each.not_valid_before_utc for each in chain), first.not_valid_after_utc)


def certificate(path: Path, used_for: str) -> CertificateFact:
    """The one of a file that ends first: a chain is as good as its shortest link."""
    try:
        data = path.read_bytes()
        found = x509.load_pem_x509_certificates(data) if PEM in data else [x509.load_der_x509_certificate(data)]
    except OSError as error:
        return CertificateFact(path, used_for, problem=error.strerror or str(error))
    except ValueError:
        return CertificateFact(path, used_for, problem="it holds no certificate")
    return _described(path, used_for, found)
