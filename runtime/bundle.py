"""A bundle: all that a box without internet needs, in one signed file. Read here; written by `python -m deploy.bundle`.

A plain tar (POSIX ustar) of one folder: `manifest.json`, its signature `manifest.sig`, then what the manifest lists, by
name. All that a header says follows from the manifest, so a bundle has one form: whoever holds the manifest can say
each byte of it, and any other byte is refused, in what nobody would read too. The signature is ECDSA P-256 with SHA-256
in DER, as `openssl dgst -sha256 -verify` takes it.
"""

from __future__ import annotations

import platform
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from runtime.errors import UserError
from runtime.keys import fingerprint

FORM = 1
BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
HEAD_BYTES_MAX = 4_000_000  # of the manifest; its size is read before anything is verified
SIGNATURE_BYTES_MAX = 128
PIECE_BYTES = 1 << 20
FETCH_AGAIN = "fetch the bundle again from where it was made, and compare its checksum"


class BundleError(UserError):
    """A bundle that is not signed, not whole, changed, or for another machine."""


class BundledFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the manifest says of a file."""

    sha256: str
    size: int
    executable: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed. `epoch`: the commit's moment in seconds since 1970, which all files bear.

    `spool_form` is the form of the spool that this version writes, `spool_oldest_form` the oldest that it reads.
    `targets` has the wheels of each Python and machine, as "cp313-x86_64"; `installed_bytes` is what the largest of
    them takes on the disk.
    """

    form: int
    name: str
    version: str
    commit: str
    epoch: int
    spool_form: int
    spool_oldest_form: int
    signer: str
    installed_bytes: int
    targets: dict[str, list[str]]
    files: dict[str, BundledFile]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte is what the release key signed; a file, or a folder that was unpacked from one."""

    path: Path
    manifest: Manifest
    trusted: bytes

    def wheels(self, target: str) -> list[str]:
        """The wheels for a Python on a machine; raises BundleError where there are none."""
        if target not in self.manifest.targets:
            there = ", ".join(sorted(self.manifest.targets))
            raise BundleError(
                f"{self.path} holds nothing for this machine's {target}, but for {there}:"
                " take a box with one of these, or make the bundle for this one"
            )
        return self.manifest.targets[target]

    def unpack(self, folder: Path) -> None:
        """Write its files below this folder, which is made; each is verified as it is written. Raises BundleError."""

        def keep(name: str, pieces: Iterator[bytes]) -> None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            path.chmod(0o755 if self.manifest.files[name].executable else 0o644)

        _read(self.path, self.trusted, keep)


def this_target() -> str:
    """The Python that runs this and its machine, as the manifest names them."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"


def open_bundle(path: Path, trusted: bytes) -> Bundle:
    """Verify a bundle whole; `trusted` is the release key's SubjectPublicKeyInfo (`keys.read_public`).

    Raises BundleError, in words: not signed, signed by another, not whole, changed.
    """
    return Bundle(path, _read(path, trusted, lambda _, pieces: _exhaust(pieces)), trusted)


def header(name: str, size: int, *, is_executable: bool, epoch: int) -> bytes:
    """The block before a file of the tar, the only one that there can be."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, epoch, 0o755 if is_executable else 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What fills a file's last block."""
    return bytes(-size % BLOCK_BYTES)


# --- reading --------------------------------------------------------------------------------------------------------

_Take = Callable[[str, Iterator[bytes]], None]


def _read(path: Path, trusted: bytes, take: _Take) -> Manifest:
    try:
        if path.is_dir():
            return _read_folder(path, trusted, take)
        with path.open("rb") as file:
            return _read_tar(file, path, trusted, take)
    except OSError as error:
        raise BundleError(f"{error.filename or path} cannot be read or written: {error.strerror}") from None


def _read_tar(file: BinaryIO, path: Path, trusted: bytes, take: _Take) -> Manifest:
    head, encoded = _member(file, path, MANIFEST, HEAD_BYTES_MAX)
    signature_head, signature = _member(file, path, SIGNATURE, SIGNATURE_BYTES_MAX)
    manifest = _verified(path, encoded, signature, trusted)

    def expect(expected: bytes, found: bytes) -> None:
        if found != expected:
            is_short = len(found) < len(expected)
            what = "is not whole: it ends too early" if is_short else "was changed between its files"
            raise BundleError(f"{path} {what}: {FETCH_AGAIN}")

    def head_of(name: str, size: int, is_executable: bool = False) -> bytes:
        return header(f"{manifest.name}/{name}", size, is_executable=is_executable, epoch=manifest.epoch)

    expect(head_of(MANIFEST, len(encoded)), head)
    expect(head_of(SIGNATURE, len(signature)), signature_head)
    for name, each in sorted(manifest.files.items()):
        expect(head_of(name, each.size, each.executable), file.read(BLOCK_BYTES))
        take(name, _pieces(file, path, name, each))
        expect(padding(each.size), file.read(len(padding(each.size))))
    expect(END, file.read(len(END)))
    if file.read(1):
        raise BundleError(f"{path} goes on after its end: {FETCH_AGAIN}")
    return manifest


def _member(file: BinaryIO, path: Path, name: str, most: int) -> tuple[bytes, bytes]:
    """The header and the bytes of what must stand next, before anything is verified."""
    head = file.read(BLOCK_BYTES)
    try:
        info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
    except tarfile.HeaderError:
        raise BundleError(f"{path} is no bundle, or its beginning was changed: {FETCH_AGAIN}") from None
    if PurePosixPath(info.name).name != name or info.size > most:
        missing = "is not signed" if name == SIGNATURE else "is no bundle"
        raise BundleError(f"{path} {missing}: it has no {name} where it belongs; {FETCH_AGAIN}")
    content, filled = file.read(info.size), file.read(len(padding(info.size)))
    if len(content) < info.size or filled != padding(info.size):
        raise BundleError(f"{path} is not whole, or was changed: {FETCH_AGAIN}")
    return head, content


def _read_folder(path: Path, trusted: bytes, take: _Take) -> Manifest:
    for name, missing in ((MANIFEST, "is no bundle"), (SIGNATURE, "is not signed")):
        if not (path / name).is_file():
            raise BundleError(f"{path} {missing}: it has no {name}; {FETCH_AGAIN}")
    manifest = _verified(path, (path / MANIFEST).read_bytes(), (path / SIGNATURE).read_bytes(), trusted)
    there = {each.relative_to(path).as_posix() for each in path.rglob("*") if not each.is_dir() or each.is_symlink()}
    if more := sorted(there - manifest.files.keys() - {MANIFEST, SIGNATURE}):
        raise BundleError(f"{path} holds {more[0]}, which is not signed: unpack the bundle into an empty folder")
    for name, each in sorted(manifest.files.items()):
        if name not in there:
            raise BundleError(f"{path} is not whole: {name} is missing; unpack the bundle again")
        with (path / name).open("rb") as file:
            take(name, _pieces(file, path, name, each))
            if file.read(1):
                raise _changed(path, name)
    return manifest


def _pieces(file: BinaryIO, path: Path, name: str, each: BundledFile) -> Iterator[bytes]:
    digest, left = sha256(), each.size
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            raise BundleError(f"{path} is not whole: {name} ends too early; {FETCH_AGAIN}")
        left -= len(piece)
        digest.update(piece)
        yield piece
    if digest.hexdigest() != each.sha256:
        raise _changed(path, name)


def _exhaust(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


def _changed(path: Path, name: str) -> BundleError:
    return BundleError(f"{path}: {name} is not what was signed; {FETCH_AGAIN}")


def _verified(path: Path, encoded: bytes, signature: bytes, trusted: bytes) -> Manifest:
    """The manifest, once its signature holds; then what it says can be taken as it is."""
    key = load_der_public_key(trusted)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BundleError("the release key is not P-256: take the .pub file that came with the release key")
    try:
        key.verify(signature, encoded, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise BundleError(f"{path} {_why_not(encoded, signature, trusted)}") from None
    try:
        manifest = msgspec.json.decode(encoded, type=Manifest)
    except msgspec.MsgspecError:
        raise BundleError(
            f"{path} is of a form that this version does not read: use the bundle's own `install`"
        ) from None
    if manifest.form != FORM:
        raise BundleError(f"{path} is of form {manifest.form}, this version reads {FORM}: use its own `install`")
    return manifest


def _why_not(encoded: bytes, signature: bytes, trusted: bytes) -> str:
    if not signature:
        return f"is not signed; {FETCH_AGAIN}"
    try:
        signer = msgspec.json.decode(encoded, type=Manifest).signer
    except msgspec.MsgspecError:
        signer = ""
    ours = fingerprint(trusted)
    if signer and signer != ours:
        return (
            f"says that it was signed by the key {signer}, and {ours} is trusted here:"
            " ask who sent it, and take no other key on their word alone"
        )
    return f"was changed after it was signed: its signature does not hold; {FETCH_AGAIN}"


def tar(manifest: Manifest, encoded: bytes, signature: bytes, folder: Path) -> Iterator[bytes]:
    """The bytes of a bundle: `encoded` is the manifest as it was signed, `folder` holds its files."""
    for name, content in ((MANIFEST, encoded), (SIGNATURE, signature)):
        yield header(f"{manifest.name}/{name}", len(content), is_executable=False, epoch=manifest.epoch)
        yield content + padding(len(content))
    for name, each in sorted(manifest.files.items()):
        yield header(f"{manifest.name}/{name}", each.size, is_executable=each.executable, epoch=manifest.epoch)
        with (folder / name).open("rb") as file:
            yield from iter(lambda: file.read(PIECE_BYTES), b"")
        yield padding(each.size)
    yield END
