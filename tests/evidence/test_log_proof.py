import msgspec
import pytest

from evidence.act import Act
from evidence.checkpoint import Checkpoint, sign_checkpoint
from evidence.log import inclusion_path
from evidence.log_proof import PROOF_BYTES_MAX, LogProof, ProvedBatch, check_proof, read_proof
from evidence.seal import batch_id
from evidence.signature import ORDER
from evidence.tree import leaf_hash, merkle_root
from evidence.verification import KeyRing
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import T0_US, Key, report, sealed

EDGE_KEY, PLATFORM, STRANGER = Key(), Key(), Key()
PLATFORM_KEYS, EDGE_KEYS = KeyRing([PLATFORM.public_der]), KeyRing([EDGE_KEY.public_der])
ORIGIN = "vitalwire/test/" + "00" * 16
ACT = Act("device.move", "os:test@test", T0_US, "a reason", {"bed": "ICU-01"})
STATEMENT = ACT.encode(PLATFORM.key_id, PLATFORM.sign)


def in_log(entry: bytes, batch: ProvedBatch | None = None, *, key: Key = PLATFORM) -> LogProof:
    """The proof of this entry, number 3 of 6."""
    hashes = [leaf_hash(str(index).encode()) for index in range(6)]
    hashes[3] = leaf_hash(entry)
    note = sign_checkpoint(Checkpoint(ORIGIN, 6, merkle_root(hashes)), key.public_der, key.sign)
    return LogProof(3, inclusion_path(hashes, 3), note, entry, batch)


def of_batch() -> LogProof:
    """The proof of the second of three batches of a block."""
    memory = Memory({EDGE_KEY.key_id: EdgeKey(b"E" * 16, EDGE_KEY.public_der, 0, 2**62, False)})
    batches = [sealed([report(f"monitor {number}")], EDGE_KEY, batch_no=number) for number in (1, 2, 3)]
    (block,) = validate("live.raw", batches, memory, T0_US)
    assert isinstance(block, Block)
    signed = open_message(sign_block(block, PLATFORM.key_id, PLATFORM.sign, T0_US), PLATFORM.public_der)
    assert not isinstance(signed, tuple)
    batch = ProvedBatch(batches[1], signed.validations[1], 1, inclusion_path(signed.leaves, 1))
    return in_log(signed.seal, batch)


def findings(proof: LogProof, platform: KeyRing = PLATFORM_KEYS, edges: KeyRing = EDGE_KEYS) -> list[str]:
    return check_proof(read_proof(proof.encode()), platform, edges).findings


def test_an_act_is_proved_by_its_file_alone() -> None:
    proof = in_log(STATEMENT)
    assert read_proof(proof.encode()) == proof
    result = check_proof(proof, PLATFORM_KEYS, KeyRing([]))
    assert (result.findings, result.act, result.seal) == ([], ACT, None)


def test_a_batch_is_proved_with_what_its_edge_signed() -> None:
    proof = of_batch()
    assert read_proof(proof.encode()) == proof
    result = check_proof(proof, PLATFORM_KEYS, EDGE_KEYS)
    assert (result.findings, result.edge_signed) == ([], True)
    assert proof.batch is not None
    assert (result.batch_id, result.header and result.header.batch_no) == (batch_id(proof.batch.sealed), 2)
    assert check_proof(proof, PLATFORM_KEYS, KeyRing([])).edge_signed is None


def test_the_file_is_a_proof_as_others_read_it() -> None:
    """C2SP tlog-proof: its lines in order, the checkpoint verbatim behind an empty one."""
    proof = in_log(STATEMENT)
    head, note = proof.encode().decode().split("\n\n", 1)
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert [line.split(" ")[0] for line in lines[1:3]] == ["extra", "index"]
    assert (lines[2], len(lines)) == ("index 3", 3 + len(proof.path))
    assert note.encode() == proof.note


def replaced(proof: LogProof, **changes: object) -> LogProof:
    fields = {"index": proof.index, "path": proof.path, "note": proof.note, "entry": proof.entry, "batch": proof.batch}
    return LogProof(**{**fields, **changes})  # type: ignore[arg-type]


def test_whatever_is_another_than_was_signed_is_found() -> None:
    proof = of_batch()
    batch = proof.batch
    assert batch is not None
    not_in_log = "the entry is not number"
    assert not_in_log in findings(replaced(proof, index=2))[0]
    assert not_in_log in findings(replaced(proof, path=proof.path[::-1]))[0]
    stranger = replaced(proof, note=in_log(proof.entry, key=STRANGER).note)
    assert "did not sign the checkpoint" in findings(stranger)[0]
    assert len(findings(proof, platform=KeyRing([STRANGER.public_der]))) == 2  # checkpoint and entry
    forged = in_log(ACT.encode(PLATFORM.key_id, STRANGER.sign))
    assert findings(forged) == ["the platform's key did not sign the entry"]
    not_in_seal = "the batch, or what validation found of it, is not what the seal was signed over"
    flipped = bytes([batch.validation[0] ^ 1]) + batch.validation[1:]
    for changed in (
        msgspec.structs.replace(batch, validation=flipped), msgspec.structs.replace(batch, place=0),
        msgspec.structs.replace(batch, sealed=sealed([report("another")], EDGE_KEY, batch_no=2)),
    ):  # fmt: skip
        assert findings(replaced(proof, batch=changed)) == [not_in_seal]
    assert findings(proof, edges=KeyRing([STRANGER.public_der])) == [
        "none of the edges' keys that were given signed the batch"
    ]


def test_what_cannot_be_opened_proves_nothing() -> None:
    proof = of_batch()
    assert proof.batch is not None
    cut = msgspec.structs.replace(proof.batch, validation=proof.batch.validation[:-1])
    torn = msgspec.structs.replace(proof.batch, sealed=proof.batch.sealed[:-1])
    for wrong in (
        replaced(proof, batch=cut), replaced(proof, batch=torn), in_log(b"VWOTHER\x01" + bytes(200)),
        in_log(STATEMENT, proof.batch), replaced(proof, note=b"no note\n"),
    ):  # fmt: skip
        with pytest.raises(LayoutError):
            check_proof(wrong, PLATFORM_KEYS, EDGE_KEYS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"), (b"extra ", b"extra  "), (b"extra ", b"more "), (b"index 3", b"index 03"),
        (b"index 3", b"index -3"), (b"index 3", b"index 3\nAA=="), (b"index 3", b"index 3\n*"), (b"\n\n", b"\n"),
        (b"extra ", b"\xff"), (b"extra ", b"extra e30=\nextra "), (b"extra ", b"extra e30="),
    ],
)  # fmt: skip
def test_another_form_is_refused(before: bytes, after: bytes) -> None:
    with pytest.raises(LayoutError):
        read_proof(in_log(STATEMENT).encode().replace(before, after))


def test_a_file_that_is_too_long_is_refused() -> None:
    with pytest.raises(LayoutError):
        read_proof(in_log(STATEMENT).encode() + bytes(PROOF_BYTES_MAX))


def test_signatures_have_one_form() -> None:
    """A signature whose s is in the upper half is another file of the same act: refused."""
    r, s = STATEMENT[-64:-32], int.from_bytes(STATEMENT[-32:])
    assert findings(in_log(STATEMENT[:-64] + r + (ORDER - s).to_bytes(32))) == [
        "the platform's key did not sign the entry"
    ]
