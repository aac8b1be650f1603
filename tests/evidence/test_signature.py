from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import signature
from tests.making import Key

KEY, OTHER = Key(), Key()


def test_a_signature_holds_for_its_key_and_message_alone() -> None:
    sig = KEY.sign(b"x")
    assert signature.verify(KEY.public_der, sig, b"x")
    assert not signature.verify(OTHER.public_der, sig, b"x")
    assert not signature.verify(KEY.public_der, sig, b"y")


def test_the_other_signature_of_the_same_thing_is_refused() -> None:
    sig = KEY.sign(b"x")
    high = (signature.ORDER - int.from_bytes(sig[32:])).to_bytes(32)
    assert signature.verify(KEY.public_der, sig, b"x")
    assert not signature.verify(KEY.public_der, sig[:32] + high, b"x")


@settings(max_examples=50)
@given(st.binary(max_size=100), st.binary(max_size=80))
def test_no_bytes_are_an_exception(der: bytes, sig: bytes) -> None:
    assert not signature.verify(der, sig, b"x")
    assert not signature.verify(KEY.public_der, sig, b"x")


def test_a_key_of_another_kind_verifies_nothing() -> None:
    for public in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        der = public.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert not signature.verify(der, KEY.sign(b"x"), b"x")
