"""A dead box's spool is sent from its disk: before a real broker, with a hospital that gives receipts."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from edge_agent.config import EdgeConfig
from edge_agent.dead_box import open_disk
from edge_agent.drain import Drain, Progress
from edge_agent.process import Edge
from edge_agent.publisher import Publisher
from edge_agent.spool import Spool
from edge_agent.spool.drained import MARK, mark_of
from evidence.seal import open_sealed, seal, signed_by
from schemas.identity import SpoolId
from schemas.report import Kind, Lane
from tests.draining import BATCHES, WAITING, Disk
from tests.edge_agent.publisher.bench import EDGE, LIMIT_S, PLATFORM, Bench, Hospital, until
from tests.making import T0_US, report


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


@pytest.fixture
def events() -> list[str]:
    return []


def drained(disk: Disk, events: list[str], *, is_signed: bool = True, patience_s: float = 20) -> Progress:
    box = open_disk(disk.folder)
    drain = Drain(
        box, box.signing_key() if is_signed else None, box.config, by="M. Ruiz",
        on_event=lambda code, _: events.append(code),
    )  # fmt: skip
    return drain.run(lambda _: None, Event(), patience_s)


def opened(bench: Bench, disk: Disk) -> Hospital:
    bench.broker.start()
    disk.reach(bench.broker.address)
    return bench.hospital()


def came_measurements(hospital: Hospital) -> Counter[bytes]:
    """How often each report with a value came, by device, sequence and spool."""
    found: Counter[bytes] = Counter()
    for sealed in {sealed for _, _, sealed in hospital.came}:
        header, table = open_sealed(sealed)
        for device, sequence, kind in zip(table.device, table.sequence, table.kind, strict=True):
            if kind != Kind.EVENT:
                found[bytes(device) + int(sequence).to_bytes(8) + header.spool] += 1
    return found


def test_everything_is_sent_once_under_the_boxs_own_identity(tmp_path: Path, bench: Bench, events: list[str]) -> None:
    disk = Disk(tmp_path / "disk")
    hospital = opened(bench, disk)
    progress = drained(disk, events)
    assert (progress.waiting, progress.unsigned, progress.is_reached) == (0, 0, True)
    assert progress.receipted > BATCHES
    found = came_measurements(hospital)
    assert set(found.values()) == {1}
    assert len(found) == BATCHES + WAITING
    for _, _, sealed in hospital.came:
        header, _ = open_sealed(sealed)
        assert (header.edge, header.spool, header.config_hash) == (EDGE, disk.spool_id, b"c" * 32)
        assert signed_by(sealed, disk.key.public_der)
    mark = mark_of(disk.spool, disk.spool_id)
    assert mark is not None
    assert mark.by == "M. Ruiz"
    left = open_disk(disk.folder).spool
    assert (left.reports, left.batches) == (0, 0)


def test_without_the_key_what_is_sealed_is_sent_and_the_rest_stays(
    tmp_path: Path, bench: Bench, events: list[str]
) -> None:
    disk = Disk(tmp_path / "disk")
    hospital = opened(bench, disk)
    progress = drained(disk, events, is_signed=False)
    assert (progress.waiting, progress.unsigned, progress.receipted) == (0, WAITING, BATCHES)
    assert sum(came_measurements(hospital).values()) == BATCHES
    assert drained(disk, events).unsigned == 0  # the key was found after all
    assert len(came_measurements(hospital)) == BATCHES + WAITING


def test_what_has_no_receipt_is_said_and_sent_by_the_next_drain(
    tmp_path: Path, bench: Bench, events: list[str]
) -> None:
    disk = Disk(tmp_path / "disk")
    hospital = opened(bench, disk)
    hospital.answers = False
    progress = drained(disk, events, patience_s=1)
    assert progress.is_reached
    assert progress.waiting > BATCHES
    hospital.answers = True
    assert drained(disk, events).waiting == 0
    assert set(came_measurements(hospital).values()) == {1}


def test_batches_that_are_sent_again_and_again_are_no_progress(
    tmp_path: Path, bench: Bench, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.resend.RESEND_MIN_S", 0.1)
    monkeypatch.setattr("edge_agent.resend.RESEND_MAX_S", 0.2)
    disk = Disk(tmp_path / "disk")
    opened(bench, disk).answers = False
    began = time.monotonic()
    progress = drained(disk, events, patience_s=1.5)
    assert time.monotonic() - began < LIMIT_S
    assert progress.sent > 2 * progress.waiting > 0


def test_refused_batches_end_it(tmp_path: Path, bench: Bench, events: list[str]) -> None:
    disk = Disk(tmp_path / "disk")
    opened(bench, disk).refuses = "key_revoked"
    progress = drained(disk, events)
    assert progress.refused == progress.waiting >= BATCHES
    assert "batches-refused" in events


def test_no_broker_is_said(tmp_path: Path, events: list[str]) -> None:
    disk = Disk(tmp_path / "disk")
    progress = drained(disk, events, patience_s=0.5)
    assert (progress.is_reached, progress.waiting) == (False, BATCHES)
    assert progress.unsigned >= WAITING


def test_the_old_box_goes_on_under_a_new_spool_id(tmp_path: Path, bench: Bench, events: list[str]) -> None:
    disk = Disk(tmp_path / "disk")
    hospital = opened(bench, disk)
    hospital.answers = False
    at_work_us = open_disk(disk.folder).spool.committed_at_us
    drained(disk, events, patience_s=1)
    config = open_disk(disk.folder).config
    emitted = started(config)
    assert list(emitted)[:3] == ["started", "spool-drained", "gap"]
    assert f"from {at_work_us} to" in emitted["gap"]  # its own last commit, not the drain's
    renewed = open_disk(disk.folder).spool
    assert renewed.spool_id != disk.spool_id
    assert (disk.spool / MARK).is_file()
    assert "spool-drained" not in started(config)  # said once
    assert open_disk(disk.folder).spool.spool_id == renewed.spool_id


def started(config: EdgeConfig) -> dict[str, str]:
    """An agent's events from its start to its end: the text of each code."""
    emitted: dict[str, str] = {}
    edge = Edge(config)
    emit = edge._emit

    def spied(code: str, text: str) -> None:
        emitted[code] = text
        emit(code, text)

    edge._emit = spied  # type: ignore[method-assign]

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_soon(stop.set)
        await edge.run(stop)

    asyncio.run(run())
    return emitted


def test_two_boxes_with_one_spool_go_on_under_ids_of_their_own(tmp_path: Path, bench: Bench) -> None:
    """F44, at the edge: each sees the receipt of a batch that it never cut."""
    first = Disk(tmp_path / "first")
    hospital = opened(bench, first)
    shutil.copytree(first.folder, tmp_path / "second")
    own = partial(seal, edge=EDGE, config_hash=b"c" * 32, key_id=first.key.key_id, sign=first.key.sign)
    alarms: list[str] = []
    with ExitStack() as stack:
        spools = []
        for folder in (first.folder, tmp_path / "second"):
            spool = Spool(folder / "spool", bytes_max=1 << 24, receipt_hold_s=1e6)
            stack.callback(spool.close)
            put(spool, f"only:{folder.name}")
            publisher = Publisher(
                spool, own, PLATFORM.public_der, edge=EDGE, kafka=bench.broker.address, ca=None,
                on_event=lambda code, _: alarms.append(code),
            )  # fmt: skip
            publisher.start()
            stack.callback(publisher.stop)
            spools.append(spool)
        until_apart(spools, first.spool_id)
        for i, spool in enumerate(spools):
            put(spool, f"after:{i}")
        until_receipted(spools)
    assert alarms.count("spool-copied") == 2
    by_number: dict[tuple[SpoolId, Lane, int], set[bytes]] = {}
    for lane, number, sealed in hospital.came:
        by_number.setdefault((open_sealed(sealed)[0].spool, lane, number), set()).add(sealed)
    assert {len(sealed) for (spool_id, _, _), sealed in by_number.items() if spool_id != first.spool_id} == {1}
    assert any(len(sealed) == 2 for (spool_id, _, _), sealed in by_number.items() if spool_id == first.spool_id)
    assert {spool.spool_id for spool in spools} <= {spool_id for spool_id, _, _ in by_number}


def put(spool: Spool, claim: str) -> None:
    is_kept = Event()
    spool.put([report(claim, T0_US)], None, lambda _: is_kept.set())
    assert is_kept.wait(10)


def until_apart(spools: list[Spool], copied_id: SpoolId) -> None:
    until(lambda: copied_id not in {spool.spool_id for spool in spools}, "each has an id of its own")
    assert spools[0].spool_id != spools[1].spool_id


def until_receipted(spools: list[Spool]) -> None:
    def holds_nothing(spool: Spool) -> bool:
        return not spool.figures.reports and not spool.figures.open_batches

    until(lambda: all(map(holds_nothing, spools)), "every batch has its receipt")
