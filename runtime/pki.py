"""The hospital's own small certificate authority, for the boxes' client certificates towards Kafka.

A folder: `ca.crt`, `ca.key` (encrypted), `issued/` with each certificate under its serial number, `revoked.json`, and
`crl.pem` (RFC 5280). P-256 throughout. It issues to requests (RFC 2986): a private key never comes here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.certificates import BACKDATED, authority_certificate, unsigned_certificate
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.whole_file import replace_file

LASTS = timedelta(days=90)
CRL_LASTS = timedelta(days=30)
PASSPHRASE_CHARS_MIN = 16
ISSUED_A_DAY_MAX = 10  # to one name
_ANEW = "issue another one: `vitalwire pki issue`"


@dataclass(frozen=True)
class Issued:
    """A certificate; `name` is its common name, the id of an edge; `revoked_at` None: it was not revoked."""

    serial: str  # hexadecimal
    name: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    why: str
    pem: str
    public_der: bytes

    def is_valid(self, at: datetime) -> bool:
        """Whether it is in force."""
        return self.revoked_at is None and self.not_before <= at < self.not_after


class _Revocation(msgspec.Struct, frozen=True):
    at: datetime
    why: str


class Pki:
    """One such folder, opened to issue and revoke."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
        self.folder, self._key, self._cert = folder, key, cert

    @classmethod
    def create(cls, folder: Path, name: str, passphrase_file: Path, now: datetime | None = None) -> Self:
        """A new authority of this name; raises UserError where there is one already."""
        passphrase, at = _passphrase(passphrase_file), now or datetime.now(UTC)
        if (folder / "ca.crt").exists() or (folder / "ca.key").exists():
            raise UserError(f"{folder} has an authority already: it is never overwritten; name another folder")
        try:
            (folder / "issued").mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror}") from None
        key = ec.generate_private_key(ec.SECP256R1())
        cert = authority_certificate(key, name, at)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
        replace_file(folder / "ca.key", pem, 0o600)
        replace_file(folder / "ca.crt", cert.public_bytes(Encoding.PEM))
        made = cls(folder, key, cert)
        made._write_crl({}, at)
        return made

    @classmethod
    def open(cls, folder: Path, passphrase_file: Path) -> Self:
        """Raises UserError for a folder without an authority, and for a passphrase that is not its own."""
        passphrase, cert = _passphrase(passphrase_file), authority_of(folder)
        try:
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), passphrase)
        except OSError as error:
            raise UserError(f"{folder / 'ca.key'} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UserError(f"{passphrase_file} does not open {folder / 'ca.key'}: name the right one") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
            raise UserError(f"{folder}: ca.key and ca.crt are not of one authority: restore both from one backup")
        return cls(folder, key, cert)

    @property
    def ca_pem(self) -> str:
        """Its own certificate, which the broker trusts."""
        return self._cert.public_bytes(Encoding.PEM).decode()

    def issue(self, csr_pem: str, name: str, now: datetime | None = None) -> Issued:
        """A client certificate for `name`, whatever the request calls itself.

        Raises UserError for what is no request of a P-256 key, and where this name had too many today.
        """
        public, at = _requested_key(csr_pem), now or datetime.now(UTC)
        with self._alone():
            today = [each for each in issued(self.folder) if each.name == name and each.not_before > at - _DAY]
            if len(today) >= ISSUED_A_DAY_MAX:
                raise UserError(f"{name} was given {len(today)} certificates within a day: see `vitalwire pki list`")
            cert = self._client_certificate(public, name, at)
            pem = cert.public_bytes(Encoding.PEM)
            replace_file(self.folder / "issued" / f"{cert.serial_number:x}.crt", pem)
        return _issued(cert, {})

    def revoke(self, serial: str, why: str, now: datetime | None = None) -> Issued:
        """It stands in the CRL from now on; raises UserError where there is none of this number, or it was revoked."""
        at = now or datetime.now(UTC)
        with self._alone():
            found = next((each for each in issued(self.folder) if each.serial == serial), None)
            if found is None:
                raise UserError(f"no certificate {serial} was issued: `vitalwire pki list` has their numbers")
            if found.revoked_at is not None:
                raise UserError(f"{serial} was revoked already, at {found.revoked_at:%Y-%m-%d %H:%M} UTC")
            revoked = _revocations(self.folder) | {serial: _Revocation(at, why)}
            replace_file(self.folder / "revoked.json", msgspec.json.encode(revoked))
            self._write_crl(revoked, at)
        return next(each for each in issued(self.folder) if each.serial == serial)

    def write_crl(self, now: datetime | None = None) -> None:
        """Anew: a CRL ends after CRL_LASTS."""
        with self._alone():
            self._write_crl(_revocations(self.folder), now or datetime.now(UTC))

    def _write_crl(self, revoked: Mapping[str, _Revocation], at: datetime) -> None:
        builder = x509.CertificateRevocationListBuilder(
            self._cert.subject, at - BACKDATED, at + CRL_LASTS
        ).add_extension(x509.CRLNumber(int(at.timestamp() * 1_000_000)), critical=False)
        for serial, revocation in revoked.items():
            entry = x509.RevokedCertificateBuilder(int(serial, 16), revocation.at.replace(microsecond=0)).build()
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(self._key, SHA256())
        replace_file(self.folder / "crl.pem", crl.public_bytes(Encoding.PEM))

    def _client_certificate(self, public: ec.EllipticCurvePublicKey, name: str, at: datetime) -> x509.Certificate:
        unsigned = unsigned_certificate(self._cert, public, name, at, LASTS)
        if unsigned is None:
            raise UserError(f"the authority in {self.folder} has ended: make a new one with `vitalwire pki init`")
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return unsigned.add_extension(purpose, critical=False).sign(self._key, SHA256())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of all processes that have this folder open."""
        with open(self.folder / "lock", "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


_DAY = timedelta(days=1)


def authority_of(folder: Path) -> x509.Certificate:
    """Its own certificate; raises UserError where there is none."""
    try:
        return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    except FileNotFoundError:
        raise UserError(f"{folder} has no authority: make one with `vitalwire pki init`") from None
    except (OSError, ValueError):
        raise UserError(f"{folder / 'ca.crt'} cannot be read: restore it from its backup") from None


def issued(folder: Path) -> list[Issued]:
    """Every certificate that was issued, the oldest first; it takes no passphrase. Raises UserError."""
    authority_of(folder)
    revoked, found = _revocations(folder), []
    for path in (folder / "issued").glob("*.crt"):
        try:
            found.append(_issued(x509.load_pem_x509_certificate(path.read_bytes()), revoked))
        except (OSError, ValueError):
            raise UserError(f"{path} cannot be read: restore it from its backup") from None
    return sorted(found, key=lambda each: (each.not_before, each.serial))


def read_certificate(pem: str) -> Issued:
    """A certificate as a box has it; raises ValueError for what is none of a name and a key that we issue to."""
    return _issued(x509.load_pem_x509_certificate(pem.encode()), {})


def request_for(key_file: Path) -> str:
    """A request (PEM) for a certificate of this key, whose file stays where it is. Raises UserError."""
    try:
        key = serialization.load_pem_private_key(read_secret(key_file).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{key_file} holds no private key in PEM without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{key_file} is not a P-256 key: name another file, which is then made")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vitalwire edge")])
    return x509.CertificateSigningRequestBuilder(subject).sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def _issued(cert: x509.Certificate, revoked: Mapping[str, _Revocation]) -> Issued:
    names = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise ValueError("a certificate without a name")
    serial = f"{cert.serial_number:x}"
    revocation = revoked.get(serial)
    return Issued(
        serial, names[0].value, cert.not_valid_before_utc, cert.not_valid_after_utc,
        revocation.at if revocation else None, revocation.why if revocation else "",
        cert.public_bytes(Encoding.PEM).decode(),
        cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )  # fmt: skip


def _requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The key of a request that is signed by it."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        is_signed = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"this is no request for a certificate (PEM, RFC 2986): {_ANEW} with the box's .csr") from None
    if not is_signed or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UserError("this request is not signed by the P-256 key that it names: let the box make it anew")
    return key


def _passphrase(path: Path) -> bytes:
    found = read_secret(path)
    if len(found) < PASSPHRASE_CHARS_MIN:
        raise UserError(f"{path} holds fewer than {PASSPHRASE_CHARS_MIN} characters: choose a longer passphrase")
    return found.encode()


def _revocations(folder: Path) -> dict[str, _Revocation]:
    try:
        return msgspec.json.decode((folder / "revoked.json").read_bytes(), type=dict[str, _Revocation])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError):
        raise UserError(f"{folder / 'revoked.json'} cannot be read: restore it from its backup") from None
