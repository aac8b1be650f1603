"""A custody copy (封存): the files of a stay, encrypted so that it takes two people to open them, and their list.

A file is: magic, length of the list (u32), the list (canonical JSON), nonce, and the archive by AES-256-GCM, whose
additional data are all bytes before the nonce. The key is the exclusive or of two shares; each side holds one, on
paper, and no database has either. Who holds one share learns nothing of the key.
"""

from __future__ import annotations

import base64
import io
import secrets
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import LayoutError, LayoutReason

COPY_MAGIC = b"VWCOPY\x00\x01"
LIST_BYTES_MAX = 1 << 20
_LENGTH = struct.Struct("<I")
_NONCE_BYTES, _KEY_BYTES, _CHECK_BYTES = 12, 32, 3
_GROUP_CHARS = 4  # of a share as it is printed


class ListedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the archive; `sha256` in hexadecimal."""

    name: str
    bytes: int
    sha256: str


class CopyList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What both sides confirm.

    `since_us` 0: from the beginning of the stay. `batches`: ids of those behind its values, in hexadecimal.
    """

    copy: str  # UUID
    part: int
    encounter: str
    patient: str
    since_us: int
    until_us: int
    versions: int  # of entries
    files: list[ListedFile]
    batches: list[str]

    @property
    def body(self) -> bytes:
        """Canonical JSON (RFC 8785)."""
        return rfc8785.dumps(msgspec.to_builtins(self))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON: what the act of the copy, a leaf of the log, names."""
        return sha256(self.body).digest()


@dataclass(frozen=True)
class SealedCopy:
    """A copy's file as far as it can be read without a key."""

    list: CopyList
    sealed: bytes  # nonce and ciphertext
    head: bytes  # all before the nonce


def listed(files: Mapping[str, bytes]) -> list[ListedFile]:
    """In the order of their names."""
    return [ListedFile(name, len(files[name]), sha256(files[name]).hexdigest()) for name in sorted(files)]


def new_shares() -> tuple[bytes, bytes]:
    """Two shares of a new key."""
    return secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(_KEY_BYTES)


def seal_copy(contents: CopyList, files: Mapping[str, bytes], shares: tuple[bytes, bytes]) -> bytes:
    """The file; `files` must be those of the list."""
    body = contents.body
    head = COPY_MAGIC + _LENGTH.pack(len(body)) + body
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(files):
            packed.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return head + nonce + AESGCM(_key(*shares)).encrypt(nonce, archive.getvalue(), head)


def read_copy(data: bytes) -> SealedCopy:
    """Its list, without a key; raises LayoutError for what is no custody copy."""
    start = len(COPY_MAGIC) + _LENGTH.size
    if len(data) < start or not data.startswith(COPY_MAGIC):
        raise LayoutError(LayoutReason.MAGIC, "this is no custody copy")
    (length,) = _LENGTH.unpack_from(data, len(COPY_MAGIC))
    if length > LIST_BYTES_MAX or start + length + _NONCE_BYTES > len(data):
        raise LayoutError(LayoutReason.SIZE, "the custody copy is cut short")
    head = data[: start + length]
    try:
        contents = msgspec.json.decode(head[start:], type=CopyList)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LayoutError(LayoutReason.TEXT, "the list of a custody copy") from error
    if contents.body != head[start:]:
        raise LayoutError(LayoutReason.TEXT, "the list of a custody copy is not in canonical JSON")
    return SealedCopy(contents, data[start + length :], head)


def open_copy(copy: SealedCopy, shares: tuple[bytes, bytes]) -> dict[str, bytes]:
    """The files, each held against the list; raises LayoutError where the shares do not fit or a byte was changed."""
    nonce, sealed = copy.sealed[:_NONCE_BYTES], copy.sealed[_NONCE_BYTES:]
    try:
        archive = AESGCM(_key(*shares)).decrypt(nonce, sealed, copy.head)
    except InvalidTag:
        raise LayoutError(
            LayoutReason.TEXT, "the two shares do not open it, or a byte of it was changed since it was made"
        ) from None
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    if listed(files) != copy.list.files:
        raise LayoutError(LayoutReason.TEXT, "the files of the custody copy are not those of its list")
    return files


def share_text(share: bytes) -> str:
    """A share as it is printed: base32 in groups of four, with a check of three bytes at its end."""
    text = base64.b32encode(share + sha256(share).digest()[:_CHECK_BYTES]).decode().rstrip("=")
    return "-".join(text[i : i + _GROUP_CHARS] for i in range(0, len(text), _GROUP_CHARS))


def parse_share(text: str) -> bytes:
    """As somebody typed it: case, blanks and hyphens do not matter; raises LayoutError for a typing error."""
    letters = "".join(text.split()).replace("-", "").upper()
    try:
        decoded = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        decoded = b""
    share, check = decoded[:_KEY_BYTES], decoded[_KEY_BYTES:]
    if len(share) != _KEY_BYTES or check != sha256(share).digest()[:_CHECK_BYTES]:
        raise LayoutError(LayoutReason.TEXT, "a share of 14 groups of four letters: look for a typing error")
    return share


def _key(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
