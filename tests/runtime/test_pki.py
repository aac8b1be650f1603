"""The hospital's own authority: what it issues a server believes, what it revokes stands in its CRL."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from runtime import keys
from runtime.errors import UserError
from runtime.pki import ISSUED_A_DAY_MAX, LASTS, Pki, issued, read_certificate, request_for
from runtime.tls import client_context, server_context
from tests.runtime.conftest import Certified

EDGE = "0b7c2f3e-0000-4000-8000-000000000001"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "pki.passphrase"
    path.touch(0o600)
    path.write_text("correct horse battery\n")
    return path


@pytest.fixture
def pki(tmp_path: Path, passphrase: Path) -> Pki:
    return Pki.create(tmp_path / "pki", "Hospital X boxes", passphrase)


@pytest.fixture
def tls_key(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "kafka.key")
    return tmp_path / "kafka.key"


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The common name that the server saw; raises ssl.SSLError where either does not believe the other."""
    seen: list[str | BaseException] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            with server.wrap_socket(connection, server_side=True) as wrapped:
                subject = (wrapped.getpeercert() or {})["subject"]
                seen.append(dict(pair for part in subject for pair in part)["commonName"])  # type: ignore[misc,arg-type]
                wrapped.sendall(b"x")
        except OSError as error:
            seen.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), 10) as raw,
                client.wrap_socket(raw, server_hostname="localhost") as wrapped,
            ):
                wrapped.recv(1)
        finally:
            thread.join(10)
    (found,) = seen
    if isinstance(found, BaseException):
        raise found
    return found


def test_a_server_that_trusts_the_authority_believes_what_it_issued(
    pki: Pki, tls_key: Path, ours: Certified, tmp_path: Path
) -> None:
    certificate = pki.issue(request_for(tls_key), EDGE)
    (tmp_path / "kafka.crt").write_text(certificate.pem)
    server = server_context(ours.cert, ours.key, pki.folder / "ca.crt")
    assert handshake(server, client_context(ours.cert, tmp_path / "kafka.crt", tls_key)) == EDGE


def test_of_another_authority_it_is_not_believed(
    pki: Pki, tls_key: Path, ours: Certified, tmp_path: Path, passphrase: Path
) -> None:
    other = Pki.create(tmp_path / "other", "Hospital X boxes", passphrase)  # of the same name
    (tmp_path / "kafka.crt").write_text(other.issue(request_for(tls_key), EDGE).pem)
    with pytest.raises(ssl.SSLError):
        handshake(
            server_context(ours.cert, ours.key, pki.folder / "ca.crt"),
            client_context(ours.cert, tmp_path / "kafka.crt", tls_key),
        )


def test_a_certificate_is_of_a_client_of_this_name_for_ninety_days(pki: Pki, tls_key: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    found = pki.issue(request_for(tls_key), EDGE, now)
    assert (found.name, found.not_after) == (EDGE, now + LASTS)
    assert found.is_valid(now)
    assert not found.is_valid(now + LASTS)
    assert found.public_der == keys.load(tls_key).public_der
    cert = x509.load_pem_x509_certificate(found.pem.encode())
    assert [usage.dotted_string for usage in cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [
        "1.3.6.1.5.5.7.3.2"
    ]
    assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert read_certificate(found.pem) == found == issued(pki.folder)[0]


def test_the_key_of_the_authority_is_encrypted_and_its_own(pki: Pki, tmp_path: Path, passphrase: Path) -> None:
    key = pki.folder / "ca.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert Pki.open(pki.folder, passphrase).ca_pem == pki.ca_pem
    passphrase.write_text("another horse battery")
    with pytest.raises(UserError, match="does not open"):
        Pki.open(pki.folder, passphrase)
    passphrase.write_text("short")
    with pytest.raises(UserError, match="longer passphrase"):
        Pki.open(pki.folder, passphrase)
    passphrase.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Pki.open(pki.folder, passphrase)


def test_an_authority_is_never_overwritten(pki: Pki, passphrase: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="never overwritten"):
        Pki.create(pki.folder, "x", passphrase)
    with pytest.raises(UserError, match="vitalwire pki init"):
        Pki.open(tmp_path / "none", passphrase)
    for name in ("", "x" * 65):
        with pytest.raises(UserError, match="1 to 64 letters"):
            Pki.create(tmp_path / "unnamed", name, passphrase)


def test_what_is_revoked_stands_in_the_crl(pki: Pki, tls_key: Path) -> None:
    kept, lost = (pki.issue(request_for(tls_key), EDGE) for _ in range(2))
    assert crl(pki) == set()
    found = pki.revoke(lost.serial, "stolen")
    assert (found.serial, found.why) == (lost.serial, "stolen")
    assert not found.is_valid(datetime.now(UTC))
    assert crl(pki) == {lost.serial}
    assert {each.serial: each.why for each in issued(pki.folder)} == {kept.serial: "", lost.serial: "stolen"}
    with pytest.raises(UserError, match="revoked already"):
        pki.revoke(lost.serial, "x")
    with pytest.raises(UserError, match="no certificate abc was issued"):
        pki.revoke("abc", "x")


def crl(pki: Pki) -> set[str]:
    """Serial numbers in a list that the authority signed."""
    found = x509.load_pem_x509_crl((pki.folder / "crl.pem").read_bytes())
    ca = x509.load_pem_x509_certificate(pki.ca_pem.encode()).public_key()
    assert found.is_signature_valid(ca)  # type: ignore[arg-type]
    return {f"{each.serial_number:x}" for each in found}


def test_what_is_no_request_of_a_p256_key_is_refused(pki: Pki, tls_key: Path) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    rsa_csr = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(rsa_key, SHA256())
    good = request_for(tls_key).splitlines()
    body = good[3]
    changed = "\n".join([*good[:3], body[:8] + ("A" if body[8] != "A" else "B") + body[9:], *good[4:]])
    for csr in ("", "x", rsa_csr.public_bytes(Encoding.PEM).decode(), changed):
        with pytest.raises(UserError, match="request"):
            pki.issue(csr, EDGE)
    assert issued(pki.folder) == []


def test_one_name_is_given_few_a_day(pki: Pki, tls_key: Path) -> None:
    csr, now = request_for(tls_key), datetime.now(UTC)
    for _ in range(ISSUED_A_DAY_MAX):
        pki.issue(csr, EDGE, now)
    with pytest.raises(UserError, match="within a day"):
        pki.issue(csr, EDGE, now)
    pki.issue(csr, "another", now)
    pki.issue(csr, EDGE, now + timedelta(days=1, hours=1))


def test_an_authority_that_has_ended_issues_nothing(pki: Pki, tls_key: Path) -> None:
    ten_years = datetime.now(UTC) + timedelta(days=3649)
    assert pki.issue(request_for(tls_key), EDGE, ten_years).not_after < ten_years + timedelta(days=2)
    with pytest.raises(UserError, match="has ended"):
        pki.issue(request_for(tls_key), EDGE, ten_years + timedelta(days=2))


def test_a_damaged_folder_is_said(pki: Pki, tls_key: Path) -> None:
    pki.issue(request_for(tls_key), EDGE)
    (pki.folder / "revoked.json").write_text("{")
    with pytest.raises(UserError, match=r"revoked\.json cannot be read"):
        issued(pki.folder)
