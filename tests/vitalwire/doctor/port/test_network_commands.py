"""`vitalwire doctor tcp://…` and `mqtt://…` with senders and brokers that are real, or say what they are told to."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.commands import vitalwire
from tests.edge_agent.links.mqtt_scene import CONNACK5, Scripted
from tests.runtime.conftest import Certified
from tests.vitalwire.doctor.port.test_hl7_sender import framed, spoken
from tests.vitalwire.doctor.port.test_mqtt_topics import monitor
from vitalwire.doctor.port import hl7_listener, mqtt_broker
from vitalwire.embedded import Addresses

LIMIT_S = 10.0
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TLS 1.0, which old senders speak


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_listener, "SETTLE_S", 0.3)
    monkeypatch.setattr(mqtt_broker, "ANSWER_S", 1.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connected(port: int) -> socket.socket:
    """To the doctor, as soon as it listens."""
    give_up = time.monotonic() + LIMIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), LIMIT_S)
        except ConnectionRefusedError:
            assert time.monotonic() < give_up
            time.sleep(0.01)


@contextmanager
def sending(port: int, speak: Callable[[socket.socket], object]) -> Iterator[None]:
    """A sender beside the command; its connection stands until the command has ended."""
    over = threading.Event()

    def run() -> None:
        with connected(port) as connection, suppress(OSError):
            held = speak(connection)
            over.wait(LIMIT_S)
            del held

    thread = threading.Thread(target=run)
    thread.start()
    yield
    over.set()
    thread.join()


def listened(speak: Callable[[socket.socket], object], more: str = "", seconds: float = 1.5) -> tuple[int, str]:
    port = free_port()
    with sending(port, speak):
        return vitalwire(f"doctor tcp://127.0.0.1:{port} --seconds {seconds} {more}")


def test_a_sender_that_is_right_is_named_and_its_table_printed() -> None:
    code, text = listened(lambda connection: connection.sendall(framed(spoken("mindray"))), seconds=8.0)
    assert code == 0
    assert "127.0.0.1: " in text
    assert "dialect mindray-pds" in text
    assert 'driver = "hl7_oru"\n[source.link]\ntype = "tcp"\nlisten = "127.0.0.1:' in text
    assert '[source.settings]\ndialect = "mindray-pds"\n' in text


def test_nothing_is_acknowledged() -> None:
    answers: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        connection.sendall(framed(spoken("pcd01")))
        connection.settimeout(1.0)
        with suppress(TimeoutError):
            answers.append(connection.recv(100))

    assert listened(speak)[0] == 0
    assert answers == []


def test_a_sender_that_says_nothing_and_nobody_at_all() -> None:
    code, text = listened(lambda connection: None)
    assert code == 4
    assert "connects and sends nothing" in text
    code, text = vitalwire(f"doctor tcp://127.0.0.1:{free_port()} --seconds 1")
    assert code == 4
    assert text.startswith("Nobody has connected to 127.0.0.1:")


def client(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    return context


def speak_tls(context: ssl.SSLContext, data: bytes) -> Callable[[socket.socket], object]:
    def speak(connection: socket.socket) -> object:
        secured = context.wrap_socket(connection, do_handshake_on_connect=False)
        secured.do_handshake()
        secured.sendall(data)
        return secured

    return speak


def test_a_sender_whose_tls_is_too_old_is_told_with_what_it_offers(ours: Certified) -> None:
    old = speak_tls(client(ssl.TLSVersion.TLSv1), b"")
    code, text = listened(old, f"--tls-cert {ours.cert} --tls-key {ours.key}")
    assert code == 4
    assert "a sender connects, TLS fails: it offers 1.0, and at least 1.2 is needed" in text


def test_a_sender_with_tls_is_read_and_where_there_is_none_that_is_said(ours: Certified) -> None:
    speak = speak_tls(client(), framed(spoken("pcd01")))
    code, text = listened(speak, f"--tls-cert {ours.cert} --tls-key {ours.key} --json", seconds=3.0)
    answer = json.loads(text)
    assert (code, answer["slug"]) == (0, "read")
    assert f'tls_cert = "{ours.cert}"' in answer["source"]
    code, text = listened(speak)
    assert code == 4
    assert "speaks TLS (it offers 1.3), and here is none: give --tls-cert and --tls-key" in text


def test_a_sender_without_tls_where_it_is_needed(ours: Certified) -> None:
    speak = framed(spoken("pcd01"))
    code, text = listened(lambda connection: connection.sendall(speak), f"--tls-cert {ours.cert} --tls-key {ours.key}")
    assert code == 4
    assert "connects without TLS, and here it is needed" in text


def test_places_that_cannot_be_listened_on() -> None:
    plaintext = "plaintext at all addresses can be read on the way: --tls-cert and --tls-key"
    assert plaintext in vitalwire("doctor tcp://:2575 --seconds 1")[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = vitalwire(f"doctor tcp://127.0.0.1:{port} --seconds 1")
    assert code == 3
    assert f"127.0.0.1:{port} cannot be listened on" in text


# --- MQTT -------------------------------------------------------------------------------------------------------------


@contextmanager
def published(embedded: Addresses, topic: str) -> Iterator[None]:
    """A monitor that publishes ten times a second on this topic of the embedded broker."""
    sender = paho.Client(CallbackAPIVersion.VERSION2, f"sender-{secrets.token_hex(6)}", protocol=paho.MQTTv5)
    sender.connect(*embedded.mqtt5)
    sender.loop_start()
    ending = threading.Event()

    def publish() -> None:
        number = 0
        while not ending.wait(0.1):
            sender.publish(topic, monitor(number % 20 + 1)[-1], qos=0)
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    ending.set()
    thread.join()
    sender.disconnect()
    sender.loop_stop()


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_what_a_topic_says_is_read_in_the_broker_s_version(embedded: Addresses, version: str) -> None:
    name = f"doctor/{secrets.token_hex(4)}"
    host, port = embedded.mqtt5 if version == "5.0" else embedded.mqtt311
    with published(embedded, f"{name}/monitor"):
        code, text = vitalwire(f"doctor mqtt://{host}:{port}/{name}/# --seconds 20")
    assert code == 0, text
    assert f"topic {name}/#: 100% of " in text
    assert f'driver = "mqtt_json"\n[source.link]\ntype = "mqtt"\nbroker = "{host}:{port}"\n' in text
    assert f'topics = ["{name}/#"]\nversion = "{version}"\n' in text


def test_a_topic_that_is_not_there_and_those_that_are(embedded: Addresses) -> None:
    name = f"doctor/{secrets.token_hex(4)}"
    host, port = embedded.mqtt5
    with published(embedded, f"{name}/monitor"):
        code, text = vitalwire(f"doctor mqtt://{host}:{port}/no/such/topic --seconds 2")
    assert code == 4
    assert "Connected, no such topic: nothing under no/such/topic in 2 s; these " in text
    assert f"{name}/monitor" in text


def test_a_refused_login_is_said_with_its_remedy(tmp_path: Path) -> None:
    broker = Scripted(*[b"\x20\x03\x00\x86\x00"] * 4)
    code, text = vitalwire(f"doctor mqtt://{broker.place}/ward/# --seconds 5")
    assert code == 3
    assert "refuses the login (Bad user name or password): give --user and --password-file" in text
    broker.close()


def test_a_topic_that_the_broker_lets_nobody_have_is_asked_for_alone() -> None:
    refused_all = CONNACK5 + b"\x90\x04\x00\x01\x00\x87"
    message = b'{"hr": 72}'
    publish = b"\x30" + bytes((2 + 6 + 1 + len(message),)) + b"\x00\x06ward/1\x00" + message
    broker = Scripted(b"", refused_all, CONNACK5 + b"\x90\x04\x00\x01\x00\x00" + publish * 5)
    code, text = vitalwire(f"doctor mqtt://{broker.place}/ward/# --seconds 5")
    broker.close()
    assert code == 0, text
    assert "topic ward/#: 100% of 5 messages read" in text


def test_brokers_that_are_not_there_or_no_brokers(ours: Certified, theirs: Certified) -> None:
    code, text = vitalwire(f"doctor mqtt://127.0.0.1:{free_port()}/ward/#")
    assert (code, "is not reached (Connection refused)" in text) == (3, True)
    assert "needs the CA of the broker: --tls-ca" in vitalwire("doctor mqtts://127.0.0.1/ward/#")[1]
    assert "plaintext at 10.0.0.7 can be read on the way: --tls-ca" in vitalwire("doctor mqtt://10.0.0.7/ward/#")[1]
    assert "is no topic filter" in vitalwire("doctor mqtt://127.0.0.1/ward/#/x")[1]
    with tls_server(ours) as port:
        wrong_ca = vitalwire(f"doctor mqtts://127.0.0.1:{port}/ward/# --tls-ca {theirs.cert}")[1]
        assert "TLS fails, its certificate is not good" in wrong_ca
        assert "speaks TLS: give its CA, --tls-ca" in vitalwire(f"doctor mqtt://127.0.0.1:{port}/ward/#")[1]


@contextmanager
def tls_server(certified: Certified) -> Iterator[int]:
    """A server that shakes hands and says nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certified)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(100)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
