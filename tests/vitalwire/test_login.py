"""`vitalwire login`, `logout`, `whoami` against a gateway."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.access.words import Role
from runtime.errors import UserError
from tests.commands import as_json, vitalwire
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from tests.vitalwire.logging_in import agree, browser_of, log_in_as
from vitalwire.gateway_client import keep_session, kept_session, parse_gateway, session_file


@pytest.fixture(scope="module")
def page(module_database: str) -> Iterator[Page]:
    served = Page(module_database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    for staff in ("N1", "N2"):
        hire(module_database, staff, Role.NURSE, name="Wang")
    yield served
    served.stop()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VITALWIRE_DATABASE", raising=False)


def test_a_nurse_lets_the_command_line_in_and_signs_it_out(page: Page, tmp_path: Path) -> None:
    gateway = f"http://localhost:{page.port}"
    command = [sys.executable, "-m", "vitalwire", "login", "--gateway", gateway, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        codes = json.loads(process.stdout.readline())
        assert codes["verification_uri"] == f"{gateway}/command-line"
        agree(browser_of(page, "N1"), codes["user_code"])
        assert json.loads(process.stdout.readline())["staff"] == "N1"
        assert process.wait(20) == 0
    assert stat.S_IMODE(session_file().stat().st_mode) == 0o600
    assert session_file().parent.parent == tmp_path
    me = as_json("whoami")
    assert (me["id"], me["role"], me["gateway"]) == ("N1", "nurse", gateway)
    assert vitalwire("whoami")[1].startswith("N1 Wang, nurse of icu h, at http://localhost:")
    secret = session_file().read_bytes()
    assert vitalwire("logout") == (0, "signed out\n")
    assert not session_file().exists()
    session_file().touch(0o600)
    session_file().write_bytes(secret)
    assert vitalwire("whoami") == (2, "signed out: vitalwire login")
    assert vitalwire("logout")[0] == 0


def test_who_is_not_signed_in_is_told_how(page: Page) -> None:
    assert vitalwire("whoami") == (2, "nobody is signed in here: vitalwire login")
    assert vitalwire("logout") == (0, "nobody was signed in\n")
    code, text = vitalwire("login --gateway http://127.0.0.1:9")
    assert (code, text.startswith("the gateway http://127.0.0.1:9 cannot be reached: ")) == (3, True)


def test_a_session_that_is_revoked_says_so_plainly(page: Page) -> None:
    log_in_as(page, "N2")
    nurse = browser_of(page, "N2")
    for each in nurse.get("/people/list")[1]["sessions"]:
        if each["agent"].startswith("vitalwire login: "):
            assert nurse.post("/people/sessions/end", {"session": each["id"]}) == (204, "")
    assert vitalwire("whoami") == (2, "signed out: vitalwire login")


def test_a_file_that_others_may_read_is_refused(page: Page) -> None:
    log_in_as(page, "N2")
    os.chmod(session_file(), 0o644)
    code, text = vitalwire("whoami")
    assert (code, "can be read by others: chmod 600" in text) == (2, True)
    os.chmod(session_file(), 0o600)
    session_file().write_bytes(b"{}")
    assert vitalwire("whoami")[1].endswith("holds no session: vitalwire login")


def test_what_was_kept_of_another_gateway_keeps_nobody_from_signing_in(page: Page) -> None:
    log_in_as(page, "N2")
    kept = kept_session()
    assert kept is not None
    away = msgspec.structs.replace(kept, gateway="http://127.0.0.1:9")
    keep_session(away)
    code, text = vitalwire("logout")
    assert (code, "; it is forgotten here; there it ends by itself, or on http" in text) == (3, True)
    assert vitalwire("whoami")[1] == "nobody is signed in here: vitalwire login"
    keep_session(away)
    for content in (session_file().read_bytes(), b"{}"):
        session_file().write_bytes(content)
        session_file().chmod(0o600)
        assert "http://localhost:9 cannot be reached" in vitalwire("login --gateway http://localhost:9")[1]


def test_nobody_agrees(page: Page) -> None:
    with pytest.raises(UserError, match="it was refused"):
        log_in_as(page, "N2", agreed=False)
    assert not session_file().exists()


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://icu.hospital.example/", "https://icu.hospital.example"),
        ("https://icu.hospital.example:443", "https://icu.hospital.example"),
        ("https://icu.hospital.example:8443", "https://icu.hospital.example:8443"),
        ("http://[::1]:8420", "http://[::1]:8420"),
    ],
)
def test_an_address_is_the_origin_of_browsers(typed: str, address: str) -> None:
    assert parse_gateway(typed) == address


@pytest.mark.parametrize(
    "typed",
    ["icu.hospital.example", "http://icu.hospital.example", "https://x/y", "ftp://x", "https://u@x", "https://x:y"],
)
def test_what_is_no_safe_address_is_refused(typed: str) -> None:
    with pytest.raises(UserError):
        parse_gateway(typed)
