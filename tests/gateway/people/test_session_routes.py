from __future__ import annotations

from collections.abc import Iterator

import pytest

from emr_store import acts, bed_names
from emr_store.connect import open_store
from emr_store.login_sessions import session_id
from emr_store.migrate import migrate
from gateway.access.words import Role
from gateway.people.sessions import COOKIE, Sessions
from tests.gateway.authenticator import SoftKey
from tests.gateway.signing_in import SITE_WARD, hire, sign_in
from tests.gateway.soft_browser import SoftBrowser
from tests.gateway.test_app import connect
from tests.gateway.ward import Page


@pytest.fixture
def page(database: str) -> Iterator[Page]:
    migrate(database)
    served = Page(database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    for staff, role in (("N1", Role.NURSE), ("N2", Role.NURSE), ("A1", Role.ADMINISTRATOR)):
        hire(database, staff, role)
    with open_store(database) as conn:
        bed_names.keep_bed_names(conn, {f"{SITE_WARD}^1": "ICU 1"})
    yield served
    served.stop()


def browser_of(page: Page, staff: str = "") -> SoftBrowser:
    return SoftBrowser(page, sign_in(page.database, staff) if staff else "")


def key_of(page: Page, staff: str) -> SoftKey:
    key = SoftKey()
    assert browser_of(page, staff).enrol(key)[0] == 204
    return key


def rows(page: Page, column: str) -> list[object]:
    """Of the sessions by a key, the oldest first."""
    sql = f"SELECT {column} FROM login_session WHERE factor = 'security_key' ORDER BY began_at"
    with open_store(page.database) as conn:
        return [found for (found,) in conn.execute(sql.encode())]


def test_quick_switch_locks_who_sat_there_and_lets_him_come_back(page: Page) -> None:
    first, second = key_of(page, "N1"), key_of(page, "N2")
    workstation, elsewhere = browser_of(page), browser_of(page)
    elsewhere.sign_in(first)
    workstation.sign_in(first)
    assert workstation.sign_in(second) == (200, {"id": "N2"})
    assert workstation.who() == "N2"
    assert rows(page, "principal || (locked_at IS NOT NULL)::text || (ended_at IS NOT NULL)::text") == [
        "N1falsefalse", "N1truefalse", "N2falsefalse",
    ]  # fmt: skip
    assert workstation.sign_in(first) == (200, {"id": "N1"})
    assert rows(page, "end_reason") == [None, "taken up again", None, None]
    assert rows(page, "(locked_at IS NOT NULL)") == [False, True, True, False]
    assert elsewhere.who() == "N1"


def test_a_locked_workstation_acts_for_nobody_until_a_key_opens_it(page: Page) -> None:
    key, workstation = key_of(page, "N1"), browser_of(page)
    workstation.sign_in(key)
    assert workstation.get("/me")[1]["locked"] is False
    assert workstation.post("/lock") == (204, "")
    assert workstation.get("/me")[1]["locked"] is True
    assert workstation.get("/people/list") == (403, {"refused": "no_access"})
    for path, wish in (
        ("/keys/begin", {}),
        ("/keys/revoke", {"key": key.id.hex()}),
        ("/people/sessions/end", {"session": "00"}),
    ):
        assert workstation.post(path, wish) == (403, {"refused": "no_access"}), path
    assert workstation.sign_in(key) == (200, {"id": "N1"})
    assert workstation.get("/me")[1]["locked"] is False


def test_a_locked_one_does_not_end_by_silence(page: Page) -> None:
    key, workstation = key_of(page, "N1"), browser_of(page)
    workstation.sign_in(key)
    workstation.post("/lock")
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET seen_at = seen_at - interval '3 h' WHERE factor = 'security_key'")
    assert Sessions(page.database, page.database).current(workstation.cookies[COOKIE]) is not None
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET locked_at = NULL WHERE factor = 'security_key'")
    assert Sessions(page.database, page.database).current(workstation.cookies[COOKIE]) is None


def test_sessions_are_listed_and_ended_by_their_owner_and_by_an_administrator(page: Page) -> None:
    key, here, there = key_of(page, "N1"), browser_of(page), browser_of(page)
    here.sign_in(key)
    there.sign_in(key)
    found = here.get("/people/list")[1]
    assert "all" not in found
    assert [each["this"] for each in found["sessions"]] == [False, True, False]  # there, here, where it was enrolled
    assert found["sessions"][0]["address"] == "127.0.0.1"
    assert found["sessions"][0]["factor"] == "security_key"
    other = browser_of(page, "N2")
    assert other.post("/people/sessions/end", {"session": found["sessions"][0]["id"]}) == (
        403,
        {"refused": "no_access"},
    )
    assert here.post("/people/sessions/end", {"session": found["sessions"][0]["id"]}) == (204, "")
    assert there.who() == ""
    administrator = browser_of(page, "A1")
    whose = administrator.get("/people/list?staff=N1")[1]["all"]
    assert {each["who"] for each in whose["sessions"]} == {"N1"}
    assert len(whose["keys"]) == 1
    (mine,) = [each for each in whose["sessions"] if each["factor"] == "security_key"]
    assert administrator.post("/people/sessions/end", {"session": mine["id"]}) == (204, "")
    assert administrator.post("/people/sessions/end", {"session": mine["id"]}) == (409, {"refused": "changed"})
    assert here.who() == ""
    staff = {each["staff"]: each for each in administrator.get("/people/list")[1]["all"]["staff"]}
    assert (staff["N1"]["keys"], staff["N2"]["keys"], staff["A1"]["role"]) == (1, 0, "administrator")
    with open_store(page.database) as conn:
        assert conn.execute("SELECT count(*) FROM look WHERE person = 'A1' AND page = 'people'").fetchone() == (2,)


def test_another_session_of_ones_own_is_ended_soon_after_a_sign_in_alone(page: Page) -> None:
    here, there = browser_of(page, "N1"), browser_of(page, "N1")
    this, other = (session_id(each.cookies[COOKIE]).hex() for each in (here, there))
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET began_at = began_at - interval '11 min' WHERE principal = 'N1'")
    refused = (403, {"refused": "needs_fresh_sign_in"})
    assert here.post("/people/sessions/end", {"session": other}) == refused
    fresh = browser_of(page, "N1")
    assert fresh.post("/people/sessions/end", {"session": other}) == (204, "")
    assert there.who() == ""
    assert here.post("/people/sessions/end", {"session": this}) == (204, "")  # it ends itself at any time
    assert here.who() == ""


def test_a_screen_is_enrolled_once_and_shows_one_ward_until_it_is_revoked(page: Page) -> None:
    administrator, screen = browser_of(page, "A1"), browser_of(page)
    wish = {"ward": SITE_WARD, "label": "corridor"}
    assert browser_of(page, "N1").post("/people/displays", wish) == (403, {"refused": "no_access"})
    assert administrator.post("/people/displays", {"ward": "X", "label": "x"}) == (404, {"refused": "no_such_ward"})
    assert administrator.post("/people/displays", {"ward": SITE_WARD, "label": " "}) == (400, {"refused": "no_label"})
    _, added = administrator.post("/people/displays", wish)
    assert screen.get(added["link"]) == (303, "/")
    assert browser_of(page).get(added["link"]) == (303, "/sign-in?refused=link_used")
    me = screen.get("/me")[1]
    assert (me["role"], me["name"], me["wards"], me["idle_s"]) == ("station_display", "corridor", [SITE_WARD], None)
    for path in ("/lock", "/keys/begin"):
        assert screen.post(path) == (403, {"refused": "no_access"}), path
    assert screen.get("/people/list") == (403, {"refused": "no_access"})
    (listed,) = administrator.get("/people/list")[1]["all"]["displays"]
    assert (listed["label"], listed["revoked"]) == ("corridor", None)
    assert administrator.post("/people/displays/revoke", {"display": listed["id"], "why": ""})[0] == 400
    assert administrator.post("/people/displays/revoke", {"display": listed["id"], "why": "sold"}) == (204, "")
    sessions = Sessions(page.database, page.database)
    assert sessions.current(screen.cookies[COOKIE]) is None
    with open_store(page.database) as conn:
        kinds = [act.kind for act in acts.acts(conn) if act.kind.startswith("display.")]
    assert kinds == ["display.add", "display.enrol", "display.revoke"]
