"""Senders for the edge's benchmarks: cheap enough that what is measured is the agent.

What they send is made before the clock starts; each frame has a moment of its own, so that none is a repeat.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulators.nonin import PACKETS_A_SECOND, df2_packet
from simulators.patient import Patient

VALUES = 12
BEGIN = datetime(2026, 5, 1, 10, 15, tzinfo=UTC)
# Twelve metrics of a monitor: MDC code and reference id, unit, value
METRICS = (
    ("147842^MDC_ECG_HEART_RATE", "264864^MDC_DIM_BEAT_PER_MIN", "72"),
    ("148066^MDC_ECG_V_P_C_RATE", "264864^MDC_DIM_BEAT_PER_MIN", "0"),
    ("150456^MDC_PULS_OXIM_SAT_O2", "262688^MDC_DIM_PERCENT", "95"),
    ("149530^MDC_PULS_OXIM_PULS_RATE", "264864^MDC_DIM_BEAT_PER_MIN", "71"),
    ("151562^MDC_RESP_RATE", "264928^MDC_DIM_RESP_PER_MIN", "14"),
    ("150344^MDC_TEMP", "268192^MDC_DIM_DEGC", "36.9"),
    ("150037^MDC_PRESS_BLD_ART_ABP_SYS", "266016^MDC_DIM_MMHG", "121"),
    ("150038^MDC_PRESS_BLD_ART_ABP_DIA", "266016^MDC_DIM_MMHG", "78"),
    ("150039^MDC_PRESS_BLD_ART_ABP_MEAN", "266016^MDC_DIM_MMHG", "92"),
    ("150087^MDC_PRESS_BLD_VEN_CENT_MEAN", "266016^MDC_DIM_MMHG", "8"),
    ("151708^MDC_CONC_AWAY_CO2_ET", "266016^MDC_DIM_MMHG", "37"),
    ("131842^MDC_ECG_AMPL_ST_II", "266418^MDC_DIM_MILLI_VOLT", "0.1"),
)
JSON_PATHS = tuple(name.partition("^")[2].removeprefix("MDC_").lower() for name, _, _ in METRICS)
MAPPING = "".join(
    f'[[mapping]]\nsender = "mqtt"\ncode = "{path}"\nmetric = "{name.partition("^")[2]}"\n'
    f'unit = "{unit.partition("^")[2]}"\n'
    for path, (name, unit, _) in zip(JSON_PATHS, METRICS, strict=True)
)
WAVE_HZ, WAVE_CHANNELS = 250, 3
_WAVES = ("131330^MDC_ECG_ELEC_POTL_II", "150452^MDC_PULS_OXIM_PLETH", "151780^MDC_IMPED_TTHOR")


def json_payload(number: int) -> bytes:
    """The `number`-th payload of a device: a second after the one before."""
    at = BEGIN + timedelta(seconds=number)
    values = {
        path: float(sent) + number % 5 if "." in sent else int(sent) + number % 5
        for path, (_, _, sent) in zip(JSON_PATHS, METRICS, strict=True)
    }
    return json.dumps({"ts": at.isoformat(), **values}).encode()


def hl7_message(bed: int, number: int, at: datetime | None = None) -> bytes:
    """The `number`-th message of a bed: 12 OBX, as IHE PCD-01 writes them."""
    when = f"{at or BEGIN + timedelta(seconds=number):%Y%m%d%H%M%S}.{number % 10000:04d}+0000"
    head = [
        rf"MSH|^~\&|MON^{bed:016X}^EUI-64|ICU|VW|H|{when}||ORU^R01^ORU_R01|{bed}-{number}|P|2.6|||AL|NE",
        f"PID|||{1000 + bed}^^^HOSPITAL^MR",
        f"PV1||I|ICU^^{bed}",
        f"OBR|1|||182777000^monitoring of patient^SCT|||{when}",
    ]
    body = [
        f"OBX|{n}|NM|{name}^MDC|1.1.1.{n}|{float(sent) + number % 5:g}|{unit}^MDC|||||R"
        for n, (name, unit, sent) in enumerate(METRICS, 1)
    ]
    return b"\x0b" + "\r".join([*head, *body]).encode() + b"\x1c\r"


def wave_message(bed: int, number: int) -> bytes:
    """A second of three waves at 250 Hz, as OBX of type NA with their facets (IHE PCD, Waveform Content Module)."""
    when = f"{BEGIN + timedelta(seconds=number):%Y%m%d%H%M%S}.{bed % 10000:04d}+0000"
    lines = [
        rf"MSH|^~\&|MON^{bed:016X}^EUI-64|ICU|VW|H|{when}||ORU^R01^ORU_R01|{bed}-{number}|P|2.6|||AL|NE",
        f"PV1||I|ICU^^{bed}",
        f"OBR|1|||69121^MDC_OBS_WAVE_CTS^MDC|||{when}",
    ]
    for channel, name in enumerate(_WAVES, 1):
        samples = "^".join(str((n * 37 + number + channel) % 4096) for n in range(WAVE_HZ))
        path = f"1.1.{channel}.1"
        lines += [
            f"OBX|{3 * channel}|NA|{name}^MDC|{path}|{samples}|262656^MDC_DIM_DIMLESS^MDC|||||R",
            f"OBX|{3 * channel + 1}|NM|0^MDC_ATTR_SAMP_RATE^MDC|{path}.1|{WAVE_HZ}|264608^MDC_DIM_PER_SEC^MDC|||||R",
        ]
    return b"\x0b" + "\r".join(lines).encode() + b"\x1c\r"


@dataclass
class Answers:
    """What came back: how many, and how long each took in seconds."""

    count: int = 0
    took_s: list[float] = field(default_factory=list)


class MllpLoad(Thread):
    """Many senders on one thread, each waiting for its answer before it sends the next.

    `each_s` is the pause between two of a sender, 0: as fast as the answers come.
    """

    def __init__(self, port: int, frames: Sequence[Sequence[bytes]], each_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.answers = Answers()
        self._port, self._frames, self._each_s = port, frames, each_s
        self.failed = ""

    def run(self) -> None:
        """Send all frames of all senders."""
        selector = selectors.DefaultSelector()
        talks = [_Talk(self._port, frames) for frames in self._frames]
        begin = time.perf_counter()
        for number, talk in enumerate(talks):
            selector.register(talk.socket, selectors.EVENT_READ, talk)
            talk.due_s = begin + self._each_s * number / len(talks)
        open_talks = set(talks)
        while open_talks:
            now = time.perf_counter()
            for talk in [t for t in open_talks if t.due_s and t.due_s <= now] if self._each_s else ():
                talk.send(now)
            if not self._each_s:
                for talk in [t for t in open_talks if not t.sent]:
                    talk.send(now)
            for key, _ in selector.select(0.005 if self._each_s else 5.0):
                talk = key.data
                came = time.perf_counter()
                if not talk.answered():
                    continue
                self.answers.count += 1
                self.answers.took_s.append(came - talk.sent_s)
                if talk.done:
                    selector.unregister(talk.socket)
                    talk.socket.close()
                    open_talks.discard(talk)
                elif self._each_s:
                    talk.due_s = max(came, talk.sent_s + self._each_s)
                else:
                    talk.send(came)


class _Talk:
    """One sender."""

    def __init__(self, port: int, frames: Sequence[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frames, self.sent, self.sent_s, self.due_s, self._came = frames, 0, 0.0, 0.0, b""

    @property
    def done(self) -> bool:
        return self.sent == len(self._frames)

    def send(self, now_s: float) -> None:
        self.socket.sendall(self._frames[self.sent])
        self.sent, self.sent_s, self.due_s = self.sent + 1, now_s, 0.0

    def answered(self) -> bool:
        data = self.socket.recv(4096)
        if not data:
            raise ConnectionError("the agent closed a connection")
        self._came += data
        if not self._came.endswith(b"\x1c\r"):
            return False
        if b"MSA|CA" not in self._came and b"MSA|AA" not in self._came:
            raise ConnectionError(f"refused: {self._came[:300]!r}")
        self._came = b""
        return True


class PtyLoad(Thread):
    """Oximeters on serial ports: a line a second each, until `stop`."""

    def __init__(self, count: int) -> None:
        super().__init__(daemon=True)
        pairs = [os.openpty() for _ in range(count)]
        self._ours = [ours for ours, _ in pairs]
        self._theirs = [theirs for _, theirs in pairs]
        for theirs in self._theirs:
            tty.setraw(theirs)
        self.paths = [os.ttyname(theirs) for theirs in self._theirs]
        self._ending = Event()

    def run(self) -> None:
        """Write in turns, so that the ports are spread over the second."""
        pause_s = 1 / len(self._ours)
        number = 0
        while not self._ending.wait(pause_s):
            os.write(self._ours[number % len(self._ours)], b"SPO2= 97 HR= 71\r\n")
            number += 1

    def stop(self) -> None:
        """End the thread and close the ports."""
        self._ending.set()
        self.join(5)
        for end in (*self._ours, *self._theirs):
            os.close(end)


class PlethLoad(PtyLoad):
    """Oximeters that send their pleth: 75 frames a second each in packets of 25, until `stop`."""

    def run(self) -> None:
        """Packets were made before: what is measured shares the machine."""
        patients = [Patient(seed) for seed in range(len(self._ours))]
        packets = [[df2_packet(patient, number) for number in range(30 * PACKETS_A_SECOND)] for patient in patients]
        number = 0
        while not self._ending.wait(1 / PACKETS_A_SECOND):
            for ours, made in zip(self._ours, packets, strict=True):
                os.write(ours, made[number % len(made)])
            number += 1


def mqtt_client(client_id: str, username: str, password: str, *, lasting: bool) -> paho.Client:
    """A client of the load's broker; `lasting`: its session outlives the connection, and it acknowledges by hand."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, clean_session=not lasting, protocol=paho.MQTTv311, manual_ack=lasting
    )
    client.username_pw_set(username, password)
    client.max_inflight_messages_set(5000)
    client.max_queued_messages_set(0)
    return client


def publish(client: paho.Client, address: tuple[str, int], messages: Iterator[tuple[str, bytes]]) -> int:
    """Publish at QoS 1 and wait until the broker has them all; how many."""
    client.connect(*address)
    client.loop_start()
    last: list[paho.MQTTMessageInfo] = []
    count = 0
    for topic, payload in messages:
        last.append(client.publish(topic, payload, qos=1))
        count += 1
        if len(last) > 4000:  # bounds what waits in this process
            last.pop(0).wait_for_publish(60)
    for info in last:
        info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    return count


def paced(count_a_second: int, seconds: float, work: Callable[[int], None]) -> None:
    """Call `work` with a running number at an even pace."""
    begin, number = time.perf_counter(), 0
    while number < count_a_second * seconds:
        due = int((time.perf_counter() - begin) * count_a_second)
        for _ in range(min(due, int(count_a_second * seconds)) - number):
            work(number)
            number += 1
        time.sleep(0.002)
