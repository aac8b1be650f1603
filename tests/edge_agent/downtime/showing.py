"""A box whose agent kept something, and a server that shows it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from adapters.formats.values import text_record
from edge_agent.config import DowntimeConfig
from edge_agent.downtime.codes import CodeGate
from edge_agent.downtime.keeping import DowntimeKeeper
from edge_agent.downtime.ring_file import FILE_NAME, HistoryState
from edge_agent.downtime.server import Downtime, DowntimeServer
from schemas.report import Kind, Record, Report, Validity
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report

CODE = "4711471147"
HOUR_US = 3600_000_000
NOW_US = T0_US + 2_000_000
AWAY = HistoryState(written_at_us=T0_US, edge="7", broker_away_since_us=T0_US - HOUR_US)


def keep(folder: Path, reports: Sequence[Report], state: HistoryState = AWAY, channels_max: int = 2000) -> Path:
    """The agent's file, after these came."""
    keeper = DowntimeKeeper(
        folder, DowntimeConfig(channels_max=channels_max), lambda _, __: None, lambda: state.written_at_us
    )
    for each in reports:
        keeper.take("bed 7 monitor", [each])
    keeper._last_receipt_at_us = state.last_receipt_at_us
    with ThreadPoolExecutor(1) as pool:  # Chromium's loop runs in this thread
        pool.submit(lambda: asyncio.run(keeper.end(state))).result()
    return folder / FILE_NAME


def value(number: int, at_us: int = T0_US, claim: str = "his/OBX-18=M7", code: int = SPO2, **more: Any) -> Report:
    unit = PERCENT if code == SPO2 else PER_MIN
    made = report(claim, at_us, [Record(code, unit, mantissa=number, **more)])
    return msgspec.structs.replace(made, received_at_us=max(at_us, T0_US - 24 * HOUR_US))


def at_bed(bed: str, claim: str = "his/OBX-18=M7") -> Report:
    return report(claim, records=[text_record("HL7", "PV1-3", bed)], kind=Kind.CONTEXT)


def a_ward() -> list[Report]:
    """A day of two devices: one at a bed, one whose place is its name."""
    reports = [at_bed("ICU^^07")]
    for quarter in range(96, -1, -1):
        at_us = T0_US - quarter * 900_000_000 + 1_000_000 if quarter else T0_US
        reports.append(value(92 + quarter % 7, at_us))
        reports.append(value(60 + quarter % 30, at_us, code=PULSE))
    reports.append(value(0, T0_US, claim="his/PV1-3=ICU^^09", validity=Validity.NOT_AVAILABLE))
    reports.append(
        value(88, T0_US - 600_000_000, claim="his/PV1-3=ICU^^09", code=PULSE, validity=Validity.QUESTIONABLE)
    )
    return reports


@contextmanager
def serving(
    history: Path, gate: CodeGate | None = None, tls: ssl.SSLContext | None = None, now_us: int = NOW_US
) -> Iterator[DowntimeServer]:  # fmt: skip
    with DowntimeServer(("127.0.0.1", 0), Downtime(history, gate, lambda: now_us), tls) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Asked:
    """An answer, read whole."""

    def __init__(self, connection: HTTPConnection) -> None:
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        connection.close()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    server: DowntimeServer, path: str, method: str = "GET", body: str | None = None,
    trusted: ssl.SSLContext | None = None, **headers: str,
) -> Asked:  # fmt: skip
    connection: HTTPConnection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    if trusted is not None:
        connection = HTTPSConnection("localhost", server.port, timeout=10, context=trusted)
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    return Asked(connection)
