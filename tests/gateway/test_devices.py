"""Devices over HTTP: where each stands, who may see and place them, and what becomes of it when somebody does."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from emr_store import acts, places, roles
from emr_store.connect import open_store
from gateway.access.table import AccessTable, read_table
from gateway.access.words import Role
from gateway.asking import REFUSED_BODY
from gateway.pages import devices
from gateway.permission import AccessRefusedError
from gateway.posting import RefusedError
from schemas.report import device_id
from tests.gateway.asking import asking, name_beds
from tests.gateway.test_app import PATIENCE_S, connect
from tests.gateway.ward import Page, Ward
from tests.making import report
from tests.storing import Store, event

PLACED, FREE = "n10:1", "n10:2"
OTHER_WARD = "h^w5"


@pytest.fixture
def page(ward: Ward, page: Page) -> Page:
    """A monitor at ICU-1, another one that nobody registered; a nurse of that ward looks on."""
    for claim in (PLACED, FREE):
        ward.emit(claim, SpO2="97")
    ward.store()
    ward.assign(PLACED, "ICU-1", "监护仪1")
    name_beds(ward.database, {"h^w5^^1": "W5-1"})
    page.sign_in("N1", Role.NURSE)
    return page


def listed(page: Page) -> Any:
    answer = connect(page, "/device-list")
    assert answer.status == 200
    return json.load(answer)


def one(page: Page, claim: str) -> Any:
    (found,) = [each for each in listed(page)["devices"] if each["claim"] == claim]
    return found


def post(page: Page, wish: Any, **headers: str) -> tuple[int, str]:
    """Status and the word of a refusal, as a page of ours would send it."""
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers} | headers
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("POST", "/device-act", wish if isinstance(wish, bytes) else json.dumps(wish).encode(), own)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text)["refused"] if text else ""


def wish(act: str, claim: str = PLACED, shown_bed: str = "ICU-1", **more: Any) -> dict[str, Any]:
    return {"act": act, "device": str(device_id(claim)), "shown_bed": shown_bed, **more}


def us_ago(hours: float) -> int:
    return int((datetime.now(UTC) - timedelta(hours=hours)).timestamp() * 1e6)


def test_each_device_says_where_it_stands_and_when_it_was_heard(page: Page) -> None:
    found = listed(page)
    free, placed = found["devices"]  # nobody registered the first one
    assert (free["claim"], free["bed"], free["registered"], free["since"]) == (FREE, "", None, None)
    assert (placed["name"], placed["bed"], placed["wards"]) == ("监护仪1", "ICU-1", ["h^icu"])
    assert placed["registered"] > placed["since"]
    for each in found["devices"]:
        assert 0 <= found["now"] - each["heard"] < 60_000
        assert [(edge["label"], edge["foreign"]) for edge in each["edges"]] == [("box on ward 3", False)]
        assert each["may_place"] is True


def test_what_another_edge_says_of_a_device_is_marked_and_no_sign_of_its_life(page: Page) -> None:
    before = one(page, PLACED)["heard"]
    Store(page.database, b"O" * 16).emit(event(PLACED, "connected", ""), report(PLACED, 4_000_000_000_000_000))
    found = one(page, PLACED)
    assert [(edge["label"], edge["foreign"]) for edge in found["edges"]] == [("box on ward 3", False), ("box 2", True)]
    assert found["heard"] == before


def test_a_device_is_assigned_moved_renamed_and_released_by_who_is_signed_in(page: Page) -> None:
    assert post(page, wish("assign", FREE, "", bed=" W5-1 ", name="监护仪2", why="admission")) == (204, "")
    found = one(page, FREE)
    assert (found["name"], found["bed"], found["wards"]) == ("监护仪2", "W5-1", [OTHER_WARD])
    assert post(page, wish("move", FREE, "W5-1", bed="corridor")) == (204, "")
    assert (one(page, FREE)["bed"], one(page, FREE)["wards"]) == ("corridor", [])
    assert post(page, wish("rename", FREE, "corridor", name="N10 7")) == (204, "")
    assert post(page, wish("release", FREE, "corridor", why="workshop")) == (204, "")
    assert (one(page, FREE)["name"], one(page, FREE)["bed"]) == ("N10 7", "")
    with open_store(page.database) as conn:
        done = [(act.kind, act.by, act.why) for act in acts.acts(conn) if act.by.startswith("staff:")]
    assert done == [
        ("device.assign", "staff:N1", "admission"), ("device.move", "staff:N1", ""), ("device.rename", "staff:N1", ""),
        ("device.release", "staff:N1", "workshop"),
    ]  # fmt: skip


def test_a_moment_in_the_past_corrects_what_was_believed_since_then(page: Page) -> None:
    two_hours_ago, an_hour_ago = us_ago(2), us_ago(1)
    assert post(page, wish("move", bed="ICU-2", since_us=an_hour_ago)) == (204, "")
    assert post(page, wish("move", shown_bed="ICU-2", bed="ICU-3", since_us=two_hours_ago)) == (204, "")
    answer = connect(page, f"/device-places/{device_id(PLACED)}")
    found = json.load(answer)
    first, last = found["stays"]
    assert (first["bed"], first["until"]) == ("ICU-1", two_hours_ago // 1000)
    assert last == {"bed": "ICU-3", "since": two_hours_ago // 1000, "until": None}
    assert {"label": "W5-1", "wards": [OTHER_WARD]} in found["beds"]
    assert connect(page, f"/device-places/{device_id('x')}").status == 404


def test_what_cannot_be_so_is_refused_in_a_word(page: Page) -> None:
    tomorrow = us_ago(-24)
    long_ago = us_ago(24 * 500)  # before it was on any bed
    cases = [
        (wish("move", bed=" "), 400, "no_bed"),
        (wish("move", bed="x" * 101), 400, "too_long"),
        (wish("move", bed="ICU\n2"), 400, "unreadable"),
        (wish("move", bed="ICU-1"), 400, "same_bed"),
        (wish("move", bed="ICU-2", since_us=tomorrow), 400, "ahead"),
        (wish("move", bed="ICU-2", since_us=long_ago), 400, "on_no_bed"),
        (wish("move", bed="ICU-2", since_us=2**62), 400, "unreadable"),
        (wish("move", bed="ICU-2", shown_bed="ICU-9"), 409, "changed"),
        (wish("move", bed="ICU-2", why="x" * 501), 400, "reason_too_long"),
        (wish("assign", bed="ICU-2"), 400, "on_a_bed"),
        (wish("release", FREE, ""), 400, "on_no_bed"),
        (wish("rename", name=" "), 400, "no_name"),
        (wish("rename", FREE, "", name="N10"), 409, "changed"),  # nobody registered it
        (wish("release", "never heard", ""), 400, "on_no_bed"),
        (wish("assign", "never heard", "", bed="ICU-2"), 409, "changed"),
        ({"act": "burn"}, 400, "unreadable"),
        (b"\xff", 400, "unreadable"),
    ]
    for asked, status, refused in cases:
        assert post(page, asked) == (status, refused), asked
    assert post(page, wish("release"), Origin="http://evil.example") == (403, "not_own")
    with open_store(page.database) as conn:
        assert [act.by for act in acts.acts(conn) if act.by.startswith("staff:")] == []


def test_a_new_device_of_several_edges_belongs_to_the_one_that_is_said(page: Page) -> None:
    Store(page.database, b"O" * 16).emit(event(FREE, "connected", ""), report(FREE))
    asked = wish("assign", FREE, "", bed="ICU-2")
    assert post(page, asked) == (400, "which_edge")
    (other,) = [edge for edge in one(page, FREE)["edges"] if edge["label"] == "box 2"]
    assert post(page, asked | {"edge": other["edge"]}) == (204, "")
    found = one(page, FREE)
    assert {edge["label"]: edge["foreign"] for edge in found["edges"]} == {"box 2": False, "box on ward 3": True}


# --- who may ---------------------------------------------------------------------------------------------------------

ALLOWED = [
    (Role.NURSE, ["h^icu"]), (Role.NURSE, [OTHER_WARD]), (Role.PHYSICIAN, []), (Role.TECHNICIAN, []),
    (Role.BIOMEDICAL_ENGINEER, []),
]  # fmt: skip


def test_who_may_move_a_monitor_moves_it_from_ward_to_ward(page: Page) -> None:
    """It goes from one ward to another with its patient."""
    at, to = "ICU-1", "W5-1"
    for number, (role, wards) in enumerate(ALLOWED):
        page.sign_in(f"P{number}", role, wards)
        assert one(page, PLACED)["may_place"] is True, role
        assert post(page, wish("move", shown_bed=at, bed=to)) == (204, ""), role
        at, to = to, at
    with open_store(page.database) as conn:
        assert [act.by for act in acts.acts(conn) if act.kind == "device.move"] == [
            f"staff:P{number}" for number in range(len(ALLOWED))
        ]


def test_a_trainee_sees_where_monitors_stand_and_moves_none(page: Page) -> None:
    page.sign_in("T1", Role.TRAINEE)
    assert one(page, PLACED)["may_place"] is False
    assert json.load(connect(page, f"/device-places/{device_id(PLACED)}"))["beds"] == []
    for asked in (
        wish("move", bed="ICU-2"),
        wish("release"),
        wish("rename", name="x"),
        wish("assign", FREE, "", bed="b"),
    ):
        assert post(page, asked) == (403, "no_access")
    assert one(page, PLACED)["bed"] == "ICU-1"


def test_whose_business_devices_are_not_sees_and_moves_none(page: Page) -> None:
    for role in (Role.AUDITOR, Role.SECOND_AUDITOR, Role.ADMINISTRATOR, Role.RECORD_OFFICE):
        page.sign_in(role.value, role)
        refuses_everything(page)


def test_a_locked_workstation_shows_and_moves_none(page: Page) -> None:
    page.sign_in("N2", Role.NURSE)
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET locked_at = now()")
    refuses_everything(page)


def refuses_everything(page: Page) -> None:
    for path in ("/device-list", f"/device-places/{device_id(PLACED)}", f"/device-places/{device_id('x')}"):
        answer = connect(page, path)
        assert (answer.status, answer.read()) == (403, REFUSED_BODY)
    for asked in (wish("move", bed="ICU-2"), wish("release"), wish("move", "never heard", bed="ICU-2")):
        assert post(page, asked) == (403, "no_access")
    with open_store(page.database) as conn:
        assert [stay.bed for stay in places.stays(conn, device_id(PLACED))] == ["ICU-1"]


def test_no_name_of_a_patient_is_sent(page: Page) -> None:
    sent = connect(page, "/device-list").read() + connect(page, f"/device-places/{device_id(PLACED)}").read()
    assert b"patient" not in sent
    assert b"encounter" not in sent


@pytest.fixture
def own_ward_alone(monkeypatch: pytest.MonkeyPatch) -> AccessTable:
    """A stricter table than the shipped one: only devices of one's own wards, and those on no ward."""
    shipped = (files("gateway.access") / "access.toml").read_text("utf-8")
    row = 'action = ["see", "place"]\ndata = ["devices"]\nrelation = ["unplaced", "none"]'
    assert shipped.count(row) == 1
    table = read_table(shipped.replace(row, row.replace("none", "own_ward")))
    monkeypatch.setattr("gateway.access.decision.shipped_table", lambda: table)
    return table


def test_both_wards_are_asked_about(page: Page, own_ward_alone: AccessTable) -> None:
    """Also that of a bed where it was believed to stand later than the moment that is said."""
    address = page.database
    here, there = asking(address, "A", Role.NURSE), asking(address, "B", Role.NURSE, [OTHER_WARD])
    both = asking(address, "C", Role.NURSE, ["h^icu", OTHER_WARD])

    def act(who: Any, **asked: Any) -> Any:
        with open_store(address) as conn:
            try:
                devices.act(conn, who, msgspec.convert(wish(**asked), devices.Wish))
            except AccessRefusedError:
                return "no_access"
            except RefusedError as refusal:
                return refusal.word
            return None

    to_there = {"act": "move", "bed": "W5-1", "since_us": us_ago(2)}
    assert act(here, **to_there) == act(there, **to_there) == "no_access"
    assert act(both, **to_there) is None
    back = {"act": "release", "shown_bed": "W5-1", "since_us": us_ago(3)}  # it was at ICU-1 then
    assert act(here, **back) == act(there, **back) == "no_access"
    assert act(here, act="rename", shown_bed="W5-1", name="x") == "no_access"
    assert act(there, act="rename", shown_bed="W5-1", name="x") is None
    with open_store(address) as conn:
        assert [each["claim"] for each in (devices.devices(conn, here) or {})["devices"]] == [FREE]
        assert (devices.places_of_device(conn, there, device_id(PLACED)) or {})["beds"] == [
            {"label": "W5-1", "wards": [OTHER_WARD]}
        ]
    assert act(both, **back) is None


def test_placing_goes_through_the_clerk_alone(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that only reads is told so; nothing is done."""
    monkeypatch.setattr("vitalwire.page.CLERK", roles.READER)
    served = Page(page.database)
    served.sign_in("N3", Role.NURSE)
    served.start()
    try:
        assert one(served, PLACED)["bed"] == "ICU-1"
        assert post(served, wish("release")) == (403, "no_right")
    finally:
        served.stop()
