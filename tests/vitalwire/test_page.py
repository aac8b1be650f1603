"""`vitalwire page --config`, as a hospital runs it: over TLS, under a name, with its provider."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from emr_store.migrate import migrate
from gateway.access.words import Role
from gateway.people.cookies import CSRF_HEADER, csrf_token
from tests.commands import as_json, vitalwire
from tests.gateway.people.provider import SECRET, go_through, running_provider
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.test_http_protocol import NO_REQUEST, answer_of, missing
from tests.runtime.conftest import Certified, certify
from vitalwire.embedded.services import free_port

START_S = 30.0


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    return certify(tmp_path, "gateway")


def command(config: Path) -> list[str]:
    return [sys.executable, "-m", "vitalwire", "page", "--config", str(config)]


@contextmanager
def running(config: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(config), cwd=Path(__file__).parents[2], env=os.environ | {"NO_COLOR": "1"})
    try:
        give_up = time.monotonic() + START_S
        with httpx.Client(verify=False, trust_env=False) as client:
            while True:
                try:
                    client.get(f"https://localhost:{port}/sign-in")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < give_up
                    time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_nurse_signs_in_over_tls_acts_and_signs_out(database: str, tmp_path: Path, certified: Certified) -> None:
    migrate(database)
    hire(database, "N7", Role.NURSE, name="王")
    port = free_port()
    origin = f"https://localhost:{port}"
    with running_provider("N7") as provider:
        (tmp_path / "id.secret").touch(0o600)
        (tmp_path / "id.secret").write_text(SECRET)
        config = tmp_path / "gateway.toml"
        config.write_text(
            f'database = "{database}"\nlisten = "127.0.0.1:{port}"\npublic_origin = "{origin}"\n'
            f'tls_cert = "{certified.cert}"\ntls_key = "{certified.key}"\n'
            f'[provider]\nissuer = "{provider.issuer}"\nclient_id = "vitalwire"\nclient_secret_file = "id.secret"\n'
        )
        trust = ssl.create_default_context(cafile=str(certified.cert))
        with running(config, port), httpx.Client(verify=trust, trust_env=False, timeout=20) as browser:
            page = browser.get(f"{origin}/worklist", headers={"Accept": "text/html"})
            assert page.headers["location"] == "/sign-in?to=/worklist"
            assert page.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
            status, headers, _ = answer_of(port, NO_REQUEST, trust)
            assert (status, missing(headers, is_https=True)) == (400, {})
            answer = go_through(browser, f"{origin}/sign-in/provider?to=/worklist")
            assert answer.headers["location"] == "/worklist"
            (given,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith("__Host-vitalwire=")]
            assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(given.split("; "))
            assert "Domain" not in given
            me = browser.get(f"{origin}/me").json()
            assert (me["id"], me["name"], me["role"]) == ("N7", "王", "nurse")
            own = {"Origin": origin, CSRF_HEADER: me["csrf"]}
            assert browser.post(f"{origin}/me/touch", json={}, headers=own).status_code == 204
            plain = {**own, "Origin": f"http://localhost:{port}"}
            assert browser.post(f"{origin}/me/touch", json={}, headers=plain).status_code == 403
            assert browser.get(f"{origin}/me", headers={"Host": "127.0.0.1"}).status_code == 400
            assert browser.post(f"{origin}/sign-out", json={}, headers=own).status_code == 204
            assert browser.get(f"{origin}/me").status_code == 401
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://localhost:{port}/sign-in", trust_env=False)


def test_what_is_not_safe_is_one_line_and_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('database = "postgresql:///x"\nlisten = "0.0.0.0:8420"\n')
    found = subprocess.run(
        command(config), capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == (
        "vitalwire: listen = '0.0.0.0:8420' is beyond loopback: give tls_cert, tls_key and public_origin\n"
    )


def test_the_command_line_is_let_in_over_tls(
    database: str, tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    migrate(database)
    hire(database, "N7", Role.NURSE, name="王")
    port = free_port()
    origin, secret = f"https://localhost:{port}", sign_in(database, "N7").partition("=")[2]
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'database = "{database}"\nlisten = "127.0.0.1:{port}"\npublic_origin = "{origin}"\n'
        f'tls_cert = "{certified.cert}"\ntls_key = "{certified.key}"\n'
    )
    own = {"Origin": origin, CSRF_HEADER: csrf_token(secret), "Cookie": f"__Host-vitalwire={secret}"}
    trust = ssl.create_default_context(cafile=str(certified.cert))
    with running(config, port), httpx.Client(verify=trust, trust_env=False, timeout=20, headers=own) as browser:
        code, text = vitalwire(f"login --gateway {origin}")
        assert (code, text) == (
            3, f"the certificate of {origin} is not trusted (self-signed certificate): name its CA with --ca"
        )  # fmt: skip
        command = [sys.executable, "-m", "vitalwire", "login", "--gateway", origin, "--ca", certified.cert, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            codes = json.loads(process.stdout.readline())
            assert codes["verification_uri"] == f"{origin}/command-line"
            wish = {"code": codes["user_code"], "agreed": True}
            assert browser.post(f"{origin}/command-line/answer", json=wish).status_code == 204
            assert process.wait(30) == 0
        assert as_json("whoami")["id"] == "N7"
        assert vitalwire("logout") == (0, "signed out\n")
