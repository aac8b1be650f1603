"""A system that polls misses nothing, gets nothing twice in one state, and is told what it asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from emr_store import chart_acts
from emr_store.acts import Author
from emr_store.chart_acts import Person as Writer
from emr_store.chart_sequence import sequence
from emr_store.emr_views import VitalSign
from gateway.emr_rest import LIMIT_MAX, PATH, QUERY_CHARS_MAX
from tests.gateway.chart_ward import MINUTE_US, NURSE, ChartWard, said
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

SPO2, TEMP = "MDC_PULS_OXIM_SAT_O2", "MDC_TEMP"
NURSE_WHY = Writer(Author("os:nurse@ward", "探头松脱"), "李娜")


def a_stay(database: str) -> ChartWard:
    """Two hours, three values of SpO2 and one temperature, all in the order of COMMIT."""
    ward = ChartWard(database, hours=2)
    ward.emit([said(ward.since_us + minute * MINUTE_US, {SPO2: str(80 + minute)}) for minute in (1, 6, 11)])
    ward.emit([said(ward.since_us + 12 * MINUTE_US, {TEMP: "36.50"})])
    ward.chart()
    put_in_order(ward)
    return ward


@pytest.fixture(scope="module")
def stay(module_database: str) -> ChartWard:
    """Nobody changes it."""
    return a_stay(module_database)


@pytest.fixture(scope="module")
def page(stay: ChartWard) -> Iterator[Page]:
    """Of that stay."""
    served = Page(stay.store.address)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def changing_page(database: str) -> Iterator[Page]:
    """Of a stay of its own."""
    served = Page(database)
    served.start()
    yield served
    served.stop()


def put_in_order(ward: ChartWard) -> None:
    with ward.store.open() as conn:
        sequence(conn)


def asked(page: Page, query: str = "", status: int = 200) -> Any:
    answer = connect(page, PATH + query)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    return json.load(answer)


def polled(page: Page, since: str, limit: int) -> tuple[list[dict[str, Any]], str]:
    """All that is there, and the cursor behind it."""
    rows, more = [], True
    while more:
        found = asked(page, f"?since={since}&limit={limit}")
        rows += found["vital_signs"]
        since, more = found["next"], found["more"]
    return rows, since


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_poller_gets_each_entry_once_in_pages_of_any_size(stay: ChartWard, page: Page, limit: int) -> None:
    rows, cursor = polled(page, "0", limit)
    assert sorted((row["item"], row["value_text"]) for row in rows) == [
        (SPO2, "81"), (SPO2, "86"), (SPO2, "91"), (TEMP, "36.50"),
    ]  # fmt: skip
    assert len({row["entry"] for row in rows}) == 4
    assert polled(page, cursor, limit) == ([], cursor)
    assert asked(page, "?since=latest") == {"vital_signs": [], "next": cursor, "more": False}


def test_a_row_has_every_column_of_the_view(stay: ChartWard, page: Page) -> None:
    row = next(row for row in asked(page)["vital_signs"] if row["item"] == TEMP)
    columns = stay.store.rows(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'emr_vital_sign'::regclass AND attnum > 0"
        " ORDER BY attnum"
    )
    assert list(row) == [name for (name,) in columns] == list(VitalSign.__struct_fields__)
    assert (row["patient_number"], row["patient_name"], row["visit_number"]) == ("00012345", "张三", "V1")
    assert (row["data_element"], row["unit_zh"], row["value"]) == ("DE04.10.186.00", "℃", 36.5)
    assert row["observed_at"].endswith("Z")


def test_what_changes_comes_again_as_it_stands_and_only_so(changing_page: Page) -> None:
    page, stay = changing_page, a_stay(changing_page.database)
    _, cursor = polled(page, "0", 100)
    first, second, *_ = [entry.entry for entry in stay.entries() if entry.key.item == SPO2]
    with stay.store.open() as conn:
        chart_acts.confirm(conn, first, NURSE)
        chart_acts.correct(conn, first, 95, "", NURSE_WHY)
        chart_acts.withdraw(conn, second, NURSE_WHY)
    assert polled(page, cursor, 100) == ([], cursor)  # committed, but not in the order yet
    put_in_order(stay)
    rows, cursor = polled(page, cursor, 1)
    assert [(row["entry"], row["version"], row["status"], row["value"], row["confirmed_by"]) for row in rows] == [
        (first, 3, "amended", 95, "李娜"), (second, 2, "entered-in-error", None, "李娜"),
    ]  # fmt: skip
    rows, _ = polled(page, "0", 3)
    assert len({row["entry"] for row in rows}) == len(rows) == 4


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?limit=0", "limit"), (f"?limit={LIMIT_MAX + 1}", "limit"), ("?limit=many", "limit"), ("?limit=", "limit"),
        ("?limit=-1", "limit"), ("?limit=%EF%BC%91", "limit"), ("?since=", "since"), ("?since=-1", "since"),
        ("?since=yesterday", "since"), ("?since=1&since=2", "since"), ("?since=" + "9" * 19, "since"),
        ("?since=99999", "since"), ("?from=0", "from"), ("?since=0&limit=1&Limit=2", "Limit"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_the_parameter_s_name(
    stay: ChartWard, page: Page, query: str, parameter: str
) -> None:
    found = asked(page, query, 400)
    assert found["parameter"] == parameter
    assert found["error"].startswith(f"{parameter}: ")


def test_a_query_has_an_end(page: Page) -> None:
    assert asked(page, "?since=" + "0" * QUERY_CHARS_MAX, 414) == {"error": "a query has at most 1024 characters"}


def test_another_s_name_for_this_address_gets_nothing(stay: ChartWard, page: Page) -> None:
    assert connect(page, PATH, host="emr.example").status == 400
