"""`vitalwire people key` and `vitalwire people display`, as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emr_store import bed_names, security_keys, station_displays
from emr_store.acts import this_user
from emr_store.connect import open_store
from emr_store.migrate import migrate
from emr_store.security_keys import NewKey
from gateway.people.key_ring import code_hash
from runtime.errors import UserError
from tests.commands import as_json, vitalwire
from tests.gateway.signing_in import hire
from vitalwire.people_keys import ward_key


@pytest.fixture
def store(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    monkeypatch.chdir(tmp_path)
    migrate(database)
    with open_store(database) as conn:
        bed_names.keep_bed_names(conn, {"H^ICU^^1": "ICU-1", "H^NEURO^^1": "N-1"})
    return database


def test_a_screen_is_added_listed_and_revoked(store: str) -> None:
    code, out = vitalwire("people display add --ward icu --label wall --origin https://ward.example")
    assert code == 0
    link = out.split()[-1]
    assert link.startswith("https://ward.example/sign-in/display/")
    with open_store(store) as conn:
        made = station_displays.enrol(conn, code_hash(link.rpartition("/")[2]), "10.0.0.5")
        assert made is not None
        assert (made.ward, made.label) == ("H^ICU", "wall")
    (listed,) = as_json("people display list")
    assert (listed["ward"], listed["revoked_at"]) == ("H^ICU", None)
    assert vitalwire(f"people display revoke {listed['display']} --why sold")[0] == 0
    code, out = vitalwire(f"people display revoke {listed['display']}")
    assert code != 0
    assert "vitalwire people display list" in out


def test_what_is_no_ward_and_no_origin(store: str) -> None:
    code, out = vitalwire("people display add --ward ER --label wall")
    assert code != 0
    assert "there are: ICU^H, NEURO^H" in out
    code, out = vitalwire("people display add --ward ICU --label wall --origin http://10.0.0.5")
    assert code != 0
    assert "DNS name" in out


def test_a_ward_as_the_site_writes_it() -> None:
    known = ["A^ICU", "B^ICU", "B^ER"]
    assert ward_key("ICU^B", known) == "B^ICU"
    assert ward_key("er", known) == "B^ER"
    with pytest.raises(UserError, match="more than one ward; there are: ICU^A, ICU^B".replace("^", r"\^")):
        ward_key("ICU", known)


def test_a_first_key_and_no_second_one(store: str) -> None:
    hire(store, "A1", name="Zhou")
    code, out = vitalwire("people key open A1 --origin https://ward.example")
    assert code == 0
    assert "Zhou opens this once" in out
    secret = out.split()[-1].rpartition("/")[2]
    new = NewKey(b"c", "A1", b"p", "blue", "", 0, untold=True)
    with open_store(store) as conn:
        assert security_keys.enrol(conn, new, this_user(), code_hash(secret))
    code, out = vitalwire("people key open A1")
    assert code != 0
    assert "two administrators" in out
    assert "nobody with the number" in vitalwire("people key open X")[1]
