"""F47: one bad source of each kind among many: no neighbour is later by more than 0.1 s."""

from __future__ import annotations

import itertools
import json
import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from schemas.report import device_id
from tests.faults import ward
from tests.faults.conftest import by_length
from tests.faults.oracles import Outcome, events, settle, until
from tests.faults.senders import MllpSender, mqtt_client
from vitalwire.embedded.services import free_port

DEAD = 16  # terminal servers
LATER_MAX_S = 0.1
MEASURE_S = by_length(6, quick=3)
LARGE_BYTES = 33 * 1024 * 1024

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def _sources(in_use: int, mute: int, closed: int, flooded: int, mqtt: str, folder: Path, topic: str) -> str:
    """TOML of a bad source of each kind, and of one that will be flooded."""
    username, password = os.environ["VITALWIRE_MQTT_USERNAME"], os.environ["VITALWIRE_MQTT_PASSWORD_FILE"]
    serial = 'driver = "nonin_ascii"\nlink.type = "serial"\n'
    tcp = 'driver = "hl7_oru"\ntime_zone = "UTC"\nlink.type = "tcp"\n'
    dead = [f'{serial}link.port = "socket://127.0.0.1:{mute if n % 2 else closed}"\n' for n in range(DEAD)]
    bad = [
        *dead,
        f'{serial}link.port = "{folder}/no-such-port"\n',
        f'{tcp}link.listen = "127.0.0.1:{in_use}"\n',
        f'{tcp}link.listen = "127.0.0.1:{free_port()}"\nlink.tls_cert = "none.crt"\nlink.tls_key = "none.key"\n',
        f'{tcp}link.dial = "127.0.0.1:{closed}"\n',
        f'driver = "mqtt_json"\ntime_zone = "UTC"\nlink.type = "mqtt"\nlink.broker = "127.0.0.1:{closed}"\n',
        f'{tcp}link.listen = "127.0.0.1:{flooded}"\nsettings.device = "PV1-3"\n',
        f'driver = "mqtt_json"\ntime_zone = "UTC"\nlink.type = "mqtt"\nlink.broker = "{mqtt}"\n'
        f'link.topics = ["{topic}/#"]\nlink.username = "{username}"\nlink.password_file = "{password}"\n',
    ]
    return "".join(f'[[source]]\nname = "bad {n}"\n{each}' for n, each in enumerate(bad))


@contextmanager
def _flooding(port: int) -> Iterator[None]:
    """A sender that writes as fast as it can and reads no answers."""
    ending = Event()

    def flood() -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as line:
            line.settimeout(0.5)
            for number in itertools.count():
                if ending.is_set():
                    return
                message = (
                    f"MSH|^~\\&|MON|ICU|||20260501101500.{number % 10000:04d}+0000||ORU^R01|F{number}|P|2.5.1\r"
                    f"PV1|1|I|ICU^^99\rOBR|1\rOBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|%|||||F\r"
                )
                with suppress(TimeoutError):
                    line.sendall(b"\x0b" + message.encode() + b"\x1c\r")

    thread = Thread(target=flood, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(10)


def _send_large(mllp_port: int, topic: str) -> None:
    """33 MB without an end block over MLLP, and as one MQTT message."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", mllp_port), 5) as line:
        line.settimeout(20)
        line.sendall(b"\x0bMSH|" + b"x" * LARGE_BYTES)
    host, _, port = os.environ["VITALWIRE_MQTT"].rpartition(":")
    client = mqtt_client(
        os.environ["VITALWIRE_MQTT_USERNAME"], Path(os.environ["VITALWIRE_MQTT_PASSWORD_FILE"]).read_text().strip()
    )
    client.connect(host, int(port))
    client.loop_start()
    client.publish(topic, json.dumps({"hr": "x" * LARGE_BYTES}).encode(), qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def _typical_s(senders: list[MllpSender], seconds: float) -> float:
    """What 95 of 100 acknowledgements take at the most, over the next seconds."""
    before = [len(sender.took_s) for sender in senders]
    time.sleep(seconds)
    took = [t for sender, n in zip(senders, before, strict=True) for t in sender.took_s[n:]]
    assert took
    return statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]


def test_f47_bad_sources_among_many(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Dead terminal servers, a port in use, a certificate that is none, a flood, messages of 33 MB."""
    topic, flooded, closed = f"large-{tmp_path.name}", free_port(), free_port()
    with ExitStack() as at_end:
        taken = at_end.enter_context(socket.create_server(("127.0.0.1", 0)))
        mute = at_end.enter_context(socket.create_server(("127.0.0.1", 0)))  # accepts, and never says a word
        ports = taken.getsockname()[1], mute.getsockname()[1], closed, flooded
        sources = _sources(*ports, os.environ["VITALWIRE_MQTT"], tmp_path, topic)
        with ward.running(tmp_path, kafka, database, more_sources=sources) as (system, senders):
            honest = [s for s in senders if isinstance(s, MllpSender)]
            idle_s = _typical_s(honest, MEASURE_S)
            with _flooding(flooded):
                _send_large(flooded, topic)
                flooded_s = _typical_s(honest, MEASURE_S)
            outcome.answered_s = max(idle_s, flooded_s)
            # All that an answer takes is less than what it may be later by.
            assert outcome.answered_s < LATER_MAX_S, f"beside bad ones {idle_s:.3f} s, beside a flood {flooded_s:.3f} s"
            until(lambda: events(system, "source-trouble") >= DEAD // 2 + 5, 20, "each bad source is told")
            settle(system, senders, outcome, uncounted=[device_id(f"bad {DEAD + 5}/PV1-3=ICU^^99")])
