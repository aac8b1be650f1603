"""`vitalwire edge drain`: what is printed, and what it exits with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_agent.spool import Spool
from edge_agent.spool.drained import MARK
from runtime.clock import now_us
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, EXIT_USAGE
from tests.commands import vitalwire
from tests.draining import BATCHES, WAITING, Disk
from tests.edge_agent.publisher.bench import Bench
from tests.making import report


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_a_box_is_drained_by_way_of_another_ones_configuration(tmp_path: Path, bench: Bench) -> None:
    disk, here = Disk(tmp_path / "disk"), Disk(tmp_path / "here")
    bench.broker.start()
    here.reach(bench.broker.address)
    bench.hospital()
    way = ("--from", str(disk.folder), "--config", str(here.folder / "edge.toml"), "--by", "M. Ruiz")
    code, text = vitalwire("edge drain", *way)
    assert code == 0, text
    assert f"{BATCHES} batches wait for a receipt, {WAITING} reports to be signed" in text
    assert "waiting 0 batches\n" in text
    code, text = vitalwire("edge drain", *way)
    assert (code, text.count("nothing waits, every batch has its receipt")) == (0, 1)
    code, text = vitalwire("edge drain", *way, "--json")
    assert code == 0
    assert (json.loads(text)["done"], json.loads(text)["spool"]) == (True, disk.spool_id.hex())


def test_what_waits_still_is_said_with_no_broker(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    code, text = vitalwire("edge drain --patience-s 1 --from", str(disk.folder))
    assert code == EXIT_UNREACHABLE
    assert f"{BATCHES} batches and {WAITING + 1} unsigned reports wait still on {disk.spool}" in text  # one its own
    assert "name an edge.toml that reaches it, --config, and run it again" in text


def test_what_may_be_alive_is_not_drained(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    spool = Spool(disk.spool, bytes_max=1 << 24, receipt_hold_s=1e6)
    spool.put([report(at_us=now_us())])
    command = ("edge drain --patience-s 1 --from", str(disk.folder))
    code, text = vitalwire(*command)
    assert (code, "is in use by an agent" in text) == (EXIT_UNREACHABLE, True)
    spool.close()
    code, text = vitalwire(*command)
    assert (code, "its box may be alive" in text) == (EXIT_DOES_NOT_HOLD, True)
    code, text = vitalwire(*command, "--owner-is-dead")
    assert (code, "--by NAME" in text) == (EXIT_USAGE, True)
    assert not (disk.spool / MARK).exists()
    code, _ = vitalwire(*command, "--owner-is-dead", "--by", "M. Ruiz")
    assert code == EXIT_UNREACHABLE  # it tried
    assert b"M. Ruiz" in (disk.spool / MARK).read_bytes()


def test_a_box_whose_key_is_not_on_the_disk(tmp_path: Path, bench: Bench) -> None:
    disk = Disk(tmp_path / "disk")
    bench.broker.start()
    disk.reach(bench.broker.address)
    bench.hospital()
    (disk.folder / "edge.key").unlink()
    code, text = vitalwire("edge drain --from", str(disk.folder))
    assert (code, "--sealed-only sends the rest" in text) == (EXIT_USAGE, True)
    code, text = vitalwire("edge drain --sealed-only --from", str(disk.folder))
    assert (code, "only the box's own key can sign them" in text) == (EXIT_DOES_NOT_HOLD, True)
