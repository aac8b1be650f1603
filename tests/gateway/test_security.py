"""What a browser, another site, or somebody who tries is answered, whatever the page (docs/asvs.md)."""

from __future__ import annotations

import json
import logging
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.app import create
from gateway.feed import Feed
from gateway.people.cookies import end_session, set_passing, set_session, set_workstation
from gateway.people.public_origin import PublicOrigin
from gateway.people.sign_in_links import SignInLinks
from gateway.people.sign_in_settings import SignInSettings
from runtime.logs import set_up
from tests.gateway.people.test_sign_in import ask, cookie_of
from tests.gateway.test_app import connect
from tests.gateway.ward import Page, Ward

STATIC = Path(__file__).parents[2] / "gateway" / "static"
NUMBER = "00012345"
# Of everybody's doors, of those of who is signed in, of what is not there.
PATHS = ("/", "/sign-in", "/sign-in/options", "/me", "/uplot.js", "/fhir/metadata", "/fhir/Patient/x", "/events",
         "/people/list", "/nothing", "/sign-in/nothing")  # fmt: skip


@pytest.fixture
def links() -> SignInLinks:
    return SignInLinks()


@pytest.fixture
def page(ward: Ward, links: SignInLinks) -> Iterator[Page]:
    served = Page(ward.database)
    served.start(SignInSettings(links=links))
    assert connect(served, "/sign-in").status == 200
    yield served
    served.stop()


@pytest.fixture
def log() -> Iterator[None]:
    """Written as `vitalwire page` writes it, and libraries' words at every level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up()
    root.setLevel(logging.DEBUG)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def policy_of(headers: Any) -> dict[str, str]:
    """Of the Content-Security-Policy by directive."""
    parts = [part.strip().partition(" ") for part in headers["Content-Security-Policy"].split(";")]
    return {name: value for name, _, value in parts}


def assert_is_for_this_site_alone(headers: Any, what: object) -> None:
    policy = policy_of(headers)
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'", what
    assert "unsafe" not in headers["Content-Security-Policy"], what
    assert headers["X-Content-Type-Options"] == "nosniff", what
    assert headers["Referrer-Policy"] == "same-origin", what
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin", what
    assert not [name for name in headers if name.lower().startswith("access-control-")], what
    assert "Server" not in headers, what


def test_every_answer_is_for_this_site_alone(page: Page) -> None:
    for cookie in ("", page.cookie):
        for path in PATHS:
            answer = connect_as(page, path, cookie)
            assert_is_for_this_site_alone(answer.headers, (path, answer.status))
    assert_is_for_this_site_alone(connect(page, "/", host="evil.example").headers, "another host")


def connect_as(page: Page, path: str, cookie: str) -> Any:
    """The beginning of an answer, which may have no end, to a page of another site."""
    had, page.cookie = page.cookie, cookie
    try:
        return connect(page, path)
    finally:
        page.cookie = had


def test_another_site_is_told_no_more_by_a_preflight(page: Page) -> None:
    asked = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST", "Cookie": page.cookie}
    for path in ("/me", "/me/touch", "/fhir/Patient", "/token"):
        answer, _ = ask(page, path, "OPTIONS", b"", **asked)
        assert answer.status in (401, 405), path
        assert_is_for_this_site_alone(answer.headers, path)


def test_what_is_kept_nowhere_says_so(page: Page) -> None:
    for path in ("/", "/me", "/people", "/people/list", "/worklist/items", "/fhir/Patient?identifier=x"):
        assert "no-store" in ask(page, path, Cookie=page.cookie)[0].headers["Cache-Control"], path


def test_cookies_of_https_are_bound_to_the_host_and_hidden_from_scripts() -> None:
    public, response = PublicOrigin("https://icu.example"), Response()
    set_session(response, public, "secret")
    end_session(response, public)
    set_workstation(response, public, "w" * 22)
    set_passing(response, public, "provider", "x", 600)
    given = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    assert len(given) == 4
    for each in given:
        assert each.startswith("__Host-vitalwire"), each
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(each.split("; ")), each
        assert "domain" not in each.lower(), each


def test_a_session_is_256_random_bits_that_nobody_keeps(page: Page, links: SignInLinks) -> None:
    secrets = set()
    for _ in range(3):
        cookie = cookie_of(ask(page, f"/sign-in/link/{links.new('D1')}")[0])
        secret = cookie.partition("=")[2]
        assert len(urlsafe_b64decode(secret + "=")) == 32
        assert secret not in ask(page, "/me", Cookie=cookie)[1].decode()
        with open_store(page.database) as conn:
            rows = conn.execute("SELECT session, login_session::text FROM login_session").fetchall()
        assert sha256(secret.encode()).digest() in [bytes(session) for session, _ in rows]
        assert not [row for _, row in rows if secret in row]
        secrets.add(secret)
    assert len(secrets) == 3


def test_who_changes_something_does_not_get_it(ward: Ward) -> None:
    app = create(ward.database, Feed(ward.database), ward.database)
    posts = [route for route in app.routes if isinstance(route, Route) and "POST" in (route.methods or ())]
    assert len(posts) > 25
    # FHIR's search by POST reads; tests/gateway/fhir/test_routes.py::test_nothing_is_written
    others = [route for route in posts if not route.path.startswith("/fhir")]
    assert {route.path for route in others if route.methods != {"POST"}} == set()
    app.state.looks.close()


def test_no_text_becomes_markup_and_no_window_takes_messages() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
        r"|createContextualFragment|javascript:|window\.(?:addEventListener|onmessage)|(?<![.\w])addEventListener\(\"message\"|opener\."
        r"|parent\.post"
    )
    inline = re.compile(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<object|<embed|<applet|<iframe|https?://")
    scripts, pages = sorted(STATIC.glob("*.mjs")), sorted(STATIC.glob("*.html"))
    assert scripts
    assert pages
    assert [(path.name, found) for path in scripts if (found := forbidden.findall(path.read_text("utf-8")))] == []
    assert [(path.name, found) for path in pages if (found := inline.findall(path.read_text("utf-8")))] == []


def test_a_password_is_masked_and_may_be_pasted() -> None:
    fields = re.findall(r"<input[^>]*id=\"password\"[^>]*>", (STATIC / "sign-in.html").read_text("utf-8"))
    assert len(fields) == 1
    assert 'type="password"' in fields[0]
    assert int(re.findall(r'maxlength="(\d+)"', fields[0])[0]) >= 64
    assert [path.name for path in STATIC.glob("*.mjs") if "paste" in path.read_text("utf-8")] == []


def test_a_bug_is_answered_without_what_it_was(
    page: Page, log: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def history(*_: object) -> None:
        raise ValueError(f"SELECT secret FROM SMITH^JOHN {NUMBER}")

    monkeypatch.setattr("gateway.pages.patient.history", history)
    answer, body = ask(page, f"/patient-history/{NUMBER}", Cookie=page.cookie)
    assert (answer.status, body) == (500, b'{"refused":"failed"}')
    assert_is_for_this_site_alone(answer.headers, "500")
    assert ask(page, "/me", Cookie=page.cookie)[0].status == 200  # the others are served
    written = capsys.readouterr().err
    (line,) = [line for line in written.splitlines() if '"level": "error"' in line]
    assert json.loads(line)["error"].startswith("ValueError < history ")
    assert "SMITH" not in written
    assert NUMBER not in written


def test_who_is_refused_is_in_the_log_and_no_number_with_it(page: Page) -> None:
    own = {"Origin": page.url, "Content_Type": "application/json"}
    wish = b'{"account":"emergency-1","password":"wrong"}'
    with capture_logs() as logged:
        assert ask(page, "/me/touch", "POST", b"{}", Cookie=page.cookie, **own)[0].status == 403
        assert ask(page, f"/restrict?{NUMBER}", "POST", b"{}", Cookie=page.cookie)[0].status == 403
        assert ask(page, "/sign-in/emergency", "POST", wish, **own)[0].status == 401
        assert ask(page, f"/fhir/Patient/{NUMBER}", Authorization=f"Bearer {NUMBER}")[0].status == 401
        assert ask(page, "/me")[0].status == 401  # a page whose session ended
    said = [each for each in logged if each["event"] == "a request is refused"]
    assert [(each["status"], each["who"], each["door"], each["method"]) for each in said] == [
        (403, "D1", "/me", "POST"), (403, "D1", "/restrict", "POST"), (401, "", "/sign-in", "POST"),
        (401, "", "", "GET"),
    ]  # fmt: skip
    assert {each["host"] for each in said} == {"127.0.0.1"}
    assert NUMBER not in str(logged)


def test_what_may_not_be_seen_and_what_cannot_be_read_are_in_the_log(page: Page) -> None:
    own = {"Origin": page.url, "Content_Type": "application/json", "X_CSRF_Token": page.csrf, "Cookie": page.cookie}
    with capture_logs() as logged:
        assert ask(page, f"/fhir/Patient/{NUMBER}", Cookie=page.cookie)[0].status == 404
        assert ask(page, f"/fhir/Observation?{NUMBER}=1", Cookie=page.cookie)[0].status == 400
        assert ask(page, "/keys/revoke", "POST", b"{" + NUMBER.encode(), **own)[0].status == 400
        assert ask(page, "/nothing", Cookie=page.cookie)[0].status == 404  # no door at all
    said = [each for each in logged if each["event"] == "a request is refused"]
    assert [(each["status"], each["who"], each["door"], each["method"]) for each in said] == [
        (404, "D1", "/fhir", "GET"), (400, "D1", "/fhir", "GET"), (400, "D1", "/keys", "POST"),
    ]  # fmt: skip
    assert NUMBER not in str(logged)


def test_no_secret_is_in_the_log(page: Page, links: SignInLinks, log: None, capsys: pytest.CaptureFixture[str]) -> None:
    link, token, password = links.new("D1"), "eyJhbGciOiJub25lIn0.e30.", "abcde-wrong-password"
    cookie = cookie_of(ask(page, f"/sign-in/link/{link}")[0])
    ask(page, f"/sign-in/link/{link}")
    ask(page, "/fhir/Patient?identifier=x", Authorization=f"Bearer {token}")
    ask(page, "/token", "POST", f"client_assertion={token}".encode())
    own = {"Origin": page.url, "Content_Type": "application/json"}
    ask(page, "/sign-in/emergency", "POST", json.dumps({"account": "x", "password": password}).encode(), **own)
    ask(page, "/me/touch", "POST", b"{}", Cookie=cookie, X_CSRF_Token="0" * 64, **own)
    written = capsys.readouterr().err
    assert '"event": "a request is refused"' in written
    for secret in (link, token, password, cookie.partition("=")[2], "0" * 64):
        assert secret not in written


def test_an_address_holds_no_secret_of_a_session(page: Page) -> None:
    secret = page.cookie.partition("=")[2]
    for given in (
        f"/me?vitalwire_session={secret}",
        f"/me?access_token={secret}",
        f"/fhir/Patient?access_token={secret}",
    ):
        assert ask(page, given)[0].status == 401


def test_a_new_store_knows_nobody(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        for table in ("staff", "emergency_account", "security_key", "machine_client", "station_display"):
            assert conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,), table
        roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'vitalwire\\_%' AND rolcanlogin"
        assert conn.execute(roles.encode()).fetchone() == (0,)
