import random
import struct

import pytest

from evidence.statements import SEAL_BYTES, read_seal, seal_signed_by
from schemas import layout
from schemas.block import Block, Quarantine
from schemas.errors import LayoutError
from stream_processors.sign import sign
from stream_processors.store import open_message, sort_messages
from stream_processors.validate import EdgeKey, Memory, validate
from tests.making import T0_US, Key, report, sealed

EDGE_KEY, PLATFORM = Key(), Key()
MEMORY = Memory({EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)})
DEAD = Quarantine("root", "live.raw", True, b"bytes")


def block(*numbers: int) -> Block:
    batches = [sealed([report(at_us=T0_US + n)], EDGE_KEY, batch_no=n) for n in numbers]
    (found,) = validate("live.raw", batches, MEMORY, T0_US)
    assert isinstance(found, Block)
    return found


def signed(of: Block, by: Key = PLATFORM) -> bytes:
    return sign(of.encode(), by.key_id, by.sign, T0_US)


MESSAGE = signed(block(1, 2))


def test_a_signed_block_opens_with_its_batches() -> None:
    opened = open_message(MESSAGE, PLATFORM.public_der)
    assert not isinstance(opened, Quarantine)
    assert [h.batch_no for h in opened.headers] == [1, 2]
    assert [len(t) for t in opened.tables] == [1, 1]
    assert opened.seal == MESSAGE[:SEAL_BYTES]
    assert seal_signed_by(opened.seal, PLATFORM.public_der)
    assert read_seal(opened.seal).signed_at_us == T0_US


def test_a_quarantined_message_passes_unsigned() -> None:
    assert sign(DEAD.encode(), PLATFORM.key_id, PLATFORM.sign, T0_US) == DEAD.encode()
    assert open_message(DEAD.encode(), PLATFORM.public_der) == DEAD


@pytest.mark.parametrize("message", [b"", b"VW", b"x" * 1000, MESSAGE, sealed([report()], EDGE_KEY)])
def test_only_blocks_are_signed(message: bytes) -> None:
    with pytest.raises(LayoutError):
        sign(message, PLATFORM.key_id, PLATFORM.sign, T0_US)


def _with_counts_changed() -> bytes:
    """A block that says of itself two records more, honestly signed: 18 bytes of judgement that no batch has."""
    message = bytearray(block(1).encode())
    at = struct.calcsize("<8s32sqII")
    records = struct.unpack_from("<I", message, at)[0]
    struct.pack_into("<I", message, at, records + 2)
    return sign(bytes(message) + bytes(18), PLATFORM.key_id, PLATFORM.sign, T0_US)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (signed(block(1), Key()), "signature"),
        (signed(block(1))[:SEAL_BYTES] + block(2).encode(), "seal: another block"),
        (MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1]), "seal: another judgement"),
        (_with_counts_changed(), "counts"),
        (MESSAGE[:-1], "counts"),
        (MESSAGE[:SEAL_BYTES], "magic"),
        (MESSAGE[: SEAL_BYTES - 1], "magic: not a seal"),
        (b"", "magic: not a seal"),
    ],
)
def test_what_this_platform_did_not_sign_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        open_message(message, PLATFORM.public_der)


def _of_edges(of: Block) -> list[bytes]:
    """Headers and bodies; the edges' signatures were looked at by `validate`, and are again by `vitalwire verify`."""
    return [b[: layout.HEADER_BYTES] + b[layout.BODY_START :] for b in of.batches]


def test_a_flipped_bit_is_refused_or_changes_nothing_that_is_kept() -> None:
    good = open_message(MESSAGE, PLATFORM.public_der)
    assert not isinstance(good, Quarantine)
    chance = random.Random(5)
    places = [*range(0, SEAL_BYTES, 7), *(chance.randrange(len(MESSAGE)) for _ in range(150))]
    refused = 0
    for place in places:
        changed = bytearray(MESSAGE)
        changed[place] ^= 1 << chance.randrange(8)
        try:
            opened = open_message(bytes(changed), PLATFORM.public_der)
        except LayoutError:
            refused += 1
            continue
        assert not isinstance(opened, Quarantine)
        assert (opened.seal, _of_edges(opened.block), opened.block.judgement) == (
            good.seal, _of_edges(good.block), good.block.judgement
        )  # fmt: skip
    assert refused > 0.8 * len(places)


def test_of_a_lot_each_message_goes_its_way() -> None:
    blocks, quarantined = sort_messages(
        [MESSAGE, b"noise", DEAD.encode(), signed(block(3), Key())], "live.signed", PLATFORM.public_der
    )
    assert [h.batch_no for b in blocks for h in b.headers] == [1, 2]
    assert [(q.reason, q.topic, q.receipted) for q in quarantined] == [
        ("magic", "live.signed", False), ("root", "live.raw", True), ("signature", "live.signed", False)
    ]  # fmt: skip
    assert quarantined[0].message == b"noise"
