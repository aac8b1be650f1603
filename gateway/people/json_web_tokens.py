"""JSON Web Tokens: which one is taken. One key, one algorithm, no header that could name another key.

RFC 8725 (best practice) in short: the algorithm is the key's, never the header's; kid, jku, x5u and jwk choose nothing.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from runtime.keys import SigningKey

TOKEN_CHARS_MAX = 8192
RSA_BITS_MIN = 2048
_HEADERS = frozenset({"alg", "kid", "typ"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384"}


class TokenRefusedError(Exception):
    """It is not taken; the text is for logs, not for who sent it."""


@dataclass(frozen=True)
class PinnedKey:
    """A public key and the one algorithm that it is taken with."""

    key: ECKey | RSAKey
    algorithm: str


def pinned_key(public_key: bytes) -> PinnedKey:
    """Of SubjectPublicKeyInfo in PEM or DER; raises ValueError for one that nothing here is signed with."""
    is_pem = public_key.lstrip().startswith(b"-----BEGIN")
    load = serialization.load_pem_public_key if is_pem else serialization.load_der_public_key
    found = load(public_key)
    pem = found.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(found, ec.EllipticCurvePublicKey) and found.curve.name in _CURVES:
        return PinnedKey(ECKey.import_key(pem), _CURVES[found.curve.name])
    if isinstance(found, rsa.RSAPublicKey) and found.key_size >= RSA_BITS_MIN:
        return PinnedKey(RSAKey.import_key(pem), "RS384")
    raise ValueError(f"a key for ES256 or ES384 (P-256, P-384) or RS384 (RSA from {RSA_BITS_MIN} bits) is needed")


def verified_claims(text: str, pinned: PinnedKey, typ: str) -> dict[str, Any]:
    """What a token says that this key signed. Raises TokenRefusedError. Times and names are the caller's to check."""
    if len(text) > TOKEN_CHARS_MAX:
        raise TokenRefusedError("too long")
    try:
        found = jws.deserialize_compact(text.encode("ascii"), pinned.key, algorithms=[pinned.algorithm])
        claims = json.loads(found.payload)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenRefusedError(f"no signature of this key: {type(error).__name__}") from None
    header = found.headers()
    if not header.keys() <= _HEADERS:
        raise TokenRefusedError(f"headers {sorted(header.keys() - _HEADERS)}: the key is known without them")
    if header.get("typ") != typ:
        raise TokenRefusedError(f"typ is not {typ}")
    if not isinstance(claims, dict):
        raise TokenRefusedError("no claims")
    return claims


def claims_of_nobody(text: str) -> dict[str, Any]:
    """What a token says, whoever signed it: to find out which key it should be. Raises TokenRefusedError."""
    try:
        claims = json.loads(jws.extract_compact(text.encode("ascii")).payload)
    except (JoseError, ValueError, TypeError, KeyError):
        raise TokenRefusedError("no JWT") from None
    if not isinstance(claims, dict):
        raise TokenRefusedError("no claims")
    return claims


def signed(claims: dict[str, Any], key: SigningKey, typ: str) -> str:
    """With ES256."""
    header = {"alg": "ES256", "kid": key.key_id.hex(), "typ": typ}
    body = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    return f"{body}.{_encoded(key.sign(body.encode()))}"


def seconds(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate; None: it is absent. Raises TokenRefusedError."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise TokenRefusedError(f"{name} is no NumericDate")
    return float(value)


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).decode().rstrip("=")
