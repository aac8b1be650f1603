"""Bundles: what is signed is read, and nothing else is, whatever byte of it."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from deploy.bundle.write import ReleaseKey
from runtime import keys
from runtime.bundle import BundleError, open_bundle, this_target
from tests import bundling


@pytest.fixture
def key(tmp_path: Path) -> ReleaseKey:
    return bundling.release_key(tmp_path)


@pytest.fixture
def trusted(key: ReleaseKey, tmp_path: Path) -> bytes:
    return keys.read_public(tmp_path / "release.pub")


@pytest.fixture
def path(key: ReleaseKey, tmp_path: Path) -> Path:
    return bundling.bundle(tmp_path, key)


def unpacked(path: Path, to: Path) -> Path:
    """As an engineer unpacks it, with tar."""
    to.mkdir()
    subprocess.run(["tar", "-x", "-f", path, "-C", to], check=True)
    (folder,) = to.iterdir()
    return folder


def test_a_bundle_is_read_whole_and_unpacks_to_what_was_put_in(path: Path, trusted: bytes, tmp_path: Path) -> None:
    bundle = open_bundle(path, trusted)
    assert (bundle.manifest.version, bundle.manifest.spool_form) == ("1.0", 3)
    assert bundle.wheels(this_target()) == ["wheels/vitalwire-1.0-py3-none-any.whl"]
    bundle.unpack(tmp_path / "out")
    assert (tmp_path / "out" / "NOTES.md").read_text() == "notes of 1.0\n"
    assert (tmp_path / "out" / "install").stat().st_mode & 0o777 == 0o755
    folder = unpacked(path, tmp_path / "by-tar")
    assert open_bundle(folder, trusted).manifest == bundle.manifest
    assert {each.relative_to(folder) for each in folder.rglob("*") if each.is_file()} == {
        *(each.relative_to(tmp_path / "out") for each in (tmp_path / "out").rglob("*") if each.is_file()),
        Path("manifest.json"),
        Path("manifest.sig"),
    }


def test_no_byte_can_be_changed_added_or_left_out(path: Path, trusted: bytes) -> None:
    whole = path.read_bytes()
    # Each place of the first blocks, and one in each stretch of the rest: headers, contents, paddings, the end.
    for place in (*range(0, 2048, 7), *range(2048, len(whole), 61), len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(path, trusted)
    for other in (whole + b"\0", whole[:-1], whole[: len(whole) // 2], whole[:100], b""):
        path.write_bytes(other)
        with pytest.raises(BundleError):
            open_bundle(path, trusted)
    path.write_bytes(whole)
    open_bundle(path, trusted)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("NOTES.md", b"notes of 1.1\n", "NOTES.md is not what was signed"),
        ("NOTES.md", b"notes of 1.0\nand more\n", "NOTES.md is not what was signed"),
        ("NOTES.md", b"notes", "not whole: NOTES.md ends too early"),
        ("NOTES.md", None, "not whole: NOTES.md is missing"),
        ("manifest.sig", None, "is not signed"),
        ("manifest.sig", b"", "is not signed"),
        ("manifest.sig", b"x", "changed after it was signed"),
        ("manifest.json", None, "is no bundle"),
        ("wheels/more.whl", b"", "holds wheels/more.whl, which is not signed"),
    ],
)
def test_an_unpacked_bundle_is_refused_in_words(
    path: Path, trusted: bytes, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    folder = unpacked(path, tmp_path / "by-tar")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=words):
        open_bundle(folder, trusted)


def test_who_signed_is_said_where_another_is_trusted(path: Path, key: ReleaseKey, tmp_path: Path) -> None:
    other = bundling.release_key(tmp_path, "other")
    with pytest.raises(BundleError, match=f"by the key {key.fingerprint}, and {other.fingerprint} is trusted here"):
        open_bundle(path, keys.read_public(tmp_path / "other.pub"))


def test_another_machine_is_said_with_those_that_there_are(key: ReleaseKey, trusted: bytes, tmp_path: Path) -> None:
    path = bundling.bundle(tmp_path, key, targets=("cp39-sparc64",))
    with pytest.raises(BundleError, match=f"nothing for this machine's {this_target()}, but for cp39-sparc64"):
        open_bundle(path, trusted).wheels(this_target())


def test_a_missing_file_and_what_is_no_bundle_are_said(trusted: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        open_bundle(tmp_path / "none.bundle", trusted)
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(__file__, "other")
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        open_bundle(tmp_path / "other.tar", trusted)


def test_openssl_takes_the_signature(path: Path, tmp_path: Path, key: ReleaseKey) -> None:
    folder = unpacked(path, tmp_path / "by-tar")
    words = ["openssl", "dgst", "-sha256", "-verify", tmp_path / "release.pub", "-signature", "manifest.sig"]
    done = subprocess.run([*words, "manifest.json"], cwd=folder, capture_output=True, text=True)
    assert done.stdout == "Verified OK\n"
