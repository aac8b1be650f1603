"""What is proved of kept bytes: each check says in words what does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.block_seal import BlockSeal, validation_leaf
from evidence.checkpoint import Checkpoint, sign_checkpoint
from evidence.log import Frontier
from evidence.seal import batch_id
from evidence.tree import leaf_hash, merkle_root
from evidence.verification import (
    BatchHead,
    KeyRing,
    LogReplay,
    RootClaim,
    StreamLinks,
    check_checkpoints,
    check_head,
    check_seal,
)
from schemas.batch import Header, read_header
from schemas.layout import HEADER_BYTES
from tests.making import Key, report, sealed

EDGE, PLATFORM, STRANGER = Key(), Key(), Key()
ORIGIN = "vitalwire/ward/" + "00" * 16
HASHES = [leaf_hash(bytes([number])) for number in range(9)]
LEAVES = {index: validation_leaf(bytes([index]) * 32, b"results") for index in range(3)}


def note(size: int, *, origin: str = ORIGIN, key: Key = PLATFORM) -> bytes:
    checkpoint = Checkpoint(origin, size, merkle_root(HASHES[:size]))
    return sign_checkpoint(checkpoint, key.public_der, key.sign)


def replay(hashes: Sequence[bytes], *claims: RootClaim) -> LogReplay:
    log = LogReplay(Frontier())
    for claim in claims:
        log.expect(claim)
    for leaf in hashes:
        log.append(leaf)
    log.finish()
    return log


def claim(size: int) -> RootClaim:
    return RootClaim(f"checkpoint {size}", size, merkle_root(HASHES[:size]))


def test_a_log_is_proved_at_every_size_that_was_signed() -> None:
    log = replay(HASHES, claim(0), claim(4), claim(4), claim(7), claim(9))
    assert (log.findings, log.proved) == ([], 5)


def test_a_changed_entry_is_found_by_every_later_root() -> None:
    changed = [*HASHES[:5], HASHES[8], *HASHES[6:]]
    assert [f.where for f in replay(changed, claim(5), claim(7), claim(9)).findings] == ["checkpoint 7", "checkpoint 9"]


def test_two_entries_that_changed_places_are_found() -> None:
    (finding,) = replay([HASHES[1], HASHES[0], *HASHES[2:]], claim(9)).findings
    assert "the log was changed" in finding.what


def test_a_log_that_was_put_back_is_found_by_a_checkpoint_from_outside() -> None:
    (finding,) = replay(HASHES[:6], claim(4), claim(9)).findings
    assert finding.where == "checkpoint 9"
    assert "signed over 9 entries of the log, and the log has 6" in finding.what
    assert "put back" in finding.what


def test_honest_checkpoints_give_no_finding() -> None:
    checked = check_checkpoints([(0, note(0)), (3, note(3)), (9, note(9))], ORIGIN, KeyRing([PLATFORM.public_der]))
    assert (checked.findings, [checkpoint.size for checkpoint in checked.signed]) == ([], [0, 3, 9])


def test_each_wrong_checkpoint_is_named() -> None:
    other = "vitalwire/ward/" + "11" * 16
    notes = [(5, note(5)), (4, note(4)), (6, note(7)), (8, note(8, key=STRANGER)), (9, note(9, origin=other))]
    found, signed = check_checkpoints(notes, ORIGIN, KeyRing([PLATFORM.public_der]))
    assert [checkpoint.size for checkpoint in signed] == [5, 4, 7, 9]  # the stranger's is none
    assert [(f.where.split()[3], f.what.split(" (")[0]) for f in found] == [
        ("4", "it is smaller than the one before it"),
        ("6", f"it speaks of {ORIGIN} at size 7"),
        ("8", "the platform's key did not sign it"),
        ("9", f"it speaks of {other} at size 9"),
    ]


def statement(key: Key = PLATFORM) -> bytes:
    seal = BlockSeal(len(LEAVES), 5, merkle_root([LEAVES[index] for index in sorted(LEAVES)]), bytes(32), bytes(32))
    return seal.encode(key.key_id, key.sign)


def problems(message: bytes, leaves: dict[int, bytes]) -> list[str]:
    return [f.what for f in check_seal("seal 1", message, leaves, KeyRing([PLATFORM.public_der]))]


def test_a_seal_over_its_batches_holds() -> None:
    assert problems(statement(), LEAVES) == []


def test_what_a_seal_does_not_hold_for_is_named() -> None:
    swapped = {0: LEAVES[1], 1: LEAVES[0], 2: LEAVES[2]}
    assert "are not those" in problems(statement(), swapped)[0]
    assert problems(statement(), {0: LEAVES[0], 2: LEAVES[2]}) == [
        "of the 3 batches that it was signed over 1 are gone (place 2)"
    ]
    assert problems(statement(), {**LEAVES, 3: LEAVES[0]}) == [
        "it was signed over 3 batches, and 4 say that they are its"
    ]
    assert problems(statement(STRANGER), LEAVES) == ["a key that is not the platform's signed it"]
    changed = bytearray(statement())
    changed[60] ^= 1
    assert "its signature does not hold: it was changed after it was signed" in problems(bytes(changed), LEAVES)
    assert "damaged" in problems(b"nothing", LEAVES)[0]


def head_of(message: bytes) -> tuple[BatchHead, Header]:
    header = read_header(message)
    head = BatchHead(
        batch_id(message), header.edge, header.spool, int(header.lane), header.batch_no, header.created_at_us,
        header.report_count, header.record_count,
    )  # fmt: skip
    return head, header


def test_a_batch_whose_edge_signed_it_holds() -> None:
    message = sealed([report()], EDGE)
    head, header = head_of(message)
    assert check_head(head, header, message, KeyRing([EDGE.public_der])) == []


def test_a_strangers_key_and_each_changed_column_is_named() -> None:
    message = sealed([report()], EDGE)
    head, header = head_of(message)
    assert "no registered edge's" in check_head(head, header, message, KeyRing([STRANGER.public_der]))[0]
    forged = message[:HEADER_BYTES] + STRANGER.sign(message[:HEADER_BYTES]) + message[HEADER_BYTES + 64 :]
    assert check_head(head, header, forged, KeyRing([EDGE.public_der])) == ["its edge's signature does not hold"]
    for name in BatchHead._fields[1:]:
        value = getattr(head, name)
        changed = BatchHead(**{**head._asdict(), name: bytes(16) if isinstance(value, bytes) else value + 1})
        found = check_head(changed, header, message, KeyRing([EDGE.public_der]))
        assert found == [f"its row's {name} is not what its edge signed"]


def chained(count: int) -> list[bytes]:
    messages = [sealed([report()], EDGE)]
    for number in range(2, count + 1):
        messages.append(sealed([report()], EDGE, batch_no=number, previous=batch_id(messages[-1])))
    return messages


def links(messages: Sequence[bytes]) -> list[str]:
    chain = StreamLinks()
    return [what for message in messages for what in chain.check(read_header(message), batch_id(message))]


def test_the_batches_of_a_stream_hold_together_in_any_order() -> None:
    one, two, three, four = chained(4)
    assert links([one, two, three, four]) == []
    assert links([three, one, four, two]) == []
    assert links([one, four]) == []  # what is between them is missing, which the ledger says


def test_a_batch_from_another_chain_is_found_from_either_side() -> None:
    one, two, three = chained(3)
    stranger = sealed([report("another")], EDGE, batch_no=2, previous=batch_id(one))
    assert len(links([one, stranger, three])) == 1
    assert len(links([three, stranger, one])) == 1
    assert two != stranger
