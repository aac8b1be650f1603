import dataclasses
import struct

import pytest

from emr_store.signed_block import SignedBlock
from evidence.block_seal import SEAL_BYTES, read_seal
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import T0_US, Key, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
MEMORY = Memory({EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)})
DEAD_LETTER = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, b"bytes")


def block(*numbers: int) -> Block:
    batches = [sealed([report(at_us=T0_US + n)], EDGE_KEY, batch_no=n) for n in numbers]
    (found,) = validate("live.raw", batches, MEMORY, T0_US)
    assert isinstance(found, Block)
    return found


def signed(of: Block, by: Key = PLATFORM) -> bytes:
    return sign_block(of, by.key_id, by.sign, T0_US)


def opened(message: bytes) -> SignedBlock:
    found = open_message(message, PLATFORM.public_der)
    assert isinstance(found, SignedBlock)
    return found


MESSAGE = signed(block(1, 2))


def test_a_signed_block_opens_with_its_batches() -> None:
    found = opened(MESSAGE)
    assert [h.batch_no for h in found.headers] == [1, 2]
    assert [len(t) for t in found.tables] == [1, 1]
    assert found.seal == MESSAGE[:SEAL_BYTES]
    seal, statement = read_seal(found.seal)
    assert statement.is_signed_by(PLATFORM.public_der)
    assert (seal.batches, seal.signed_at_us) == (2, T0_US)


def test_a_dead_letter_opens_where_the_platform_signed_it() -> None:
    assert open_message(DEAD_LETTER.encode(PLATFORM.key_id, PLATFORM.sign), PLATFORM.public_der) == DEAD_LETTER


def _forged_dead_letters() -> list[bytes]:
    """By a stranger's key; by a stranger under the platform's key id; another message; another outcome."""
    stranger, ours = Key(), DEAD_LETTER.encode(PLATFORM.key_id, PLATFORM.sign)
    changed = bytearray(ours)
    changed[48] = ReceiptOutcome.REFUSED
    return [
        DEAD_LETTER.encode(stranger.key_id, stranger.sign),
        DEAD_LETTER.encode(PLATFORM.key_id, stranger.sign),
        ours + b"more",
        bytes(changed),
        ours[:40],
    ]


# Named, as the bytes are others in each process that collects the tests.
@pytest.mark.parametrize("message", _forged_dead_letters(), ids=["stranger", "key-id", "longer", "outcome", "shorter"])
def test_a_forged_dead_letter_is_refused(message: bytes) -> None:
    with pytest.raises(LayoutError):
        open_message(message, PLATFORM.public_der)


def _with_counts_changed() -> bytes:
    """A block that says of itself two records more: 18 bytes of validation that no batch has."""
    sealed_block = signed(block(1))
    message = bytearray(sealed_block[SEAL_BYTES:])
    at = struct.calcsize("<8s32sqII")
    records = struct.unpack_from("<I", message, at)[0]
    struct.pack_into("<I", message, at, records + 2)
    return sealed_block[:SEAL_BYTES] + bytes(message) + bytes(18)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (signed(block(1), Key()), "signature"),
        (signed(block(1))[:SEAL_BYTES] + block(2).encode(), "seal: another validation"),
        (signed(block(1))[:SEAL_BYTES] + block(1, 2).encode(), "seal: another block"),
        (MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1]), "seal: another validation"),
        (_with_counts_changed(), "counts"),
        (MESSAGE[:-1], "counts"),
        (MESSAGE[:SEAL_BYTES], "magic"),
        (MESSAGE[: SEAL_BYTES - 1], "size"),
        (b"", "magic"),
        (sealed([report()], EDGE_KEY), "magic"),
    ],
)
def test_what_this_platform_did_not_sign_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        open_message(message, PLATFORM.public_der)


def _opens(message: bytes) -> bool:
    try:
        open_message(message, PLATFORM.public_der)
    except LayoutError:
        return False
    return True


@pytest.mark.parametrize(
    "message",
    [MESSAGE, signed(block(3)), DEAD_LETTER.encode(PLATFORM.key_id, PLATFORM.sign)],
    ids=["two", "one", "dead"],
)
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_no_byte_of_a_signed_message_can_be_changed(message: bytes, flip: int) -> None:
    """What travels beside the batches too: when they were validated and appended, and the edges' signatures."""
    assert _opens(message)
    changed = [message[:at] + bytes([message[at] ^ flip]) + message[at + 1 :] for at in range(len(message))]
    assert [at for at, each in enumerate(changed) if _opens(each)] == []


def test_nothing_can_be_added_to_a_signed_message_or_taken_from_it() -> None:
    for message in (MESSAGE, DEAD_LETTER.encode(PLATFORM.key_id, PLATFORM.sign)):
        assert not _opens(message + b"\x00")
        assert [end for end in range(len(message)) if _opens(message[:end])] == []


def test_what_travels_beside_the_batches_is_that_of_this_block() -> None:
    """The same batches, validated alike, at another moment."""
    one = block(1)
    other = dataclasses.replace(one, validated_at_us=T0_US + 1)
    with pytest.raises(LayoutError, match="seal: other times or signatures"):
        open_message(signed(one)[:SEAL_BYTES] + other.encode(), PLATFORM.public_der)
