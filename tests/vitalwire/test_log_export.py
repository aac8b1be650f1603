from pathlib import Path

import pytest

from evidence.checkpoint import Checkpoint, sign_checkpoint
from evidence.tiles import bundles_of, read_bundle, tiles_of
from evidence.tree import leaf_hash, merkle_root
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from schemas.errors import LayoutError
from tests.making import Key
from vitalwire.log_export import export

KEY = Key()
ENTRIES = [b"entry %d" % index for index in range(700)]


def note_of(entries: list[bytes]) -> bytes:
    root = merkle_root([leaf_hash(entry) for entry in entries])
    return sign_checkpoint(Checkpoint("vitalwire/t/00", len(entries), root), KEY.public_der, KEY.sign)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 1, 256, 700])
def test_the_folder_has_the_whole_log_and_nothing_else(tmp_path: Path, size: int) -> None:
    steps: list[tuple[int, int]] = []
    folder, note = tmp_path / "new/log", note_of(ENTRIES[:size])
    # The log grew since its checkpoint: what came later is left.
    export(iter(ENTRIES), note, folder, lambda done, total: steps.append((done, total)))
    tiles = [*tiles_of(size), *bundles_of(size)]
    assert files_in(folder) == {"checkpoint", *(tile.path for tile in tiles)}
    assert (folder / "checkpoint").read_bytes() == note
    bundles = [read_bundle((folder / bundle.path).read_bytes(), bundle.width) for bundle in bundles_of(size)]
    assert [entry for bundle in bundles for entry in bundle] == ENTRIES[:size]
    assert steps == [(done, size) for done in range(256, size + 1, 256)] + [(size, size)]


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (ENTRIES[:-1], "699 entries, its checkpoint says 700"),
        ([*ENTRIES[:300], b"changed", *ENTRIES[301:]], "do not have the root"),
        ([*ENTRIES[:300], *ENTRIES[301:], b"another"], "do not have the root"),
    ],
)
def test_entries_that_are_not_the_checkpoints_leave_a_folder_without_one(
    tmp_path: Path, entries: list[bytes], problem: str
) -> None:
    with pytest.raises(UserError, match=problem) as raised:
        export(entries, note_of(ENTRIES), tmp_path, lambda done, total: None)
    assert raised.value.exit_code == EXIT_DOES_NOT_HOLD
    assert "checkpoint" not in files_in(tmp_path)


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="name a new folder"):
        export(ENTRIES, note_of(ENTRIES), tmp_path, lambda done, total: None)
    assert files_in(tmp_path) == {"mine"}


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        export(ENTRIES, note_of(ENTRIES), tmp_path / "log", lambda done, total: None)


def test_what_is_no_checkpoint_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(LayoutError):
        export(ENTRIES, b"no checkpoint", tmp_path / "log", lambda done, total: None)
    assert not (tmp_path / "log").exists()
