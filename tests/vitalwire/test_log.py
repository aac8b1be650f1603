"""`vitalwire log export`, from a store whose sealer was at work."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from emr_store.connect import current_incarnation, open_store
from emr_store.log import newest_checkpoint, seal_unlogged
from emr_store.migrate import migrate
from evidence.act import Act, read_act
from evidence.checkpoint import read_checkpoint
from evidence.tiles import bundles_of, read_bundle
from evidence.tree import leaf_hash, merkle_root
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_USAGE
from tests.making import T0_US, Key
from tests.vitalwire.test_record import vitalwire

KEY = Key()
ACTS = [Act("device.move", "os:test@test", T0_US + number, f"reason {number}", {}) for number in range(300)]


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store that has these acts to log."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    migrate(database)
    with open_store(database) as conn, conn.transaction():
        for act in ACTS:
            conn.execute("INSERT INTO act VALUES (%s, %s, %s, NULL, now())", [act.act_id, act.kind, act.body])
            conn.execute("INSERT INTO unlogged (act) VALUES (%s)", [act.act_id])
    return database


def seal(conn: psycopg.Connection) -> None:
    while seal_unlogged(conn, site="test", key=KEY, now_us=T0_US):
        pass


def test_the_folder_is_the_log_up_to_its_newest_checkpoint(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with open_store(store) as conn:
        seal(conn)
        note = newest_checkpoint(conn)
        incarnation = current_incarnation(conn).hex()
    code, text = vitalwire("log export --json", str(folder))
    checkpoint = read_checkpoint((folder / "checkpoint").read_bytes(), KEY.public_der)
    assert (code, (folder / "checkpoint").read_bytes()) == (0, note)
    assert json.loads(text) == {
        "folder": str(folder), "origin": f"vitalwire/test/{incarnation}", "size": 301, "root": checkpoint.root.hex(),
    }  # fmt: skip
    bundles = [read_bundle((folder / bundle.path).read_bytes(), bundle.width) for bundle in bundles_of(301)]
    leaves = [leaf for bundle in bundles for leaf in bundle]
    assert merkle_root([leaf_hash(leaf) for leaf in leaves]) == checkpoint.root
    acts = [read_act(leaf) for leaf in leaves]
    assert acts[0][0].kind == "log.begin"
    assert [act for act, _ in acts[1:]] == ACTS
    assert all(signed_statement.is_signed_by(KEY.public_der) for _, signed_statement in acts)


def test_a_log_is_named_by_its_incarnation(store: str, tmp_path: Path) -> None:
    with open_store(store) as conn:
        seal(conn)
        incarnation = current_incarnation(conn).hex()
    code, text = vitalwire("log export", str(tmp_path / "log"), "--incarnation", incarnation)
    assert (code, f"301 entries of vitalwire/test/{incarnation}" in text) == (0, True)
    code, text = vitalwire("log export", str(tmp_path / "other"), "--incarnation", "00" * 16)
    assert (code, "no such log" in text) == (EXIT_USAGE, True)
    for wrong in ("xx", "00"):
        code, text = vitalwire("log export", str(tmp_path / "other"), "--incarnation", wrong)
        assert (code, "is no incarnation" in text) == (EXIT_USAGE, True)
    assert not (tmp_path / "other").exists()


def test_a_store_without_a_log_says_so(store: str, tmp_path: Path) -> None:
    code, text = vitalwire("log export", str(tmp_path / "log"))
    assert (code, "no such log" in text) == (EXIT_USAGE, True)


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE act SET statement = statement || '\\x00' WHERE act_id = %s", "do not have the root"),
        ("DELETE FROM act WHERE act_id = %s", "is gone"),
    ],
)
def test_a_log_that_was_changed_is_not_exported_as_one(store: str, tmp_path: Path, sql: str, problem: str) -> None:
    with open_store(store) as conn:
        seal(conn)
        assert conn.execute(sql.encode(), [ACTS[7].act_id]).rowcount == 1
    code, text = vitalwire("log export", str(tmp_path / "log"))
    assert (code in (EXIT_DOES_NOT_HOLD, EXIT_USAGE), problem in text) == (True, True)
    assert not (tmp_path / "log/checkpoint").exists()
