from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.block import Block
from stream_processors.signed_message import sign_block
from stream_processors.store import sort_messages, split_by_batch
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import T0_US, Key, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
MEMORY = Memory({EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)})
DEAD_LETTER = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, b"bytes")


def signed(*numbers: int, by: Key = PLATFORM) -> bytes:
    batches = [sealed([report(at_us=T0_US + n)] * n, EDGE_KEY, batch_no=n) for n in numbers]
    appended = [T0_US - n for n in numbers]
    (block,) = validate("live.raw", batches, MEMORY, T0_US, appended)
    assert isinstance(block, Block)
    return sign_block(block, by.key_id, by.sign, T0_US)


def test_of_a_chunk_each_message_goes_its_way() -> None:
    forged = DEAD_LETTER.encode(b"k" * 32, Key().sign)
    messages = [signed(1, 2), b"noise", DEAD_LETTER.encode(PLATFORM.key_id, PLATFORM.sign), signed(3, by=Key()), forged]
    found = sort_messages(messages, "live.signed", PLATFORM.public_der)
    assert [h.batch_no for b in found.blocks for h in b.headers] == [1, 2]
    assert [(d.reason, d.topic, d.outcome) for d in found.dead_letters] == [
        ("magic", "live.signed", None),
        ("root", "live.raw", ReceiptOutcome.QUARANTINED),
        ("signature", "live.signed", None),
        ("signature", "live.signed", None),
    ]
    assert found.forged == 3
    assert found.dead_letters[0].message == b"noise"


def test_each_batch_of_a_block_stands_for_itself() -> None:
    (block,) = sort_messages([signed(1, 2, 3)], "live.signed", PLATFORM.public_der).blocks
    alone = split_by_batch(block)
    assert [len(each.flags) for each in alone] == [1, 2, 3]
    assert [each.appended_at_us.tolist() for each in alone] == [[T0_US - n] for n in (1, 2, 3)]
    again = [sign_block(each, PLATFORM.key_id, PLATFORM.sign, T0_US) for each in alone]
    opened = sort_messages(again, "live.signed", PLATFORM.public_der)
    assert [h.batch_no for b in opened.blocks for h in b.headers] == [1, 2, 3]
