"""A patient's page in Debian's Chromium: what is and was believed, and trends whose gaps are gaps."""

from __future__ import annotations

import re
import time
from itertools import combinations, pairwise
from typing import Any

import pytest

from emr_store import patient_acts
from schemas.adt import Person
from tests.adt import BASE_US, group
from tests.attributing import Hospital
from tests.gateway.hospital import NUMBER
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot
from tests.gateway.ward import Page, Ward
from tests.storing import Store

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
INK = """plot => {
    const canvas = plot.querySelector('canvas'), { width, height } = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const columns = [];
    for (let x = 0; x < width; x++) {
        let green = 0;
        for (let y = 0; y < height; y++) {
            const i = 4 * (y * width + x);
            if (data[i + 3] && data[i + 1] > 1.5 * data[i] && data[i + 1] > data[i + 2]) green++;
        }
        columns.push(green);
    }
    return columns;
}"""


@pytest.fixture
def hospital(ward: Ward) -> Hospital:
    """Two hours of a patient, without the half hour in the middle; the bed changed late."""
    made = Hospital(Store(ward.database, b"O" * 16))
    for minute in range(120, 0, -1):
        if not 45 < minute < 75:
            ward.emit("n10:1", ago_s=minute * 60, HR=str(70 + minute % 9), SpO2=str(95 + minute % 4))
            ward.emit("n10:1", ago_s=minute * 60 - 30, HR=str(76 + minute % 9), SpO2="96")
    ward.store()
    ward.summarise()
    ward.assign("n10:1", "ICU-1", "监护仪1")
    ago = time.time() - BASE_US / 1e6
    person = Person(name="张三", birth_date="19570311", sex="M")
    made.emit(group("A01", ago - 7500, patient=NUMBER, admitted=ago - 90_000, bed="2"), person=person)
    made.attribute()
    made.emit_records([group("A02", ago - 3000, happened=ago - 7200, patient=NUMBER)])
    ward.alarm("n10:1", "HR", "HR 134 > 120", "high")
    return made


def test_a_patient_has_a_history_and_trends(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    tab = look()
    tab.locator('[data-bed="ICU-1"] .patient').click()
    tab.locator("#detail a", has_text="history and trends").click()
    expect(tab.locator("#title")).to_have_text("张三")
    expect(tab.locator("#who")).to_contain_text(f"{NUMBER} · 1957-03-11 · male · visit V1")
    beds = tab.locator("#beliefs section").first.locator("tbody tr")
    expect(beds).to_have_count(3)  # where he is, where he was, and what was believed until the late message came
    expect(beds.filter(has_text="believed")).to_have_count(1)
    expect(beds.first).to_contain_text("ADT A02")
    rate = tab.locator(".trend", has_text="HR")
    expect(rate.locator("canvas")).to_have_count(1)
    expect(rate.locator("p")).to_contain_text("1 gap")
    expect(rate.locator(".plot")).to_have_attribute("aria-label", rate.locator("p").inner_text())
    columns = rate.locator(".plot").evaluate(INK)
    inked = [x for x, green in enumerate(columns) if green > 2]
    gaps = [b - a for a, b in pairwise(inked) if b - a > len(columns) / 20]
    assert len(gaps) == 1  # what is not there is not drawn over
    tab.locator("#windows button", has_text="1 h").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#windows [aria-pressed=true]")).to_have_text("1 h")
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    tab.locator("#windows button", has_text="stay").click()
    expect(tab.locator("#windows [aria-pressed=true]")).to_have_text("the stay")
    expect(rate.locator("p")).to_contain_text("1 gap")
    screenshot(tab, "patient.png")
    tab.locator("#language").click()
    expect(tab.locator("#windows [aria-pressed=true]")).to_have_text("本次住院")
    expect(rate.locator("p")).to_contain_text("1 处空白")
    screenshot(tab, "patient-zh.png")


LABELS = "plot => plot.chart.labels.map(({ text, row, from, to }) => [text, row, from, to])"


def apart(labels: list[list[Any]]) -> bool:
    """Whether none lies on another."""
    return all(a[1] != b[1] or a[3] <= b[2] or b[3] <= a[2] for a, b in combinations(labels, 2))


def test_a_value_alone_is_drawn(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    """As a pressure of every quarter of an hour is: no line leads to it."""
    ward.emit("n10:1", ago_s=3600, HR="74")
    ward.store()
    ward.summarise()
    tab = look()
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    rate = tab.locator(".trend", has_text="HR")
    expect(rate.locator("p")).to_contain_text("2 gaps")
    columns = rate.locator(".plot").evaluate(INK)
    inked = [x for x, green in enumerate(columns) if green > 2]
    assert len([b - a for a, b in pairwise(inked) if b - a > len(columns) / 30]) == 2


def test_the_worklist_s_questions_are_counted(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    hospital.emit(group("A03", time.time() - BASE_US / 1e6, visit="V77", patient="P77"))
    hospital.attribute()
    with hospital.store.open() as conn:
        asked = patient_acts.open_questions(conn)
    assert asked
    tab = look()
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    expect(tab.locator("#to-worklist")).to_have_text(f"Worklist ({asked})")


def test_labels_on_the_axis_do_not_touch(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    ago = time.time() - BASE_US / 1e6
    for seconds in (7100, 7000, 6900, 6800, 6700, 300, 280):
        hospital.emit(group("A08", ago - seconds, patient=NUMBER))
    hospital.attribute()
    tab = look()
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    for hours, marks in ((1, 3), (4, 10), (24, 10)):
        tab.locator("#windows button", has_text=re.compile(f"^{hours} h$")).click()
        plot = tab.locator(".trend", has_text="HR").locator(".plot")
        expect(plot.locator("canvas")).to_have_count(1)
        expect(plot).to_have_attribute("data-marks", str(marks))
        labels = plot.evaluate(LABELS)
        assert apart(labels), labels
        of_labels = [int(text[1:]) if text.startswith("+") else 1 for text, *_ in labels]
        assert sum(of_labels) == marks  # of those in sight none is left out
        assert "***" in [text for text, *_ in labels]  # an alarm is not the one that is only counted
        screenshot(tab, f"patient-labels-{hours}.png")


def test_labels_that_have_no_room_are_counted(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    tab = look()
    found = tab.evaluate("""async () => {
        const { layOut } = await import(new URL("labels.mjs", document.querySelector("script[type=module]").src));
        const marks = [990, 14, 10, 12, 16, 500].map(x => ({ x, text: "A01" }));
        const placed = layOut(marks, text => 8 * text.length, 0, 1000, 2);
        return placed.map(({ text, row, from, to }) => [text, row, from, to]);
    }""")
    assert found == [
        ["A01", 0, 962, 986], ["A01", 0, 18, 42], ["A01", 1, 14, 38], ["A01", 0, 504, 528], ["+2", 2, 16, 40],
    ]  # fmt: skip


def test_who_is_not_there_is_said_so(ward: Ward, page: Page, hospital: Hospital, look: Look) -> None:
    tab = look()
    tab.goto(f"{page.url}/patient/nobody#en")
    expect(tab.locator("#problem")).to_contain_text("No patient has this number")
    look.printed.clear()  # type: ignore[attr-defined]  # 404, as it should be
