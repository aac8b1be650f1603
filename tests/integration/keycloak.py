"""Keycloak, a certified OpenID provider that hospitals run: by Maven once, held against its SHA-256.

It is built and its database made once, in ~/.cache/vitalwire; each process has a copy of the database.
"""

from __future__ import annotations

import html
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

import httpx

from tests.runtime.conftest import certify
from vitalwire.embedded.services import free_port

VERSION = "26.7.3"
SHA256 = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47"
CACHE = Path.home() / ".cache" / "vitalwire"
STARTS_S = 300.0  # of a machine at work; alone it takes ten seconds
STOPS_S = 30.0
_ADMIN = "admin"
# A short run: what compiles more slowly would never pay.
_JAVA = "-Xms64m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dfile.encoding=UTF-8"
_FORM = re.compile(r'<form[^>]*\saction="([^"]+)"')
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')


class Keycloak:
    """It runs. `origin` is https on localhost, of a certificate that `ca` trusts."""

    def __init__(self, origin: str, ca: Path, admin_password: str, process: subprocess.Popen[bytes]) -> None:
        self.origin, self.ca = origin, ca
        self.trust = ssl.create_default_context(cafile=str(ca))
        self._password, self._process = admin_password, process
        self._admin = httpx.Client(base_url=origin, verify=self.trust, trust_env=False, timeout=60)

    def issuer(self, realm: str) -> str:
        """As it names itself."""
        return f"{self.origin}/realms/{realm}"

    def browser(self) -> httpx.Client:
        """One that trusts its certificate."""
        return httpx.Client(verify=self.trust, trust_env=False, timeout=30)

    def administer(self, method: str, path: str, body: Any = None) -> Any:
        """By its admin API; what it answers, None where that is nothing."""
        if "Authorization" not in self._admin.headers:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": _ADMIN, "password": self._password}
            token = self._admin.post("/realms/master/protocol/openid-connect/token", data=form)
            assert token.status_code == 200, token.text
            self._admin.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        answer = self._admin.request(method, f"/admin{path}", json=body)
        if answer.status_code == 401:  # a token lasts a minute
            del self._admin.headers["Authorization"]
            return self.administer(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """While the block lasts it takes connections and answers nothing."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def is_ready(self) -> bool:
        """It answers as a provider does."""
        try:
            found = httpx.get(f"{self.issuer('master')}/.well-known/openid-configuration", verify=self.trust)
        except httpx.HTTPError:
            return False
        return found.status_code == 200

    def close(self) -> None:
        self._admin.close()


def realm_of(name: str, clients: list[dict[str, Any]], people: Mapping[str, str]) -> dict[str, Any]:
    """For `administer`. `people`: user names with passwords."""
    return {
        "realm": name, "enabled": True, "clients": clients,
        "users": [{
            "username": username, "enabled": True, "email": f"{username}@hospital.example", "emailVerified": True,
            "firstName": username, "lastName": username, "credentials": [{"type": "password", "value": password}],
        } for username, password in people.items()],
    }  # fmt: skip


def client_of(client_id: str, secret: str, gateway: str) -> dict[str, Any]:
    """As docs/sign-in.md has an operator register one."""
    return {
        "clientId": client_id, "secret": secret, "publicClient": False, "standardFlowEnabled": True,
        "redirectUris": [f"{gateway}/sign-in/callback"],
        "attributes": {
            "pkce.code.challenge.method": "S256",
            "backchannel.logout.url": f"{gateway}/sign-in/back-channel-logout",
            "backchannel.logout.session.required": "true",
        },
    }  # fmt: skip


def send_form(browser: httpx.Client, shown: httpx.Response, **fields: str) -> httpx.Response:
    """The first form of a page of Keycloak, filled in and sent, without going where it sends the browser."""
    found = _FORM.search(shown.text)
    assert found, f"{shown.status_code} {shown.request.url}: {shown.text}"
    hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(shown.text)}
    return browser.post(str(shown.request.url.join(html.unescape(found[1]))), data=hidden | fields)


@contextmanager
def running_keycloak(folder: Path) -> Iterator[Keycloak]:
    """With no realm but its own. `folder` is empty and is used."""
    home = installed()
    shutil.copytree(home / "data" / "h2", folder / "h2")
    with _process(home, folder, (home / "admin.password").read_text()) as started:
        yield started


def installed() -> Path:
    """Where it lies. Takes minutes the first time."""
    home = CACHE / f"keycloak-{VERSION}"
    made = home / "made"
    if made.exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    _unpack(home)
    _run([str(home / "bin" / "kc.sh"), "build", "--db=dev-file", "--cache=local"])
    password = home / "admin.password"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(24))
    folder = home / "first"
    folder.mkdir()
    with _process(home, folder, password.read_text()):
        pass  # its first start makes the database
    (home / "data").mkdir(exist_ok=True)
    (folder / "h2").rename(home / "data" / "h2")
    made.touch()
    return home


def _unpack(home: Path) -> None:
    assert shutil.which("mvn"), "Keycloak comes by Maven: sudo apt install maven"
    incomplete = home.with_suffix(".new")
    shutil.rmtree(incomplete, ignore_errors=True)
    artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
    _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={incomplete}"])
    archive = incomplete / f"keycloak-quarkus-dist-{VERSION}.tar.gz"
    with archive.open("rb") as content:
        found = file_digest(content, "sha256").hexdigest()
    assert found == SHA256, f"{archive} is not what this test was written with: its SHA-256 is {found}"
    with tarfile.open(archive) as content:
        content.extractall(incomplete, filter="data")
    (incomplete / f"keycloak-{VERSION}").rename(home)
    shutil.rmtree(incomplete)


def _run(command: list[str]) -> None:
    ran = subprocess.run(
        command, env=os.environ | {"JAVA_OPTS": _JAVA}, capture_output=True, text=True, timeout=800, check=False
    )
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"


@contextmanager
def _process(home: Path, folder: Path, password: str) -> Iterator[Keycloak]:
    certified, port = certify(folder, "keycloak"), free_port()
    origin = f"https://localhost:{port}"
    command = [
        str(home / "bin" / "kc.sh"), "start", "--optimized", "--http-host=127.0.0.1", f"--https-port={port}",
        f"--hostname={origin}", f"--https-certificate-file={certified.cert}",
        f"--https-certificate-key-file={certified.key}",
        f"--db-url=jdbc:h2:file:{folder}/h2/keycloakdb;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE",
    ]  # fmt: skip
    bootstrap = {"KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": password}
    log = folder / "keycloak.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, env=os.environ | bootstrap | {"JAVA_OPTS": _JAVA}, stdout=written, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    started = Keycloak(origin, certified.cert, password, process)
    try:
        until_s = time.monotonic() + STARTS_S
        while not started.is_ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.2)
        yield started
    finally:
        started.close()
        process.terminate()
        try:
            process.wait(STOPS_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOPS_S)
