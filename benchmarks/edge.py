"""The edge agent on the real parts: messages from sockets to committed rows, answers, CPU and memory of the agent.

The agent is the program that hospitals run, in a process of its own; Kafka, the processors, TimescaleDB, mosquitto and
the senders share the machine with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import paho.mqtt.client as paho

from benchmarks import load
from benchmarks.pipeline import Bench
from emr_store import registry
from emr_store.connect import open_store
from runtime import keys
from vitalwire.embedded.services import free_port

LIMIT_S = 300.0
SENDERS = 100
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PROBE_BYTES = 8192

_HEAD = """
edge = "{edge}"
key_file = "edge.key"
platform_key_file = "platform.pub"
kafka = "{kafka}"
mapping = "site.toml"
metrics_port = {metrics}
"""
_MLLP = """
[[source]]
name = "mllp"
driver = "hl7_oru"
time_zone = "UTC"
link = {{ type = "tcp", listen = "127.0.0.1:{mllp}", connections_max = 2000, connections_per_address_max = 2000 }}
settings = {{ device = "PV1-3" }}
"""
_MQTT = """
[[source]]
name = "mqtt"
driver = "mqtt_json"
time_zone = "UTC"
[source.link]
type = "mqtt"
broker = "{broker}"
topics = ["{topic}/#"]
username = "{username}"
password_file = "{file}"
"""
_PLETH = """
[[source]]
name = "pleth-{number}"
driver = "nonin_df2"
link = {{ type = "serial", port = "{port}" }}
settings = {{ device = "bench:nonin:pleth-{number}" }}
"""
_SERIAL = """
[[source]]
name = "serial-{number}"
driver = "nonin_ascii"
link = {{ type = "serial", port = "{port}" }}
settings = {{ device = "bench:nonin:{number}" }}
"""


class EdgeBench:
    """An agent with an MLLP and an MQTT source (and serial ones), on a bench's database and workers.

    With `pleth_ports` it has no MQTT source: monitors and oximeters of a few beds.
    """

    def __init__(
        self, bench: Bench, folder: Path, serial_ports: tuple[str, ...] = (), pleth_ports: tuple[str, ...] = ()
    ) -> None:
        self._bench, self.folder = bench, folder
        self._agent: subprocess.Popen[bytes] | None = None
        self.mllp, self.metrics = free_port(), free_port()
        self.topic = f"bench-{uuid.uuid4().hex[:8]}"
        edge, key = uuid.uuid4(), keys.generate(folder / "edge.key")
        (folder / "platform.pub").write_bytes((bench.folder / "platform.pub").read_bytes())
        (folder / "site.toml").write_text(load.MAPPING)
        with open_store(bench.database) as conn:
            registry.add_edge(conn, edge, "bench edge", key.public_der)
        sources = [_HEAD.format(edge=edge, kafka=bench.kafka, metrics=self.metrics), _MLLP.format(mllp=self.mllp)]
        if not pleth_ports:
            sources.append(self._mqtt_source())
        sources += [_PLETH.format(number=n, port=port) for n, port in enumerate(pleth_ports)]
        sources += [_SERIAL.format(number=n, port=port) for n, port in enumerate(serial_ports)]
        (folder / "edge.toml").write_text("".join(sources))

    def _mqtt_source(self) -> str:
        self.broker = os.environ["VITALWIRE_MQTT"]
        self.username = os.environ["VITALWIRE_MQTT_USERNAME"]
        password_file = Path(os.environ["VITALWIRE_MQTT_PASSWORD_FILE"])
        self.password = password_file.read_text().strip()
        return _MQTT.format(broker=self.broker, topic=self.topic, username=self.username, file=password_file)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The agent up and listening; ended with the block."""
        command = [sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(self.folder / "edge.toml")]
        with (self.folder / "edge.log").open("ab") as log:
            self._agent = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(self._answers, "the agent listens", 30)
            yield
        finally:
            self._agent.send_signal(signal.SIGTERM)
            self._agent.wait(30)

    def _answers(self) -> bool:
        assert self._agent is not None
        if self._agent.poll() is not None:
            raise RuntimeError((self.folder / "edge.log").read_text()[-2000:])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/healthz", timeout=1).close()
        except OSError:
            return False
        return True

    def cpu_s(self) -> float:
        """Seconds of CPU that the agent has used, all threads."""
        assert self._agent is not None
        fields = Path(f"/proc/{self._agent.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def rss_mb(self) -> float:
        """Memory of the agent that is resident now."""
        assert self._agent is not None
        pages = int(Path(f"/proc/{self._agent.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def frames(self, source: str) -> int:
        """Frames of a source that the agent has kept or refused, by its own count."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        own = [line for line in lines if line.startswith("vitalwire_frames_total{") and f'source="{source}"' in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in own)

    def accepted(self) -> int:
        """Values of committed reports that were accepted."""
        return self._count("SELECT coalesce(sum(accepted), 0)::int8 FROM ledger")

    def waves(self) -> int:
        """Committed stretches of waves."""
        return self._count("SELECT count(*) FROM waveform")

    def _count(self, sql: str) -> int:
        with open_store(self._bench.database) as conn:
            row = conn.execute(sql.encode()).fetchone()
        return int(row[0]) if row else 0


def until(holds: Callable[[], bool], what: str, limit_s: float = LIMIT_S, every_s: float = 0.02) -> None:
    """Ask until it holds. Raises TimeoutError."""
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(every_s)


def mqtt(edge: EdgeBench, count: int) -> dict[str, float]:
    """Waiting messages to rows, beside bare paho that acknowledges by hand and counts; same broker, same run."""
    host, _, port = edge.broker.rpartition(":")
    address = (host, int(port))
    with edge.running():  # its session begins; what is published after waits for it
        until(lambda: _subscribed(edge), "the agent has subscribed", 30)
    bare = _BareClient(edge, address)
    devices = 200
    messages = ((f"{edge.topic}/{n % devices}", load.json_payload(n // devices)) for n in range(count))
    load.publish(load.mqtt_client("bench-sender", edge.username, edge.password, lasting=False), address, messages)
    bare_s = bare.take(count)
    before = edge.accepted()
    with edge.running():
        until(lambda: edge.frames("mqtt") > 0, "the first messages", 60)
        began, cpu_s, first = time.perf_counter(), edge.cpu_s(), edge.frames("mqtt")
        until(lambda: edge.accepted() >= before + count * load.VALUES, "all rows")
        spent_s = time.perf_counter() - began
        cpu_s = edge.cpu_s() - cpu_s
    measured = max(1, count - first)
    return {
        "edge_mqtt_messages_per_s": measured / spent_s,
        "edge_mqtt_to_bare_paho_ratio": measured / spent_s / (count / bare_s),
        "edge_cpu_us_per_mqtt_message": cpu_s / measured * 1e6,
    }


def _subscribed(edge: EdgeBench) -> bool:
    return "connected" in (edge.folder / "edge.log").read_text()


def listens(edge: EdgeBench) -> bool:
    """Whether its MLLP port takes connections: some moments after it answers."""
    try:
        socket.create_connection(("127.0.0.1", edge.mllp), 1).close()
    except OSError:
        return False
    return True


class _BareClient:
    """paho alone, with a session that waits while it is away."""

    def __init__(self, edge: EdgeBench, address: tuple[str, int]) -> None:
        self._address, self._edge = address, edge
        self._client = load.mqtt_client(f"bare-{uuid.uuid4().hex[:10]}", edge.username, edge.password, lasting=True)
        subscribed = Event()

        def on_connect(client: paho.Client, *_: object) -> None:
            client.subscribe(f"{edge.topic}/#", 1)

        self._client.on_connect = on_connect
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(*address)
        self._client.loop_start()
        if not subscribed.wait(10):
            raise TimeoutError("the broker does not answer")
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, count: int) -> float:
        """Seconds from the first waiting message to the last."""
        came, done = [0, 0.0], Event()

        def on_message(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
            came[0] += 1
            if came[0] == 1:
                came[1] = time.perf_counter()
            client.ack(message.mid, message.qos)
            if came[0] == count:
                done.set()

        self._client.on_message = on_message
        self._client.connect(*self._address)
        self._client.loop_start()
        if not done.wait(LIMIT_S):
            raise TimeoutError(f"bare paho had {came[0]} of {count}")
        spent_s = time.perf_counter() - came[1]
        # Else the broker keeps what comes later for nobody, and writes it all to disk each second.
        self._client.unsubscribe(f"{self._edge.topic}/#")
        self._client.disconnect()
        self._client.loop_stop()
        return spent_s


def mllp(edge: EdgeBench, each: int, paced_s: float) -> dict[str, float]:
    """Senders that wait for their answers: as fast as it goes, and at 1,000 messages a second."""
    with edge.running():
        warm = load.MllpLoad(edge.mllp, [[load.hl7_message(bed, n) for n in range(10)] for bed in range(SENDERS)])
        _finished(warm)
        frames = [[load.hl7_message(bed, 100 + n) for n in range(each)] for bed in range(SENDERS)]
        fast = load.MllpLoad(edge.mllp, frames)
        until(lambda: edge.accepted() >= warm.answers.count * load.VALUES, "the first rows")
        before, cpu_s, began = edge.accepted(), edge.cpu_s(), time.perf_counter()
        _finished(fast)
        spent_s, count = time.perf_counter() - began, fast.answers.count
        until(lambda: edge.accepted() >= before + count * load.VALUES, "all rows")
        cpu_s = edge.cpu_s() - cpu_s
        slow_frames = [[load.hl7_message(bed, 100_000 + n) for n in range(int(paced_s * 10))] for bed in range(SENDERS)]
        slow = load.MllpLoad(edge.mllp, slow_frames, each_s=SENDERS / 1000)
        beside = _DiskProbe(edge.folder)
        _finished(slow)
        fdatasync_p99_ms = beside.p99_ms()
    took_ms = sorted(took * 1000 for took in slow.answers.took_s)
    return {
        "edge_mllp_messages_per_s": count / spent_s,
        "edge_cpu_us_per_hl7_message": cpu_s / count * 1e6,
        "edge_mllp_ack_p99_ms": took_ms[int(len(took_ms) * 0.99)],
        "fdatasync_p99_ms": fdatasync_p99_ms,
    }


def _finished(thread: load.MllpLoad) -> None:
    thread.start()
    thread.join(LIMIT_S)
    if thread.is_alive() or not thread.answers.count:
        raise TimeoutError("the senders have not ended")


class _DiskProbe(Thread):
    """A bare fdatasync of as many bytes as the spool writes for a group of messages, on the same disk, meanwhile."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._ending, self._took_ms = folder, Event(), list[float]()
        self.start()

    def run(self) -> None:
        """Ten times a second until the end."""
        data = os.urandom(PROBE_BYTES)
        with (self._folder / "fdatasync").open("wb", buffering=0) as file:
            while not self._ending.wait(0.1):
                file.write(data)
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                self._took_ms.append((time.perf_counter() - began) * 1000)

    def p99_ms(self) -> float:
        """End it; what 99 of 100 took at the most."""
        self._ending.set()
        self.join(5)
        return sorted(self._took_ms)[int(len(self._took_ms) * 0.99)]


def waves(edge: EdgeBench, each: int) -> dict[str, float]:
    """Samples a second from the sockets to rows: three waves at 250 Hz, a second a message."""
    with edge.running():
        before = edge.waves()
        frames = [[load.wave_message(bed, n) for n in range(each)] for bed in range(SENDERS)]
        sending = load.MllpLoad(edge.mllp, frames)
        began = time.perf_counter()
        _finished(sending)
        count = sending.answers.count * load.WAVE_CHANNELS
        until(lambda: edge.waves() >= before + count, "all stretches")
        spent_s = time.perf_counter() - began
    return {"edge_wave_samples_per_s": count * load.WAVE_HZ / spent_s}


def thousand(bench: Bench, folder: Path, seconds: float) -> dict[str, float]:
    """1,000 devices at 1 Hz: 64 serial ports, the rest in halves by MLLP and MQTT."""
    ports = load.PtyLoad(64)
    edge = EdgeBench(bench, folder, tuple(ports.paths))
    host, _, port = edge.broker.rpartition(":")
    count = int(seconds) + 5
    frames = [[load.hl7_message(bed, n) for n in range(count)] for bed in range(468)]
    sender = load.mqtt_client("bench-thousand", edge.username, edge.password, lasting=False)
    sender.connect(host, int(port))
    sender.loop_start()
    with edge.running():
        until(lambda: _subscribed(edge) and listens(edge), "the agent has subscribed, and listens", 30)
        ports.start()
        monitors = load.MllpLoad(edge.mllp, frames, each_s=1.0)
        monitors.start()

        def send(number: int) -> None:
            sender.publish(f"{edge.topic}/{number % 468}", load.json_payload(number // 468), qos=1)

        load.paced(468, 5, send)  # introductions are not what is measured
        cpu_s, began = edge.cpu_s(), time.perf_counter()
        load.paced(468, seconds, lambda number: send(number + 5 * 468))
        core = (edge.cpu_s() - cpu_s) / (time.perf_counter() - began)
        rss_mb = edge.rss_mb()
        monitors.join(30)
        ports.stop()
        if monitors.answers.count < 468 * seconds / 2:
            raise RuntimeError(f"the monitors had {monitors.answers.count} answers: nothing of this counts")
    sender.disconnect()
    sender.loop_stop()
    return {"edge_core_fraction_1000": core, "edge_rss_mb_1000": rss_mb}


def ten(bench: Bench, folder: Path, seconds: float) -> dict[str, float]:
    """A usual box: eight monitors by MLLP, a message a second each; two oximeters with pleth on serial ports."""
    oximeters = load.PlethLoad(2)
    edge = EdgeBench(bench, folder, pleth_ports=tuple(oximeters.paths))
    frames = [[load.hl7_message(bed, n) for n in range(int(seconds) + 5)] for bed in range(8)]
    with edge.running():
        until(lambda: listens(edge), "the agent listens", 30)
        oximeters.start()
        monitors = load.MllpLoad(edge.mllp, frames, each_s=1.0)
        monitors.start()
        until(lambda: edge.waves() > 0, "the first pleth is stored", 60)  # introductions are not what is measured
        cpu_s, began, waves_before = edge.cpu_s(), time.perf_counter(), edge.waves()
        time.sleep(seconds)
        core = (edge.cpu_s() - cpu_s) / (time.perf_counter() - began)
        rss_mb, stretches = edge.rss_mb(), edge.waves() - waves_before
        monitors.join(30)
        oximeters.stop()
        if monitors.answers.count < 8 * seconds or stretches < seconds:
            raise RuntimeError(f"{monitors.answers.count} answers, {stretches} stretches: nothing of this counts")
    return {"edge_core_fraction_10": core, "edge_rss_mb_10": rss_mb}


def measure(quick: bool) -> dict[str, float]:
    """The edge's figures."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("hospital", "edge", "thousand", "ten"):
            (folder / part).mkdir()
        bench = Bench(folder / "hospital")
        with bench.running():
            edge = EdgeBench(bench, folder / "edge")
            figures |= mllp(edge, 30 if quick else 300, 5 if quick else 20)
            figures |= mqtt(edge, 6_000 if quick else 60_000)
            figures |= waves(edge, 10 if quick else 60)
            figures |= ten(bench, folder / "ten", 10 if quick else 60)
            figures |= thousand(bench, folder / "thousand", 10 if quick else 60)
    return figures
