"""The whole wire for tests: an edge agent and the workers as processes of their own, on whatever parts are given."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient

from emr_store import registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from runtime import keys
from schemas.topics import TOPICS
from vitalwire.embedded.services import free_port

START_S = 40.0


def eventually(holds: Callable[[], bool], limit_s: float, what: str) -> None:
    """Ask until it holds; no guess at how long things take."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


def forget_topics(kafka: str) -> None:
    """Delete what an earlier test left: batches of its edges, and its consumers' offsets."""
    admin = AdminClient({"bootstrap.servers": kafka})
    names = [t.name for t in TOPICS if t.name in admin.list_topics(timeout=10).topics]
    for deleted in admin.delete_topics(names).values() if names else ():
        deleted.result(10)
    eventually(lambda: not set(names) & set(admin.list_topics(timeout=10).topics), 20, "topics deleted")


def released(metrics_port: int) -> bool:
    """Whether the agent that has this port for its metrics holds nothing without a receipt."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    gauges = ("vitalwire_spool_waiting_reports ", "vitalwire_spool_unreceipted_bytes ")
    return all(float(line.split()[1]) == 0 for line in lines if line.startswith(gauges))


class Wire:
    """Programs started, and ended with the block. `sources` is the TOML of the edge's sources.

    `broker` is the TOML by which the programs reach the broker, where that is not plain `kafka`.
    """

    def __init__(
        self, folder: Path, kafka: str, database: str, sources: str, limits: str = "", broker: str = ""
    ) -> None:
        self.folder, self.kafka, self.database = folder, kafka, database
        self.mllp, self.metrics = free_port(), free_port()
        self.edge_id = uuid.uuid4()
        keys.generate(folder / "platform.key", demo=True)
        edge = keys.generate(folder / "edge.key", demo=True)
        forget_topics(kafka)
        migrate(database)
        with open_store(database) as conn:
            registry.add_edge(conn, self.edge_id, "test", edge.public_der)
        reach = broker or f'kafka = "{kafka}"\n'
        common = f"{reach}demo = true\n"
        (folder / "processors.toml").write_text(
            f'{common}database = "{database}"\nkey_file = "platform.key"\nmetrics_port = 0\n{limits}', "utf-8"
        )
        (folder / "edge.toml").write_text(
            f'{common}edge = "{self.edge_id}"\nkey_file = "edge.key"\nplatform_key_file = "platform.pub"\n'
            f'spool = "spool"\n'
            f"metrics_port = {self.metrics}\n{sources.format(mllp=self.mllp, folder=folder)}",
            "utf-8",
        )
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start("processors")
        self.start("edge")
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.stop(name)

    def start(self, name: str) -> None:
        """`edge` or `processors`."""
        command = [sys.executable, "-m", "vitalwire", name, "run", "--config", str(self.folder / f"{name}.toml")]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        if name == "edge":
            eventually(self._listens, START_S, "the edge listens")

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        process.send_signal(how)
        process.wait(30)

    def _listens(self) -> bool:
        assert self.running["edge"].poll() is None, (self.folder / "edge.log").read_text()[-2000:]
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/healthz", timeout=1).close()
            if f"127.0.0.1:{self.mllp}" in (self.folder / "edge.toml").read_text():
                socket.create_connection(("127.0.0.1", self.mllp), 1).close()
        except OSError:
            return False
        return True

    def released(self) -> bool:
        """Whether the edge holds nothing without a receipt."""
        return released(self.metrics)

    def rows(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        with open_store(self.database) as conn:
            return conn.execute(sql.encode(), parameters).fetchall()


class MllpSender:
    """A plain sender: one message, one answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._buffer = b""

    def send(self, payload: bytes) -> None:
        self._socket.sendall(b"\x0b" + payload + b"\x1c\r")

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, limit_s: float = 10) -> bytes:
        self._socket.settimeout(limit_s)
        while b"\x1c\r" not in self._buffer:
            data = self._socket.recv(65536)
            assert data, "the connection was closed"
            self._buffer += data
        frame, self._buffer = self._buffer.split(b"\x1c\r", 1)
        return frame.lstrip(b"\x0b")

    def ask(self, payload: bytes) -> bytes:
        self.send(payload)
        return self.answer()

    def close(self) -> None:
        self._socket.close()
