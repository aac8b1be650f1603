"""A ward over a bad wire: what is broken is refused, what was said arrives all the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment, Outcome
from adapters.sessions.mllp import MllpSession
from schemas.errors import FrameError
from simulators import hl7_oru
from simulators.faults import FAULTS
from simulators.ward import WardPlan, run_ward

DRIVER = DRIVER_BY_NAME["hl7_oru"]
NOW = Moment(0, 1_790_000_000_000_000)


class Interface:
    """Reads with the product's own session and driver, and so acknowledges as it does."""

    def __init__(self) -> None:
        self.kept, self.refused = list[bytes](), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session, source = MllpSession(), Source("ward", DRIVER.settings(), received_at_us=1)
        try:
            while data := await reader.read(4096):
                for piece in session.feed(data, NOW).pieces:
                    outcome, reason = self._take(piece.data, piece.reason, source)
                    if piece.token is not None:
                        writer.write(session.kept(piece.token, outcome, reason, NOW).send)
        except OSError:
            pass
        finally:
            writer.close()

    def _take(self, frame: bytes, reason: str, source: Source[Any]) -> tuple[Outcome, str]:
        try:
            if reason:
                raise FrameError(reason)
            DRIVER.read(frame, source)
        except FrameError as error:
            self.refused += 1
            return Outcome.MALFORMED, error.reason
        self.kept.append(frame)
        return Outcome.KEPT, ""


def test_every_message_is_acknowledged_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_oru, "RETRY_FIRST_S", 0.01)
    interface, log = Interface(), tmp_path / "acked.jsonl"

    async def run() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(interface.serve, "127.0.0.1") as server:
            plan = WardPlan(
                beds=6, rate_hz=20, mllp=server.sockets[0].getsockname()[:2], acked_log=log,
                faults=tuple(FAULTS), fault_share=0.2,
            )  # fmt: skip
            ward = asyncio.create_task(run_ward(plan, stop))
            async with asyncio.timeout(60):
                while interface.refused < 20 or len(interface.kept) < 100:
                    await asyncio.sleep(0.02)
                stop.set()
                totals = await ward
        assert totals.sent == totals.acked

    asyncio.run(run())
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    kept = b"".join(interface.kept)
    assert len(rows) > 50
    assert len({row["report_key"] for row in rows}) == len(rows)
    for row in rows:  # by its id, and in Mindray's dialect by its temperature
        assert (row["id"] if "." in row["id"] else row["values"].get("temp_c", "|170^Sys")).encode() in kept
