"""The facts are those of real servers and files."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from emr_store.store_counts import count_store
from runtime import config as configuration
from schemas.topics import RECEIPT_PARTITIONS
from stream_processors.config import ProcessorsConfig
from tests.charting import spo2
from tests.commands import vitalwire
from tests.runtime.conftest import Certified
from tests.storing import Store
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.receive import note
from vitalwire.doctor.broker import broker_facts, lags_of
from vitalwire.doctor.facts import LagFact
from vitalwire.doctor.readers import Sources, backup_fact, certificate, look

LIMIT_S = 20.0


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    made = Store(database)
    made.emit(spo2(1, 97))
    return made


def said(command: str) -> tuple[int, list[dict[str, str]]]:
    code, text = vitalwire(f"{command} --json")
    return code, json.loads(text)["findings"]


def test_a_store_that_lacks_an_index(store: Store) -> None:
    with store.open() as conn:
        for month in ("current_date", "(current_date + interval '1 month')::date"):
            conn.execute(f"SELECT make_month({month})".encode())
        conn.execute("DROP INDEX batch_ident")
    code, found = said("doctor")
    assert code == 4
    assert [each["check"] for each in found if "batch_ident" in each["what"]] == ["schema"]
    code, text = vitalwire("doctor")
    assert code == 4
    assert "mend: DROP INDEX IF EXISTS batch_ident" in text
    assert "not looked at: the broker" in text


def test_an_edge_that_is_heard_is_no_finding(store: Store) -> None:
    assert not [each for each in said("doctor")[1] if each["check"] in ("edges", "clocks")]
    with store.open() as conn:
        conn.execute("UPDATE ledger SET updated_at = now() - interval '1 hour'")
    assert [each["where"] for each in said("doctor")[1] if each["check"] == "edges"] == ["edge box"]


def test_the_topics_of_a_broker(kafka: str) -> None:
    found = broker_facts(ProcessorsConfig(kafka=kafka, partitions=5))
    assert found.brokers == 1
    assert {topic.name: topic.partitions_expected for topic in found.topics}["receipts"] == RECEIPT_PARTITIONS
    assert {topic.partitions_expected for topic in found.topics} == {5, RECEIPT_PARTITIONS}
    assert all(topic.under_replicated == 0 for topic in found.topics)


@pytest.mark.integration  # the embedded broker tells a consumer group's offsets otherwise
def test_what_a_worker_has_not_taken_yet(kafka: str, topic_prefix: str) -> None:
    topic, group = f"{topic_prefix}lag", f"{topic_prefix}group"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(LIMIT_S)
    assert lags_of(admin, group, "store") == []
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(5):
        producer.produce(topic, b"a batch", partition=0)
    assert producer.flush(LIMIT_S) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    consumer.close()
    assert lags_of(admin, group, "store") == [LagFact("store", topic, 3)]


def test_a_broker_and_a_database_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITALWIRE_DATABASE", raising=False)
    config = tmp_path / "processors.toml"
    config.write_text('kafka = "127.0.0.1:1"\n')
    code, found = said(f"doctor --processors {config} --database postgresql://127.0.0.1:1/x")
    assert code == 4
    assert {each["check"] for each in found} == {"reach"}
    assert len(found) == 2
    code, text = vitalwire("doctor")
    assert code == 2
    assert "nothing to look at" in text


def test_certificates_of_files(ours: Certified, tmp_path: Path) -> None:
    found = certificate(ours.cert, "the broker's CA")
    assert found.problem == ""
    assert found.ends is not None
    assert found.ends > datetime.now(UTC)
    assert certificate(tmp_path / "none", "x").problem == "No such file or directory"
    (tmp_path / "text").write_text("hello")
    assert certificate(tmp_path / "text", "x").problem == "it holds no certificate"


@pytest.mark.integration  # the embedded broker speaks no TLS
def test_the_certificate_that_a_broker_shows(tmp_path: Path) -> None:
    files = {name: os.environ[f"VITALWIRE_KAFKA_{name.upper()}"] for name in ("ca", "cert", "key")}
    lines = [
        f'kafka = "{os.environ["VITALWIRE_KAFKA_TLS"]}"',
        *(f'kafka_{key} = "{path}"' for key, path in files.items()),
    ]
    (tmp_path / "processors.toml").write_text("\n".join(lines))
    sources = Sources("", configuration.load(tmp_path / "processors.toml", ProcessorsConfig))
    found = {each.used_for: each for each in look(sources).certificates}
    assert set(found) == {"the broker's CA", "ours for the broker", "shown by the broker"}
    shown = found["shown by the broker"]
    assert shown.ends is not None
    assert shown.ends > datetime.now(UTC)


def test_a_folder_of_backups(tmp_path: Path, store: Store) -> None:
    config = BackupConfig(folder=tmp_path, database="")
    assert backup_fact(config).newest_at is None
    assert backup_fact(BackupConfig(folder=tmp_path / "none", database="")).problem == "it is no folder"
    with store.open() as conn:
        note(tmp_path, count_store(conn))
    noted = backup_fact(config).noted_at
    assert noted is not None
    assert abs(datetime.now(UTC) - noted) < timedelta(minutes=1)
    file = tmp_path / "backup.toml"
    file.write_text(f'folder = "{tmp_path}"\ndatabase = "dbname=x"\n')
    assert [each["what"] for each in said(f"doctor --backup {file}")[1] if each["check"] == "backups"] == [
        "there is no base backup"
    ]
