"""Keys and configuration, encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import UserError
from vitalwire.backup import sealing
from vitalwire.backup.sealing import MAGIC, read_identity, read_passphrase, read_recipient, seal, unseal

SECRET = b"the platform's key" * 100
PASSPHRASE = "0123456789abcdef"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    sealing.generate(tmp_path / "backup.key")
    return tmp_path / "backup.key"


def test_who_has_the_key_opens_it(key: Path) -> None:
    sealed = seal(SECRET, read_recipient(key.with_suffix(".pub")))
    assert SECRET[:18] not in sealed
    assert unseal(sealed, read_identity(key), "f") == SECRET
    assert seal(SECRET, read_recipient(key.with_suffix(".pub"))) != sealed


def test_who_knows_the_passphrase_opens_it() -> None:
    assert unseal(seal(SECRET, PASSPHRASE), PASSPHRASE, "f") == SECRET


def test_a_wrong_key_is_said(key: Path, tmp_path: Path) -> None:
    for_key = seal(SECRET, read_recipient(key.with_suffix(".pub")))
    sealing.generate(tmp_path / "other.key")
    with pytest.raises(UserError, match="for another key"):
        unseal(for_key, read_identity(tmp_path / "other.key"), "f")
    with pytest.raises(UserError, match="--identity"):
        unseal(for_key, PASSPHRASE, "f")
    by_passphrase = seal(SECRET, PASSPHRASE)
    with pytest.raises(UserError, match="passphrase is another one"):
        unseal(by_passphrase, f"{PASSPHRASE}!", "f")
    with pytest.raises(UserError, match="--passphrase-file"):
        unseal(by_passphrase, read_identity(key), "f")


def test_one_byte_changed_is_noticed_wherever_it_is(key: Path) -> None:
    sealed = seal(SECRET, read_recipient(key.with_suffix(".pub")))
    for at in (0, 9, 30, len(MAGIC) + 60, len(sealed) // 2, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(UserError):
            unseal(bytes(changed), read_identity(key), "f")
    for length in (0, 5, 11, 40, len(sealed) - 1):
        with pytest.raises(UserError):
            unseal(sealed[:length], read_identity(key), "f")


def test_files_that_are_no_keys(key: Path, tmp_path: Path) -> None:
    short = tmp_path / "passphrase"
    short.write_text("short\n")
    short.chmod(0o600)
    with pytest.raises(UserError, match="is guessed"):
        read_passphrase(short)
    with pytest.raises(UserError, match="no private key"):
        read_identity(short)
    with pytest.raises(UserError, match="no recipient"):
        read_recipient(key)
    with pytest.raises(UserError, match="cannot be read"):
        read_recipient(tmp_path / "none.pub")
    with pytest.raises(UserError, match="never overwritten"):
        sealing.generate(key)
    assert key.stat().st_mode & 0o077 == 0
