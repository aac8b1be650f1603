from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.people.cookies import CSRF_HEADER, csrf_token
from gateway.people.sign_in_answers import path_after
from gateway.people.sign_in_links import SignInLinks
from gateway.people.sign_in_settings import SignInSettings
from tests.gateway.signing_in import SITE_WARD
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

PATIENCE_S = 20


@pytest.fixture
def links() -> SignInLinks:
    return SignInLinks()


@pytest.fixture
def page(database: str, links: SignInLinks) -> Iterator[Page]:
    migrate(database)
    served = Page(database)
    served.start(SignInSettings(links=links))
    assert connect(served, "/sign-in").status == 200  # it is there
    yield served
    served.stop()


def ask(page: Page, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer, found


def cookie_of(answer: Any) -> str:
    """The session's, as the browser sends it."""
    (given,) = [each for each in answer.headers.get_all("Set-Cookie") if each.startswith("vitalwire_session=")]
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    assert "Path=/" in given
    return str(given.partition(";")[0])


def post(page: Page, path: str, cookie: str, **changed: str) -> int:
    secret = cookie.partition("=")[2]
    headers = {
        "Origin": page.url, "Content-Type": "application/json", "Cookie": cookie, CSRF_HEADER: csrf_token(secret)
    } | {name.replace("_", "-"): value for name, value in changed.items()}  # fmt: skip
    answer, _ = ask(page, path, "POST", b"{}", **{name: value for name, value in headers.items() if value})
    return int(answer.status)


def test_a_link_signs_in_once_and_signing_out_ends_it(page: Page, links: SignInLinks) -> None:
    link = f"/sign-in/link/{links.new('D1')}"
    answer, _ = ask(page, link)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = cookie_of(answer)
    used, _ = ask(page, link)
    assert (used.status, used.headers["location"]) == (303, "/sign-in?refused=link_used")
    assert used.headers.get_all("Set-Cookie") is None
    me = json.loads(ask(page, "/me", Cookie=cookie)[1])
    assert (me["id"], me["name"], me["role"], me["wards"]) == ("D1", "Li", "physician", [SITE_WARD])
    assert (me["factor"], me["idle_s"], me["csrf"]) == ("demo_link", 1800, csrf_token(cookie.partition("=")[2]))
    assert post(page, "/sign-out", cookie) == 204
    assert ask(page, "/me", Cookie=cookie)[0].status == 401


def test_who_signs_in_anew_leaves_no_session_behind(page: Page, links: SignInLinks) -> None:
    first = cookie_of(ask(page, f"/sign-in/link/{links.new('D1')}")[0])
    second = cookie_of(ask(page, f"/sign-in/link/{links.new('D1')}", Cookie=first)[0])
    assert first != second
    assert ask(page, "/me", Cookie=first)[0].status == 401
    assert ask(page, "/me", Cookie=second)[0].status == 200


def test_a_link_of_nobody_opens_nothing(page: Page, links: SignInLinks) -> None:
    answer, _ = ask(page, f"/sign-in/link/{links.new('nobody')}")
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?refused=link_used")


@pytest.mark.parametrize(
    "wrong",
    [
        {CSRF_HEADER: ""}, {CSRF_HEADER: "0" * 64}, {CSRF_HEADER: csrf_token("another")}, {"Origin": ""},
        {"Origin": "http://evil.example"}, {"Content-Type": "text/plain"}, {"Sec_Fetch_Site": "cross-site"},
    ],
)  # fmt: skip
def test_an_act_needs_our_page_and_the_token_of_its_session(page: Page, wrong: dict[str, str]) -> None:
    assert post(page, "/me/touch", page.cookie) == 204
    assert post(page, "/me/touch", page.cookie, **wrong) == 403


def test_polls_keep_no_session_and_people_do(page: Page) -> None:
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET seen_at = seen_at - interval '10 min'")

    def seen_before_s() -> float:
        with open_store(page.database) as conn:
            row = conn.execute("SELECT extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM login_session")
            (found,) = row.fetchone() or (0.0,)
            return float(found)

    ask(page, "/me", Cookie=page.cookie)
    ask(page, "/worklist/items", Cookie=page.cookie, Sec_Fetch_Mode="cors")
    assert seen_before_s() > 500
    ask(page, "/worklist", Cookie=page.cookie, Sec_Fetch_Mode="navigate")
    assert seen_before_s() < 60


def test_every_answer_keeps_to_this_site(page: Page) -> None:
    for path in ("/", "/sign-in", "/me", "/uplot.js", "/nothing"):
        headers = ask(page, path)[0].headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "camera=()" in headers["Permissions-Policy"], path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "Strict-Transport-Security" not in headers, path


def test_the_page_that_signs_in_is_for_everybody(page: Page) -> None:
    answer, html = ask(page, "/sign-in")
    assert answer.status == 200
    assert b'id="key-sign-in"' in html
    assert b"<script>" not in html
    assert json.loads(ask(page, "/sign-in/options")[1]) == {"provider": False, "demo": True}


@pytest.mark.parametrize(
    ("wished", "to"),
    [
        ("/worklist", "/worklist"), ("/patient/P1", "/patient/P1"), ("", "/"), ("//evil.example", "/"),
        ("/\\evil.example", "/"), ("https://evil.example", "/"), ("/a\nb", "/"), ("/sign-in/link/x", "/"), ("/", "/"),
    ],
)  # fmt: skip
def test_after_sign_in_a_browser_stays_here(wished: str, to: str) -> None:
    assert path_after(wished) == to


def test_a_link_ends_after_ten_minutes() -> None:
    now = [0.0]
    links = SignInLinks(lambda: now[0])
    early, late = links.new("N1"), links.new("N2")
    now[0] = 599.0
    assert links.lasts(early)
    assert links.use(early) == "N1"
    assert links.use(early) is None
    now[0] = 601.0
    assert not links.lasts(late)
    assert links.use(late) is None
