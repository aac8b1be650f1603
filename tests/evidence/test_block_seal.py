import dataclasses
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import statement
from evidence.block_seal import (
    NO_ACT,
    SEAL_BYTES,
    SEAL_MAGIC,
    BlockSeal,
    read_seal,
    travel_hash,
    validation_leaf,
    validation_root,
)
from evidence.log import inclusion_path, verify_inclusion
from schemas import layout
from schemas.block import Block
from schemas.errors import LayoutError
from tests.making import T0_US, Key, report, sealed

KEY, OTHER = Key(), Key()
SEAL = BlockSeal(2, T0_US, b"R" * 32, b"N" * 32, b"T" * 32, b"A" * 32)
MESSAGE = SEAL.encode(KEY.key_id, KEY.sign)
_32 = st.binary(min_size=32, max_size=32)
_seals = st.builds(
    BlockSeal,
    batches=st.integers(0, 2**32 - 1),
    signed_at_us=st.integers(-(2**63), 2**63 - 1),
    root=_32,
    nomenclature_hash=_32,
    travel_hash=_32,
    act_id=_32,
)


@given(_seals)
def test_round_trip(seal: BlockSeal) -> None:
    message = seal.encode(KEY.key_id, KEY.sign)
    assert len(message) == SEAL_BYTES
    read, signed_statement = read_seal(message)
    assert read == seal
    assert signed_statement.is_signed_by(KEY.public_der)
    assert not signed_statement.is_signed_by(OTHER.public_der)


def test_a_seal_of_batches_that_just_came_names_no_act() -> None:
    seal, _ = read_seal(BlockSeal(1, T0_US, b"R" * 32, b"N" * 32, b"T" * 32).encode(KEY.key_id, KEY.sign))
    assert seal.act_id == NO_ACT == bytes(32)


def test_every_one_byte_change_is_refused() -> None:
    for at in range(len(MESSAGE)):
        broken = MESSAGE[:at] + bytes([MESSAGE[at] ^ 1]) + MESSAGE[at + 1 :]
        try:
            assert not read_seal(broken)[1].is_signed_by(KEY.public_der)
        except LayoutError:
            continue


def test_another_length_is_refused() -> None:
    body = statement.decode(MESSAGE, SEAL_MAGIC).body
    for other in (body[:-1], body + b"\x00", b""):
        with pytest.raises(LayoutError, match="size"):
            read_seal(statement.encode(SEAL_MAGIC, KEY.key_id, other, KEY.sign))
    for end in range(len(MESSAGE)):
        with pytest.raises(LayoutError):
            read_seal(MESSAGE[:end])


def test_zeros_that_are_none_are_refused() -> None:
    body = statement.decode(MESSAGE, SEAL_MAGIC).body
    for at in range(4, 8):
        broken = body[:at] + b"\x01" + body[at + 1 :]
        with pytest.raises(LayoutError):
            read_seal(statement.encode(SEAL_MAGIC, KEY.key_id, broken, KEY.sign))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_seal_or_refused(data: bytes) -> None:
    for message in (data, SEAL_MAGIC + data, statement.encode(SEAL_MAGIC, KEY.key_id, data, KEY.sign)):
        try:
            seal, signed_statement = read_seal(message)
        except LayoutError:
            continue
        assert (len(message), len(seal.root), len(signed_statement.key_id)) == (SEAL_BYTES, 32, 32)


def test_one_batchs_validation_is_proved_without_the_others() -> None:
    ids = [bytes([number]) * 32 for number in range(5)]
    validations = [b"validation %d" % number for number in range(5)]
    root = validation_root(ids, validations)
    hashes = [validation_leaf(*pair) for pair in zip(ids, validations, strict=True)]
    assert hashes[3] == sha256(b"\x00" + ids[3] + validations[3]).digest()
    path = inclusion_path(hashes, 3)
    assert verify_inclusion(leaf_hash=hashes[3], index=3, size=5, path=path, root=root)
    other = validation_leaf(ids[3], b"another validation")
    assert not verify_inclusion(leaf_hash=other, index=3, size=5, path=path, root=root)
    with pytest.raises(ValueError, match="shorter"):
        validation_root(ids, validations[:-1])


BLOCK = Block(
    nomenclature_hash=b"N" * 32,
    validated_at_us=T0_US,
    batches=tuple(sealed([report()], KEY, batch_no=number) for number in (1, 2)),
    flags=np.zeros(2, np.uint16),
    validation_results=np.zeros(2, np.uint8),
    values=np.zeros(2),
    appended_at_us=np.array([T0_US - 2, T0_US - 1], np.int64),
)


def test_the_travel_hash_is_over_times_and_signatures_in_their_order() -> None:
    times = b"".join(moment.to_bytes(8, "little", signed=True) for moment in (T0_US, T0_US - 2, T0_US - 1))
    signatures = b"".join(each[layout.HEADER_BYTES : layout.BODY_START] for each in BLOCK.batches)
    assert len(signatures) == 128
    assert travel_hash(BLOCK) == sha256(b"VWTRAVEL" + times + signatures).digest()


def test_the_travel_hash_changes_with_each_time_and_each_signature() -> None:
    appended = [np.array(moments, np.int64) for moments in ((T0_US, T0_US - 1), (T0_US - 1, T0_US - 2))]
    others = [
        dataclasses.replace(BLOCK, validated_at_us=T0_US + 1),
        *(dataclasses.replace(BLOCK, appended_at_us=moments) for moments in appended),
        dataclasses.replace(BLOCK, batches=BLOCK.batches[::-1]),
    ]
    assert len({travel_hash(each) for each in (BLOCK, *others)}) == 1 + len(others)
