"""Grants, broken glass, wards and restricted records, as pages ask for them over HTTP."""

from __future__ import annotations

import hmac
import http.client
import json
import time
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from emr_store import acts, login_sessions
from emr_store.connect import open_store
from emr_store.login_sessions import session_id
from gateway.access.viewer import Licence
from gateway.access.words import Role
from tests.adt import patient_of, visit_of
from tests.gateway.hospital import admit, open_hospital
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

ICU = "h^icu"  # of the beds in tests/attributing.py
STAY, PATIENT = visit_of("V2"), patient_of("P2")
HOUR_MS = 3_600_000


class People:
    """A ward's people, each signed in; what they ask for."""

    def __init__(self, page: Page) -> None:
        self._page = page
        connect(page, "/worklist/items")  # it is up
        admit(open_hospital(page.database))
        hire(page.database, "N1", Role.NURSE, ("h^3a",), name="李娜")
        hire(page.database, "N2", Role.NURSE, (ICU,))
        hire(page.database, "T1", Role.TRAINEE, (ICU,), Licence.NONE)
        hire(page.database, "A1", Role.ADMINISTRATOR, ())
        hire(page.database, "R1", Role.RECORD_OFFICE, ())
        hire(page.database, "D2", Role.PHYSICIAN, (ICU,), name="王伟")
        with self.store() as conn:
            conn.execute("UPDATE staff SET pool = %s WHERE staff = 'N1'", ([ICU],))
        self._cookies = {who: sign_in(page.database, who) for who in ("N1", "N2", "T1", "A1", "R1", "D2")}

    def store(self) -> psycopg.Connection:
        return open_store(self._page.database)

    def lock(self, who: str) -> None:
        with self.store() as conn:
            login_sessions.lock(conn, session_id(self._secret(who)), acts.now(conn))

    def post(self, who: str, path: str, wish: Any, **headers: str) -> tuple[int, str]:
        """Status, and the word of a refusal."""
        token = hmac.new(self._secret(who).encode(), b"vitalwire csrf", "sha256").hexdigest()
        own = {"Origin": self._page.url, "Content-Type": "application/json", "X-CSRF-Token": token}
        body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
        status, text = self._ask("POST", path, body, {"Cookie": self._cookies[who]} | own | headers)
        return status, json.loads(text)["refused"] if text else ""

    def get(self, who: str, path: str) -> tuple[int, Any]:
        status, text = self._ask("GET", path, None, {"Cookie": self._cookies[who]})
        return status, json.loads(text)

    def relations(self, who: str) -> list[str]:
        status, found = self.get(who, "/my-access")
        assert status == 200
        return [grant["relation"] for grant in found["grants"]]

    def _secret(self, who: str) -> str:
        return self._cookies[who].partition("=")[2]

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._page.port, timeout=15)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def people(page: Page) -> People:
    return People(page)


def glass(**changed: Any) -> dict[str, Any]:
    return {"encounter": STAY, "reason": "called to help", "hours": 8} | changed


def grant(**changed: Any) -> dict[str, Any]:
    until_ms = time.time_ns() // 1_000_000 + HOUR_MS
    return {"staff": "N1", "relation": "team", "encounter": STAY, "until_ms": until_ms, "reason": "dialysis"} | changed


def test_broken_glass_opens_the_stay_at_once_and_the_auditor_has_a_review(people: People) -> None:
    assert people.get("N1", f"/grants/{STAY}") == (403, {"refused": "no_access"})
    for nobody in ("visit:V9^HOSP", "%00", "%ff"):
        assert people.get("N1", f"/grants/{nobody}") == (404, {"refused": "no_access"})
    assert people.post("N1", "/break-glass", glass()) == (204, "")
    status, found = people.get("N1", f"/grants/{STAY}")
    assert status == 200
    (shown,) = found["grants"]
    assert (shown["relation"], shown["staff"], shown["name"], shown["by"], shown["reason"], shown["ended_ms"]) == (
        "break_glass", "N1", "李娜", "N1", "called to help", None,
    )  # fmt: skip
    assert shown["until_ms"] - shown["since_ms"] == pytest.approx(8 * HOUR_MS, abs=10_000)
    assert found["may_grant"] is False  # who let himself in lets nobody else in
    with people.store() as conn:
        assert conn.execute("SELECT kind, person, encounter, detail FROM review").fetchall() == [
            ("break_glass", "N1", STAY, "called to help")
        ]
        looks = conn.execute("SELECT person, page, encounters, patients, relation FROM look").fetchall()
        assert looks == [("N1", "grants", [STAY], [PATIENT], "break_glass")]
    assert people.relations("N1") == ["break_glass"]
    assert people.post("N1", "/grant-end", {"grant": shown["grant"], "reason": "over"}) == (204, "")
    assert people.get("N1", f"/grants/{STAY}")[0] == 403
    assert people.relations("N1") == []
    assert people.post("N1", "/grant-end", {"grant": shown["grant"], "reason": "x"}) == (409, "ended_already")


GLASS_REFUSED: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("A1", {}, (403, "no_access")),  # no caring role
    ("N1", {"encounter": visit_of("V9")}, (404, "no_access")),
    ("N1", {"hours": 8.1}, (400, "ends_too_late")),
    ("N1", {"hours": 1e300}, (400, "ends_too_late")),
    ("N1", {"hours": 0}, (400, "ends_too_early")),
    ("N1", {"hours": -1e300}, (400, "ends_too_early")),
    ("N1", {"reason": " "}, (400, "no_reason")),
    ("N1", {"reason": "x" * 501}, (400, "reason_too_long")),
    ("N1", {"reason": "x" * 9000}, (413, "reason_too_long")),
    ("N1", {"reason": "\0"}, (400, "unreadable")),
    ("N1", {"more": 1}, (400, "unreadable")),
]


def test_glass_is_not_broken_beyond_its_limits(people: People) -> None:
    for who, changed, expected in GLASS_REFUSED:
        assert people.post(who, "/break-glass", glass(**changed)) == expected, (who, changed)
    with people.store() as conn:
        assert conn.execute("SELECT count(*) FROM access_grant").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM review").fetchone() == (0,)


def test_nothing_is_done_for_another_site_nor_at_a_locked_workstation(people: People) -> None:
    assert people.post("N1", "/break-glass", glass(), Origin="http://elsewhere.example") == (403, "not_own")
    assert people.post("N1", "/break-glass", b"{") == (400, "unreadable")
    people.lock("N1")
    people.lock("R1")
    deadline = time.monotonic() + 10
    while people.get("N1", "/my-access")[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert people.post("N1", "/break-glass", glass()) == (403, "no_access")
    assert people.post("N1", "/ward", {"ward": "ICU", "hours": 1}) == (403, "no_access")
    assert people.post("R1", "/restrict", {"patient": PATIENT, "reason": "x"}) == (403, "no_access")


def test_who_treats_gives_a_relation_and_takes_it_back(people: People) -> None:
    wish = grant()
    assert people.post("D2", "/grant", wish) == (204, "")
    (shown,) = people.get("D2", f"/grants/{STAY}")[1]["grants"]
    assert (shown["relation"], shown["staff"], shown["by"], shown["reason"], shown["until_ms"]) == (
        "team", "N1", "D2", "dialysis", wish["until_ms"],
    )  # fmt: skip
    assert people.relations("N1") == ["team"]
    assert people.post("A1", "/grant-end", {"grant": shown["grant"], "reason": "x"}) == (403, "no_access")
    assert people.post("T1", "/grant-end", {"grant": shown["grant"], "reason": "x"}) == (403, "no_access")
    assert people.post("N2", "/grant-end", {"grant": shown["grant"], "reason": "left"}) == (204, "")
    assert people.post("N2", "/grant-end", {"grant": str(uuid4()), "reason": "x"}) == (404, "no_access")
    assert people.relations("N1") == []
    with people.store() as conn:
        found = [act for act in acts.acts(conn) if act.kind.startswith("grant.")]
        assert [(act.kind, act.by, act.why) for act in found] == [
            ("grant.give", "staff:D2", "dialysis"), ("grant.end", "staff:N2", "left"),
        ]  # fmt: skip
        assert UUID(found[0].details["grant"]) == UUID(shown["grant"])


GRANT_REFUSED: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("T1", {}, (403, "no_access")),
    ("A1", {}, (403, "no_access")),
    ("N1", {"staff": "N2"}, (403, "no_access")),  # of another ward
    ("D2", {"encounter": visit_of("V9")}, (404, "no_access")),
    ("D2", {"staff": "D2"}, (400, "to_oneself")),
    ("D2", {"staff": "9"}, (400, "no_staff")),
    ("D2", {"relation": "break_glass"}, (400, "no_relation")),
    ("D2", {"until_ms": 1}, (400, "ends_too_early")),
    ("D2", {"until_ms": -(2**62)}, (400, "ends_too_early")),
    ("D2", {"until_ms": 2**62}, (400, "ends_too_late")),
    ("D2", {"until_ms": 4_000_000_000_000}, (400, "ends_too_late")),
    ("D2", {"reason": ""}, (400, "no_reason")),
]


def test_a_grant_that_is_none(people: People) -> None:
    for who, changed, expected in GRANT_REFUSED:
        assert people.post(who, "/grant", grant(**changed)) == expected, (who, changed)
    with people.store() as conn:
        assert conn.execute("SELECT count(*) FROM access_grant").fetchone() == (0,)


def test_a_grant_that_is_over_opens_nothing(people: People) -> None:
    assert people.post("D2", "/grant", grant(until_ms=time.time_ns() // 1_000_000 + 1500)) == (204, "")
    deadline = time.monotonic() + 10
    while people.get("N1", f"/grants/{STAY}")[0] == 200 or people.relations("N1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert people.get("N1", f"/grants/{STAY}") == (403, {"refused": "no_access"})
    (shown,) = people.get("D2", f"/grants/{STAY}")[1]["grants"]
    assert people.post("D2", "/grant-end", {"grant": shown["grant"], "reason": "x"}) == (409, "ended_already")


def test_a_floating_nurse_comes_to_her_ward(people: People) -> None:
    assert people.get("N1", f"/grants/{STAY}")[0] == 403
    assert people.post("N1", "/ward", {"ward": "4C", "hours": 8}) == (400, "not_in_pool")
    assert people.post("D2", "/ward", {"ward": "3A", "hours": 8}) == (400, "not_in_pool")
    assert people.post("N1", "/ward", {"ward": "ICU", "hours": 16.1}) == (400, "ends_too_late")
    assert people.post("N1", "/ward", {"ward": "ICU", "hours": 16}) == (204, "")
    assert people.get("N1", f"/grants/{STAY}")[0] == 200
    status, found = people.get("N1", "/my-access")
    assert status == 200
    (shift,) = found.pop("shifts")
    assert (shift["ward"], shift["name"]) == (ICU, "ICU^H")
    assert found == {
        "staff": "N1", "name": "李娜", "role": "nurse", "licence": "here", "wards": [{"ward": ICU, "name": "ICU^H"}],
        "pool": [{"ward": "h^3a", "name": "3A^H"}, {"ward": ICU, "name": "ICU^H"}], "grants": [], "trainees": [],
    }  # fmt: skip


def test_the_record_office_restricts_a_record_and_lifts_it(people: People) -> None:
    wish = {"patient": PATIENT, "reason": "a colleague"}
    for who in ("N2", "D2", "A1"):
        assert people.post(who, "/restrict", wish) == (403, "no_access")
        assert people.post(who, "/restrict-end", wish) == (403, "no_access")
    assert people.post("R1", "/restrict", wish | {"patient": "nobody"}) == (404, "no_access")
    assert people.post("R1", "/restrict", wish | {"reason": ""}) == (400, "no_reason")
    assert people.post("R1", "/restrict-end", wish) == (409, "not_restricted")
    assert people.post("R1", "/restrict", wish) == (204, "")
    assert people.post("R1", "/restrict", wish) == (409, "restricted_already")
    assert people.get("D2", f"/grants/{STAY}")[0] == 200  # caring staff lose nothing
    assert people.get("R1", f"/grants/{STAY}")[0] == 403
    assert people.post("R1", "/restrict-end", wish) == (204, "")
    assert people.get("R1", f"/grants/{STAY}")[0] == 200
