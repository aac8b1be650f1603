"""Security keys (WebAuthn level 3): what is asked of one, and whether what it answers may be believed.

The library verifies the signature and what the standard makes it verify. Its defaults accept an unverified user, a
frame of another site, any algorithm and keys that are copied to a cloud; what a ward needs is stricter, and is asked
here first: docs/security-keys.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    decode_credential_public_key,
    parse_attestation_object,
    parse_authenticator_data,
)
from webauthn.helpers.cose import COSECRV, COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorAttachment,
    AuthenticatorData,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

SIGN_IN_MAGIC = b"VWSIGNI1"
ENROL_MAGIC = b"VWENROL1"
SIGNATURE_MAGIC = b"VWSIGNA1"  # reserved: what signs a document one day must never have signed somebody in
RANDOM_BYTES = 32
TIMEOUT_MS = 120_000
_ES256 = COSEAlgorithmIdentifier.ECDSA_SHA_256
# What reading or verifying raises for bytes that are none of an authenticator.
_MALFORMED = (WebAuthnException, msgspec.MsgspecError, ValueError, KeyError, TypeError, IndexError, AttributeError)


class Refusal(StrEnum):
    """Why a key was not believed; for logs and tests: who signs in is told `key_refused` alone."""

    UNREADABLE = "unreadable"
    TYPE = "type"  # of the ceremony
    CHALLENGE = "challenge"  # not ours, not for this, used, or out of date
    ORIGIN = "origin"
    CROSS_ORIGIN = "cross_origin"  # asked by a frame of another site
    SITE = "site"  # rpIdHash
    PRESENCE = "presence"
    VERIFICATION = "verification"  # by PIN or finger
    BACKED_UP = "backed_up"
    PLATFORM = "platform"  # built into a machine
    ALGORITHM = "algorithm"
    OWNER = "owner"  # userHandle
    SIGNATURE = "signature"
    COUNT = "count"  # went back: there may be a copy of the key
    UNKNOWN_KEY = "unknown_key"


class KeyRefusedError(Exception):
    """`refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@dataclass(frozen=True)
class KeySite:
    """For whom keys are made: the origin that people open, for ever. Raises ValueError for what can be none.

    `platform_keys`: also what is built into a machine or copied to a cloud: where every machine is one person's.
    """

    origin: str
    platform_keys: bool = False

    def __post_init__(self) -> None:
        split = urlsplit(self.origin)
        if f"{split.scheme}://{split.netloc}" != self.origin or split.username is not None or not split.hostname:
            raise ValueError(f"{self.origin!r} is no origin: write it as https://vitalwire.hospital.example")
        if _is_address(split.hostname):
            raise ValueError(f"{self.origin!r} is an address: security keys need a DNS name (or localhost)")
        if split.scheme != "https" and not (split.scheme == "http" and split.hostname == "localhost"):
            raise ValueError(f"{self.origin!r} is not https: security keys need it (but at http://localhost)")

    @property
    def rp_id(self) -> str:
        """The host's name. A key that was made for another one does not open."""
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True)
class Enrolled:
    """What an authenticator made for somebody."""

    credential: bytes
    public_key: bytes
    sign_count: int
    model: str


class _ClientData(msgspec.Struct, frozen=True):
    """WebAuthn 5.8.1; strict: what is no boolean is refused."""

    type: str
    challenge: str
    origin: str
    crossOrigin: bool = False  # noqa: N815  # the standard's name
    topOrigin: str | None = None  # noqa: N815


class _Response(msgspec.Struct, frozen=True):
    clientDataJSON: str  # noqa: N815
    authenticatorData: str = ""  # noqa: N815
    attestationObject: str = ""  # noqa: N815
    userHandle: str | None = None  # noqa: N815


class _Credential(msgspec.Struct, frozen=True):
    id: str
    response: _Response
    authenticatorAttachment: str | None = None  # noqa: N815


@dataclass(frozen=True)
class Answered:
    """What a browser sends back, as far as it can be read; nothing of it is verified yet."""

    credential: bytes
    challenge: bytes
    raw: dict[str, Any]
    client: _ClientData
    response: _Response
    attachment: str | None


def user_handle(staff: str) -> bytes:
    """By which an authenticator knows whose the key is: it says nobody's number to who finds it."""
    return sha256(b"vitalwire staff " + staff.encode()).digest()


def new_challenge(magic: bytes) -> bytes:
    """Random, and for one purpose."""
    return magic + secrets.token_bytes(RANDOM_BYTES)


def sign_in_options(site: KeySite, challenge: bytes) -> bytes:
    """For navigator.credentials.get, as JSON: of any key that is made for this site."""
    options = generate_authentication_options(
        rp_id=site.rp_id, challenge=challenge, timeout=TIMEOUT_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )  # fmt: skip
    return options_to_json(options).encode()


def enrol_options(site: KeySite, challenge: bytes, staff: str, name: str, present: Sequence[bytes]) -> bytes:
    """For navigator.credentials.create, as JSON. `present`: the credentials that the person has."""
    options = generate_registration_options(
        rp_id=site.rp_id, rp_name="vitalwire", user_name=staff, user_display_name=name, user_id=user_handle(staff),
        challenge=challenge, timeout=TIMEOUT_MS, supported_pub_key_algs=[_ES256],
        authenticator_selection=AuthenticatorSelectionCriteria(
            authenticator_attachment=None if site.platform_keys else AuthenticatorAttachment.CROSS_PLATFORM,
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(credential) for credential in present],
    )  # fmt: skip
    return options_to_json(options).encode()


def read_answer(credential: object) -> Answered:
    """PublicKeyCredential.toJSON() of a browser; raises KeyRefusedError."""
    try:
        read = msgspec.convert(credential, _Credential)
        client = msgspec.json.decode(base64url_to_bytes(read.response.clientDataJSON), type=_ClientData)
        challenge, credential_id = base64url_to_bytes(client.challenge), base64url_to_bytes(read.id)
    except _MALFORMED:
        raise KeyRefusedError(Refusal.UNREADABLE) from None
    assert isinstance(credential, dict)
    return Answered(credential_id, challenge, credential, client, read.response, read.authenticatorAttachment)


def verify_sign_in(site: KeySite, answered: Answered, staff: str, public_key: bytes) -> int:
    """The count of a key that is this person's and was used for this; raises KeyRefusedError.

    That the challenge was ours and is not used, and that the count did not go back, is the caller's to see.
    """
    _check_client(site, answered, "webauthn.get", SIGN_IN_MAGIC)
    try:
        seen = parse_authenticator_data(base64url_to_bytes(answered.response.authenticatorData))
        handle = answered.response.userHandle
        owner = user_handle(staff) if handle is None else base64url_to_bytes(handle)
    except _MALFORMED:
        raise KeyRefusedError(Refusal.UNREADABLE) from None
    _check_authenticator(site, seen)
    if owner != user_handle(staff):
        raise KeyRefusedError(Refusal.OWNER)
    if not _is_es256(public_key):
        raise KeyRefusedError(Refusal.ALGORITHM)
    try:
        verified = verify_authentication_response(
            credential=answered.raw, expected_challenge=answered.challenge, expected_rp_id=site.rp_id,
            expected_origin=site.origin, credential_public_key=public_key, credential_current_sign_count=0,
            require_user_verification=True,
        )  # fmt: skip
    except _MALFORMED:
        raise KeyRefusedError(Refusal.SIGNATURE) from None
    return verified.new_sign_count


def verify_enrolment(site: KeySite, answered: Answered) -> Enrolled:
    """What was made; raises KeyRefusedError. That the challenge was ours is the caller's to see."""
    _check_client(site, answered, "webauthn.create", ENROL_MAGIC)
    if answered.attachment == AuthenticatorAttachment.PLATFORM and not site.platform_keys:
        raise KeyRefusedError(Refusal.PLATFORM)
    try:
        made = parse_attestation_object(base64url_to_bytes(answered.response.attestationObject)).auth_data
    except _MALFORMED:
        raise KeyRefusedError(Refusal.UNREADABLE) from None
    _check_authenticator(site, made)
    if made.attested_credential_data is None or not _is_es256(made.attested_credential_data.credential_public_key):
        raise KeyRefusedError(Refusal.ALGORITHM)
    try:
        verified = verify_registration_response(
            credential=answered.raw, expected_challenge=answered.challenge, expected_rp_id=site.rp_id,
            expected_origin=site.origin, require_user_verification=True, supported_pub_key_algs=[_ES256],
        )  # fmt: skip
    except _MALFORMED:
        raise KeyRefusedError(Refusal.SIGNATURE) from None
    if verified.credential_id != answered.credential:
        raise KeyRefusedError(Refusal.UNREADABLE)
    return Enrolled(verified.credential_id, verified.credential_public_key, verified.sign_count, verified.aaguid)


def _check_client(site: KeySite, answered: Answered, kind: str, magic: bytes) -> None:
    client = answered.client
    if client.type != kind:
        raise KeyRefusedError(Refusal.TYPE)
    if not answered.challenge.startswith(magic) or len(answered.challenge) != len(magic) + RANDOM_BYTES:
        raise KeyRefusedError(Refusal.CHALLENGE)
    if client.origin != site.origin:
        raise KeyRefusedError(Refusal.ORIGIN)
    if client.crossOrigin or client.topOrigin is not None:
        raise KeyRefusedError(Refusal.CROSS_ORIGIN)


def _check_authenticator(site: KeySite, seen: AuthenticatorData) -> None:
    if seen.rp_id_hash != sha256(site.rp_id.encode()).digest():
        raise KeyRefusedError(Refusal.SITE)
    if not seen.flags.up:
        raise KeyRefusedError(Refusal.PRESENCE)
    if not seen.flags.uv:
        raise KeyRefusedError(Refusal.VERIFICATION)
    if (seen.flags.be or seen.flags.bs) and not site.platform_keys:
        raise KeyRefusedError(Refusal.BACKED_UP)


def _is_es256(public_key: bytes) -> bool:
    try:
        key = decode_credential_public_key(public_key)
    except _MALFORMED:
        return False
    return key.alg == _ES256 and getattr(key, "crv", None) == COSECRV.P256


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
