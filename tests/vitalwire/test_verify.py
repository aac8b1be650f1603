"""`vitalwire verify`, as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from typer.testing import CliRunner

from evidence.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from runtime.errors import UserError
from schemas.errors import VitalwireError
from tests.making import T0_US
from tests.verifying import FIRST, SECOND, SECOND_US, Ward, checkpoint_of, masked, summarise, vitals
from vitalwire.__main__ import app


@pytest.fixture
def ward(database: str, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    ward = Ward(database)
    for batch in range(2):
        ward.emit(*(vitals(claim, T0_US + batch * SECOND_US) for claim in (FIRST, SECOND)))
    ward.seal_log()
    summarise(database)
    return ward


def verify(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what is shown; as `main` makes one of errors."""
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    if isinstance(result.exception, UserError | VitalwireError):
        return getattr(result.exception, "exit_code", 2), str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def pem(public_der: bytes) -> bytes:
    return load_der_public_key(public_der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def trusted(ward: Ward, folder: Path) -> Path:
    """A folder as an auditor keeps it."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "platform.pub").write_bytes(pem(ward.platform.public_der))
    (folder / "box.pub").write_bytes(pem(ward.edge_key.public_der))
    (folder / "checkpoints" / "monday.note").write_bytes(checkpoint_of(ward.address))
    return folder


def test_what_is_proved_and_what_is_not_can_be_read_aloud(ward: Ward, tmp_path: Path) -> None:
    code, text = verify("--trust", trusted(ward, tmp_path / "trust"))
    lines = text.splitlines()
    assert (code, lines[0]) == (0, "Proved:")
    assert (
        "  the log: its 4 entries give the root that was signed, 2 times over: at 1 checkpoints kept here and 1 kept"
        " outside"
    ) in lines
    assert "  2 seals: the platform's key signed each, and each has its place in the log" in lines
    assert "  12 records: validation of their bytes, done again, gives what was signed" in lines
    assert "  4 rows of reports: every column is what their batch says" in lines
    assert lines[lines.index("Not proved:") + 1 :] == [
        "  that the devices told the truth",
        "  whose patient a value is, nor that a chart has every value that it should",
        "  that no alarm is missing: each is signed, and none is in the log",
        "  that nothing is missing since the newest checkpoint that somebody outside holds",
        "  when the store says that it kept something: that is its own clock, and nobody signed it",
        "  that the people whom acts name did them: until they have keys of their own the platform signs for them",
    ]


def test_what_was_not_given_is_listed(ward: Ward) -> None:
    code, text = verify()
    assert code == 0
    for option in ("--platform-key", "--trust", "--checkpoint"):
        assert option in text.partition("Not proved:")[2]


def test_a_finding_stands_first_and_is_exit_4(ward: Ward) -> None:
    ward.rows("UPDATE report SET value[1] = 42 WHERE batch = 1 AND leaf = 0 RETURNING 1")
    ((ident,),) = ward.rows("SELECT encode(batch_id, 'hex') FROM batch WHERE batch = 1")
    where = f"batch {ident} (edge 45454545, live, number 1) leaf 0"
    code, text = verify()
    assert code == 4
    assert text.startswith(f"WRONG  {where}: the row's value is not what was sealed\n")
    assert "Proved:" not in text
    code, text = verify("--json")
    found = json.loads(text)
    assert (code, found["holds"], found["counts"]["report"]) == (4, False, 4)
    assert found["findings"][0] == {
        "where": where, "what": "the row's value is not what was sealed",
    }  # fmt: skip


def test_a_database_put_back_is_told_by_a_file(ward: Ward, tmp_path: Path) -> None:
    kept = tmp_path / "edge.note"
    known = read_checkpoint(checkpoint_of(ward.address), ward.platform.public_der)
    larger = Checkpoint(known.origin, known.size + 1, bytes(32))
    kept.write_bytes(sign_checkpoint(larger, ward.platform.public_der, ward.platform.sign))
    code, text = verify("--checkpoint", kept)
    assert code == 4
    assert (
        "WRONG  checkpoint file edge.note: it was signed over 5 entries of the log, and the log has 4: the database was"
        " put back to an earlier state"
    ) in text


def test_from_a_checkpoint_says_what_it_did_not_look_at(ward: Ward, tmp_path: Path) -> None:
    kept = tmp_path / "monday.note"
    kept.write_bytes(checkpoint_of(ward.address))
    ward.emit(vitals(FIRST, T0_US + 7 * SECOND_US))
    ward.seal_log()
    code, text = verify("--from-checkpoint", kept)
    assert code == 0
    assert "  all up to batch ID (edge 45454545, live, number 2): it was stored before, and was" in masked(text)
    assert "  1 rows of reports: every column is what their batch says\n" in text


def test_nothing_since_then_is_said(ward: Ward) -> None:
    code, text = verify("--since", "2099-01-01")
    assert code == 0
    assert "of batches nothing: none was there to look at" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--trust", "no/such"), "is no folder"),
        (("--checkpoint", "no/such"), "cannot be read"),
        (("--platform-key", "no/such"), "cannot be read"),
        (("--since", "yesterday"), "neither an instant"),
        (("--since", "1h", "--from-checkpoint", "x"), "give one of them"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(ward: Ward, arguments: tuple[str, ...], expected: str) -> None:
    code, text = verify(*arguments)
    assert (code, text.count("\n")) == (2, 0)
    assert expected in text


def test_an_empty_folder_of_trust_is_no_trust(ward: Ward, tmp_path: Path) -> None:
    assert "nothing to trust in it" in verify("--trust", tmp_path)[1]


def test_a_file_that_is_no_checkpoint_is_a_finding(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing")
    code, text = verify("--checkpoint", tmp_path / "x")
    assert code == 4
    assert "WRONG  checkpoint file x: the platform's key did not sign it" in text
