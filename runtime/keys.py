"""Key files: P-256, PKCS#8 PEM, readable by their owner alone; a demo's key says so and is refused elsewhere."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.config import read_secret
from runtime.errors import UserError

DEMO_MARK = "vitalwire demo key: refused outside the demo"
# The order of the group of P-256: SEC 2, section 2.4.2.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ALGORITHM = ec.ECDSA(SHA256())


class SigningKey:
    """A private key that signs as r || s, 64 bytes, s in the lower half."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = sha256(self.public_der).digest()

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256."""
        r, s = utils.decode_dss_signature(self._key.sign(message, _ALGORITHM))
        return r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32)


def generate(path: Path, *, demo: bool = False) -> SigningKey:
    """Make a key and its `.pub` beside it. Raises UserError where a file is there: a key is never overwritten."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{DEMO_MARK}\n{pem}" if demo else pem)
        path.with_suffix(".pub").write_bytes(public)
    except FileExistsError:
        raise UserError(f"{path} exists already: a key is never overwritten; name another file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return SigningKey(key)


def public_pem(key: SigningKey) -> bytes:
    """What `.pub` files hold."""
    public = serialization.load_der_public_key(key.public_der)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load(path: Path, *, allow_demo: bool = False) -> SigningKey:
    """Read a key file. Raises UserError: missing, readable by others, not P-256, or a demo's outside the demo."""
    mend = "make one with `vitalwire edge keygen` or `vitalwire processors keygen`"
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist: {mend}")
    text = read_secret(path)
    if DEMO_MARK in text and not allow_demo:
        raise UserError(f"{path} was made for the demo: {mend}")
    try:
        key = serialization.load_pem_private_key(text[text.index("-----BEGIN") :].encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{path} holds no private key in PEM without a password: {mend}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UserError(f"{path} is not a P-256 key: {mend}")
    return SigningKey(key)


def read_public(path: Path) -> bytes:
    """A public key file as SubjectPublicKeyInfo; raises UserError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path} holds no public key in PEM: it is the .pub file beside a key") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(public_der: bytes) -> str:
    """What two people compare over the telephone: the first 20 bytes of SHA-256, in groups of four digits."""
    digest = sha256(public_der).hexdigest()[:40]
    return " ".join(digest[i : i + 4] for i in range(0, 40, 4))
