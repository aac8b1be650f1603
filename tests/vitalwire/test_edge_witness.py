"""`vitalwire edge witness`: what is printed, and the files that `verify --checkpoint` takes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge_agent.spool import Spool, WitnessedCheckpoint
from evidence.checkpoint import Checkpoint, log_origin, read_checkpoint, sign_checkpoint
from runtime import keys
from runtime.errors import UserError
from schemas.errors import VitalwireError
from tests.making import Key
from vitalwire.edge_witness import witness

PLATFORM = Key()
LOG, NEXT_LOG = log_origin("ward", b"A" * 16), log_origin("ward", b"B" * 16)


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(witness)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def keep(folder: Path, *checkpoints: Checkpoint) -> None:
    """In the spool of an agent that does not run."""
    spool = Spool(folder / "spool", bytes_max=1 << 20, receipt_hold_s=1)
    for checkpoint in checkpoints:
        note = sign_checkpoint(checkpoint, PLATFORM.public_der, PLATFORM.sign)
        spool.witness([WitnessedCheckpoint(checkpoint, note, 1)])
    spool.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "edge.key")
    keys.generate(tmp_path / "platform.key")
    path = tmp_path / "edge.toml"
    path.write_text(f'edge = "{uuid.UUID(int=7)}"\nspool = "{tmp_path / "spool"}"\n')
    return path


def test_the_newest_of_each_log_is_printed(config: Path) -> None:
    keep(
        config.parent, Checkpoint(LOG, 3, bytes(32)), Checkpoint(LOG, 9, b"r" * 32), Checkpoint(NEXT_LOG, 1, bytes(32))
    )
    code, text = run("--config", config)
    lines = text.splitlines()
    assert code == 0
    assert lines[0].startswith(f"{LOG}: 2 kept, the first 20")
    assert lines[1].startswith(f"  size 9  root {(b'r' * 32).hex()}  20")
    assert lines[2].startswith(f"{NEXT_LOG}: 1 kept")
    assert len(lines) == 4


def test_two_that_contradict_are_printed_and_the_command_says_so(config: Path) -> None:
    keep(config.parent, Checkpoint(LOG, 3, bytes(32)), Checkpoint(LOG, 3, b"x" * 32))
    code, text = run("--config", config)
    assert code == 4
    assert text.splitlines()[2].endswith(" UTC  log-forked")


def test_each_is_a_file_that_the_platforms_key_proves(config: Path) -> None:
    checkpoints = [Checkpoint(LOG, 3, bytes(32)), Checkpoint(LOG, 3, b"x" * 32), Checkpoint(LOG, 9, b"r" * 32)]
    keep(config.parent, *checkpoints)
    folder = config.parent / "notes"
    code, text = run("--config", config, "--write", folder, "--json")
    assert code == 4
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [
        f"{(b'A' * 16).hex()}-{c.size}-{c.root.hex()[:8]}.checkpoint" for c in checkpoints
    ]
    assert [read_checkpoint(file.read_bytes(), PLATFORM.public_der) for file in files] == checkpoints
    shown = json.loads(text)
    assert [(each["origin"], each["size"], each["root"]) for each in shown] == [
        (c.origin, c.size, c.root.hex()) for c in checkpoints
    ]
    assert [each["note"].encode() for each in shown] == [file.read_bytes() for file in files]
    with pytest.raises(UserError, match=r"cannot be written: .*: name another folder"):
        run("--config", config, "--write", config)


def test_without_a_spool_or_a_checkpoint_it_is_said(config: Path) -> None:
    with pytest.raises(VitalwireError, match="cannot be read"):
        run("--config", config)
    keep(config.parent)
    assert run("--config", config) == (0, "none: they come with the receipts of a hospital whose log has begun\n")
