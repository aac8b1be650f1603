"""Every endpoint of the pages, by who asks: a table written by hand. What is refused says nothing of what is there."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import pytest

from emr_store.connect import open_store
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.asking import REFUSED_BODY
from tests.attributing import Hospital
from tests.gateway.asking import name_beds
from tests.gateway.hospital import DEVICE, NUMBER
from tests.gateway.signing_in import SITE_WARD
from tests.gateway.test_app import PATIENCE_S, connect, events, next_picture
from tests.gateway.ward import Page

STAY = "visit:V1^HOSP"
ASK = json.dumps({"ask": "reason", "encounter": STAY}, separators=(",", ":")).encode()
OTHER_WARD = "h^w5"


@dataclass(frozen=True)
class Who:
    role: Role
    wards: tuple[str, ...] = (SITE_WARD,)
    locked: bool = False


NURSE, LOCKED = Who(Role.NURSE), Who(Role.PHYSICIAN, locked=True)
OF_ANOTHER_WARD = Who(Role.NURSE, (OTHER_WARD,))
TRAINEE, TECHNICIAN = Who(Role.TRAINEE), Who(Role.TECHNICIAN, (OTHER_WARD,))
ENGINEER, OFFICE = Who(Role.BIOMEDICAL_ENGINEER, ()), Who(Role.RECORD_OFFICE, ())
AUDITOR, ADMINISTRATOR = Who(Role.AUDITOR, ()), Who(Role.ADMINISTRATOR, ())
DISPLAY, OTHER_DISPLAY = Who(Role.STATION_DISPLAY), Who(Role.STATION_DISPLAY, (OTHER_WARD,))
MACHINE = Who(Role.MACHINE, ())

PATIENT = (f"/patient-history/{NUMBER}",)
TREND = (f"/patient-trend/4/{NUMBER}",)
CHART = (
    "/chart-sheet/60/12/0/V1", "/chart-gap/MDC_PULS_OXIM_SAT_O2/0/60/V1", "/sheet-pages/sheet/zh/V1",
    "/sheet-page/sheet/zh/1/V1",
)  # fmt: skip
PRINT = ("/sheet/V1.pdf",)
DETAIL = (f"/values/{DEVICE}", f"/alarms/{DEVICE}")
WHOSE = (f"/whose/{DEVICE}",)
BATCH = ("/batch/" + "0" * 64,)  # there is none
WORKLIST, DELIVERIES = ("/worklist/items",), ("/delivery-list/parked",)
ALL = PATIENT + TREND + CHART + PRINT + DETAIL + WHOSE + BATCH + WORKLIST + DELIVERIES

# What is answered, and what a reason would open; all else is refused.
TABLE: dict[Who, tuple[tuple[str, ...], tuple[str, ...]]] = {
    NURSE: (PATIENT + TREND + CHART + PRINT + DETAIL + WHOSE + BATCH + WORKLIST, ()),
    TRAINEE: (PATIENT + TREND + CHART + PRINT + DETAIL + WHOSE + BATCH, ()),
    OF_ANOTHER_WARD: (BATCH + WORKLIST, PATIENT + TREND + CHART + PRINT + DETAIL + WHOSE),
    TECHNICIAN: (BATCH, PATIENT + TREND + CHART + PRINT + DETAIL + WHOSE),
    LOCKED: (DETAIL + BATCH, ()),
    ENGINEER: (DETAIL + BATCH + DELIVERIES, ()),
    OFFICE: (PATIENT + CHART + PRINT + WHOSE + WORKLIST, ()),
    AUDITOR: ((), ()),
    ADMINISTRATOR: (DELIVERIES, ()),
    DISPLAY: (DETAIL, ()),
    OTHER_DISPLAY: ((), ()),
}


@pytest.fixture
def database(admitted_database: str) -> str:
    return admitted_database


@pytest.fixture
def hospital(page: Page, admitted: Hospital) -> Hospital:
    name_beds(page.database)
    return admitted


def sit_down(page: Page, who: Who) -> None:
    page.sign_in(f"{who.role}{len(who.wards)}{who.locked}{who.wards}", who.role, who.wards)
    if who.locked:
        with open_store(page.database) as conn:
            conn.execute("UPDATE login_session SET locked_at = now()")


def chart_act(page: Page, wish: Any) -> tuple[int, bytes]:
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers}
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("POST", "/chart-act", json.dumps(wish).encode(), own)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_who_is_answered_what(page: Page, hospital: Hospital) -> None:
    wrong = []
    for who, (allowed, asked) in TABLE.items():
        sit_down(page, who)
        for path in ALL:
            answer = connect(page, path)
            status, body = answer.status, answer.read()
            if path in allowed:
                is_right = status == (404 if path in BATCH else 200)
            else:
                is_right = (status, body) == (403, ASK if path in asked else REFUSED_BODY)
            if not is_right:
                wrong.append((who, path, status, body[:80]))
    assert wrong == []


def test_what_is_not_there_is_not_there_and_nobody_else_is_told_anything(page: Page, hospital: Hospital) -> None:
    sit_down(page, NURSE)
    for path in ("/patient-history/nobody", "/chart-sheet/60/12/0/V9", "/sheet/V9.pdf"):
        answer = connect(page, path)
        assert (answer.status, answer.read()) == (404, REFUSED_BODY)
    page.cookie = "vitalwire_session=x"
    for path in (*ALL, "/events", "/patient-history/nobody"):
        answer = connect(page, path)
        assert (answer.status, answer.read()) == (401, REFUSED_BODY)


@pytest.mark.parametrize(
    ("who", "beds", "names"),
    [
        (NURSE, 1, ["张**"]), (TRAINEE, 1, ["张**"]), (OF_ANOTHER_WARD, 0, []), (TECHNICIAN, 0, []),
        (LOCKED, 1, [None]), (ENGINEER, 1, [None]), (OFFICE, 0, []), (AUDITOR, 0, []), (ADMINISTRATOR, 0, []),
        (DISPLAY, 1, ["张**"]), (OTHER_DISPLAY, 0, []),
    ],
    ids=lambda each: f"{each.role}" if isinstance(each, Who) else None,
)  # fmt: skip
def test_who_sees_which_beds_and_names(page: Page, hospital: Hospital, who: Who, beds: int, names: list[Any]) -> None:
    sit_down(page, who)
    picture = next_picture(events(page))
    assert len(picture["beds"]) == beds
    assert [bed["patient"].get("name") for bed in picture["beds"]] == names
    assert (NUMBER[-4:] in json.dumps(picture)) == (names == ["张**"])


@pytest.mark.parametrize(
    ("who", "status"),
    [(NURSE, 204), (OF_ANOTHER_WARD, 403), (LOCKED, 403), (OFFICE, 403), (ENGINEER, 403), (AUDITOR, 403),
     (ADMINISTRATOR, 403), (DISPLAY, 403), (TECHNICIAN, 403)],
    ids=lambda each: f"{each.role}" if isinstance(each, Who) else None,
)  # fmt: skip
def test_who_writes_into_a_chart(page: Page, hospital: Hospital, who: Who, status: int) -> None:
    sit_down(page, who)
    with open_store(page.database) as conn:
        row = conn.execute("SELECT (extract(epoch FROM now()) * 1000)::int8").fetchone()
    assert row is not None
    wish = {"act": "enter", "encounter": "V1", "item": "pain", "value": 3, "at": row[0] - 1000}
    found, body = chart_act(page, wish)
    assert found == status
    # Who cares for people is asked for a reason; it opens the page, from which he writes.
    assert body == (b"" if status == 204 else ASK if who == OF_ANOTHER_WARD else REFUSED_BODY)
    with open_store(page.database) as conn:
        written = conn.execute("SELECT count(*) FROM chart_entry").fetchone()
    assert written == (1 if status == 204 else 0,)


def test_each_look_at_a_patient_is_kept_before_it_is_answered(page: Page, hospital: Hospital) -> None:
    sit_down(page, NURSE)
    for path in (*PATIENT, *CHART, *PRINT, *WHOSE):
        assert connect(page, path).status == 200
        connect(page, path).read()
    next_picture(events(page))
    with open_store(page.database) as conn:
        rows = conn.execute(
            "SELECT page, action, relation, encounters, patients FROM look ORDER BY page, action"
        ).fetchall()
    patients = [f"{NUMBER}^HOSP^MR"]
    assert [(page, action) for page, action, *_ in rows] == [
        ("chart", "see"), ("device", "see"), ("patient", "see"), ("sheet", "print"), ("sheet", "see"), ("ward", "see"),
    ]  # fmt: skip
    assert {row[2] for row in rows} == {"own_ward"}
    assert all((row[3], row[4]) == ([STAY], patients) for row in rows)


def test_a_look_that_cannot_be_kept_is_no_look(page: Page, hospital: Hospital) -> None:
    """Nothing of a patient is answered; a tile names nobody."""
    sit_down(page, NURSE)
    with open_store(page.database) as conn:
        conn.execute("ALTER TABLE look RENAME TO look_away")
    assert connect(page, PATIENT[0]).status == 503
    picture = next_picture(events(page))
    assert [bed["patient"] for bed in picture["beds"]] == [{"hidden": True}]


def test_who_is_licensed_by_nobody_has_his_work_confirmed(page: Page, hospital: Hospital) -> None:
    page.sign_in("T1", Role.TRAINEE, licence=Licence.NONE, name="Sun")
    with open_store(page.database) as conn:
        row = conn.execute("SELECT (extract(epoch FROM now()) * 1000)::int8").fetchone()
    assert row is not None
    wish = {"act": "enter", "encounter": "V1", "item": "pain", "value": 3, "at": row[0] - 1000}
    assert chart_act(page, wish) == (204, b"")
    with open_store(page.database) as conn:
        (entry,) = conn.execute("SELECT entry::text FROM chart_entry").fetchall()[0]
    newest = {"entry": entry, "version": 1}
    assert chart_act(page, {"act": "confirm", "entries": [newest]})[0] == 403
    found = json.load(connect(page, f"/chart-entry/{entry}"))["entries"][0]["versions"][-1]
    assert (found["status"], found["by"], found["pending"]) == ("preliminary", "Sun", True)
    page.sign_in("N1", Role.NURSE, name="Wang")
    assert chart_act(page, {"act": "confirm", "entries": [newest]}) == (204, b"")
    versions = json.load(connect(page, f"/chart-entry/{entry}"))["entries"][0]["versions"]
    assert [(v["status"], v["by"], v["pending"]) for v in versions] == [
        ("preliminary", "Sun", True), ("final", "Wang", False),
    ]  # fmt: skip
