"""The checkpoint: the platform's signature over the size and root of its log, in the form that other tools read.

    <origin>                        vitalwire/<site>/<incarnation, hexadecimal>
    <size>                          decimal
    <base64 of the root>
                                    (an empty line)
    — <name> <base64 of: key id (4 bytes), signature (ASN.1 DER)>

Sources: C2SP `tlog-checkpoint` (the text) and C2SP `signed-note` (the signature). Read there, not inferred: signature
type 0x02 is ECDSA, should be P-256, and its key id is the truncated SHA-256 of the SubjectPublicKeyInfo in DER, which
makes it the head of our own key id; unlike for other types neither name nor type byte enters it. The text of
`signed-note` leaves hash and encoding to the implementation in transparency-dev (`formats/note`), which verifies an
ASN.1 DER signature over SHA-256 of the text, on any curve, Rekor's form as well. The text that is signed ends with the
newline of its last line; the empty line is not part of it.

`tlog-tiles` asks for an Ed25519 signature on logs that are public or meet the public witnesses: ours is neither.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from evidence import signature
from evidence.log import HASH_BYTES, SIZE_MAX
from evidence.statement import Sign
from schemas.errors import LayoutError, LayoutReason

NOTE_KEY_ID_BYTES = 4
NOTE_BYTES_MAX = 128 * 1024  # 16 signatures of the largest kind that `signed-note` speaks of
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_NAME = re.compile(r"[^\s+]+")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 section 2.3


@dataclass(frozen=True)
class Checkpoint:
    """The state of a log: `origin` names it, `root` is over its first `size` leaves."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """The bytes that are signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n".encode()


def log_origin(site: str, incarnation: bytes) -> str:
    """The origin of a site's log in this incarnation of its store.

    What an URL would not hold in the site's name is percent-encoded: key names have no space and no plus.
    """
    encoded = "".join(
        character if character in _UNRESERVED else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in site
    )
    return f"vitalwire/{encoded}/{incarnation.hex()}"


def sign_checkpoint(checkpoint: Checkpoint, public_der: bytes, sign: Sign, name: str | None = None) -> bytes:
    """The signed note. `sign` gives r || s, as for every statement; `name` of the key: None means the origin.

    Raises LayoutError for a checkpoint that no reader would take.
    """
    key_name = checkpoint.origin if name is None else name
    if not _KEY_NAME.fullmatch(key_name) or _CONTROL.search(key_name):
        raise LayoutError(
            LayoutReason.TEXT, "the name of a log's key has no space, plus or control character: rename the site"
        )
    if len(checkpoint.root) != HASH_BYTES or not 0 <= checkpoint.size <= SIZE_MAX:
        raise LayoutError(LayoutReason.SIZE, "checkpoint")
    raw = sign(checkpoint.text)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    encoded = b64encode(_note_key_id(public_der) + der).decode()
    note = checkpoint.text + f"\n— {key_name} {encoded}\n".encode()
    read_checkpoint(note, public_der, key_name)  # an origin of two lines, or none: never sign what nobody can read
    return note


def read_checkpoint(note: bytes, public_der: bytes, name: str | None = None) -> Checkpoint:
    """A checkpoint that this key signed under this name (None: its origin); raises LayoutError for anything else.

    Signatures of other keys, witnesses among them, are passed over, as `signed-note` says.
    """
    text, signature_lines = _split_note(note)
    checkpoint = _read_text(text)
    key_name = checkpoint.origin if name is None else name
    key_id = _note_key_id(public_der)
    signatures = []
    for line in signature_lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise LayoutError(LayoutReason.TEXT, "signature line of a checkpoint")
        line_name, encoded = match.groups()
        signature_bytes = _decode_base64(encoded)
        if line_name == key_name and signature_bytes[:NOTE_KEY_ID_BYTES] == key_id:
            signatures.append(signature_bytes[NOTE_KEY_ID_BYTES:])
    if not signatures or not all(_is_signed(public_der, der, checkpoint.text) for der in signatures):
        raise LayoutError(LayoutReason.SIGNATURE, "checkpoint")
    return checkpoint


def parse_checkpoint(note: bytes) -> Checkpoint:
    """What a checkpoint says, its form checked and nobody's signature; raises LayoutError."""
    text, _ = _split_note(note)
    return _read_text(text)


def _note_key_id(public_der: bytes) -> bytes:
    return signature.key_id(public_der)[:NOTE_KEY_ID_BYTES]


def _split_note(note: bytes) -> tuple[str, list[str]]:
    """The text, its last newline included, and the signature lines of a note."""
    if len(note) > NOTE_BYTES_MAX:
        raise LayoutError(LayoutReason.SIZE, "checkpoint")
    try:
        decoded = note.decode()
    except UnicodeDecodeError as error:
        raise LayoutError(LayoutReason.TEXT, "a checkpoint is UTF-8") from error
    text, blank_line, signatures = decoded.rpartition("\n\n")
    if not blank_line or not signatures.endswith("\n") or _CONTROL.search(decoded):
        raise LayoutError(LayoutReason.TEXT, "not a signed note")
    return text + "\n", signatures[:-1].split("\n")


def _read_text(text: str) -> Checkpoint:
    """The three lines of a checkpoint; extension lines, which our log never signs, are refused."""
    lines = text[:-1].split("\n")
    if len(lines) != 3 or not lines[0] or not _SIZE.fullmatch(lines[1]) or int(lines[1]) > SIZE_MAX:
        raise LayoutError(LayoutReason.TEXT, "checkpoint")
    root = _decode_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise LayoutError(LayoutReason.SIZE, "root of a checkpoint")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root)


def _decode_base64(encoded: str) -> bytes:
    """RFC 4648 section 4, in its one canonical form: bits that mean nothing are zero."""
    try:
        decoded = b64decode(encoded, validate=True)
    except ValueError as error:
        raise LayoutError(LayoutReason.TEXT, "base64 in a checkpoint") from error
    if b64encode(decoded).decode() != encoded:
        raise LayoutError(LayoutReason.TEXT, "base64 in a checkpoint")
    return decoded


def _is_signed(public_der: bytes, der: bytes, text: bytes) -> bool:
    try:
        r, s = decode_dss_signature(der)
        raw = r.to_bytes(32) + s.to_bytes(32)
    except (ValueError, OverflowError):
        return False
    return signature.verify(public_der, raw, text)
