from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from runtime.errors import UserError
from runtime.keys import fingerprint, generate, load, read_public

ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551


def test_what_is_signed_verifies_with_s_in_the_lower_half(tmp_path: Path) -> None:
    key = generate(tmp_path / "edge.key")
    public = load_der_public_key(key.public_der)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for message in (str(i).encode() for i in range(64)):
        signature = key.sign(message)
        assert len(signature) == 64
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        assert s <= ORDER // 2
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def test_a_key_is_read_again_as_it_was_made(tmp_path: Path) -> None:
    made = generate(tmp_path / "keys" / "edge.key")
    file = tmp_path / "keys" / "edge.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(file).public_der == read_public(file.with_suffix(".pub")) == made.public_der
    assert load(file).key_id == made.key_id == sha256(made.public_der).digest()
    before = file.read_bytes()
    with pytest.raises(UserError, match="never overwritten"):
        generate(file)
    assert file.read_bytes() == before


def test_a_demo_key_says_so_and_is_refused_outside_the_demo(tmp_path: Path) -> None:
    made = generate(tmp_path / "demo.key", demo=True)
    assert "demo" in (tmp_path / "demo.key").read_text().splitlines()[0]
    with pytest.raises(UserError, match="made for the demo"):
        load(tmp_path / "demo.key")
    assert load(tmp_path / "demo.key", allow_demo=True).public_der == made.public_der


def test_a_key_that_is_missing_or_that_others_can_read_is_refused_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"edge\.key does not exist: make one with `vitalwire edge keygen` or "):
        load(tmp_path / "edge.key")
    generate(tmp_path / "edge.key")
    (tmp_path / "edge.key").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        load(tmp_path / "edge.key")


def pem(curve: ec.EllipticCurve, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return ec.generate_private_key(curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (b"\xff\xfe", "cannot be read"),
        (pem(ec.SECP256R1(), b"secret"), "without a password"),
        (pem(ec.SECP384R1()), "not a P-256 key"),
    ],
)
def test_what_is_no_key_of_ours_is_one_clear_line(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "edge.key"
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(UserError, match=words):
        load(file)
    with pytest.raises(UserError, match="no public key"):
        read_public(file)


def test_a_fingerprint_can_be_read_aloud() -> None:
    assert fingerprint(b"") == "e3b0 c442 98fc 1c14 9afb f4c8 996f b924 27ae 41e4"  # SHA-256 of nothing
