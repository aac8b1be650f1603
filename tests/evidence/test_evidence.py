from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import signature
from evidence.seal import batch_id, open_sealed, signed_by
from evidence.statements import (
    Receipt,
    ReceiptOutcome,
    Seal,
    chain_hash,
    read_receipt,
    read_seal,
    seal_signed_by,
    sign_seal,
)
from evidence.tree import leaf_hash, merkle_root, node_hash, table_leaves
from schemas import layout
from schemas.errors import LayoutError
from tests.making import Key, leaves, report, sealed

KEY, OTHER = Key(), Key()


def _root_by_the_rfc(hashes: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, as it stands: split at the largest power of two smaller than n."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(_root_by_the_rfc(hashes[:k]), _root_by_the_rfc(hashes[k:]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33])
def test_root_is_the_rfcs(n: int) -> None:
    hashes = [leaf_hash(bytes([i])) for i in range(n)]
    assert merkle_root(hashes) == _root_by_the_rfc(hashes)


def test_empty_tree() -> None:
    assert merkle_root([]) == sha256(b"").digest()


def test_leaves_of_a_table_are_the_hashes_of_what_the_edge_wrote() -> None:
    reports = [report(), report("other")]
    _, table = open_sealed(sealed(reports, KEY))
    assert table_leaves(table) == [leaf_hash(x) for x in leaves(reports)]


def test_signature_holds_for_its_key_alone() -> None:
    message = sealed([report()], KEY)
    assert signed_by(message, KEY.public_der)
    assert not signed_by(message, OTHER.public_der)
    assert batch_id(message) == sha256(message[: layout.HEADER_BYTES]).digest()


def test_every_one_byte_change_of_the_signature_is_refused() -> None:
    message = sealed([report()], KEY)
    for at in range(layout.HEADER_BYTES, layout.BODY_START):
        broken = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        assert not signed_by(broken, KEY.public_der)


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


RECEIPT = Receipt(ReceiptOutcome.STORED, b"E" * 16, b"S" * 16, 1, 7, b"B" * 32, 3, b"I" * 16, 123)


def test_receipt_round_trip() -> None:
    assert read_receipt(RECEIPT.encode(KEY.key_id, KEY.sign), KEY.public_der) == RECEIPT


def test_every_one_byte_change_of_a_receipt_is_refused() -> None:
    message = RECEIPT.encode(KEY.key_id, KEY.sign)
    for at in range(len(message)):
        with pytest.raises(LayoutError):
            read_receipt(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], KEY.public_der)
    with pytest.raises(LayoutError):
        read_receipt(message, OTHER.public_der)
    with pytest.raises(LayoutError):
        read_receipt(message + b"\x00", KEY.public_der)


def test_seal_round_trip_and_changes() -> None:
    seal = Seal(KEY.key_id, b"B" * 32, b"J" * 32, b"N" * 32, 5)
    message = sign_seal(seal, KEY.sign)
    assert read_seal(message) == seal
    assert seal_signed_by(message, KEY.public_der)
    assert not seal_signed_by(message, OTHER.public_der)
    for at in range(len(message)):
        broken = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        try:
            assert not seal_signed_by(broken, KEY.public_der)
        except LayoutError:
            continue


def test_chain_depends_on_everything_before() -> None:
    assert chain_hash(bytes(32), b"a") != chain_hash(b"\x01" * 32, b"a")
    assert chain_hash(bytes(32), b"a") != chain_hash(bytes(32), b"b")
