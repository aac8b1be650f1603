"""`docs/replace-a-box.md` with the programs that people start: from a dead box to its devices' values on a new one."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.commands import vitalwire
from tests.faults.senders import HEART_RATE, MllpSender
from tests.wire import Wire, eventually
from vitalwire.embedded.services import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
GOAL_S = 300
LIMIT_S = 40
SOURCE = """
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""


def stored(wire: Wire, sender: MllpSender) -> int:
    sql = "SELECT count(*) FROM report r JOIN device d USING (device) WHERE d.uuid = %s AND r.kind = 1"
    (row,) = wire.rows(sql, sender.device)
    assert isinstance(row[0], int)
    return row[0]


def send(port: int, bed: str, count: int) -> MllpSender:
    sender = MllpSender(("127.0.0.1", port), "icu", bed)
    for number in range(count):
        sender.send(HEART_RATE, 90 + number)
    return sender


def new_box(wire: Wire, folder: Path) -> Path:
    """Its key is made at the box and registered at the hospital, as for a box without a gateway."""
    code, shown = vitalwire("edge keygen", str(folder / "edge.key"))
    assert code == 0, shown
    (edge,) = re.findall(r'(?m)^edge = "(.*)"', shown)
    where = ("--database", wire.database)
    code, text = vitalwire("registry edge add", edge, str(folder / "edge.pub"), "--label", "ICU box 3", *where)
    assert code == 0, text
    old = (wire.folder / "edge.toml").read_text()
    old = re.sub(r'(?m)^edge = ".*"', f'edge = "{edge}"', old)
    old = old.replace('"platform.pub"', f'"{wire.folder / "platform.pub"}"')
    (folder / "edge.toml").write_text(old.replace(f"= {wire.metrics}\n", f"= {free_port()}\n"))
    return folder / "edge.toml"


def test_a_box_is_replaced_within_five_minutes(tmp_path: Path, kafka: str, empty_database: str) -> None:
    disk, folder = tmp_path / "disk", tmp_path / "new"
    disk.mkdir()
    folder.mkdir()
    with Wire(disk, kafka, empty_database, SOURCE) as wire:
        before = send(wire.mllp, "01", 3)
        eventually(lambda: stored(wire, before) == 3, LIMIT_S, "the old box sends")
        wire.stop("processors")
        kept = send(wire.mllp, "02", 5)  # acknowledged, and nobody gives a receipt
        wire.stop("edge", signal.SIGKILL)
        began = time.monotonic()
        new_box(wire, folder)
        wire.start("processors")
        with Replacement(wire, folder):
            first = send(wire.mllp, "03", 1)
            eventually(lambda: stored(wire, first) == 1, LIMIT_S, "the first value of the new box")
            replaced_s = time.monotonic() - began
            code, text = vitalwire("edge drain --from", str(disk), "--owner-is-dead", "--by", "M. Ruiz")
            assert code == 0, text
        assert replaced_s <= GOAL_S
        for sender, count in ((before, 3), (kept, 5), (first, 1)):
            assert stored(wire, sender) == count
        code, text = vitalwire("edge drain --from", str(disk))
        assert (code, "nothing waits" in text) == (0, True)


class Replacement:
    """The new box's agent, at work at the devices' port."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self._wire, self._old, self._new = wire, wire.folder, folder

    def __enter__(self) -> None:
        text = (self._new / "edge.toml").read_text()
        (found,) = re.findall(r"(?m)^metrics_port = (\d+)", text)
        self._wire.folder, self._wire.metrics = self._new, int(found)
        self._wire.start("edge")

    def __exit__(self, *_: object) -> None:
        self._wire.stop("edge")
        self._wire.folder = self._old
