from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.access.words import Role
from gateway.people.security_keys import user_handle
from tests.gateway.authenticator import BE, UP, UV, SoftKey
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.soft_browser import SoftBrowser
from tests.gateway.test_app import connect
from tests.gateway.ward import Page


@pytest.fixture
def page(database: str) -> Iterator[Page]:
    migrate(database)
    served = Page(database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    for staff, role in (("N1", Role.NURSE), ("N2", Role.NURSE), ("A1", Role.ADMINISTRATOR), ("A2", Role.ADMINISTRATOR)):
        hire(database, staff, role)
    yield served
    served.stop()


def browser_of(page: Page, staff: str = "") -> SoftBrowser:
    return SoftBrowser(page, sign_in(page.database, staff) if staff else "")


def keys_of(browser: SoftBrowser) -> list[dict[str, str]]:
    return list(browser.get("/people/list")[1]["keys"])


def test_enrol_and_sign_in_by_a_key(page: Page) -> None:
    nurse, key = browser_of(page, "N1"), SoftKey()
    assert nurse.enrol(key) == (204, "")
    (kept,) = keys_of(nurse)
    assert (kept["label"], kept["used"], kept["revoked"]) == ("blue", None, None)
    elsewhere = browser_of(page)
    assert elsewhere.who() == ""
    assert elsewhere.sign_in(key) == (200, {"id": "N1"})
    assert elsewhere.get("/me")[1]["factor"] == "security_key"
    second = SoftKey()
    assert elsewhere.enrol(second) == (204, "")
    assert browser_of(page).sign_in(second) == (200, {"id": "N1"})


@pytest.mark.parametrize("wrong", [
    {"origin": "http://localhost:1"}, {"rp_id": "127.0.0.1"}, {"flags": UP}, {"flags": UV}, {"flags": UP | UV | BE},
    {"client": {"crossOrigin": True}}, {"type": "webauthn.create"}, {"signature": b"0"}, {"challenge": bytes(40)},
    {"handle": user_handle("N2")},
])  # fmt: skip
def test_whatever_is_wrong_with_a_key_is_refused_in_one_word(page: Page, wrong: dict[str, object]) -> None:
    nurse, key, elsewhere = browser_of(page, "N1"), SoftKey(), browser_of(page)
    nurse.enrol(key)
    assert elsewhere.sign_in(key, replace(elsewhere.honest, **wrong)) == (403, {"refused": "key_refused"})  # type: ignore[arg-type]
    assert elsewhere.who() == ""
    assert elsewhere.sign_in(SoftKey()) == (403, {"refused": "key_refused"})  # of nobody
    assert elsewhere.sign_in(key) == (200, {"id": "N1"})


def test_each_try_that_fails_is_in_the_log_with_its_factor_and_whose_key_it_is(page: Page) -> None:
    nurse, key, elsewhere = browser_of(page, "N1"), SoftKey(), browser_of(page)
    nurse.enrol(key)
    wish = {"account": "a password by mistake", "password": "wrong"}
    with capture_logs() as logged:
        elsewhere.sign_in(key, replace(elsewhere.honest, origin="https://evil.example"))
        elsewhere.sign_in(SoftKey())
        elsewhere.post("/sign-in/key", {"credential": {}})
        elsewhere.post("/sign-in/emergency", wish)
        elsewhere.sign_in(key)
    said = [each for each in logged if each["event"] == "a sign-in failed"]
    assert [(each["factor"], each["reason"], each["who"], each["host"]) for each in said] == [
        ("security_key", "origin", "N1", "127.0.0.1"),
        ("security_key", "unknown_key", "", "127.0.0.1"),
        ("security_key", "unreadable", "", "127.0.0.1"),
        ("emergency", "wrong", "", "127.0.0.1"),
    ]  # fmt: skip
    assert "mistake" not in str(logged)


def test_a_key_of_who_left_opens_nothing(page: Page) -> None:
    nurse, key = browser_of(page, "N1"), SoftKey()
    nurse.enrol(key)
    with open_store(page.database) as conn:
        conn.execute("UPDATE staff SET ended_at = now() WHERE staff = 'N1'")
    assert browser_of(page).sign_in(key) == (403, {"refused": "key_refused"})


def test_a_key_is_for_our_own_pages_and_for_a_name(page: Page) -> None:
    browser = browser_of(page)
    for headers in ({"Origin": "http://evil.example"}, {"Origin": ""}, {"Content_Type": "text/plain"}):
        assert browser.post("/sign-in/key/begin", **headers) == (403, {"refused": "not_own"})
    assert browser.post("/sign-in/key", {"credential": None, "more": 1}) == (400, {"refused": "unreadable"})
    assert browser.post("/sign-in/key", {"credential": "x" * 20_000}) == (413, {"refused": "too_long"})
    address = {"Host": f"127.0.0.1:{page.port}", "Origin": page.url}
    assert browser.post("/sign-in/key/begin", **address) == (409, {"refused": "no_keys_here"})


def test_a_first_key_by_the_link_of_an_administrator(page: Page) -> None:
    administrator, person, key = browser_of(page, "A1"), browser_of(page), SoftKey()
    assert browser_of(page, "N2").post("/keys/enrolments", {"staff": "N1"}) == (403, {"refused": "no_access"})
    assert administrator.post("/keys/enrolments", {"staff": "A1"}) == (403, {"refused": "not_for_yourself"})
    assert administrator.post("/keys/enrolments", {"staff": "?"}) == (404, {"refused": "no_such_person"})
    _, opened = administrator.post("/keys/enrolments", {"staff": "N1"})
    assert person.enrol_by_link(key, opened["link"]) == (204, "")
    assert person.who() == ""  # the key signs in, not the link
    assert person.enrol_by_link(SoftKey(), opened["link"]) == (403, {"refused": "link_used"})
    assert person.sign_in(key) == (200, {"id": "N1"})
    assert [each["id"] for each in person.get("/workstation")[1]["news"]] == [key.id.hex()]
    assert person.post("/keys/told") == (204, "")
    assert person.get("/workstation")[1]["news"] == []


def test_a_lost_key_is_replaced_by_two_and_its_owner_is_told(page: Page) -> None:
    first, second, nurse = browser_of(page, "A1"), browser_of(page, "A2"), browser_of(page, "N1")
    lost, new, person = SoftKey(), SoftKey(), browser_of(page)
    nurse.enrol(lost)
    assert person.sign_in(lost)[0] == 200
    assert first.post("/keys/enrolments", {"staff": "N1"}) == (400, {"refused": "no_reason"})
    _, waits = first.post("/keys/enrolments", {"staff": "N1", "why": "lost"})
    assert waits["link"] == ""
    (enrolment,) = first.get("/people/list")[1]["all"]["enrolments"]
    assert (enrolment["staff"], enrolment["waits"], enrolment["by"]) == ("N1", True, "A1")
    assert first.post("/keys/enrolments/agree", {"enrolment": enrolment["id"]}) == (409, {"refused": "second_person"})
    _, agreed = second.post("/keys/enrolments/agree", {"enrolment": enrolment["id"]})
    assert browser_of(page).sign_in(lost)[0] == 403
    with open_store(page.database) as conn:
        ended = conn.execute("SELECT end_reason FROM login_session WHERE factor = 'security_key'").fetchall()
    assert ended == [("key revoked",)]
    assert person.enrol_by_link(new, agreed["link"]) == (204, "")
    assert person.sign_in(new) == (200, {"id": "N1"})
    told = person.get("/workstation")[1]["news"]
    assert [(each["why"], each["by"]) for each in told] == [("lost", "staff:A2"), ("", "")]


def test_a_key_is_revoked_by_its_owner_or_by_an_administrator_with_a_reason(page: Page) -> None:
    nurse, other, administrator = browser_of(page, "N1"), browser_of(page, "N2"), browser_of(page, "A1")
    mine, taken = SoftKey(), SoftKey()
    nurse.enrol(mine)
    nurse.enrol(taken)
    assert other.post("/keys/revoke", {"key": mine.id.hex()}) == (403, {"refused": "no_access"})
    assert nurse.post("/keys/revoke", {"key": "x"}) == (400, {"refused": "unreadable"})
    assert nurse.post("/keys/revoke", {"key": mine.id.hex()}) == (204, "")
    assert nurse.post("/keys/revoke", {"key": mine.id.hex()}) == (409, {"refused": "changed"})
    assert administrator.post("/keys/revoke", {"key": taken.id.hex()}) == (400, {"refused": "no_reason"})
    assert administrator.post("/keys/revoke", {"key": taken.id.hex(), "why": "found in a bin"}) == (204, "")
    assert [each["why"] for each in nurse.get("/workstation")[1]["news"]] == ["found in a bin"]


def test_who_came_by_a_provider_lets_no_key_in(page: Page) -> None:
    nurse = browser_of(page, "N1")
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET factor = 'provider' WHERE principal = 'N1'")
    assert nurse.post("/keys/begin") == (403, {"refused": "needs_enrolment"})
    assert nurse.post("/keys", {"credential": {}}) == (403, {"refused": "needs_enrolment"})


def test_a_key_is_added_and_revoked_soon_after_a_sign_in_alone(page: Page) -> None:
    nurse, key = browser_of(page, "N1"), SoftKey()
    assert browser_of(page, "N1").enrol(key)[0] == 204
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET began_at = began_at - interval '11 min' WHERE principal = 'N1'")
    assert nurse.post("/keys/begin") == (403, {"refused": "needs_fresh_sign_in"})
    assert nurse.post("/keys", {"credential": {}}) == (403, {"refused": "needs_fresh_sign_in"})
    assert nurse.post("/keys/revoke", {"key": key.id.hex()}) == (403, {"refused": "needs_fresh_sign_in"})
    assert browser_of(page, "N1").post("/keys/revoke", {"key": key.id.hex()}) == (204, "")
    assert browser_of(page, "N1").post("/keys/begin")[0] == 200
