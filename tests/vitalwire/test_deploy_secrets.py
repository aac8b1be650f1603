"""`vitalwire deploy secrets`: made once, each its service's alone, and good for what the services do with them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from hashlib import pbkdf2_hmac
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.verification import PolicyBuilder, Store

from runtime import keys
from runtime.errors import UserError
from runtime.pki import Pki
from tests.commands import vitalwire
from vitalwire import deploy_secrets
from vitalwire.deploy_certificates import read_cert
from vitalwire.deploy_secrets import CLIENTS, PUBLIC, SERVERS, USER_IDS, Made, make_secrets

NOW = datetime(2026, 11, 30, tzinfo=UTC)
HOSTS = ["icu.example", "10.1.2.3"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Made]]:
    """Made once; whoever changes it copies it first."""
    into = tmp_path_factory.mktemp("deploy") / "secrets"
    return into, make_secrets(into, HOSTS, NOW)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """One of a test's own."""
    make_secrets(tmp_path, HOSTS, NOW)
    return tmp_path


def states(made: list[Made]) -> dict[str, str]:
    return {each.file: each.state for each in made}


def test_each_file_is_its_service_s_alone(filled: tuple[Path, list[Made]]) -> None:
    into, made = filled
    assert {each.file.rstrip("/") for each in made} == {path.name for path in into.iterdir()}
    for each in made:
        found = (into / each.file).stat()
        assert (found.st_uid, found.st_gid) == (USER_IDS[each.user], USER_IDS[each.user]), each.file
        expected = 0o700 if each.file == "pki/" else 0o644 if each.file in PUBLIC else 0o600
        assert stat.S_IMODE(found.st_mode) == expected, each.file
    assert stat.S_IMODE(into.stat().st_mode) == 0o700


def test_no_two_passwords_are_alike_and_none_is_of_another_run(filled: tuple[Path, list[Made]], into: Path) -> None:
    names = [each.file for each in filled[1] if each.what.startswith("password ")] + ["pki.passphrase"]
    passwords = [(folder / name).read_text() for folder in (filled[0], into) for name in names]
    assert len(names) == 9
    assert len(set(passwords)) == len(passwords)
    assert all(len(password) == 48 for password in passwords)


def test_a_second_run_changes_nothing(into: Path) -> None:
    before = {path: path.read_bytes() for path in into.rglob("*") if path.is_file()}
    made = make_secrets(into, [], NOW + timedelta(days=1))
    assert set(states(made).values()) == {"kept"}
    assert {path: path.read_bytes() for path in into.rglob("*") if path.is_file()} == before


def test_what_was_deleted_is_made_again_with_what_follows_from_it(into: Path) -> None:
    (into / "kafka.crt").unlink()
    (into / "database_page").unlink()
    key = (into / "kafka.key").read_bytes()
    made = states(make_secrets(into, [], NOW + timedelta(days=700)))
    changed = {file: state for file, state in made.items() if state != "kept"}
    assert changed == {
        "kafka.crt": "made",
        "database_page": "made",
        "page.pgpass": "written again",
        "kafka_tls": "written again",
    }
    assert (into / "kafka.key").read_bytes() == key
    assert read_cert(into / "kafka.crt").not_valid_after_utc > NOW + timedelta(days=1500)


def test_a_run_that_was_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "chown", killed)
        with pytest.raises(KeyboardInterrupt):
            make_secrets(tmp_path, HOSTS, NOW)
    made = make_secrets(tmp_path, HOSTS, NOW)
    assert states(made)["ca.key"] == "kept"
    assert {state for file, state in states(made).items() if file != "ca.key"} == {"made"}


def test_certificates_verify_for_every_host_and_for_clients(filled: tuple[Path, list[Made]]) -> None:
    into, _ = filled
    for name in CLIENTS:
        at = str(int(NOW.timestamp()))
        verify = [
            "openssl",
            "verify",
            "-attime",
            at,
            "-purpose",
            "sslclient",
            "-CAfile",
            into / "ca.crt",
            into / f"{name}.crt",
        ]
        assert subprocess.run(verify, capture_output=True).returncode == 0
        assert read_cert(into / f"{name}.crt").subject.rfc4514_string() == f"CN={name}"
    policy = PolicyBuilder().store(Store([read_cert(into / "ca.crt")])).time(NOW)
    for name in SERVERS:
        for subject in (DNSName("icu.example"), DNSName("localhost"), IPAddress(ip_address("10.1.2.3"))):
            assert policy.build_server_verifier(subject).verify(read_cert(into / f"{name}.crt"), [])


def test_hashes_of_mosquitto_are_of_the_passwords(filled: tuple[Path, list[Made]]) -> None:
    into, _ = filled
    for line in (into / "mosquitto.users").read_text().splitlines():
        user, _, hashed = line.partition(":")
        _, kind, iterations, salt, digest = hashed.split("$")
        password = (into / f"mqtt_{user}").read_bytes()
        assert kind == "7"
        assert b64decode(digest) == pbkdf2_hmac("sha512", password, b64decode(salt), int(iterations), 64)


def test_signing_keys_and_the_boxes_authority_open(filled: tuple[Path, list[Made]]) -> None:
    into, _ = filled
    for name in ("platform", "edge"):
        assert keys.load(into / f"{name}.key").public_der == keys.read_public(into / f"{name}.pub")
    assert Pki.open(into / "pki", into / "pki.passphrase").ca_pem.startswith("-----BEGIN CERTIFICATE-----")


def test_other_hosts_are_refused_before_anything_is_made(into: Path) -> None:
    (into / "mqtt_edge").unlink()
    with pytest.raises(UserError, match=r"kafka\.crt is not for icu2\.example: delete it"):
        make_secrets(into, ["icu2.example"], NOW)
    assert not (into / "mqtt_edge").exists()
    for host in ("icu example", "icu;reboot"):
        with pytest.raises(UserError, match="is no DNS name and no address"):
            make_secrets(into, [host], NOW)


def test_without_root_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="run this as root"):
        make_secrets(tmp_path / "secrets", HOSTS, NOW)
    assert not (tmp_path / "secrets").exists()


def test_the_command_says_what_it_made_and_shows_no_secret(tmp_path: Path) -> None:
    code, text = vitalwire(f"deploy secrets --into {tmp_path} --hosts icu.example")
    assert code == 0
    assert "docker compose --env-file" in text
    code, answer = vitalwire(f"deploy secrets --into {tmp_path} --json")
    assert code == 0
    assert {each["state"] for each in json.loads(answer)} == {"kept"}
    for path in tmp_path.iterdir():
        if path.is_file() and path.name not in deploy_secrets.PUBLIC and path.suffix not in (".toml", ".env"):
            assert path.read_text().strip() not in text + answer, path.name


def test_what_ended_is_a_finding(tmp_path: Path) -> None:
    make_secrets(tmp_path, HOSTS, datetime.now(UTC) - timedelta(days=900))
    code, text = vitalwire(f"deploy secrets --into {tmp_path}")
    assert code == 4
    assert "ended: kafka.crt, database.crt" in text
    assert "delete them, run this again" in text
