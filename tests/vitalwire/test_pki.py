"""`vitalwire pki`, as people type it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.people.sign_in_config import GatewayConfig, sign_in_settings
from runtime import config as configuration
from runtime import keys
from runtime.pki import request_for
from tests.commands import as_json, vitalwire

EDGE = "0b7c2f3e-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    keys.generate(tmp_path / "kafka.key")
    (tmp_path / "kafka.csr").write_text(request_for(tmp_path / "kafka.key"))
    return tmp_path


def test_an_authority_issues_lists_and_revokes(folder: Path) -> None:
    code, text = vitalwire("pki init --name", "Hospital X boxes")
    assert code == 0
    assert stat.S_IMODE((folder / "pki.passphrase").stat().st_mode) == 0o600
    assert vitalwire("pki init --name x")[0] == 2
    (folder / "gateway.toml").write_text(f'database = "postgresql:///x"\n{text[text.index("[pki]") :]}')
    settings = sign_in_settings(configuration.load(folder / "gateway.toml", GatewayConfig))
    assert settings.pki is not None
    assert settings.pki.ca_pem == (folder / "pki" / "ca.crt").read_text()
    code, text = vitalwire(f"pki issue kafka.csr --edge {EDGE}")
    (found,) = as_json("pki list")
    assert code == 0
    assert text.startswith(f"kafka.crt: certificate {found['serial']} of {EDGE} until ")
    assert (folder / "kafka.crt").read_text() == found["pem"]
    assert vitalwire(f"pki revoke {found['serial']} --why stolen")[0] == 0
    assert [(each["revoked_at"] is not None, each["why"]) for each in as_json("pki list")] == [(True, "stolen")]
    assert "revoked" in vitalwire("pki list")[1]
    assert vitalwire(f"pki revoke {found['serial']} --why stolen")[0] == 2
    before = (folder / "pki" / "crl.pem").read_bytes()
    assert vitalwire("pki crl")[0] == 0
    assert (folder / "pki" / "crl.pem").read_bytes() != before


def test_what_is_missing_is_said_in_a_line(folder: Path) -> None:
    for command, said in (
        ("pki list", "vitalwire pki init"),
        (f"pki issue kafka.csr --edge {EDGE}", "pki.passphrase cannot be read"),
        (f"pki issue none.csr --edge {EDGE}", "none.csr cannot be read"),
        ("pki init --name x --passphrase-file none/p", "cannot be written"),
    ):
        code, text = vitalwire(command)
        assert (code, said in text) == (2, True), text
    assert vitalwire("pki issue kafka.csr --edge nobody")[0] == 2
