"""`vitalwire registry edge`, as people type it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from emr_store import registry
from runtime import keys
from tests.commands import as_json, vitalwire
from tests.making import Key
from tests.storing import EDGE, Store


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Store(database)


def test_edges_are_added_listed_and_revoked(store: Store, tmp_path: Path) -> None:
    other = UUID(bytes=b"O" * 16)
    made = keys.generate(tmp_path / "edge.key")
    public = str(tmp_path / "edge.pub")
    add = ("registry edge add", str(other), public, "--label", "ICU 盒 2")
    code, text = vitalwire(*add, "--valid-days", "10")
    assert (code, text) == (0, f"registered ICU 盒 2: {keys.fingerprint(made.public_der)}\n")
    found = {e["label"]: e for e in as_json("registry edge list")}
    until = datetime.fromisoformat(found["ICU 盒 2"]["valid_until"])
    assert abs(until - datetime.now(UTC) - timedelta(days=10)) < timedelta(minutes=1)
    assert (found["box"]["valid_until"], found["box"]["revoked_at"]) == ("infinity", None)
    assert re.search(
        rf"(?m)^ICU 盒 2 +{other} +[0-9a-f]{{4}} [0-9a-f]{{4}} +until ", vitalwire("registry edge list")[1]
    )
    code, text = vitalwire(f"registry edge revoke {other}")
    assert (code, text.partition("\n")[0]) == (0, "revoked 1 keys")
    assert f"kafka-acls.sh --bootstrap-server BROKER:9094 --add --deny-principal 'User:CN={other}'" in text
    assert vitalwire(f"registry edge revoke {other}")[0] == 2  # there is none left
    assert vitalwire("registry edge add", str(UUID(bytes=EDGE)), public, "--label", "x")[0] == 2  # another's key
    for bad in ("0", "-1", "99999999"):
        assert vitalwire(*add, "--valid-days", bad)[0] == 2
    assert vitalwire("registry edge revoke nobody")[0] == 2
    assert vitalwire("registry edge add", str(other), str(tmp_path / "none.pub"), "--label", "x")[0] == 2


def test_the_renewal_of_an_expired_key_says_so(store: Store, tmp_path: Path) -> None:
    edge, expired, made = UUID(bytes=b"O" * 16), Key(), keys.generate(tmp_path / "new.key")
    with store.open() as conn:
        registry.add_edge(conn, edge, "box 2", expired.public_der, datetime.now(UTC) - timedelta(days=1))
    code, text = vitalwire("registry edge renew", str(edge), "--public-key", str(tmp_path / "new.pub"))
    parts = text.split("; ")
    assert (code, len(parts), parts[0]) == (0, 3, f"registered {keys.fingerprint(made.public_der)}")
    assert parts[2] == (
        f"{keys.fingerprint(expired.public_der)[:9]} had expired: what it sealed until now is accepted for 30 days,"
        " what it seals from now on is not\n"
    )


def test_an_edge_gets_a_new_key_beside_the_old_one(store: Store, tmp_path: Path) -> None:
    edge, made = UUID(bytes=EDGE), keys.generate(tmp_path / "new.key")
    renew = ("registry edge renew", str(edge), "--public-key", str(tmp_path / "new.pub"))
    code, text = vitalwire(*renew, "--overlap", "14", "--why", "the yearly one")
    assert (code, text.split("; ")[0]) == (0, f"registered {keys.fingerprint(made.public_der)}")
    valid = {e["key_id"]: e["valid_until"] for e in as_json("registry edge list")}
    assert valid[made.key_id.hex()] == "infinity"
    until = datetime.fromisoformat(valid[store.edge_key.key_id.hex()])
    assert abs(until - datetime.now(UTC) - timedelta(days=14)) < timedelta(minutes=1)
    act = as_json("acts list")[-1]
    assert (act["kind"], act["why"]) == ("key.renew", "the yearly one")
    code, text = vitalwire(*renew)
    assert (code, "has this key already" in text) == (2, True)
    for bad in ("-1", "400"):
        assert vitalwire(*renew, "--overlap", bad)[0] == 2
    assert "vitalwire registry edge renew 0b7c2f3e" in " ".join(vitalwire("registry edge renew --help")[1].split())
