"""Why nothing arrives: the verdicts as a table, and each transport watched at a real socket."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import socket
import subprocess
import sys
import termios
import threading
import tty
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.mllp import wrap
from edge_agent.config import Link, MqttLink, SerialLink, SourceConfig, TcpLink
from edge_agent.holders import holder_of
from edge_agent.links.serial import trouble
from edge_agent.sources import plan_source
from edge_agent.watch import SourceObservation, Watcher, diagnosis, in_words, watch
from schemas.report import AsSent, Record, Validity
from tests.edge_agent.links.mqtt_scene import CONNACK, Scripted
from tests.edge_agent.links.scene import LIMIT_S
from vitalwire.embedded import Addresses
from vitalwire.embedded.services import free_port

LINE = b"SPO2=097 HR=072\r\n"
ORU = (
    b"MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|7|P|2.6\rPID|||1\rOBR|1||||||20261124101500+0000\r"
    b"OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|262688^MDC_DIM_PERCENT^MDC|||||F\r"
)


def observed(transport: str, **seen: Any) -> SourceObservation:
    is_mllp = transport == "tcp"
    return SourceObservation("bed", transport, "the port", 30.0, **({"opened": True, "is_mllp": is_mllp} | seen))


TALK: dict[str, Any] = {"connections": 1, "bytes": 9, "head": "0b 4d 53 48"}
GOOD: dict[str, Any] = {"bytes": 500, "silent_s": 1.0, "frames": 30, "values": 60, "readings": 60, "coded": 60}
HEARD = GOOD | {"connections": 1}
UNREGISTERED = {"last_stored": "3 s", "unregistered": "demo:nonin:1"}
CASES: list[tuple[str, SourceObservation, str, str]] = [
    ("a silent cable", observed("serial"), "no-bytes", "port opens, 0 bytes in 30 s: cable or null-modem"),
    ("checksums", observed("serial", bytes=9, bad=Counter(checksum=3)), "checksum", "fail: baud rate or parity"),
    ("noise", observed("serial", bytes=9, bad=Counter(framing=3)), "no-frame", "no whole frame in 30 s: baud"),
    ("a trickle", observed("serial", bytes=9), "no-frame", "no whole frame"),
    ("not there", observed("serial", opened=False, trouble="x does not exist: plug it in"), "not-open", "plug it in"),
    ("ours", observed("serial", held_by="the running agent (pid 7)"), "held", "agent (pid 7) holds the port"),
    ("ours, no store", observed("serial", held_by="the agent", why_not_stored="no database answers"), "held",
     "holds the port: no database answers"),
    ("nobody", observed("tcp"), "nobody", "nobody has connected"),
    ("mute", observed("tcp", connections=1), "no-bytes", "a sender is connected, 0 bytes in 30 s"),
    ("no EB", observed("tcp", **TALK, pending=True), "no-end-block", "a sender is connected, no end block"),
    ("broken off", observed("tcp", **TALK, bad=Counter({"no-end-block": 1})), "no-end-block", "no end block"),
    ("no SB", observed("tcp", **TALK, bad=Counter({"no-start-block": 1})), "not-mllp", "not MLLP"),
    ("TLS", observed("tcp", **TALK | {"head": "16 03 01"}, pending=True), "tls", "the sender speaks TLS"),
    ("no MSH", observed("tcp", **TALK, bad=Counter({"no-msh": 2})), "unreadable", "no-msh 2x"),
    ("ADT at another driver", observed("tcp", **HEARD | {"values": 0, "coded": 0}), "no-values", "no values in them"),
    ("ADT alone", observed("tcp", **HEARD | {"values": 0, "adt": 30}), "adt", "who is where is read here (30 said"),
    ("own codes", observed("tcp", **HEARD | {"coded": 0}), "no-code", "no value has a code: see `vitalwire"),
    ("dial", observed("tcp", opened=False), "not-reached", "no answer from the port in 30 s"),
    ("monitor in use", observed("udp", **HEARD | {"values": 0, "coded": 0}), "no-values", "is another client, or our"),
    ("refused", observed("mqtt", opened=False, refused="Not authorized"), "refused", "refuses: user or password"),
    ("full", observed("mqtt", opened=False, refused="Quota exceeded"), "refused", "the broker refuses: Quota exceeded"),
    ("topic", observed("mqtt"), "no-bytes", "connected, but nothing on this topic"),
    ("retained", observed("mqtt", **GOOD | {"retained": 30}), "retained", "nobody is sending now"),
    ("finger off", observed("serial", **GOOD | {"readings": 0}), "no-reading", "says that it has no reading"),
    ("unplugged", observed("serial", **GOOD | {"silent_s": 25.0}), "silent", "then nothing for 25 s"),
    ("read", observed("serial", **GOOD), "read", "values are read here; not stored"),
    ("some bad", observed("serial", **GOOD, bad=Counter(checksum=2)), "read", "(2 beside 30 good frames cannot"),
    ("not stored", observed("serial", **GOOD, last_stored="", why_not_stored="no such edge"), "not-stored",
     "values are read here; not stored: no such edge"),
    ("nobody's", observed("serial", **GOOD, **UNREGISTERED), "unregistered", "values stored, device not registered"),
    ("held, nobody's", observed("serial", held_by="the running agent (pid 7)", **UNREGISTERED), "unregistered",
     "values stored, device not registered: vitalwire devices assign 'demo:nonin:1'"),
    ("all well", observed("serial", **GOOD, last_stored="3 s"), "stored", "values are stored, the last 3 s ago"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "slug", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_diagnosis_names_the_nearest_thing_that_is_wrong(seen: SourceObservation, slug: str, words: str) -> None:
    found = diagnosis(seen)
    assert found.slug == slug
    assert words in found.text


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record(150456, 262688, mantissa=97), "SpO2 97 %"),
        (Record(150456, 262688, mantissa=0), "SpO2 0 %"),
        (Record(150456, 262688, validity=Validity.NOT_AVAILABLE), "SpO2 --"),
        (Record(mantissa=370, exponent=-1, as_sent=AsSent("L", "T1", "deg")), "T1 (no code) 37.0 deg"),
        (Record(mantissa=12, exponent=2), "? (no code) 1200"),
    ],
)
def test_a_value_is_said_as_it_was_sent(record: Record, words: str) -> None:
    assert in_words(record) == words


# --- at real sockets --------------------------------------------------------------------------------------------------


def source(driver: str, link: Link) -> SourceConfig:
    return SourceConfig("bed", driver, link)


def serial(port: str, driver: str = "nonin_df2") -> SourceConfig:
    return source(driver, SerialLink(port))


def hl7(**link: Any) -> SourceConfig:
    return source("hl7_oru", TcpLink(**link))


Meanwhile = Callable[[SourceObservation], Awaitable[object]]


def seen_at(
    config: SourceConfig, place: str, until: Callable[[SourceObservation], object], meanwhile: Meanwhile | None = None,
    show: Callable[[str, str], None] = lambda _, __: None,
) -> SourceObservation:  # fmt: skip
    """Watch until something was seen, and no longer than `LIMIT_S`."""
    w = Watcher(plan_source(config, {}), show)
    assert w.o.place == place

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(watch(w, stop))
        doing = None
        async with asyncio.timeout(LIMIT_S):
            while not (task.done() or until(w.look())):
                if doing is None and meanwhile is not None and w.o.opened:
                    doing = asyncio.ensure_future(meanwhile(w.o))
                await asyncio.sleep(0.01)
        stop.set()
        await task
        if doing is not None:
            await doing

    asyncio.run(run())
    return w.look()


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    """The device's end of a serial line, and the path of ours."""
    theirs, ours = os.openpty()
    tty.setraw(ours)
    yield theirs, os.ttyname(ours)
    os.close(theirs)
    os.close(ours)


def test_an_oximeter_is_read_and_control_bytes_are_shown_not_obeyed(pty: tuple[int, str]) -> None:
    shown: list[tuple[str, str]] = []

    async def speak(_: SourceObservation) -> None:
        os.write(pty[0], b"\x1b[2J\x07junk\r\n" + LINE)

    config = serial(pty[1], "nonin_ascii")
    o = seen_at(config, pty[1], lambda o: o.frames, speak, lambda *line: shown.append(line))
    assert diagnosis(o).slug == "read"
    assert o.bad == {"not-a-reading": 1}
    assert ("frame", "\\x1b[2J\\x07junk  ← not-a-reading") in shown
    assert any(kind == "values" and text.startswith("SpO2 97 %, PR 72 /min  from bed/") for kind, text in shown)
    assert any(kind == "bytes" and text.startswith("1b 5b 32 4a 07") for kind, text in shown)


def test_a_port_at_which_nothing_comes_opens(pty: tuple[int, str]) -> None:
    o = seen_at(serial(pty[1]), pty[1], lambda o: o.opened)
    assert diagnosis(o).slug == "no-bytes"


def test_a_port_that_is_not_there_says_so() -> None:
    o = seen_at(serial("/dev/ttyNONE"), "/dev/ttyNONE", lambda o: False)
    assert diagnosis(o) == ("not-open", "/dev/ttyNONE does not exist: plug it in, and see ls /dev/serial/by-id")


def test_whatever_pyserial_raises_is_said(pty: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr("serial.Serial.open", fail)
    o = seen_at(serial(pty[1]), pty[1], lambda o: o.trouble)
    assert diagnosis(o).slug == "not-open"
    assert "Input/output error" in o.trouble


def test_a_port_that_goes_while_it_is_read_is_said() -> None:
    theirs, ours = os.openpty()
    tty.setraw(ours)

    async def unplug(_: SourceObservation) -> None:
        os.close(theirs)

    o = seen_at(serial(os.ttyname(ours)), os.ttyname(ours), lambda o: o.trouble, unplug)
    os.close(ours)
    assert diagnosis(o).slug == "not-open"
    assert "was lost while it was read" in o.trouble


@contextmanager
def opened_by(*command: str, path: str) -> Iterator[int]:
    """The id of a process that has this file open, without a lock."""
    code = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield other.pid


def test_a_port_of_the_running_agent_is_left_to_it_and_one_that_its_simulator_has_open_is_read(
    pty: tuple[int, str], tmp_path: Path
) -> None:
    config = serial(pty[1])
    with opened_by("simulator", path=pty[1]):
        assert diagnosis(seen_at(config, pty[1], lambda o: o.opened)).slug == "no-bytes"
        with opened_by("vitalwire", "edge", "run", path=pty[1]) as agent:
            o = seen_at(config, pty[1], lambda o: False)
    assert diagnosis(o).slug == "held"
    assert o.held_by == f"the running agent (pid {agent})"
    (tmp_path / "port").touch()
    with opened_by("x", path=str(tmp_path / "port")) as other:
        assert f"(pid {other})" in str(holder_of(str(tmp_path / "port")))


def test_what_hinders_a_port_from_opening_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    group = grp.getgrgid(os.stat("/dev/null").st_gid).gr_name
    denied = trouble("/dev/null", PermissionError(errno.EACCES, "denied"))
    assert f"sudo usermod -aG {group} $USER" in denied
    nobody = trouble("/nowhere/x", PermissionError(errno.EACCES, "denied"))
    assert nobody.startswith("/nowhere/x cannot be opened")
    assert "fuser" in trouble("/dev/null", BlockingIOError(errno.EAGAIN, "locked"))
    assert "terminal server" in trouble("socket://ts:4001", OSError(errno.ECONNREFUSED, "refused"))
    monkeypatch.setattr("edge_agent.links.serial.runs", lambda name: name == "brltty")
    assert "apt remove brltty" in trouble("/dev/ttyUSB0", FileNotFoundError(errno.ENOENT, "none"))


async def send(address: str, data: bytes, answers: list[bytes] | None = None) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    if answers is not None:
        answers.append(await reader.read())


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (b"\x0b" + ORU, "no-end-block"),
        (ORU + b"\n", "not-mllp"),
        (b"\x16\x03\x01\x02\x00\x01", "tls"),
        (wrap(ORU), "read"),
    ],
)
def test_a_sender_is_heard_and_told_nothing(data: bytes, slug: str) -> None:
    place, answers = f"127.0.0.1:{free_port()}", list[bytes]()

    async def sender(_: SourceObservation) -> None:
        await send(place, data, answers)

    o = seen_at(hl7(listen=place), place, lambda o: o.bytes >= len(data), sender)
    assert diagnosis(o).slug == slug
    assert answers == [b""]


def test_an_admission_office_is_heard() -> None:
    place, answers = f"127.0.0.1:{free_port()}", list[bytes]()
    adt = wrap(ORU.partition(b"OBR")[0].replace(b"ORU^R01", b"ADT^A01"))

    async def sender(_: SourceObservation) -> None:
        await send(place, adt, answers)

    plan = source("hl7_adt", TcpLink(listen=place))
    o = seen_at(plan, place, lambda o: o.bytes >= len(adt), sender)
    assert (diagnosis(o).slug, o.claims) == ("adt", {})


class Asking:
    """A session that asks, as the device wants it, and acknowledges what is kept."""

    def opened(self, now: Moment) -> Step:
        return Step(send=b"ask ", wake_at_s=now.steady_s + 0.01)

    def feed(self, data: bytes, now: Moment) -> Step:
        return Step((Piece(data, token=0),), send=b"more ")

    def tick(self, now: Moment) -> Step:
        return Step(send=b"again ")

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        raise AssertionError("nothing is kept, and so nothing is acknowledged")

    def closed(self, orderly: bool, now: Moment) -> Step:
        return Step()


def test_a_session_polls_and_does_what_a_link_needs_and_acknowledges_nothing(
    pty: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = replace(DRIVER_BY_NAME["nonin_ascii"], session=lambda _: Asking())
    monkeypatch.setitem(DRIVER_BY_NAME, "nonin_ascii", asking)
    heard = b""

    async def answer(o: SourceObservation) -> None:
        nonlocal heard
        while b"again " not in heard:
            heard += await asyncio.to_thread(os.read, pty[0], 100)
        os.write(pty[0], LINE.strip())
        while b"more " not in heard:
            heard += await asyncio.to_thread(os.read, pty[0], 100)

    o = seen_at(serial(pty[1], "nonin_ascii"), pty[1], lambda o: b"more " in heard, answer)
    assert heard == b"ask again more "
    assert (o.frames, o.readings) == (1, 2)


def test_nobody_connects_and_a_taken_port_is_told() -> None:
    place = f"127.0.0.1:{free_port()}"
    assert diagnosis(seen_at(hl7(listen=place), place, lambda o: o.opened)).slug == "nobody"
    with socket.create_server(("127.0.0.1", int(place.split(":")[1]))):
        o = seen_at(hl7(listen=place), place, lambda o: False)
    assert diagnosis(o).text.startswith(f"{place} cannot be listened on (Address already in use)")
    o = seen_at(hl7(listen="0.0.0.0:0"), "0.0.0.0:0", lambda o: False)
    assert "needs tls_cert" in diagnosis(o).text


def test_a_gateway_is_dialled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        place = f"127.0.0.1:{gateway.getsockname()[1]}"

        async def speak(_: SourceObservation) -> None:
            gateway.accept()[0].sendall(wrap(ORU))

        o = seen_at(hl7(dial=place), place, lambda o: o.frames, speak)
    assert diagnosis(o).slug == "read"
    o = seen_at(hl7(dial=place), place, lambda o: False)
    assert diagnosis(o).text.startswith(f"{place} is not reached")


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_a_topic_is_listened_to_beside_the_agent(embedded: Addresses, version: Any) -> None:
    host, port = embedded.mqtt5 if version == "5.0" else embedded.mqtt311
    place, topic = f"{host}:{port}", f"ward/{os.urandom(4).hex()}"
    config = source("mqtt_json", MqttLink(broker=place, topics=(f"{topic}/#",), version=version))
    assert diagnosis(seen_at(config, place, lambda o: o.opened)).slug == "no-bytes"
    protocol = paho.MQTTv5 if version == "5.0" else paho.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    client.connect(host, port)
    client.loop_start()

    async def speak(o: SourceObservation) -> None:
        while not o.frames:  # the subscription may come after the first
            client.publish(f"{topic}/1", b'{"hr": 72}')
            await asyncio.sleep(0.1)

    o = seen_at(config, place, lambda o: o.frames, speak)
    client.disconnect()
    client.loop_stop()
    assert diagnosis(o).slug == "no-code"


def test_a_broker_that_refuses_and_one_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        place = f"127.0.0.1:{broker.getsockname()[1]}"
        config = source("mqtt_json", MqttLink(broker=place, version="3.1.1"))

        def refuse() -> None:
            connection, _ = broker.accept()
            connection.recv(1000)
            connection.sendall(bytes((0x20, 2, 0, 5)))  # CONNACK, not authorized: MQTT 3.1.1 section 3.2.2.3

        thread = threading.Thread(target=refuse)
        thread.start()
        o = seen_at(config, place, lambda o: o.refused)
        thread.join()
    assert diagnosis(o) == ("refused", "the broker refuses: user or password")
    o = seen_at(config, place, lambda o: o.trouble)
    assert diagnosis(o).text.startswith(f"the broker {place} is not reached")


def test_a_session_of_the_agent_is_not_taken_from_it() -> None:
    with closing(Scripted(CONNACK)) as broker:
        config = source("mqtt_json", MqttLink(broker=broker.place, version="3.1.1", client_id="box-7"))
        seen_at(config, broker.place, lambda o: o.opened)
    assert b"box-7" not in broker.got[0]
    assert broker.got[0][9] & 0x02  # clean session: MQTT 3.1.1 section 3.1.2.4
