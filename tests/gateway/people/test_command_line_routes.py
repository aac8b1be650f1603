from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from gateway.access.words import Role
from gateway.people.command_line_routes import BEGIN, POLL
from gateway.people.sessions import COMMAND_LINE, COOKIE, Factor, Sessions
from tests.gateway.authenticator import SoftKey
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.soft_browser import SoftBrowser
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

WISH = {"host": "ward-pc", "user": "li"}


@pytest.fixture(scope="module")
def page(module_database: str) -> Iterator[Page]:
    served = Page(module_database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    for staff, role in (("N1", Role.NURSE), ("N2", Role.NURSE), ("N3", Role.NURSE), ("A1", Role.ADMINISTRATOR)):
        hire(module_database, staff, role)
    yield served
    served.stop()


def browser_of(page: Page, staff: str = "") -> SoftBrowser:
    return SoftBrowser(page, sign_in(page.database, staff) if staff else "")


def begin(page: Page) -> tuple[SoftBrowser, dict[str, Any]]:
    """A program that asks; it keeps no cookies."""
    program = browser_of(page)
    status, codes = program.post(BEGIN, WISH)
    assert status == 200
    return program, codes


def let_in(page: Page, nurse: SoftBrowser) -> SoftBrowser:
    """The program, signed in."""
    program, codes = begin(page)
    assert nurse.post("/command-line/answer", {"code": codes["user_code"], "agreed": True}) == (204, "")
    status, found = program.post(POLL, {"device_code": codes["device_code"]})
    assert status == 200
    program.cookies[COOKIE] = found["secret"]
    return program


def test_the_program_is_the_person_who_typed_its_code_until_she_ends_it(page: Page) -> None:
    nurse = browser_of(page, "N1")
    program, codes = begin(page)
    assert codes["verification_uri"] == f"http://localhost:{page.port}/command-line"
    poll = {"device_code": codes["device_code"]}
    assert program.post(POLL, poll) == (400, {"refused": "authorization_pending"})
    status, asker = nurse.post("/command-line/find", {"code": codes["user_code"].lower().replace("-", " ")})
    assert (status, {**asker, "ends_at": 0}) == (200, {**WISH, "address": "127.0.0.1", "ends_at": 0})
    assert nurse.post("/command-line/answer", {"code": codes["user_code"], "agreed": True}) == (204, "")
    assert nurse.post("/command-line/find", {"code": codes["user_code"]}) == (404, {"refused": "no_such_code"})
    status, found = program.post(POLL, poll)
    assert (status, found["staff"]) == (200, "N1")
    assert program.post(POLL, poll) == (400, {"refused": "expired_token"})
    program.cookies[COOKIE] = found["secret"]
    mine, hers = program.get("/me")[1], nurse.get("/me")[1]
    assert mine["csrf"] == found["csrf"]
    assert [mine[name] for name in ("id", "factor", "idle_s", "ends_at")] == [
        hers[name] for name in ("id", "factor", "idle_s", "ends_at")
    ]
    (listed,) = [each for each in nurse.get("/people/list")[1]["sessions"] if not each["this"]]
    assert listed["agent"] == "vitalwire login: li@ward-pc"
    assert nurse.post("/people/sessions/end", {"session": listed["id"]}) == (204, "")
    assert program.get("/me") == (401, {"refused": "no_access"})
    assert nurse.who() == "N1"


def test_who_refuses_lets_nobody_in(page: Page) -> None:
    program, codes = begin(page)
    nurse = browser_of(page, "N1")
    assert nurse.post("/command-line/answer", {"code": codes["user_code"], "agreed": False}) == (204, "")
    assert program.post(POLL, {"device_code": codes["device_code"]}) == (400, {"refused": "access_denied"})


def test_a_session_that_ended_before_the_poll_lets_nobody_in(page: Page) -> None:
    program, codes = begin(page)
    nurse = browser_of(page, "N1")
    assert nurse.post("/command-line/answer", {"code": codes["user_code"], "agreed": True}) == (204, "")
    assert nurse.post("/sign-out")[0] == 204
    assert program.post(POLL, {"device_code": codes["device_code"]}) == (400, {"refused": "access_denied"})


def test_who_guesses_waits(page: Page) -> None:
    guesser, nurse = browser_of(page, "N3"), browser_of(page, "N2")
    for _ in range(5):
        assert guesser.post("/command-line/find", {"code": "BBBB-BBBB"}) == (404, {"refused": "no_such_code"})
    _, codes = begin(page)
    for path, wish in (("find", {}), ("answer", {"agreed": True})):
        assert guesser.post(f"/command-line/{path}", {"code": codes["user_code"], **wish}) == (429, {"refused": "wait"})
    assert nurse.post("/command-line/find", {"code": codes["user_code"]})[0] == 200


def test_a_program_lets_in_no_other_and_no_key(page: Page) -> None:
    nurse, key = browser_of(page, "N1"), SoftKey()
    assert nurse.enrol(key)[0] == 204
    signed_in = browser_of(page)
    signed_in.sign_in(key)
    program = let_in(page, signed_in)
    assert program.get("/me")[1]["factor"] == "security_key"
    _, codes = begin(page)
    for path, wish in (("find", {}), ("answer", {"agreed": True})):
        assert program.post(f"/command-line/{path}", {"code": codes["user_code"], **wish}) == (
            403,
            {"refused": "no_access"},
        )
    assert program.post("/keys/begin") == (403, {"refused": "needs_enrolment"})
    assert signed_in.post("/keys/revoke", {"key": key.id.hex()}) == (204, "")
    sessions = Sessions(page.database, page.database)
    assert sessions.current(program.cookies[COOKIE]) is None  # what ends her session ends it


def test_what_is_locked_or_not_signed_in_lets_nobody_in(page: Page) -> None:
    _, codes = begin(page)
    wish = {"code": codes["user_code"], "agreed": True}
    assert browser_of(page).post("/command-line/answer", wish) == (401, {"refused": "no_access"})
    nurse = browser_of(page, "N1")
    assert nurse.post("/command-line/answer", wish, X_CSRF_Token="0") == (403, {"refused": "not_own"})
    assert nurse.post("/lock") == (204, "")
    assert nurse.post("/command-line/answer", wish) == (403, {"refused": "no_access"})
    program = browser_of(page)
    assert program.post(BEGIN, WISH, Origin="http://evil.example") == (403, {"refused": "not_own"})
    for host in ("", "x" * 81, "a\nb"):
        assert program.post(BEGIN, {**WISH, "host": host}) == (400, {"refused": "unreadable"})


def test_each_command_is_a_touch(page: Page) -> None:
    before = datetime.now(UTC) - timedelta(minutes=5)
    ends_at = before + timedelta(hours=12)
    new = NewSession("N2", Factor.PROVIDER, f"{COMMAND_LINE}x", "127.0.0.1", "touched", 1800, ends_at)
    program = browser_of(page)
    program.cookies[COOKIE] = Sessions(page.database, page.database, lambda: before).begin(new)
    assert program.who() == "N2"
    with open_store(page.database) as conn:
        (seen_at,) = conn.execute("SELECT seen_at FROM login_session WHERE agent = 'touched'").fetchone() or (before,)
    assert seen_at > before


def test_the_page_is_for_who_is_signed_in(page: Page) -> None:
    assert browser_of(page, "N1").get("/command-line")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    connection.request("GET", "/command-line", headers={"Accept": "text/html"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?to=/command-line")
    connection.close()
