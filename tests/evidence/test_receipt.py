import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import statement
from evidence.receipt import (
    CHECKPOINT_BYTES_MAX,
    REASON_BYTES_MAX,
    RECEIPT_BATCHES_MAX,
    RECEIPT_MAGIC,
    Receipt,
    ReceiptedBatch,
    ReceiptOutcome,
    read_receipt,
)
from schemas.errors import LayoutError
from schemas.layout import BATCH_NO_MAX
from schemas.report import Lane
from schemas.topics import RECEIPTS, TOPICS
from tests.making import T0_US, Key

KEY, OTHER = Key(), Key()
RECEIPT = Receipt(
    outcome=ReceiptOutcome.STORED,
    edge=b"E" * 16,
    spool=b"S" * 16,
    lane=int(Lane.LIVE),
    batches=(ReceiptedBatch(7, b"B" * 32), ReceiptedBatch(9, b"C" * 32)),
    incarnation=b"I" * 16,
    stored_at_us=T0_US,
    checkpoint=b"a note",
)
MESSAGE = RECEIPT.encode(KEY.key_id, KEY.sign)
_16 = st.binary(min_size=16, max_size=16)
_receipts = st.builds(
    Receipt,
    outcome=st.sampled_from(ReceiptOutcome),
    edge=_16,
    spool=_16,
    lane=st.sampled_from([int(lane) for lane in Lane]),
    batches=st.lists(
        st.builds(ReceiptedBatch, st.integers(0, BATCH_NO_MAX), st.binary(min_size=32, max_size=32)),
        min_size=1,
        max_size=5,
    ).map(tuple),
    incarnation=_16,
    stored_at_us=st.integers(-(2**63), 2**63 - 1),
    reason=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=REASON_BYTES_MAX),
    checkpoint=st.binary(max_size=100),
)


def signed(body: bytes) -> bytes:
    """A receipt of any body, signed."""
    return statement.encode(RECEIPT_MAGIC, KEY.key_id, body, KEY.sign)


@given(_receipts)
def test_round_trip(receipt: Receipt) -> None:
    assert read_receipt(receipt.encode(KEY.key_id, KEY.sign), KEY.public_der) == receipt


def test_the_largest_one_is_read_and_fits_its_topic() -> None:
    batches = tuple(ReceiptedBatch(number, bytes(32)) for number in range(RECEIPT_BATCHES_MAX))
    largest = Receipt(
        ReceiptOutcome.REFUSED, b"E" * 16, b"S" * 16, 1, batches, b"I" * 16, T0_US, "r" * REASON_BYTES_MAX,
        b"c" * CHECKPOINT_BYTES_MAX,
    )  # fmt: skip
    message = largest.encode(KEY.key_id, KEY.sign)
    assert read_receipt(message, KEY.public_der) == largest
    assert len(message) < next(topic.message_bytes_max for topic in TOPICS if topic.name == RECEIPTS)


@pytest.mark.parametrize(
    ("count", "checkpoint_bytes"), [(0, 0), (RECEIPT_BATCHES_MAX + 1, 0), (1, CHECKPOINT_BYTES_MAX + 1)]
)
def test_more_than_one_may_name_is_not_written(count: int, checkpoint_bytes: int) -> None:
    batches = tuple(ReceiptedBatch(number, bytes(32)) for number in range(count))
    receipt = Receipt(
        ReceiptOutcome.STORED, b"E" * 16, b"S" * 16, 1, batches, b"I" * 16, T0_US, "", bytes(checkpoint_bytes)
    )
    with pytest.raises(LayoutError, match="counts"):
        receipt.encode(KEY.key_id, KEY.sign)


def test_a_longer_reason_is_cut_and_other_letters_are_replaced() -> None:
    receipt = Receipt(
        ReceiptOutcome.REFUSED, b"E" * 16, b"S" * 16, 1, RECEIPT.batches, b"I" * 16, T0_US, "é" + "x" * 100
    )
    assert read_receipt(receipt.encode(KEY.key_id, KEY.sign), KEY.public_der).reason == "?" + "x" * 63


def test_every_one_byte_change_is_refused() -> None:
    for at in range(len(MESSAGE)):
        with pytest.raises(LayoutError):
            read_receipt(MESSAGE[:at] + bytes([MESSAGE[at] ^ 1]) + MESSAGE[at + 1 :], KEY.public_der)


def test_another_key_a_cut_and_anything_behind_are_refused() -> None:
    with pytest.raises(LayoutError, match="signature"):
        read_receipt(MESSAGE, OTHER.public_der)
    for message in [MESSAGE[:end] for end in range(len(MESSAGE))] + [MESSAGE + b"\x00"]:
        with pytest.raises(LayoutError):
            read_receipt(message, KEY.public_der)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"\x00"),  # outcome
        (0, b"\x04"),
        (1, b"\x09"),  # lane
        (2, struct.pack("<H", 0)),  # batches
        (2, struct.pack("<H", 1)),
        (2, struct.pack("<H", 3)),
        (2, struct.pack("<H", 65_535)),
        (4, struct.pack("<H", 5)),  # checkpoint
        (4, struct.pack("<H", 65_535)),
        (6, b"\x01"),  # zeros
    ],
)
def test_a_signed_body_that_is_no_receipt_is_refused(at: int, value: bytes) -> None:
    body = statement.decode(MESSAGE, RECEIPT_MAGIC).body
    assert read_receipt(signed(body), KEY.public_der) == RECEIPT
    with pytest.raises(LayoutError):
        read_receipt(signed(body[:at] + value + body[at + len(value) :]), KEY.public_der)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_any_signed_body_is_a_receipt_or_refused(data: bytes) -> None:
    for message in (data, RECEIPT_MAGIC + data):
        with pytest.raises(LayoutError):
            read_receipt(message, KEY.public_der)
    try:
        receipt = read_receipt(signed(data), KEY.public_der)
    except LayoutError:
        return
    assert receipt.batches
