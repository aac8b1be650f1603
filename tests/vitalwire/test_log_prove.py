"""`vitalwire log prove` and `log check-proof`, as people type them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from emr_store import places
from emr_store.latest import latest
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_USAGE
from schemas.report import Record, RecordKind, device_id
from tests.commands import CLAIM, as_json, vitalwire
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, Key, report
from tests.storing import EDGE, Store
from tests.vitalwire.test_verify import pem


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two batches and an act, in a log with a checkpoint."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store = Store(database)
    store.emit(report("another"))
    store.emit(
        report(records=[Record(SPO2, PERCENT, mantissa=250)]),
        report("another", T0_US + 1, [
            Record(PULSE, PER_MIN, mantissa=-5, exponent=-2), Record(SPO2, PERCENT, kind=RecordKind.CODE, mantissa=3),
        ]),
    )  # fmt: skip
    with store.open() as conn:
        places.assign(conn, str(device_id(CLAIM)), "ICU-01", name="n", since=datetime(2026, 1, 1, tzinfo=UTC))
    store.seal_log()
    return store


def batch_of(store: Store) -> str:
    with store.open() as conn:
        (value,) = latest(conn, device_id(CLAIM))
    assert value.batch_id is not None
    return value.batch_id.hex()


def keys(store: Store, folder: Path) -> Path:
    folder.mkdir()
    (folder / "platform.pub").write_bytes(pem(store.platform.public_der))
    (folder / "box.pub").write_bytes(pem(store.edge_key.public_der))
    return folder


def test_a_value_is_proved_by_one_file_without_a_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident, file, trust = batch_of(store), tmp_path / "batch.tlog-proof", keys(store, tmp_path / "trust")
    code, text = vitalwire("log prove", ident, str(file))
    assert (code, f"the batch {ident}, entry" in text) == (0, True)
    monkeypatch.delenv("VITALWIRE_DATABASE")
    code, text = vitalwire("log check-proof", str(file), "--trust", str(trust), "--leaf", "0")
    assert code == 0
    assert text.startswith("Proved:\n  entry ")
    assert f"in it the batch {ident} (edge {str(UUID(bytes=EDGE))[:8]}, live, number 2): 2 reports of 3 records" in text
    assert "the key of an edge that was given signed the batch" in text
    assert f"device {device_id(CLAIM)} at " in text
    assert "SpO2 150456" in text
    assert "doubtful-range" in text
    code, text = vitalwire("log check-proof", str(file), "--trust", str(trust), "--leaf", "1", "--json")
    shown = json.loads(text)
    assert (code, shown["holds"], shown["batch_id"], shown["batch_no"], shown["edge_signed"]) == (
        0,
        True,
        ident,
        2,
        True,
    )
    assert [(v["metric"], v["sent"], v["validation_result"], v["value"]) for v in shown["values"]] == [
        ("PR", "-0.05", "doubtful-range", -0.05), ("SpO2", None, "accepted-code", None)
    ]  # fmt: skip


def test_an_act_is_proved_too(store: Store, tmp_path: Path) -> None:
    (ident,) = (act["act_id"] for act in as_json("acts list") if act["kind"] == "device.assign")
    file = tmp_path / "act.tlog-proof"
    assert vitalwire("log prove", ident, str(file))[0] == 0
    (tmp_path / "platform.pub").write_bytes(pem(store.platform.public_der))
    code, text = vitalwire("log check-proof", str(file), "--platform-key", str(tmp_path / "platform.pub"))
    assert (code, "the act device.assign by os:" in text, "ICU-01" in text) == (0, True, True)
    code, text = vitalwire(
        "log check-proof", str(file), "--platform-key", str(tmp_path / "platform.pub"), "--leaf", "0"
    )
    assert (code, "no report 0" in text) == (EXIT_USAGE, True)


def test_what_no_key_was_given_for_is_not_said_to_be_proved(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "batch.tlog-proof"
    vitalwire("log prove", batch_of(store), str(file))
    (tmp_path / "platform.pub").write_bytes(pem(store.platform.public_der))
    code, text = vitalwire("log check-proof", str(file), "--platform-key", str(tmp_path / "platform.pub"))
    assert (code, "Not proved:\n  that key" in text) == (0, True)
    code, text = vitalwire("log check-proof", str(file))
    assert (code, "--platform-key FILE" in text) == (EXIT_USAGE, True)


def test_what_does_not_hold_is_said_first(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "batch.tlog-proof"
    vitalwire("log prove", batch_of(store), str(file))
    (tmp_path / "other.pub").write_bytes(pem(Key().public_der))
    code, text = vitalwire("log check-proof", str(file), "--platform-key", str(tmp_path / "other.pub"))
    assert code == EXIT_DOES_NOT_HOLD
    assert text.startswith("WRONG  the platform's key did not sign the checkpoint")
    assert "What the file says; it does not hold:" in text
    assert "Proved:" not in text.replace("Not proved:", "")
    file.write_bytes(b"something else")
    code, text = vitalwire("log check-proof", str(file), "--platform-key", str(tmp_path / "other.pub"))
    assert (code, "no proof" in text) == (EXIT_USAGE, True)


def test_what_cannot_be_proved_is_said(store: Store, tmp_path: Path) -> None:
    def prove(ident: str, name: str = "new") -> str:
        code, text = vitalwire("log prove", ident, str(tmp_path / name))
        assert code == EXIT_USAGE
        return text

    ident = batch_of(store)
    assert "is no id" in prove(ident[:16])
    assert "no act and no batch here" in prove("0" * 64)
    (tmp_path / "there").touch()
    assert "there already" in prove(ident, "there")
    store.emit(report(at_us=T0_US + 2_000_000, records=[Record(SPO2, PERCENT, mantissa=97)]))
    assert "not in the log yet" in prove(batch_of(store))
    store.rows("UPDATE log_entry SET leaf_hash = sha256('x') WHERE position = 0 RETURNING 1")
    assert "do not have the root" in prove(ident)
    store.rows("UPDATE batch_body SET validation = 'x' RETURNING 1")
    assert "is not what was sealed" in prove(ident)
    store.rows("DELETE FROM batch_body RETURNING 1")
    assert "are gone from this store" in prove(ident)
    assert not (tmp_path / "new").exists()
