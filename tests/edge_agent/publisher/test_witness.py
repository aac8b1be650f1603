"""What the witness believes: the platform's own checkpoints, those that come with receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.publisher.witness import Witness
from edge_agent.spool import Spool
from edge_agent.spool.checkpoints import LAG_US
from evidence.checkpoint import Checkpoint, log_origin, sign_checkpoint
from evidence.receipt import Receipt, ReceiptedBatch, ReceiptOutcome
from schemas.errors import VitalwireError
from tests.making import Key

PLATFORM = Key()
LOG = log_origin("ward", b"A" * 16)


def note(size: int, root: bytes = b"r" * 32, key: Key = PLATFORM) -> bytes:
    return sign_checkpoint(Checkpoint(LOG, size, root), key.public_der, key.sign)


def receipt(checkpoint: bytes, at_us: int = 1) -> Receipt:
    batches = (ReceiptedBatch(1, b"b" * 32),)
    return Receipt(ReceiptOutcome.STORED, b"E" * 16, b"S" * 16, 0, batches, b"A" * 16, at_us, "", checkpoint)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.events: list[str] = []
        self.spool = Spool(folder, bytes_max=1 << 20, receipt_hold_s=1)
        emit: Callable[[str, str], object] = lambda slug, _: self.events.append(slug)  # noqa: E731
        self.witness = Witness(self.spool, PLATFORM.public_der, self.counts, emit)

    @property
    def sizes(self) -> list[int]:
        return [each.size for each in self.spool.checkpoints()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "spool")


def test_what_the_platform_signed_is_kept_to_the_byte(scene: Scene) -> None:
    first = note(3)
    scene.witness.take([receipt(b""), receipt(first), receipt(first), receipt(note(4))])
    assert scene.sizes == [3, 4]
    assert scene.spool.checkpoints()[0].note == first
    assert scene.counts == {"checkpoints": 2}
    assert (scene.events, scene.witness.contradiction) == ([], "")


def test_what_another_key_signed_or_nobody_is_counted_and_not_kept(scene: Scene) -> None:
    scene.witness.take([receipt(note(3, key=Key())), receipt(b"rubbish"), receipt(note(1))])
    assert scene.sizes == [1]
    assert scene.counts == {"checkpoint signature": 1, "checkpoint text": 1, "checkpoints": 1}


def test_two_logs_of_one_size_are_a_contradiction_that_stays(scene: Scene) -> None:
    scene.witness.take([receipt(note(3))])
    scene.witness.take([receipt(note(3, b"x" * 32))])
    scene.witness.take([receipt(note(4))])
    assert (scene.events, scene.witness.contradiction) == (["log-forked"], "log-forked")


def test_a_log_that_stands_still_after_it_shrank_is_noticed_too(scene: Scene) -> None:
    """The same note again and again, in receipts for what is stored later and later."""
    scene.witness.take([receipt(note(900))])
    smaller = note(10)
    scene.witness.take([receipt(smaller, LAG_US // 2), receipt(smaller, LAG_US)])
    assert scene.events == []
    scene.witness.take([receipt(smaller, 2 * LAG_US)])
    assert scene.events == ["log-shrunk"]


def test_what_the_spool_cannot_keep_now_is_kept_with_the_next_receipt(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise VitalwireError("the spool cannot write: disk full")

    same = note(3)
    with monkeypatch.context() as broken:
        broken.setattr(scene.spool, "witness", full)
        scene.witness.take([receipt(same)])
    assert (scene.events, scene.sizes) == (["checkpoint-not-kept"], [])
    scene.witness.take([receipt(same)])
    assert scene.sizes == [3]
