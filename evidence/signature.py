"""P-256 signatures as 64 bytes r || s, s in the lower half: two byte strings never sign the same thing."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

# The order of the group of P-256: SEC 2, section 2.4.2.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ALGORITHM = ec.ECDSA(SHA256())


def key_id(public_der: bytes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo."""
    return sha256(public_der).digest()


@lru_cache(maxsize=4096)
def _public_key(public_der: bytes) -> ec.EllipticCurvePublicKey | None:
    try:
        key = load_der_public_key(public_der)
    except ValueError:
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) else None


def verify(public_der: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the key signed the message. False, never an exception, for anything that is no signature."""
    key = _public_key(public_der)
    if key is None or len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        return False
    try:
        key.verify(utils.encode_dss_signature(r, s), message, _ALGORITHM)
    except InvalidSignature:
        return False
    return True
