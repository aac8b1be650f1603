"""`vitalwire people client`: a program is let in, shown, and sent away."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from emr_store.migrate import migrate
from tests.commands import as_json, vitalwire

WHY = ("--why", "the EMR polls")


def key_file(folder: Path, curve: ec.EllipticCurve) -> str:
    public = ec.generate_private_key(curve).public_key()
    path = folder / f"{curve.name}.pub"
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def test_a_program_comes_and_goes(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    migrate(database)
    key, scope = ("--key", key_file(tmp_path, ec.SECP384R1())), ("--scope", "system/Observation.rs")
    code, text = vitalwire("people client add emr", *key, *scope, *WHY)
    assert code == 0, text
    assert "emr may ask" in text
    (found,) = as_json("people client list")
    assert (found["client"], found["scopes"], found["revoked_at"]) == ("emr", ["system/Observation.rs"], None)
    assert "emr: may ask, system/Observation.rs, all wards" in vitalwire("people client list")[1]
    assert vitalwire("people client revoke emr", *WHY)[0] == 0
    assert "revoked" in vitalwire("people client list")[1]
    for more, why in (
        ((*key, "--scope", "user/Patient.rs"), "is no scope"),
        (("--key", key_file(tmp_path, ec.SECP521R1()), *scope), "P-256, P-384"),
        ((*key, *scope, "--ward", "ICU"), "is no ward"),
        (("--key", str(tmp_path / "none"), *scope), "cannot be read"),
    ):
        code, text = vitalwire("people client add other", *more, *WHY)
        assert code == 2, text
        assert why in text
