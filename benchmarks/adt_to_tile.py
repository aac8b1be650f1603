"""From an admission office's message at the edge's port to the ward page's feed, on the real parts.

32 monitors of 12 values speak each second meanwhile; patients are admitted one after the other, at moments that keep to
no beat of ours, and the one before leaves the bed.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event, Thread

import msgspec
import numpy as np

from benchmarks import load
from benchmarks.databases import drop_database
from benchmarks.edge import EdgeBench, listens, until
from benchmarks.page import serving
from benchmarks.pipeline import Bench
from benchmarks.signed_in import sign_in
from emr_store import places
from emr_store.connect import open_store
from schemas.report import device_id

BEDS = 32
ADMISSIONS, ADMISSIONS_QUICK = 100, 20
EVERY_S = 0.5  # on average
LIMIT_S = 60.0
_SITE = '[[adt_source]]\nname = "mllp"\nauthority = "ICU"\n' + "".join(
    f'[[bed]]\nname = "bed-{bed}"\nlocation = "ICU^^{bed}^ICU"\n' for bed in range(BEDS)
)


def measure(quick: bool) -> dict[str, float]:
    """The slowest of a hundred."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), edges=1)
        try:
            bench.make_database()
            edge = _edge(bench, Path(folder))
            with bench.workers(_SITE), edge.running():
                until(lambda: listens(edge), "the port is open", LIMIT_S)
                with _speaking(edge.mllp):
                    until(lambda: edge.accepted() >= BEDS * load.VALUES, "all monitors have spoken", LIMIT_S)
                    _place_monitors(bench.database)
                    cookie = sign_in(bench.database)
                    with serving(bench.database) as (_, port), _looking(port, cookie) as tiles:
                        took_s = _admit(edge.mllp, tiles, ADMISSIONS_QUICK if quick else ADMISSIONS)
        finally:
            drop_database(bench.server, bench.name)
    return {"adt_to_tile_p99_s": float(np.percentile(took_s, 99))}


def _edge(bench: Bench, folder: Path) -> EdgeBench:
    """With both kinds of message through one port."""
    edge = EdgeBench(bench, folder)
    config = folder / "edge.toml"
    observations = 'settings = { device = "PV1-3" }'
    both = 'drivers_by_msh9 = { ADT = "hl7_adt" }'
    config.write_text(config.read_text().replace(observations, both))
    return edge


def _place_monitors(database: str) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with open_store(database) as conn:
        for bed in range(BEDS):
            places.assign(conn, str(device_id(f"mllp/PV1-3=ICU^^{bed}")), f"bed-{bed}", since=an_hour_ago)


def _admit(port: int, tiles: _Tiles, admissions: int) -> list[float]:
    """Seconds from each admission's sending to its tile. Raises TimeoutError."""
    chance, sent_s = Random(1), {}
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as office:
        for number in range(admissions):
            time.sleep(chance.uniform(0.5, 1.5) * EVERY_S)
            if number >= BEDS:
                _ask(office, _adt("A03", number - BEDS))
            message = _adt("A01", number)
            sent_s[f"{number:04}"] = time.monotonic()
            _ask(office, message)
        until(lambda: sent_s.keys() <= tiles.seen_s.keys(), "all patients are on their tiles", LIMIT_S)
    return [tiles.seen_s[number] - at_s for number, at_s in sent_s.items()]


_TO_PV1_19 = "|" * 16  # from PV1-3


def _adt(event: str, number: int) -> bytes:
    now = datetime.now(UTC)
    at = f"{now:%Y%m%d%H%M%S}.{now.microsecond // 100:04}+0000"
    lines = [
        rf"MSH|^~\&|HIS|ICU|||{at}||ADT^{event}|{event}.{number}|P|2.5",
        f"EVN||{at}",
        f"PID|||7{number:04}^^^ICU^PI||Zhang^San",
        f"PV1||I|ICU^^{number % BEDS}{_TO_PV1_19}V{number}^^^ICU^VN",
    ]
    return b"\x0b" + "\r".join(lines).encode() + b"\x1c\r"


def _ask(office: socket.socket, message: bytes) -> None:
    office.sendall(message)
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        received = office.recv(4096)
        if not received:
            raise ConnectionError("the edge hung up")
        answer += received
    if b"MSA|AA|" not in answer and b"MSA|CA|" not in answer:
        raise RuntimeError(f"the edge did not take it: {answer!r}")


class _Monitors(Thread):
    """Each says its twelve values once a second, spread over the second."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port, self.ending = port, Event()

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), LIMIT_S) as line:
            number, due_s = 0, time.monotonic()
            while not self.ending.wait(max(0.0, due_s - time.monotonic())):
                line.sendall(load.hl7_message(number % BEDS, number // BEDS, datetime.now(UTC)))
                line.setblocking(False)
                with suppress(BlockingIOError):
                    line.recv(1 << 16)  # answers, which nobody reads here
                line.setblocking(True)
                number, due_s = number + 1, due_s + 1 / BEDS


@contextmanager
def _speaking(port: int) -> Iterator[None]:
    monitors = _Monitors(port)
    monitors.start()
    try:
        yield
    finally:
        monitors.ending.set()
        monitors.join(10)


class _Fragment(msgspec.Struct):
    patient: dict[str, object] | None = None


class _Picture(msgspec.Struct):
    beds: list[_Fragment] = []


class _Tiles(Thread):
    """A browser that only looks who lies where: when each number was first seen."""

    def __init__(self, port: int, cookie: str) -> None:
        super().__init__(daemon=True)
        self.seen_s: dict[str, float] = {}  # by the last four digits
        self._decoder = msgspec.json.Decoder(_Picture)
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._socket.sendall(f"GET /events HTTP/1.0\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        self.ending = Event()

    def run(self) -> None:
        with self._socket, self._socket.makefile("rb") as lines:
            for line in lines:
                if self.ending.is_set():
                    return
                if line.startswith(b'data: {"number"'):
                    self._look(line.removeprefix(b"data: "))

    def _look(self, picture: bytes) -> None:
        came_s = time.monotonic()
        for fragment in self._decoder.decode(picture).beds:
            if fragment.patient and fragment.patient["presence"] == "here":
                self.seen_s.setdefault(str(fragment.patient["number"])[-4:], came_s)


@contextmanager
def _looking(port: int, cookie: str) -> Iterator[_Tiles]:
    tiles = _Tiles(port, cookie)
    tiles.start()
    try:
        yield tiles
    finally:
        tiles.ending.set()
        tiles.join(10)
