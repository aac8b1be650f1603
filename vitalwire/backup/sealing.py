"""Keys and configuration, encrypted: for who has the private key of a recipient, or knows a passphrase.

A file is: magic, length of the head (u32), head (JSON: how the key is made), nonce, AES-256-GCM of the archive, whose
additional data are all bytes before the nonce. The key comes by X25519 with an ephemeral key and HKDF-SHA256 (as age
and HPKE do it), or by scrypt from the passphrase (RFC 7914). The private key need not be on the machine that writes.
"""

from __future__ import annotations

import os
import secrets
import struct
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.config import read_secret
from runtime.errors import UserError

MAGIC = b"VWSEAL\x00\x01"
HEAD_BYTES_MAX = 4096
PASSPHRASE_CHARS_MIN = 16
_LENGTH = struct.Struct("<I")
_NONCE_BYTES, _KEY_BYTES, _SALT_BYTES = 12, 32, 16
_PURPOSE = b"vitalwire backup of keys and configuration, 1"
# OWASP's parameters of scrypt: 128 MiB, some 0.3 s.
_SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P = 17, 8, 1
_SCRYPT_LOG_N_MAX = 20  # of a file that somebody else made


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the key of a file is made; `ephemeral` is a public key, raw."""

    kind: Literal["x25519", "scrypt"]
    salt: bytes
    ephemeral: bytes = b""
    recipient: bytes = b""
    log_n: int = 0


def generate(path: Path) -> bytes:
    """Make a recipient's key file and its `.pub` beside it; the public key, raw. A key is never overwritten."""
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        path.with_suffix(".pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except FileExistsError:
        raise UserError(f"{path} exists already: a key is never overwritten; name another file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return public.public_bytes_raw()


def read_recipient(path: Path) -> X25519PublicKey:
    """The public key that a backup is encrypted for; raises UserError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; `vitalwire backup keygen` makes one") from None
    except ValueError:
        key = None
    if not isinstance(key, X25519PublicKey):
        raise UserError(f"{path} holds no recipient's public key: it is the .pub of `vitalwire backup keygen`")
    return key


def read_identity(path: Path) -> X25519PrivateKey:
    """The private key that opens it; raises UserError: missing, readable by others, or another key."""
    try:
        key = serialization.load_pem_private_key(read_secret(path).encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise UserError(f"{path} holds no private key of `vitalwire backup keygen`")
    return key


def read_passphrase(path: Path) -> str:
    """Raises UserError: missing, readable by others, too short to be safe."""
    passphrase = read_secret(path).strip()
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise UserError(
            f"{path}: a passphrase of less than {PASSPHRASE_CHARS_MIN} characters is guessed: make it with"
            " openssl rand -hex 16"
        )
    return passphrase


def seal(data: bytes, key: X25519PublicKey | str) -> bytes:
    """The file; `key` is a recipient's public key or a passphrase."""
    salt = secrets.token_bytes(_SALT_BYTES)
    if isinstance(key, str):
        head = Head("scrypt", salt, log_n=_SCRYPT_LOG_N)
        secret = _of_passphrase(head, key)
    else:
        once = X25519PrivateKey.generate()
        head = Head("x25519", salt, once.public_key().public_bytes_raw(), key.public_bytes_raw())
        secret = _of_exchange(head, once.exchange(key))
    body = msgspec.json.encode(head)
    before = MAGIC + _LENGTH.pack(len(body)) + body
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return before + nonce + AESGCM(secret).encrypt(nonce, data, before)


def unseal(sealed: bytes, key: X25519PrivateKey | str, where: str) -> bytes:
    """What was sealed; `where` names the file in errors. Raises UserError: no such file, the wrong key, changed."""
    head, at = _read_head(sealed, where)
    if head.kind == "scrypt":
        if not isinstance(key, str):
            raise UserError(f"{where} was encrypted with a passphrase: give --passphrase-file")
        secret = _of_passphrase(head, key)
    else:
        if isinstance(key, str):
            raise UserError(f"{where} was encrypted for a key: give --identity, the file of `vitalwire backup keygen`")
        if key.public_key().public_bytes_raw() != head.recipient:
            raise UserError(f"{where} was encrypted for another key than this: look for the file of its .pub")
        try:
            shared = key.exchange(X25519PublicKey.from_public_bytes(head.ephemeral))
        except ValueError:
            raise UserError(f"{where} has a head that cannot be read: take it from another backup") from None
        secret = _of_exchange(head, shared)
    nonce, ciphertext = sealed[at : at + _NONCE_BYTES], sealed[at + _NONCE_BYTES :]
    try:
        return AESGCM(secret).decrypt(nonce, ciphertext, sealed[:at])
    except InvalidTag:
        raise UserError(
            f"{where} does not open: the passphrase is another one, or a byte of the file was changed"
        ) from None


def _read_head(sealed: bytes, where: str) -> tuple[Head, int]:
    """The head, and where the nonce begins."""
    start = len(MAGIC) + _LENGTH.size
    if not sealed.startswith(MAGIC) or len(sealed) < start:
        raise UserError(f"{where} is no encrypted file of `vitalwire backup run`")
    (length,) = _LENGTH.unpack_from(sealed, len(MAGIC))
    at = start + length
    if length > HEAD_BYTES_MAX or at + _NONCE_BYTES > len(sealed):
        raise UserError(f"{where} is cut short: take it from another backup")
    try:
        head = msgspec.json.decode(sealed[start:at], type=Head)
    except (msgspec.MsgspecError, ValueError):
        raise UserError(f"{where} has a head that cannot be read: take it from another backup") from None
    if head.kind == "scrypt" and not 1 <= head.log_n <= _SCRYPT_LOG_N_MAX:
        raise UserError(f"{where} asks for more memory than a backup of ours does: somebody changed it")
    return head, at


def _of_passphrase(head: Head, passphrase: str) -> bytes:
    return Scrypt(head.salt, _KEY_BYTES, 1 << head.log_n, _SCRYPT_R, _SCRYPT_P).derive(passphrase.encode())


def _of_exchange(head: Head, shared: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, head.salt + head.ephemeral + head.recipient, _PURPOSE).derive(shared)
