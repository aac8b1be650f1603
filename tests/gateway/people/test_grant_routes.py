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

from emr_store import acts, custody, login_sessions, second_person
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.instants import moment
from emr_store.login_sessions import session_id
from emr_store.second_person import Kind
from gateway.access.viewer import Licence
from gateway.access.words import Role
from tests.adt import patient_of, us, visit_of
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

ICU = "h^icu"  # of the beds in tests/attributing.py
STAY, PATIENT = visit_of("V2"), patient_of("P2")
HOUR_MS = 3_600_000


class People:
    """A ward's people, each signed in; what they ask for."""

    def __init__(self, page: Page) -> None:
        self._page, self.database = page, page.database
        connect(page, "/worklist/items")  # it is up
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
def database(admitted_database: str) -> str:
    return admitted_database


@pytest.fixture
def people(page: Page) -> People:
    return People(page)


def glass(**changed: Any) -> dict[str, Any]:
    return {"encounter": STAY, "reason": "called to help", "hours": 8} | changed


def grant(**changed: Any) -> dict[str, Any]:
    until_ms = time.time_ns() // 1_000_000 + HOUR_MS
    return {"staff": "N1", "relation": "team", "encounter": STAY, "until_ms": until_ms, "reason": "dialysis"} | changed


def test_broken_glass_opens_the_stay_at_once_and_the_auditor_has_a_review(people: People) -> None:
    assert people.get("N1", f"/grants-of/{STAY}") == (403, {"ask": "reason", "encounter": STAY})
    for nobody in ("visit:V9^HOSP", "%00", "%ff"):
        assert people.get("N1", f"/grants-of/{nobody}") == (404, {"refused": "no_access"})
    assert people.post("N1", "/break-glass", glass()) == (204, "")
    status, found = people.get("N1", f"/grants-of/{STAY}")
    assert status == 200
    (shown,) = found["grants"]
    assert (shown["relation"], shown["staff"], shown["name"], shown["by"], shown["reason"], shown["ended_ms"]) == (
        "break_glass", "N1", "李娜", "N1", "called to help", None,
    )  # fmt: skip
    assert shown["until_ms"] - shown["since_ms"] == pytest.approx(8 * HOUR_MS, abs=10_000)
    assert found["may_grant"] is False  # who let himself in lets nobody else in
    with people.store() as conn:
        assert conn.execute(
            "SELECT kind, person, encounter, detail FROM review WHERE kind = 'break_glass'"
        ).fetchall() == [("break_glass", "N1", STAY, "called to help")]
        looks = conn.execute("SELECT person, page, encounters, patients, relation FROM look").fetchall()
        assert looks == [("N1", "grants", [STAY], [PATIENT], "break_glass")]
    assert people.relations("N1") == ["break_glass"]
    assert people.post("N1", "/grant-end", {"grant": shown["grant"], "reason": "over"}) == (204, "")
    assert people.get("N1", f"/grants-of/{STAY}")[0] == 403
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
    (shown,) = people.get("D2", f"/grants-of/{STAY}")[1]["grants"]
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
    while people.get("N1", f"/grants-of/{STAY}")[0] == 200 or people.relations("N1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert people.get("N1", f"/grants-of/{STAY}") == (403, {"ask": "reason", "encounter": STAY})
    (shown,) = people.get("D2", f"/grants-of/{STAY}")[1]["grants"]
    assert people.post("D2", "/grant-end", {"grant": shown["grant"], "reason": "x"}) == (409, "ended_already")


def test_a_floating_nurse_comes_to_her_ward(people: People) -> None:
    assert people.get("N1", f"/grants-of/{STAY}")[0] == 403
    assert people.post("N1", "/ward", {"ward": "4C", "hours": 8}) == (400, "not_in_pool")
    assert people.post("D2", "/ward", {"ward": "3A", "hours": 8}) == (400, "not_in_pool")
    assert people.post("N1", "/ward", {"ward": "ICU", "hours": 16.1}) == (400, "ends_too_late")
    assert people.post("N1", "/ward", {"ward": "ICU", "hours": 16}) == (204, "")
    assert people.get("N1", f"/grants-of/{STAY}")[0] == 200
    status, found = people.get("N1", "/my-access")
    assert status == 200
    (shift,) = found.pop("shifts")
    assert (shift["ward"], shift["name"]) == (ICU, "ICU^H")
    assert found == {
        "staff": "N1", "name": "李娜", "role": "nurse", "licence": "here", "wards": [{"ward": ICU, "name": "ICU^H"}],
        "pool": [{"ward": "h^3a", "name": "3A^H"}, {"ward": ICU, "name": "ICU^H"}], "grants": [], "trainees": [],
        "may_restrict": False,
    }  # fmt: skip


def test_medical_affairs_reopen_the_chart_of_an_archived_stay(people: People) -> None:
    with people.store() as conn:
        conn.execute("UPDATE encounter SET discharged_at = now() - interval '8 days' WHERE encounter = %s", (STAY,))
    entered = {"act": "enter", "encounter": STAY, "item": "pain", "value": 3, "at": (time.time_ns() // 10**6)}
    wish = {"encounter": STAY, "hours": 72, "reason": "a late result"}
    assert people.post("D2", "/chart-act", entered) == (409, "archived")
    assert people.post("N1", "/chart-act", entered)[0] == 403  # who may not read it is not told why
    for who in ("N2", "D2", "A1"):
        assert people.post(who, "/reopen", wish) == (403, "no_access")
    assert people.post("R1", "/reopen", wish | {"encounter": "visit:V9^HOSP"}) == (404, "no_access")
    assert people.post("R1", "/reopen", wish | {"hours": 72.1}) == (400, "ends_too_late")
    assert people.post("R1", "/reopen", wish | {"hours": 0}) == (400, "ends_too_early")
    assert people.post("R1", "/reopen", wish | {"reason": " "}) == (400, "no_reason")
    assert _archive_of(people, "R1") == (True, True, False)
    assert _archive_of(people, "D2") == (True, False, False)
    assert people.post("R1", "/reopen", wish) == (204, "")
    assert _archive_of(people, "R1") == (False, True, True)
    with people.store() as conn:
        act = acts.acts(conn)[-1]
        assert (act.kind, act.by, act.why, act.details["encounter"]) == (
            "archive.reopen", "staff:R1", "a late result", STAY,
        )  # fmt: skip
    assert people.post("D2", "/chart-act", entered)[1] != "archived"


def _archive_of(people: People, who: str) -> tuple[bool, bool, bool]:
    """Whether the stay is archived, whether this person may reopen it, and whether it is reopened."""
    found = people.get(who, f"/grants-of/{STAY}")[1]
    until_ms = found["reopened_until_ms"]
    assert until_ms is None or until_ms == pytest.approx(found["now_ms"] + 72 * HOUR_MS, abs=60_000)
    return found["archived"], found["may_reopen"], until_ms is not None


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
    assert people.get("D2", f"/grants-of/{STAY}")[0] == 200  # caring staff lose nothing
    assert people.get("R1", f"/grants-of/{STAY}")[0] == 403
    assert people.post("R1", "/restrict-end", wish) == (204, "")
    assert people.get("R1", f"/grants-of/{STAY}")[0] == 200


def test_a_stay_is_found_by_its_visit_number_and_says_what_may_be_done(people: People) -> None:
    assert people.post("D2", "/grant", grant()) == (204, "")
    status, found = people.get("D2", "/grants-of/V2")
    assert status == 200
    (shown,) = found.pop("grants")
    assert found.pop("now_ms") == pytest.approx(time.time() * 1000, abs=10_000)
    assert found == {
        "encounter": STAY, "visit": {"en": "visit V2", "zh": "就诊 V2"}, "patient": PATIENT, "restricted": False,
        "glass_until": None, "may_grant": True, "may_see_copies": False, "archived": False, "may_reopen": False,
        "reopened_until_ms": None,
    }  # fmt: skip
    assert (shown["holds"], shown["may_end"]) == (True, True)
    (of_trainee,) = people.get("T1", "/grants-of/V2")[1]["grants"]
    assert (of_trainee["holds"], of_trainee["may_end"]) == (True, False)
    (own,) = people.get("N1", "/my-access")[1]["grants"]
    assert (own["visit"], own["may_end"]) == ({"en": "visit V2", "zh": "就诊 V2"}, True)
    assert people.post("N1", "/grant-end", {"grant": own["grant"], "reason": "over"}) == (204, "")
    (ended,) = people.get("D2", "/grants-of/V2")[1]["grants"]
    assert (ended["holds"], ended["may_end"]) == (False, False)


def seal(database: str) -> None:
    """As `vitalwire custody copy` and `custody confirm` keep it."""
    author = Author("os:ann@office", "dispute 7")
    with open_store(database) as conn, conn.transaction():
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act("custody.copy", author, at, copy=COPY, part=1, encounter=STAY))
        conn.execute(
            "INSERT INTO custody_part VALUES (%s, 1, %s, NULL, %s, 3, %s, %s, %s, %s)",
            (COPY, STAY, moment(us(60)), bytes(range(32)), bytes(32), at, act_id),
        )
        custody.confirm(conn, UUID(COPY), 1, "patient", "李四", author)


COPY = "6f1b7a52-30de-4f0f-9a34-6f4e5e1b7c11"
READ = {  # by role: the grants of a stay, its custody copies, restricted records, what waits for a second person
    "N1": (403, 403, 403, 200), "N2": (200, 403, 403, 200), "D2": (200, 403, 403, 200), "T1": (200, 403, 403, 200),
    "A1": (403, 403, 403, 200), "R1": (200, 200, 200, 200),
}  # fmt: skip


def test_each_role_reads_what_is_its_work(people: People) -> None:
    seal(people.database)
    paths = ("/grants-of/V2", "/custody-copies/V2", "/restricted-records", "/second-person")
    found = {who: tuple(people.get(who, path)[0] for path in paths) for who in READ}
    assert found == READ
    assert people.get("A1", "/grants-of/V2") == (403, {"refused": "no_access"})
    for path in ("/custody-copies/V9", "/custody-copies/%00"):
        assert people.get("R1", path) == (404, {"refused": "no_access"})
    with people.store() as conn:
        looks = conn.execute("SELECT person, page, encounters, patients FROM look WHERE page <> 'grants'").fetchall()
    assert sorted(looks) == [("R1", "custody", [STAY], [PATIENT]), ("R1", "restricted", [], [])]


def test_the_record_office_reads_the_lists_of_custody_copies(people: People) -> None:
    assert people.get("R1", "/custody-copies/V2") == (200, {"parts": []})
    seal(people.database)
    assert people.get("R1", "/grants-of/V2")[1]["may_see_copies"] is True
    (part,) = people.get("R1", "/custody-copies/V2")[1]["parts"]
    assert part.pop("made_ms") == pytest.approx(time.time() * 1000, abs=60_000)
    assert part == {
        "copy": COPY, "part": 1, "since_ms": None, "until_ms": us(60) // 1000, "versions": 3,
        "list_sha256": bytes(range(32)).hex(), "confirmed": {"hospital": False, "patient": True},
    }  # fmt: skip
    assert people.get("R1", "/custody-copies/V1") == (200, {"parts": []})  # of another stay


def test_restricted_records_are_listed_to_the_record_office(people: People) -> None:
    assert people.get("R1", "/my-access")[1]["may_restrict"] is True
    assert people.get("R1", "/restricted-records") == (200, {"records": []})
    assert people.post("R1", "/restrict", {"patient": "P2", "reason": "a colleague"}) == (204, "")  # by the number
    (record,) = people.get("R1", "/restricted-records")[1]["records"]
    assert record.pop("since_ms") == pytest.approx(time.time() * 1000, abs=60_000)
    assert record == {"patient": PATIENT, "by": "R1", "reason": "a colleague"}
    with people.store() as conn:
        (seen,) = conn.execute("SELECT patients FROM look WHERE page = 'restricted' AND patients <> '{}'").fetchall()
    assert seen == ([PATIENT],)
    assert people.get("R1", "/custody-copies/V2") == (403, {"ask": "reason", "encounter": STAY})
    assert people.get("A1", "/restricted-records") == (403, {"refused": "no_access"})
    assert people.post("R1", "/restrict-end", {"patient": PATIENT, "reason": "left"}) == (204, "")
    assert people.get("R1", "/restricted-records") == (200, {"records": []})


def waits(people: People, kind: Kind, by: str) -> str:
    """A request of somebody's."""
    with people.store() as conn:
        return str(second_person.ask(conn, kind, {"file": str(kind)}, Author(by, "as always")))


def test_a_second_person_agrees_or_declines(people: People) -> None:
    file = waits(people, Kind.STAFF_FILE, "os:ann@office")
    (shown,) = people.get("A1", "/second-person")[1]["requests"]
    assert (shown["request"], shown["kind"], shown["by"], shown["why"], shown["details"]) == (
        file, "staff_file", "os:ann@office", "as always", {"file": "staff_file"},
    )  # fmt: skip
    assert (shown["may_agree"], shown["may_decline"], shown["own"], shown["agreed_by"]) == (True, True, False, "")
    assert people.post("A1", "/second-person/agree", {"request": file}) == (204, "")
    (shown,) = people.get("A1", "/second-person")[1]["requests"]
    assert (shown["may_agree"], shown["may_decline"], shown["agreed_by"]) == (False, False, "A1")
    for path in ("/second-person/agree", "/second-person/decline"):
        assert people.post("A1", path, {"request": file}) == (409, "answered_already")
    copy = waits(people, Kind.CUSTODY_COPY, "os:ann@office")
    assert people.post("R1", "/second-person/decline", {"request": copy, "why": "no order"}) == (204, "")
    assert people.get("R1", "/second-person") == (200, {"may_answer": True, "requests": []})
    assert people.get("N1", "/second-person") == (200, {"may_answer": False, "requests": []})
    with people.store() as conn:
        found = [(act.kind, act.by, act.why) for act in acts.acts(conn) if act.kind.startswith("second.")]
    assert found == [
        ("second.ask", "os:ann@office", "as always"), ("second.agree", "staff:A1", ""),
        ("second.ask", "os:ann@office", "as always"), ("second.decline", "staff:R1", "no order"),
    ]  # fmt: skip


ANSWERED = {  # by kind: who may be its second person
    Kind.STAFF_FILE: {"A1"}, Kind.ACCESS_TABLE: {"A1"}, Kind.CUSTODY_COPY: {"R1"},
    Kind.BULK_EXPORT: {"R1"},
}  # fmt: skip


def test_each_role_answers_what_is_its_work(people: People) -> None:
    everybody = ("N1", "N2", "D2", "T1", "A1", "R1")
    assert set(ANSWERED) == set(Kind)
    for kind, answering in ANSWERED.items():
        request = waits(people, kind, "os:ann@office")
        for who in everybody:
            seen = [each["kind"] for each in people.get(who, "/second-person")[1]["requests"]]
            assert (kind in seen) is (who in answering), (kind, who)
        for who in everybody:
            if who not in answering:
                assert people.post(who, "/second-person/agree", {"request": request}) == (403, "no_access")
                assert people.post(who, "/second-person/decline", {"request": request}) == (403, "no_access")


def test_who_asked_takes_it_back_and_does_not_agree(people: People) -> None:
    own = waits(people, Kind.STAFF_FILE, "staff:A1")
    (shown,) = people.get("A1", "/second-person")[1]["requests"]
    assert (shown["may_agree"], shown["may_decline"], shown["own"]) == (False, True, True)
    assert people.post("A1", "/second-person/agree", {"request": own}) == (409, "same_person")
    assert people.post("A1", "/second-person/agree", {"request": str(uuid4())}) == (404, "no_access")
    assert people.post("A1", "/second-person/decline", {"request": str(uuid4())}) == (404, "no_access")
    assert people.post("A1", "/second-person/agree", {"request": "x"}) == (400, "unreadable")
    assert people.post("A1", "/second-person/decline", {"request": own, "why": "x" * 501}) == (400, "reason_too_long")
    assert people.post("A1", "/second-person/decline", {"request": own}) == (204, "")
    of_nurse = waits(people, Kind.STAFF_FILE, "staff:N2")
    assert people.post("N2", "/second-person/decline", {"request": of_nurse}) == (204, "")
    old = waits(people, Kind.STAFF_FILE, "os:ann@office")
    with people.store() as conn:
        conn.execute("UPDATE second_person SET expires_at = at WHERE request = %s", (old,))
    assert people.post("A1", "/second-person/agree", {"request": old}) == (409, "too_late")
