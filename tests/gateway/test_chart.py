"""The chart over HTTP: what stands in it, and what people may do to it, and who may not."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from clinical.chart import Entry, Origin, Status
from emr_store import chart_entries
from tests.adt import group
from tests.conftest import Databases
from tests.gateway.chart_ward import ENCOUNTER, MINUTE_US, NUMBER, ChartWard, said
from tests.gateway.test_app import PATIENCE_S, connect
from tests.gateway.ward import Page

SPO2, ETCO2 = "MDC_PULS_OXIM_SAT_O2", "MDC_CONC_AWAY_CO2_ET"


@pytest.fixture(scope="module")
def made_once(module_database: str) -> ChartWard:
    """Two hours, SpO2 at the fourth minute of the first one."""
    ward = ChartWard(module_database, hours=2)
    ward.emit([said(ward.since_us + 4 * MINUTE_US, {SPO2: "97"})])
    ward.chart()
    ward.store.hang_up()
    return ward


@pytest.fixture
def database(databases: Databases, made_once: ChartWard) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def stay(made_once: ChartWard, database: str) -> ChartWard:
    return made_once.in_copy(database)


def asked(page: Page, path: str, status: int = 200) -> Any:
    answer = connect(page, path)
    assert answer.status == status
    return json.load(answer)


def act(page: Page, wish: Any, **headers: str) -> tuple[int, str]:
    """Status and the word of a refusal, as a page of ours would send it; "" takes a header away."""
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers}
    sent = own | {name.replace("_", "-").title(): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    connection.request("POST", "/chart-act", body, {name: value for name, value in sent.items() if value})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text)["refused"] if text else ""


def only(stay: ChartWard) -> Entry:
    (entry,) = [entry for entry in stay.entries() if entry.key.item == SPO2]
    return entry


def on(entry: Entry, deed: str, **more: Any) -> dict[str, Any]:
    return {"act": deed, "entries": [{"entry": entry.entry, "version": entry.now.number}], **more}


def test_a_column_has_what_is_charted_from_its_label_on(stay: ChartWard, page: Page) -> None:
    found = asked(page, "/chart-sheet/60/12/0/V1")
    assert (found["name"], found["number"], found["encounter"]) == ("张三", "00012345", ENCOUNTER)
    (row,) = [row for row in found["rows"] if row["item"] == SPO2]
    assert (row["unit"], row["system"]["zh"], row["asked"]) == ("%", "呼吸", True)
    (column,) = row["cells"]
    assert found["columns"][int(column)] == stay.since_us // 1000
    cell = row["cells"][column]
    assert (cell["en"], cell["status"], cell["at"]) == ("97", "preliminary", (stay.since_us + 5 * MINUTE_US) // 1000)
    assert len(asked(page, "/chart-sheet/5/24/0/V1")["columns"]) == 288
    earlier = asked(page, f"/chart-sheet/60/12/{stay.since_us // 1000 - 60_000}/V1")
    assert all(row["cells"] == {} for row in earlier["rows"])


@pytest.mark.parametrize("path", ["/chart-sheet/60/12/0/V9", "/chart-sheet/7/12/0/V1", "/chart-sheet/60/13/0/V1",
    "/chart-gap/mood/0/60/V1", "/chart-entry/00000000-0000-0000-0000-000000000000"])  # fmt: skip
def test_what_is_not_there_is_not_found(stay: ChartWard, page: Page, path: str) -> None:
    asked(page, path, 404)


def test_an_entry_has_its_versions_and_the_batch_it_came_in(stay: ChartWard, page: Page) -> None:
    entry = only(stay)
    assert act(page, on(entry, "confirm")) == (204, "")
    assert act(page, on(only(stay), "correct", value=95, why="探头松脱")) == (204, "")
    (found,) = asked(page, f"/chart-entry/{entry.entry}")["entries"]
    versions = [(v["number"], v["status"], v["en"], v["by"], v["reason"]["zh"]) for v in found["versions"]]
    assert versions == [
        (1, "preliminary", "97", "", "最后一个有效值"), (2, "final", "97", "Li", "最后一个有效值"),
        (3, "amended", "95", "Li", "探头松脱"),
    ]  # fmt: skip
    (source,) = found["versions"][0]["sources"]
    assert asked(page, f"/batch/{source['batch']}")["batch_id"] == source["batch"]


def test_an_empty_slot_says_why(stay: ChartWard, page: Page) -> None:
    at_ms = (stay.since_us + 30 * MINUTE_US) // 1000
    found = asked(page, f"/chart-gap/{SPO2}/{at_ms}/5/V1")
    assert found["gaps"][0]["zh"]
    assert found["gaps"][0]["until"] == at_ms
    (none,) = asked(page, f"/chart-gap/MDC_CONC_GLU_GEN/{at_ms}/5/V1")["gaps"]
    assert none["reason"] == "no policy"
    (each,) = asked(page, f"/chart-gap/MDC_PRESS_BLD_NONINV_SYS/{at_ms}/60/V1")["gaps"]
    assert each["en"].startswith("It is charted whenever")


def test_what_is_charted_on_demand_is_taken_by_a_press(stay: ChartWard, page: Page) -> None:
    at_ms = (stay.since_us + 60 * MINUTE_US) // 1000
    take = {"act": "take", "encounter": ENCOUNTER, "item": ETCO2, "at": at_ms}
    found = asked(page, f"/chart-gap/{ETCO2}/{at_ms}/5/V1")
    assert (found["take"], found["gaps"][0]["reason"]) == ({"at": at_ms}, "on demand")
    now_ms = stay.now_us // 1000 // 3_600_000 * 3_600_000
    assert asked(page, f"/chart-gap/{ETCO2}/{now_ms}/60/V1")["take"] == {"at": 0}
    assert "take" not in asked(page, f"/chart-gap/{SPO2}/{at_ms}/5/V1")
    assert act(page, take) == (400, "nothing_measured")
    stay.emit([said(stay.since_us + 57 * MINUTE_US, {ETCO2: "38"})])
    stay.chart()
    assert act(page, take | {"item": SPO2}) == (400, "not_on_demand")
    assert act(page, take | {"at": now_ms + 86_400_000}) == (400, "ahead")
    assert act(page, take) == (204, "")
    assert act(page, take) == (409, "taken")
    (taken,) = [entry for entry in stay.entries() if entry.key.item == ETCO2]
    assert (taken.now.value, taken.now.origin, taken.now.status) == (38, Origin.DEVICE, Status.PRELIMINARY)
    assert taken.now.act_id is not None
    stay.emit([said(stay.now_us - MINUTE_US, {ETCO2: "41"})])
    assert act(page, take | {"at": 0}) == (204, "")


def test_the_proposal_that_is_accepted_is_the_one_that_was_shown(stay: ChartWard, page: Page) -> None:
    stay.confirm(only(stay))
    stay.emit([said(stay.since_us + 4 * MINUTE_US + 20_000_000, {SPO2: "88"})])
    stay.chart()
    (found,) = asked(page, f"/chart-entry/{only(stay).entry}")["entries"]
    seen = found["proposed"]["sources"][0]
    assert act(page, on(only(stay), "accept")) == (409, "changed")
    stay.emit([said(stay.since_us + 4 * MINUTE_US + 40_000_000, {SPO2: "90"})])
    stay.chart()
    assert act(page, on(only(stay), "accept", source=seen)) == (409, "changed")
    assert only(stay).now.value == 97
    (found,) = asked(page, f"/chart-entry/{only(stay).entry}")["entries"]
    assert act(page, on(only(stay), "accept", source=found["proposed"]["sources"][0])) == (204, "")
    newest = only(stay).now
    assert (newest.value, newest.origin, newest.status) == (90, Origin.DEVICE, Status.AMENDED)
    assert act(page, on(only(stay), "accept", source=seen)) == (409, "changed")


def test_what_is_confirmed_is_what_was_shown(stay: ChartWard, page: Page) -> None:
    entry = only(stay)
    stay.emit([said(stay.since_us + 4 * MINUTE_US + 30_000_000, {SPO2: "88"})])
    stay.chart()
    assert only(stay).now.value == 88
    assert act(page, on(entry, "confirm")) == (409, "changed")
    assert only(stay).now.status is Status.PRELIMINARY
    assert act(page, on(only(stay), "confirm")) == (204, "")


def test_one_that_cannot_be_confirmed_keeps_its_column(stay: ChartWard, page: Page) -> None:
    stay.emit([said(stay.since_us + 9 * MINUTE_US, {SPO2: "96"})])
    stay.chart()
    first, second = (entry for entry in stay.entries() if entry.key.item == SPO2)
    stay.confirm(second)
    both = on(first, "confirm") | {"entries": [
        {"entry": first.entry, "version": 1}, {"entry": second.entry, "version": 2},
    ]}  # fmt: skip
    assert act(page, both) == (409, "confirmed_already")
    with stay.store.open() as conn:
        assert chart_entries.find_entry(conn, first.entry).entry.now.status is Status.PRELIMINARY


def test_what_cannot_be_written_is_refused_in_a_word(stay: ChartWard, page: Page) -> None:
    entry, now_ms = only(stay), stay.now_us // 1000
    hand = {"act": "enter", "encounter": ENCOUNTER, "item": "pain", "value": 3, "at": now_ms}
    for wish, refused in (
        (hand | {"value": 11}, "not_possible"),
        (hand | {"item": "mood"}, "unreadable"),
        (hand | {"by": "Wang"}, "unreadable"),
        (hand | {"at": now_ms + 86_400_000}, "ahead"),
        (hand | {"at": 10**17}, "ahead"), (hand | {"at": 0}, "before_the_stay"),
        (hand | {"why": "x" * 501}, "reason_too_long"),
        (on(entry, "correct", value=95), "no_reason"), (on(entry, "withdraw", why=" "), "no_reason"),
        (on(entry, "correct", value=950, why="x"), "not_possible"),
        (on(entry, "correct", value=97, why="x"), "says_so_already"),
        ({"act": "confirm"}, "unreadable"), (b"no json", "unreadable"),
        ({"act": "erase"}, "unreadable"),
    ):  # fmt: skip
        assert act(page, wish) == (400, refused), wish
    assert act(page, hand | {"encounter": "V9"}) == (403, "no_access")  # as of one that is not there for this person
    assert act(page, hand) == (204, "")
    assert act(page, hand) == (409, "taken")
    assert act(page, on(entry, "withdraw", why="of the next bed")) == (204, "")
    gone = on(only(stay), "confirm")
    assert act(page, gone) == (409, "in_error")
    assert act(page, b"x" * 40_000) == (413, "reason_too_long")


def test_no_other_site_s_page_can_write(stay: ChartWard, page: Page) -> None:
    confirm = on(only(stay), "confirm")
    for headers in (
        {"origin": "http://evil.example"}, {"origin": ""}, {"content_type": "text/plain"},
        {"sec_fetch_site": "cross-site"},
    ):  # fmt: skip
        assert act(page, confirm, **headers) == (403, "not_own")
    assert only(stay).now.status is Status.PRELIMINARY


def test_items_by_hand_have_their_form(page: Page) -> None:
    items = {item["item"]: item["form"] for item in asked(page, "/chart-items")["items"]}
    assert [choice["zh"] for choice in items["acvpu"]["choices"]] == [
        "清醒",
        "意识模糊",
        "呼唤有反应",
        "疼痛有反应",
        "无反应",
    ]
    assert (items["pain"]["kind"], items["pain"]["low"], items["pain"]["high"]) == ("number", 0, 10)


def test_what_turned_out_to_be_another_s_is_said_to_be_disputed(stay: ChartWard, page: Page) -> None:
    stay.confirm(only(stay))
    began = stay.second(stay.since_us)
    stay.hospital.emit_records([group("A02", began + 7_000, happened=began + 60, patient=NUMBER, bed="2")])
    stay.chart()
    found = asked(page, "/chart-sheet/60/12/0/V1")
    (row,) = [row for row in found["rows"] if row["item"] == SPO2]
    (cell,) = row["cells"].values()
    assert (found["disputed"], cell["disputed"], cell["status"]) == (1, True, "final")
    (whole,) = asked(page, f"/chart-entry/{cell['entry']}")["entries"]
    assert whole["disputed"] is True
    assert act(page, on(only(stay), "withdraw", why="of the next bed")) == (204, "")
    stay.chart()
    assert asked(page, "/chart-sheet/60/12/0/V1")["disputed"] == 0
