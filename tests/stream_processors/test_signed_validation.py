import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emr_store.signed_block import SignedBlock
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas import layout
from schemas.block import BLOCK_HEAD_BYTES, BLOCK_MESSAGE_BYTES, bytes_in_block
from schemas.report import Record
from schemas.topics import MESSAGE_BYTES_MAX
from stream_processors.signed_message import open_message
from stream_processors.signed_validation import RawMessage, dead_letter, validate_and_sign
from stream_processors.validation import EdgeKey, Memory
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
KEYS = {EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)}
KAFKA_ADDS_BYTES = 1024  # to a record and its batch; some 100 in truth


def signed(*messages: bytes, now_us: int = T0_US) -> list[bytes]:
    raw = [RawMessage(message, T0_US) for message in messages]
    found = validate_and_sign("live.raw", raw, Memory(KEYS), key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=now_us)
    return [message.value for message in found]


def batches_of(message: bytes) -> list[bytes]:
    opened = open_message(message, PLATFORM.public_der)
    return list(opened.block.batches) if isinstance(opened, SignedBlock) else [opened.message]


def many_small_records(batch_no: int, reports: int, records: int) -> bytes:
    """Compresses to next to nothing; what is added to it does not."""
    of_report = [Record(SPO2, PERCENT, mantissa=97)] * records
    return sealed([report(records=of_report)] * reports, EDGE_KEY, batch_no=batch_no)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 12, 500, 2500, 9000])), min_size=1, max_size=12))
def test_no_message_is_larger_than_its_topic_takes(shapes: list[tuple[int, int]]) -> None:
    messages = [many_small_records(n, reports, records) for n, (reports, records) in enumerate(shapes, 1)]
    found = signed(*messages)
    assert max(map(len, found)) <= MESSAGE_BYTES_MAX - KAFKA_ADDS_BYTES
    assert [batch for message in found for batch in batches_of(message)] == messages


def test_many_small_batches_full_of_records_make_several_blocks() -> None:
    """A chunk of 200 messages, 60 kB each when opened: as one block, 4 MB."""
    messages = [many_small_records(n, 1, 2300) for n in range(1, 201)]
    assert sum(map(len, messages)) < 512 * 1024
    found = signed(*messages)
    assert len(found) > 1
    assert max(map(len, found)) <= BLOCK_MESSAGE_BYTES + 400
    assert [batch for message in found for batch in batches_of(message)] == messages


def test_the_largest_batch_that_there_can_be_fits_alone() -> None:
    records = layout.PLAIN_BYTES_MAX // layout.RECORD.itemsize
    largest = bytes_in_block(layout.SEALED_BYTES_MAX, layout.REPORTS_MAX, records)
    assert largest + BLOCK_HEAD_BYTES <= BLOCK_MESSAGE_BYTES < MESSAGE_BYTES_MAX - KAFKA_ADDS_BYTES


@pytest.mark.parametrize("size", [layout.SEALED_BYTES_MAX + 1, MESSAGE_BYTES_MAX])
def test_what_is_longer_than_a_batch_can_be_is_cut_and_fits(size: int) -> None:
    (message,) = signed(os.urandom(size))
    assert len(message) <= MESSAGE_BYTES_MAX - KAFKA_ADDS_BYTES
    letter = open_message(message, PLATFORM.public_der)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.outcome, len(letter.message)) == ("size", None, layout.SEALED_BYTES_MAX)


def test_of_a_message_that_broke_the_stage_its_edge_is_told_where_it_signed_it() -> None:
    good = sealed([report()], EDGE_KEY)
    stranger = sealed([report()], Key())
    outcomes = [
        dead_letter("live.raw", message, "validate:KeyError", Memory(KEYS), T0_US).outcome
        for message in (good, stranger, b"noise")
    ]
    assert outcomes == [ReceiptOutcome.QUARANTINED, None, None]


def test_what_is_signed_is_what_was_validated() -> None:
    """A value changed after the signature is found by whoever opens the message; there is no topic before it."""
    (message,) = signed(sealed([report()], EDGE_KEY))
    opened = open_message(message, PLATFORM.public_der)
    assert isinstance(opened, SignedBlock)
    assert opened.block.values.tolist() == [97.0, 72.0]
    assert opened.block.appended_at_us.tolist() == [T0_US]
