"""Patients on the tiles and the worklist, in Debian's Chromium; VITALWIRE_SCREENSHOTS=docs makes the pictures anew."""

from __future__ import annotations

import time
from typing import Any

import pytest

from clinical.worklist import WORDS, ItemKind
from gateway.access.words import Role
from schemas.adt import Person
from tests.adt import BASE_US, group
from tests.attributing import SITE, Hospital
from tests.gateway.asking import name_beds
from tests.gateway.hospital import NUMBER, admit, disagree, open_hospital
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot
from tests.gateway.ward import PHYSICIAN, Page, Ward
from tests.storing import Store

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
QUESTION = WORDS[ItemKind.BED_AND_MONITOR_DISAGREE]


@pytest.fixture
def hospital(ward: Ward) -> Hospital:
    name_beds(ward.database)
    return open_hospital(ward.database)


def patient(tab: Any, bed: str = "ICU-1") -> Any:
    return tab.locator(f'[data-bed="{bed}"] .patient')


def test_who_is_in_the_bed_is_shown_in_part_and_in_whole_on_demand(hospital: Hospital, look: Look) -> None:
    tab = look()
    expect(patient(tab)).to_be_hidden()  # no admission office has spoken yet
    expect(tab.locator("#adt")).to_have_text("")
    admit(hospital)
    line = patient(tab)
    expect(line.locator("b")).to_have_text("张** …2345")
    expect(line.locator(".day")).to_contain_text("day ")
    expect(tab.locator("#adt")).to_contain_text("Last ADT")
    assert "张三" not in tab.content()
    assert NUMBER not in tab.content()
    line.focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#detail dd").filter(has_text=f"张三 · {NUMBER}")).to_have_count(1)
    expect(tab.locator("#detail")).to_contain_text("by the bed alone")
    expect(tab.locator("#detail")).to_contain_text("ADT A01")
    tab.keyboard.press("Escape")
    tab.locator('[data-bed="ICU-1"] .value').first.click()
    expect(tab.locator("#detail dd").filter(has_text=f"张三 · {NUMBER}")).to_have_count(1)
    tab.keyboard.press("Escape")
    tab.locator("#language").click()
    expect(line.locator(".day")).to_contain_text("天")
    expect(tab.locator("#adt")).to_contain_text("最近 ADT 消息")


def test_absence_and_every_doubt_have_words_and_the_numbers_stay(hospital: Hospital, look: Look) -> None:
    admit(hospital)
    tab = look()
    shown = patient(tab)
    number = tab.locator('[data-bed="ICU-1"] .value .number')
    expect(shown.locator("b")).to_have_text("张** …2345")
    numbers = number.all_inner_texts()
    assert numbers
    disagree(hospital)
    expect(shown.locator("b")).to_have_text("?")
    expect(shown).to_contain_text("bed and monitor disagree")
    expect(tab.locator("#to-worklist")).to_have_text("Worklist (1)")
    assert number.all_inner_texts() == numbers
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def test_who_is_away_keeps_the_bed_and_two_in_one_bed_are_both_named(hospital: Hospital, look: Look) -> None:
    admit(hospital)
    tab = look("zh")
    hospital.emit_records([group("A21", 60, patient=NUMBER)])
    expect(patient(tab)).to_contain_text("请假")
    hospital.emit_records([group("A22", 90, patient=NUMBER), group("A09", 120, patient=NUMBER)])
    expect(patient(tab)).to_contain_text("外出")
    hospital.emit_records([group("A10", 150, patient=NUMBER), group("A02", 200, visit="V2", patient="P2")])
    expect(patient(tab)).to_contain_text("同一床位两名患者")
    expect(patient(tab).locator("b")).to_contain_text("张** …2345")
    expect(patient(tab).locator("b")).to_contain_text("李** …P2")


def test_an_item_is_dealt_with_by_one_gesture(hospital: Hospital, page: Page, look: Look) -> None:
    admit(hospital)
    disagree(hospital)
    hospital.emit_records([group("A02", 30, visit="V2", patient="P2", bed="?")])
    tab = look()
    page.sign_in("R1", Role.RECORD_OFFICE)  # who is on no ward that is known is nobody else's
    tab.context.add_cookies([page.browser_cookie])
    tab.locator("#to-worklist").click()
    items = tab.locator(".item")
    expect(items).to_have_count(2)
    asked = items.filter(has_text=QUESTION.en)
    expect(asked).to_contain_text("ICU-1")
    expect(asked).to_contain_text("P2 (HOSP)")
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    hidden = items.filter(has_text="registered").locator(".right")
    expect(hidden).to_be_hidden()
    assert tab.evaluate(SMALL) == []
    screenshot(tab, "worklist.png")
    tab.locator("#language").click()
    expect(items.filter(has_text=QUESTION.zh)).to_have_count(1)
    screenshot(tab, "worklist-zh.png")
    tab.locator("#language").click()
    asked.locator(".right").focus()
    tab.keyboard.press("Enter")
    expect(items).to_have_count(1)
    expect(items.first.locator("h2")).to_be_focused()
    hospital.attribute()
    items.first.locator("input").fill("gave it an alias")
    tab.keyboard.press("Enter")
    expect(tab.locator("#empty")).to_have_text("Nothing is asked.")
    page.sign_in(PHYSICIAN, Role.PHYSICIAN)
    tab.context.add_cookies([page.browser_cookie])
    tab.locator("#to-ward").click()
    expect(patient(tab).locator("b")).to_have_text("张** …2345")


def test_what_somebody_else_dealt_with_is_refused_in_plain_words(hospital: Hospital, page: Page, look: Look) -> None:
    admit(hospital)
    disagree(hospital)
    tab = look()
    tab.goto(f"{page.url}/worklist#en")
    expect(tab.locator(".item")).to_have_count(1)
    tab.route("**/worklist/items", lambda route: route.abort())  # as if the list were some seconds old
    status = tab.evaluate("""async () => {
        const [id] = document.querySelector('.item h2').id.match(/\\d+/);
        const { csrf } = await (await fetch('/me')).json();
        const headers = { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf };
        return (await fetch(`/worklist/${id}/resolve`, { method: 'POST', headers, body: '{"why": "faster"}' })).status;
    }""")
    assert status == 204
    tab.locator(".item .right").click()
    expect(tab.locator(".item .refusal")).to_have_text(
        "This is not asked any more: somebody was faster, or it mended itself."
    )
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal, and the list that was held back


def test_a_ward_with_its_patients(ward: Ward, look: Look) -> None:
    """The picture for those who read of it."""
    hospital = Hospital(Store(ward.database, b"O" * 16), SITE)
    beds = {1: ("张三", "00012345"), 2: ("李四", "00023456"), 3: ("欧阳明", "00034567"), 4: ("", "00045678")}
    for bed in range(1, 7):
        ward.emit(f"n10:{bed}", HR=str(60 + bed), SpO2="97", RR="14", T="36.8", NIBP_S="124", NIBP_D="78")
    ward.store()
    for bed in range(1, 7):
        ward.assign(f"n10:{bed}", f"ICU-{bed}", f"监护仪{bed}")
    ago = time.time() - BASE_US / 1e6  # so that a stay is one of this week
    for bed, (name, number) in beds.items():
        person = Person(name=name) if name else Person(family="Ruiz", given="Ana Maria")
        hospital.emit(group("A01", ago - bed * 86_400, visit=f"V{bed}", patient=number, bed=str(bed)), person=person)
    hospital.emit(group("A21", ago - 7200, visit="V2", patient="00023456", bed="2"))
    hospital.emit(group("A01", ago - 600, visit="V9", patient="00099999", bed="3"), person=Person(name="王五"))
    hospital.emit(group("A01", ago - 90_000, visit="V6", patient="00066666", bed="6"), person=Person(name="赵六"))
    hospital.emit(group("A03", ago - 1800, visit="V6", patient="00066666", bed="6"))
    hospital.attribute()
    for language, name in (("en", "page-patients.png"), ("zh", "page-patients-zh.png")):
        tab = look(language)
        expect(patient(tab, "ICU-4").locator("b")).to_have_text("R. A. M. …5678")
        expect(patient(tab, "ICU-5").locator("b")).to_have_text("nobody" if language == "en" else "无人")
        assert tab.evaluate(SMALL) == []
        assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
        screenshot(tab, name)
