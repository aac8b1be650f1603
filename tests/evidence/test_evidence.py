from hashlib import sha256

import numpy as np
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
from evidence.verification import KeptBatch, KeptRow, KeptSeal, Keys, check_batch
from schemas import layout
from schemas.block import Block
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


def _kept() -> tuple[KeptBatch, KeptSeal, KeptRow]:
    """A batch of one report with two values in the middle of its block, and its row."""
    message = sealed([report()], KEY)
    _, table = open_sealed(message)
    block = Block(
        bytes(32), 0, (message,), np.zeros(3, "<u2"), np.zeros(6, "u1"), np.arange(6, dtype="<f8"), np.zeros(1, "<i8")
    )
    seal = KeptSeal(1, b"", b"X" * 32 + batch_id(message), block.judgement, b"")
    moments = int(table.observed_at_us[0]), int(table.received_at_us[0])
    channels, device = table.channel_bytes.tobytes(), table.device[0].tobytes()
    row = KeptRow(0, device, *moments, int(table.sequence[0]), int(table.kind[0]), 0, channels, [2.0, 3.0], None, None)
    return KeptBatch(7, batch_id(message), 1, 2, message), seal, row


def _found(batch: KeptBatch, seal: KeptSeal, *rows: KeptRow) -> list[str]:
    keys = Keys({KEY.key_id: KEY.public_der}, {})
    return [finding.what for finding in check_batch(batch, seal, rows, (3, 6), keys)]


def test_a_row_that_equals_its_report_is_proved_and_a_changed_one_is_named() -> None:
    batch, seal, row = _kept()
    assert _found(batch, seal, row) == []
    assert _found(batch, seal, row._replace(value=[2.0, 3.5], flags=1)) == [
        "the row's flags is not what was sealed", "the row's value is not what was sealed",
    ]  # fmt: skip
    assert _found(batch, seal) == ["the row is gone"]
    assert _found(batch, seal, row, row, row._replace(leaf=1)) == ["a row that no report is behind"] * 2


@pytest.mark.parametrize(
    "changed", [{"first_report": -1}, {"first_report": 3}, {"first_record": 5}, {"first_record": -1}]
)
def test_a_changed_place_in_the_verdicts_is_named(changed: dict[str, int]) -> None:
    batch, seal, row = _kept()
    assert _found(batch._replace(**changed), seal, row) == ["its place among the signed verdicts is not one"]
