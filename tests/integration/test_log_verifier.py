"""An exported log before a verifier that is none of ours: Go, sumdb/note, transparency-dev/merkle
(log_verifier/main.go).

It opens the checkpoints, hashes every entry, proves inclusion and consistency from the tiles; and it rejects each way
in which somebody with the database, or with the database and our key, could change what was written.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence.act import begin_log
from evidence.block_seal import SEAL_BYTES
from evidence.checkpoint import Checkpoint, log_origin, sign_checkpoint
from evidence.log import consistency_path, inclusion_path
from evidence.tiles import Tile, TileBuilder
from evidence.tree import leaf_hash, merkle_root
from tests.making import T0_US, Key
from vitalwire.log_export import CHECKPOINT_FILE, export

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SIZE = 100_000
KEPT_SIZE = 60_000
MUTATED = 30_000  # a leaf in the middle, older than the kept checkpoint
KEY, OTHER = Key(), Key()
INCARNATION = b"I" * 16
ORIGIN = log_origin("test", INCARNATION)
FIRST = begin_log(incarnation=INCARNATION, predecessor=None, by="os:test@test", at_us=T0_US)
# The tree does not look into its entries; they are as long as those of a real log.
ENTRIES = [FIRST.encode(KEY.key_id, KEY.sign), *(index.to_bytes(8).ljust(SEAL_BYTES, b"s") for index in range(1, SIZE))]
HASHES = [leaf_hash(entry) for entry in ENTRIES]

Mutation = Callable[[list[bytes]], list[bytes]]


def deleted(entries: list[bytes]) -> list[bytes]:
    return entries[:MUTATED] + entries[MUTATED + 1 :]


def swapped(entries: list[bytes]) -> list[bytes]:
    return [*entries[:MUTATED], entries[MUTATED + 1], entries[MUTATED], *entries[MUTATED + 2 :]]


def changed(entries: list[bytes]) -> list[bytes]:
    return [*entries[:MUTATED], entries[MUTATED][:-1] + b"x", *entries[MUTATED + 1 :]]


def note_of(entries: Sequence[bytes], key: Key = KEY) -> bytes:
    root = merkle_root([leaf_hash(entry) for entry in entries])
    return sign_checkpoint(Checkpoint(ORIGIN, len(entries), root), key.public_der, key.sign)


def write_log(entries: Sequence[bytes], checkpoint: bytes, folder: Path) -> None:
    """As `export`, whatever the checkpoint says: the tool of somebody who cheats."""
    builder = TileBuilder()
    files = [file for entry in entries for file in builder.append(entry)]
    for file in files + builder.finish():
        path = folder / file.tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    (folder / CHECKPOINT_FILE).write_bytes(checkpoint)


@dataclass(frozen=True)
class Verifier:
    """The built verifier, and where it may put its files."""

    binary: Path
    folder: Path

    def __call__(self, log: Path, *kept: bytes, proofs: object = None) -> str:
        """Its one line: "accepted: ..." or "rejected: ..."."""
        key = self.folder / "key.der"
        key.write_bytes(KEY.public_der)
        command = [str(self.binary), "-log", str(log), "-origin", ORIGIN, "-key", str(key)]
        if proofs is not None:
            (self.folder / "proofs.json").write_text(json.dumps(proofs), "utf-8")
            command += ["-proofs", str(self.folder / "proofs.json")]
        for number, note in enumerate(kept):
            (self.folder / f"kept-{number}").write_bytes(note)
            command.append(str(self.folder / f"kept-{number}"))
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        word = {0: "accepted: ", 1: "rejected: "}[ran.returncode]
        assert ran.stdout.startswith(word), (ran.stdout, ran.stderr)
        return ran.stdout.strip()


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    assert shutil.which("go"), "the verifier of the log is written in Go: sudo apt install golang-go"
    folder = tmp_path_factory.mktemp("verifier")
    binary = folder / "log_verifier"
    source = Path(__file__).parent / "log_verifier"
    built = subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", str(binary), "."],
        cwd=source, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, f"{built.stderr}(the modules of go.mod come through GOPROXY)"
    return Verifier(binary, folder)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export(iter(ENTRIES), note_of(ENTRIES), folder, lambda done, total: None)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "copied")


KEPT = note_of(ENTRIES[:KEPT_SIZE])


def test_the_log_is_accepted_with_every_checkpoint_that_it_grew_through(verifier: Verifier, exported: Path) -> None:
    sizes = [0, 1, 2, 255, 256, 257, KEPT_SIZE, 65_535, 65_536, 65_537, SIZE - 1, SIZE]
    kept = [note_of(ENTRIES[:size]) for size in sizes]
    assert verifier(exported, *kept) == f"accepted: {SIZE} entries, {len(sizes)} kept checkpoints, 0 proofs"


@pytest.mark.parametrize("size", [0, 1, 256, 257])
def test_a_small_log_is_accepted(verifier: Verifier, tmp_path: Path, size: int) -> None:
    export(ENTRIES, note_of(ENTRIES[:size]), tmp_path, lambda done, total: None)
    assert verifier(tmp_path).startswith(f"accepted: {size} entries")


def proofs_of(size: int, indexes: Sequence[int], old_sizes: Sequence[int]) -> dict[str, list[dict[str, object]]]:
    """Proofs by `evidence.log`, as the verifier reads them."""

    def text(value: bytes) -> str:
        return b64encode(value).decode()

    hashes = HASHES[:size]
    root = text(merkle_root(hashes))
    return {
        "Inclusion": [
            {"Index": i, "Size": size, "Leaf": text(hashes[i]), "Root": root,
             "Path": [text(node) for node in inclusion_path(hashes, i)]} for i in indexes
        ],
        "Consistency": [
            {"OldSize": old_size, "Size": size, "OldRoot": text(merkle_root(hashes[:old_size])), "Root": root,
             "Path": [text(node) for node in consistency_path(hashes, old_size)]} for old_size in old_sizes
        ],
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 100, 257])
def test_every_proof_that_we_make_is_verified(verifier: Verifier, tmp_path: Path, size: int) -> None:
    export(ENTRIES, note_of(ENTRIES[:1]), tmp_path, lambda done, total: None)
    proofs = proofs_of(size, range(size), range(1, size + 1))
    assert verifier(tmp_path, proofs=proofs).endswith(f"{2 * size} proofs")
    for kind, root in (("Inclusion", "Root"), ("Consistency", "OldRoot")):
        broken = {name: [dict(each) for each in given] for name, given in proofs.items()}
        broken[kind][0][root] = b64encode(bytes(32)).decode()
        assert verifier(tmp_path, proofs=broken).startswith(f"rejected: given {kind.lower()}")


def test_proofs_of_the_large_log_are_verified(verifier: Verifier, exported: Path) -> None:
    proofs = proofs_of(SIZE, [0, MUTATED, 65_535, 65_536, SIZE - 1], [1, KEPT_SIZE, 65_536, SIZE - 1, SIZE])
    assert verifier(exported, proofs=proofs).endswith("10 proofs")


@pytest.mark.parametrize("mutate", [deleted, swapped, changed])
def test_a_leaf_deleted_swapped_or_changed_is_rejected_by_the_checkpoint(
    verifier: Verifier, tmp_path: Path, mutate: Mutation
) -> None:
    write_log(mutate(ENTRIES), note_of(ENTRIES), tmp_path)
    assert verifier(tmp_path).startswith("rejected: ")


@pytest.mark.parametrize("mutate", [deleted, swapped, changed])
def test_and_signed_again_with_our_own_key_it_is_rejected_by_the_kept_checkpoint(
    verifier: Verifier, tmp_path: Path, mutate: Mutation
) -> None:
    mutated = mutate(ENTRIES)
    write_log(mutated, note_of(mutated), tmp_path)
    # In itself it is a log without fault: only what somebody kept outside tells.
    assert verifier(tmp_path).startswith("accepted: ")
    assert verifier(tmp_path, KEPT).startswith(f"rejected: consistency with the kept checkpoint of size {KEPT_SIZE}")


def test_an_entry_that_is_not_the_one_of_its_tile_is_rejected(verifier: Verifier, copied: Path) -> None:
    bundle = copied / Tile(None, MUTATED // 256).path
    content = bytearray(bundle.read_bytes())
    content[-1] ^= 1
    bundle.write_bytes(content)
    assert verifier(copied) == f"rejected: entry {MUTATED // 256 * 256 + 255} is not the one of its tile"


@pytest.mark.parametrize("tile", [Tile(0, 5), Tile(1, 1, 134), Tile(2, 0, 1)])
def test_a_changed_tile_is_rejected(verifier: Verifier, copied: Path, tile: Tile) -> None:
    content = bytearray((copied / tile.path).read_bytes())
    content[0] ^= 1
    (copied / tile.path).write_bytes(content)
    assert verifier(copied).startswith("rejected: ")


def test_a_missing_tile_is_rejected(verifier: Verifier, copied: Path) -> None:
    (copied / Tile(0, 17).path).unlink()
    assert verifier(copied).startswith("rejected: ")


def test_a_checkpoint_of_another_key_is_rejected(verifier: Verifier, copied: Path) -> None:
    (copied / CHECKPOINT_FILE).write_bytes(note_of(ENTRIES, OTHER))
    assert "note has no verifiable signatures" in verifier(copied)
    (copied / CHECKPOINT_FILE).write_bytes(note_of(ENTRIES))
    assert "note has no verifiable signatures" in verifier(copied, note_of(ENTRIES[:KEPT_SIZE], OTHER))


def test_a_checkpoint_of_another_incarnation_is_rejected(verifier: Verifier, copied: Path) -> None:
    other = Checkpoint(log_origin("test", b"J" * 16), SIZE, merkle_root(HASHES))
    (copied / CHECKPOINT_FILE).write_bytes(sign_checkpoint(other, KEY.public_der, KEY.sign))
    assert verifier(copied).startswith("rejected: checkpoint checkpoint: ")


def test_a_changed_checkpoint_is_rejected(verifier: Verifier, copied: Path) -> None:
    note = note_of(ENTRIES).replace(str(SIZE).encode(), str(SIZE - 1).encode())
    (copied / CHECKPOINT_FILE).write_bytes(note)
    assert "invalid signature" in verifier(copied)


def test_a_log_put_back_to_yesterday_is_rejected(verifier: Verifier, tmp_path: Path) -> None:
    yesterday = ENTRIES[:KEPT_SIZE]
    write_log(yesterday, KEPT, tmp_path)
    assert verifier(tmp_path, KEPT).startswith("accepted: ")
    later = note_of(ENTRIES[: KEPT_SIZE + 1])
    assert verifier(tmp_path, later) == (
        f"rejected: the log shrank: a kept checkpoint has size {KEPT_SIZE + 1}, this one {KEPT_SIZE}"
    )


def test_a_log_put_back_and_grown_again_is_rejected(verifier: Verifier, tmp_path: Path) -> None:
    other_day = ENTRIES[: KEPT_SIZE - 1] + [entry[:-1] + b"y" for entry in ENTRIES[KEPT_SIZE - 1 :]]
    write_log(other_day, note_of(other_day), tmp_path)
    assert verifier(tmp_path, note_of(ENTRIES[: KEPT_SIZE - 1])).startswith("accepted: ")
    assert verifier(tmp_path, KEPT).startswith("rejected: consistency with the kept checkpoint")
