"""What `deploy/compose.yaml` gives to Kafka, TimescaleDB and mosquitto, read by them, with the secrets that are made.

Without docker: the programs run in the Debian root of deploy/services, where /mnt is a folder of the test's own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from paho.mqtt import client as mqtt

from emr_store import roles
from emr_store.connect import StoreError, open_store, with_role
from emr_store.migrate import migrate
from runtime.tls import client_context
from tests.faults.clusters import INSIDE, PROGRAMS
from tests.faults.system import ROOT
from tests.wire import eventually
from vitalwire.deploy_secrets import make_secrets
from vitalwire.embedded.services import free_port

pytestmark = pytest.mark.integration
GIVEN = ROOT / "deploy" / "compose"
START_S, STOP_S = 60, 30
JARS = Path.home() / ".cache" / "vitalwire"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("deploy") / "secrets"
    make_secrets(into, ["localhost"], datetime.now(UTC))
    return into


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def given(name: str, folder: Path, replaced: dict[str, str]) -> Path:
    """A file of deploy/compose with the places and ports of this machine."""
    text = (GIVEN / name).read_text("utf-8")
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / name).write_text(text, "utf-8")
    (folder / name).chmod(0o644)
    return folder / name


def in_debian(folder: Path, user: str, *command: str) -> list[str]:
    root = os.environ["VITALWIRE_DEBIAN_ROOT"]
    unshared = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", INSIDE]
    return [*unshared, "inside", root, str(folder), user, *command]


def owned(folder: Path, user: str, *command: str) -> None:
    """One command there that ends well."""
    done = subprocess.run(in_debian(folder, user, *command), capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 0, done.stderr


def copied(secrets: Path, folder: Path, user: str) -> Path:
    """The secrets below /mnt, for the user of that name there: its number is another one than in the image."""
    shutil.copytree(secrets, folder / "secrets")
    owned(folder, "root", "chown", "-R", f"{user}:", "/mnt/secrets")
    folder.chmod(0o711)
    return folder / "secrets"


def test_the_database_lets_each_login_do_its_work_over_tls_alone(secrets: Path, tmp_path: Path) -> None:
    copied(secrets, tmp_path, "postgres")
    port = free_port()
    owned(tmp_path, "root", "install", "-d", "-o", "postgres", "/mnt/data", "/mnt/run")
    initdb = ["--pgdata=/mnt/data", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    owned(tmp_path, "postgres", f"{PROGRAMS}/initdb", *initdb)
    given("pg_hba.conf", tmp_path, {})
    given("database.sql", tmp_path, {"/run/secrets": "/mnt/secrets"})
    settings = {
        "hba_file": "/mnt/pg_hba.conf", "ssl": "on", "ssl_cert_file": "/mnt/secrets/database.crt",
        "ssl_key_file": "/mnt/secrets/database.key", "unix_socket_directories": "/mnt/run", "port": str(port),
        "shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off",
        "max_locks_per_transaction": "256",
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "/mnt/run", "-p", str(port), "-U", "postgres"]
    log = tmp_path / "log"
    with running(in_debian(tmp_path, "postgres", f"{PROGRAMS}/postgres", "-D", "/mnt/data", *words), log):
        eventually(lambda: "ready to accept connections" in log.read_text(), START_S, "the database answers")
        owned(tmp_path, "postgres", *psql, "-c", "CREATE DATABASE vitalwire")
        owned(tmp_path, "postgres", *psql, "-d", "vitalwire", "-f", "/mnt/database.sql")

        def login(name: str) -> str:
            where = f"host=127.0.0.1 port={port} dbname=vitalwire sslmode=verify-full sslrootcert={secrets}/ca.crt"
            return f"{where} user=vitalwire_{name} password={(secrets / f'database_{name}').read_text()}"

        assert migrate(login("setup"))
        assert migrate(login("processors")) == [], "who may not change the schema finds it current"
        with open_store(login("processors")) as conn:
            assert roles.problem(conn) == ""
            with pytest.raises(StoreError, match="permission denied"):
                conn.execute("CREATE TABLE mine (id int)")
        for group in (roles.READER, roles.CLERK):
            with open_store(with_role(login("page"), group)) as conn:
                assert conn.execute("SELECT current_user, count(*) FROM report").fetchone() == (group, 0)
        with open_store(login("grafana")) as conn, pytest.raises(StoreError, match="permission denied"):
            conn.execute("DELETE FROM latest")
        with pytest.raises(StoreError, match="no encryption"):
            psycopg.connect(re.sub("sslmode=verify-full", "sslmode=disable", login("page")))
        superuser = f"{login('page').partition(' user=')[0]} user=postgres"
        with pytest.raises(StoreError, match="rejects connection"):
            psycopg.connect(f"{superuser} password={(secrets / 'database_superuser').read_text()}")


def test_mosquitto_takes_its_users_over_tls_alone(secrets: Path, tmp_path: Path) -> None:
    copied(secrets, tmp_path, "mosquitto")
    owned(tmp_path, "root", "install", "-d", "-o", "mosquitto", "/mnt/data")
    port = free_port()
    places = {
        "listener 8883": f"listener {port} 127.0.0.1",
        "/run/secrets": "/mnt/secrets",
        "/mosquitto/data": "/mnt/data",
    }
    given("mosquitto.conf", tmp_path, places)
    log = tmp_path / "log"
    with running(in_debian(tmp_path, "mosquitto", "mosquitto", "-c", "/mnt/mosquitto.conf"), log) as process:

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as dialled:
                return dialled.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens, START_S, "mosquitto listens")

        def answer(user: str, password: str) -> str:
            said: list[str] = []
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
            client.username_pw_set(user, password)
            client.tls_set_context(client_context(secrets / "ca.crt"))
            client.on_connect = lambda client, data, flags, reason, properties: said.append(str(reason))
            client.connect("127.0.0.1", port)
            client.loop_start()
            eventually(lambda: bool(said), START_S, "an answer")
            client.disconnect()
            client.loop_stop()
            return said[0]

        for user in ("edge", "devices"):
            assert answer(user, (secrets / f"mqtt_{user}").read_text()) == "Success"
        assert answer("edge", (secrets / "mqtt_devices").read_text()) == "Not authorized"


def test_kafka_takes_clients_with_a_certificate_alone(secrets: Path, tmp_path: Path) -> None:
    here, boxes, controller = free_port(), free_port(), free_port()
    settings = given("kafka.properties", tmp_path, {
        ":19094": f":{here}", ":9094": f":{boxes}", ":19093": f":{controller}", "@HOST@": "localhost",
        "/var/lib/kafka/data": str(tmp_path / "data"),
    })  # fmt: skip
    with settings.open("a") as file:
        file.write((secrets / "kafka_tls").read_text())
    (jars,) = (path for path in JARS.glob("kafka-*") if path.is_dir())
    java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN", "-cp", f"{jars}/*"]
    cluster = (secrets / "kafka_cluster_id").read_text()
    form = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-c", str(settings), "-t", cluster]
    for _ in range(2):  # each start of the container does it
        assert subprocess.run(form, capture_output=True, timeout=START_S).returncode == 0
    with running([*java, "kafka.Kafka", str(settings)], tmp_path / "log") as process:

        def brokers(port: int, client: str) -> dict[int, str]:
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            admin = {
                "bootstrap.servers": f"localhost:{port}", "security.protocol": "ssl",
                "ssl.ca.location": str(secrets / "ca.crt"), "log_level": 0,
            }  # fmt: skip
            if client:
                admin |= {
                    "ssl.certificate.location": f"{secrets}/{client}.crt",
                    "ssl.key.location": f"{secrets}/{client}.key",
                }
            try:
                metadata = AdminClient(admin).list_topics(timeout=3)
            except Exception:  # noqa: BLE001  whatever says that it does not answer
                return {}
            return {broker.id: f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()}

        eventually(lambda: bool(brokers(here, "processors")), START_S, "Kafka answers")
        assert brokers(here, "edge-kafka") == {1: f"127.0.0.1:{here}"}
        assert brokers(boxes, "edge-kafka") == {1: f"localhost:{boxes}"}
        assert brokers(boxes, "") == {}
