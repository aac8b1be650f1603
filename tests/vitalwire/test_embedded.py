from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from psycopg.conninfo import conninfo_to_dict

from schemas.errors import VitalwireError
from vitalwire.embedded import Addresses, EmbeddedServices, postgres
from vitalwire.embedded.child import Child, wheel_file
from vitalwire.embedded.services import HOST, PORT_RANGE, free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
RUN = """\
import sys, time
from pathlib import Path
from vitalwire.embedded import EmbeddedServices
print(EmbeddedServices(Path(sys.argv[1])).start().database, flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], object]) -> bool:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def children(pid: int) -> set[int]:
    """The processes that `pid` has started and that run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def keep(database: str, value: int) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def kept(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[EmbeddedServices]:
    embedded = EmbeddedServices(tmp_path / "data")
    yield embedded
    embedded.stop()


def test_mqtt_passes_between_both_versions(embedded: Addresses) -> None:
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    ready: queue.SimpleQueue[str] = queue.SimpleQueue()
    clients = {}
    for name, version, address in (("5", mqtt.MQTTv5, embedded.mqtt5), ("311", mqtt.MQTTv311, embedded.mqtt311)):
        client = clients[name] = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
        client.on_connect = lambda client, *_: client.subscribe("ward/#", qos=1)
        client.on_subscribe = lambda *_, name=name: ready.put(name)
        client.on_message = lambda client, _, message, name=name: arrived.put((name, message.payload))
        client.connect(*address)
        client.loop_start()
    assert {ready.get(timeout=PATIENCE_S) for _ in clients} == {"5", "311"}
    payloads = {"5": b"5" * (256 << 10), "311": b"3" * (256 << 10)}  # the longest frame that we take
    for name, client in clients.items():
        client.publish(f"ward/{name}", payloads[name], qos=1).wait_for_publish(PATIENCE_S)
    got = [arrived.get(timeout=PATIENCE_S) for _ in range(4)]
    for client in clients.values():
        client.disconnect()
        client.loop_stop()
    assert sorted(got) == sorted((name, payload) for name in clients for payload in payloads.values())


def test_the_database_is_durable_and_asks_for_its_password(embedded: Addresses, database: str) -> None:
    with psycopg.connect(database) as connection:
        settings = "synchronous_commit", "full_page_writes", "listen_addresses", "server_encoding"
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in settings]
        assert shown == [("on",), ("on",), ("",), ("UTF8",)]
    assert database != embedded.database
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(embedded.database.split("&passfile=")[0] + "&passfile=/dev/null")


def test_data_and_addresses_stay_and_no_process_does(services: EmbeddedServices, embedded: Addresses) -> None:
    before = children(os.getpid())
    first = services.start()
    with psycopg.connect(first.database) as connection:  # the session's server goes without, for speed
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    assert {first.kafka, first.mqtt5, first.mqtt311}.isdisjoint({embedded.kafka, embedded.mqtt5, embedded.mqtt311})
    started = children(os.getpid()) - before
    assert len(started) == 3
    keep(first.database, 1)
    services.stop()
    assert not [pid for pid in started if runs(pid)]
    assert services.start() == first
    keep(first.database, 2)
    assert kept(first.database) == [1, 2]


def test_secrets_are_readable_by_their_owner_alone(embedded: Addresses) -> None:
    passfile = Path(str(conninfo_to_dict(embedded.database)["passfile"]))
    cluster = passfile.with_name("postgres")
    assert passfile.stat().st_mode & 0o777 == 0o600
    assert cluster.stat().st_mode & 0o777 == 0o700
    assert passfile.read_text().strip().rsplit(":", 1)[1] not in embedded.database
    server = int((cluster / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{server}").stat().st_uid != 0


def test_after_a_kill_children_die_and_the_next_run_goes_on(services: EmbeddedServices, tmp_path: Path) -> None:
    run = [sys.executable, "-c", RUN, str(tmp_path / "data")]
    with subprocess.Popen(run, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        database = parent.stdout.readline().strip()
        keep(database, 1)
        started = children(parent.pid)
        with pytest.raises(VitalwireError, match="another run uses"):
            services.start()
        assert all(runs(pid) for pid in started)
        parent.kill()
    # At once: it must wait for the old server, which is still shutting down.
    assert services.start().database == database
    assert kept(database) == [1]
    assert len(started) == 3
    assert until(lambda: not any(runs(pid) for pid in started))


def test_a_leftover_server_is_ended_but_nobody_else(tmp_path: Path) -> None:
    with ExitStack() as undo:
        server = postgres.prepare(tmp_path, undo, lambda _: None)
        child = server.start()
        undo.callback(child.end)
        assert child.wait_until(server.answers, PATIENCE_S)
        postgres.end_leftover(tmp_path / "postgres")
        assert child.process.wait(PATIENCE_S) == 0
        other = Child(["sleep", "600"], tmp_path / "sleep.log", cwd=tmp_path / "postgres")
        undo.callback(other.end)
        (tmp_path / "postgres" / "postmaster.pid").write_text(f"{other.process.pid}\n")
        postgres.end_leftover(tmp_path / "postgres")
        assert other.alive


def test_check_starts_again_what_died_and_a_grown_broker_empty_on_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = EmbeddedServices(tmp_path)
    with services as addresses:
        producer = Producer({"bootstrap.servers": addresses.kafka, "acks": "all", "enable.idempotence": True})
        admin = AdminClient({"bootstrap.servers": addresses.kafka})
        producer.produce("live.raw", b"x" * 900_000)
        assert producer.flush(PATIENCE_S) == 0
        assert services.check() == []
        before = admin.list_topics(timeout=PATIENCE_S)
        assert "live.raw" in before.topics
        del producer, admin  # whoever asks the new broker for a topic makes it
        monkeypatch.setattr("vitalwire.embedded.services.BROKER_RSS_LIMIT_BYTES", 1 << 20)
        keep(addresses.database, 1)
        server = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        assert until(lambda: not runs(server))
        message = services.check()
        while not services._children["database"].alive:  # its orphans held the shared memory for a moment
            message += services.check()
        assert any("broker: had grown to" in line for line in message)
        after = AdminClient({"bootstrap.servers": addresses.kafka}).list_topics(timeout=PATIENCE_S)
        assert not after.topics
        assert after.cluster_id != before.cluster_id
        assert any("database: had ended by itself" in line and "exit code -9" in line for line in message)
        assert kept(addresses.database) == [1]


def test_a_path_too_long_for_a_socket_and_half_made_files(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 120)
    (data / "postgres.new" / "base").mkdir(parents=True)
    (data / "ports.json").write_text("{")
    services = EmbeddedServices(data)
    with services as addresses:
        keep(addresses.database, 1)
        link = services._server.socket_folder
        assert link.is_symlink()
    assert not link.is_symlink()


def test_what_is_in_the_way_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VitalwireError, match="cannot start in"):
        EmbeddedServices(tmp_path / "file").start()
    with pytest.raises(VitalwireError, match="no-such is not installed with its bin/x"):
        wheel_file("no-such", "no_such_package", "bin/x")


def test_a_cluster_without_its_password_is_refused(services: EmbeddedServices, tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    with pytest.raises(VitalwireError, match=r"database\.pgpass is gone"):
        services.start()


def test_a_port_is_kept_only_while_it_is_free() -> None:
    port = free_port()
    assert port in PORT_RANGE
    assert free_port(port) == port
    with socket.create_server((HOST, port)):
        assert free_port(port) != port
        assert free_port(port - 1, span=2) != port - 1
        assert free_port(port, port + 1) == port + 1
