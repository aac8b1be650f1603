"""A dead box's disk: what is found on it, and when another box may not send it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from edge_agent.dead_box import QUIET_US, open_disk
from edge_agent.spool import Spool
from edge_agent.spool.drained import MARK, DrainMark, leave_mark
from evidence.seal import seal
from runtime import keys
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from schemas.report import Lane
from tests.making import T0_US, report

EDGE = uuid.UUID(int=7)
LATER_US = T0_US + 10_000_000


def dead_disk(root: Path, *, cut: int = 1, waiting: int = 1, absolute: bool = True) -> Path:
    """As `vitalwire edge install` lays a box out, with a spool whose box is gone."""
    settings, spool_folder = root / "etc/vitalwire", root / "var/lib/vitalwire/spool"
    key = keys.generate(settings / "edge.key")
    keys.generate(settings / "platform.key")
    base = "" if absolute else "../.."
    (settings / "edge.toml").write_text(f'edge = "{EDGE}"\nspool = "{base}/var/lib/vitalwire/spool"\n')
    spool = Spool(spool_folder, bytes_max=1 << 24, receipt_hold_s=1e6, now_us=lambda: T0_US)
    own = partial(seal, edge=EDGE.bytes, config_hash=b"c" * 32, key_id=key.key_id, sign=key.sign)
    for i in range(cut):
        spool.put([report(at_us=T0_US + i)])
        while not spool.cut(Lane.LIVE, own, LATER_US):
            pass
    for i in range(waiting):
        spool.put([report(at_us=T0_US + 1_000_000 + i)])
    spool.close()
    return root


def spool_of(root: Path) -> Path:
    return root / "var/lib/vitalwire/spool"


@pytest.mark.parametrize("absolute", [True, False])
def test_a_boxs_files_are_found_below_its_disk(tmp_path: Path, absolute: bool) -> None:
    box = open_disk(dead_disk(tmp_path, cut=2, waiting=3, absolute=absolute))
    assert (box.edge_id, box.spool.batches, box.spool.reports) == (EDGE, 2, 3)
    assert box.config.spool.resolve() == spool_of(tmp_path)
    assert box.signing_key().public_der == keys.read_public(tmp_path / "etc/vitalwire/edge.pub")
    assert (box.config_hash, box.spool.committed_at_us) == (b"c" * 32, LATER_US)


def test_files_of_this_machine_are_never_taken_for_the_boxs(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    disk = dead_disk(tmp_path / "disk")
    config = disk / "etc/vitalwire/edge.toml"
    config.write_text(config.read_text() + 'key_file = "../../../outside/edge.key"\n')
    with pytest.raises(UserError, match=r"key_file = .* leads out of"):
        open_disk(disk)
    with pytest.raises(UserError, match="mount the box's disk, and name its root"):
        open_disk(tmp_path / "outside")


def test_the_last_commit_must_be_ten_minutes_ago(tmp_path: Path) -> None:
    box = open_disk(dead_disk(tmp_path))
    for now_us in (LATER_US, LATER_US + QUIET_US, LATER_US - 5_000_000):
        with pytest.raises(UserError, match="--owner-is-dead --by NAME") as refused:
            box.require_dead(now_us, is_declared_dead=False)
        assert refused.value.exit_code == EXIT_DOES_NOT_HOLD
        box.require_dead(now_us, is_declared_dead=True)
    box.require_dead(LATER_US + QUIET_US + 1, is_declared_dead=False)


def test_what_an_earlier_drain_committed_does_not_count(tmp_path: Path) -> None:
    spool_id = open_disk(dead_disk(tmp_path)).spool.spool_id
    leave_mark(spool_of(tmp_path), DrainMark("00" * 16, "then", "N", "h"))  # of an id from before
    with pytest.raises(UserError):
        open_disk(tmp_path).require_dead(LATER_US, is_declared_dead=False)
    leave_mark(spool_of(tmp_path), DrainMark(spool_id.hex(), "then", "N", "h"))
    open_disk(tmp_path).require_dead(LATER_US, is_declared_dead=False)
    (spool_of(tmp_path) / MARK).write_bytes(b"{")
    assert open_disk(tmp_path).spool.mark is not None


def test_a_spool_in_use_is_refused(tmp_path: Path) -> None:
    spool = Spool(spool_of(dead_disk(tmp_path)), bytes_max=1 << 24, receipt_hold_s=1)
    with pytest.raises(UserError, match="in use by an agent"):
        open_disk(tmp_path)
    spool.close()
    open_disk(tmp_path)


def no_key(path: Path) -> None:
    path.unlink()


def encrypted_key(path: Path) -> None:
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def other_key(path: Path) -> None:
    path.unlink()
    keys.generate(path)


@pytest.mark.parametrize(("spoil", "why"), [
    (no_key, "is not on the disk, as with a hardware key"),
    (encrypted_key, "holds no private key in PEM without a password"),
    (other_key, "is not the key that signed this spool's batches"),
])  # fmt: skip
def test_reports_are_not_signed_without_the_boxs_key(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    spoil(dead_disk(tmp_path, waiting=3) / "etc/vitalwire/edge.key")
    with pytest.raises(UserError, match=why) as refused:
        open_disk(tmp_path).signing_key()
    assert "3 reports are not signed yet and stay on the disk; --sealed-only sends the rest" in str(refused.value)


def test_a_damaged_spool_and_another_boxs_are_left_as_they_are(tmp_path: Path) -> None:
    config = dead_disk(tmp_path) / "etc/vitalwire/edge.toml"
    config.write_text(config.read_text().replace(str(EDGE), str(uuid.UUID(int=8))))
    with pytest.raises(UserError, match=f"is of edge {EDGE}, and .* is of {uuid.UUID(int=8)}"):
        open_disk(tmp_path)
    file = spool_of(tmp_path) / "spool.db"
    file.write_bytes(b"damaged" * 1000)
    with pytest.raises(UserError, match="cannot be read"):
        open_disk(tmp_path)
    assert file.read_bytes() == b"damaged" * 1000
