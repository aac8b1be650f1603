"""The page of access in Chromium: a grant, a shift, a restricted record, custody copies, a second person."""

from __future__ import annotations

import re

import pytest

from emr_store import acts, second_person
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.second_person import Kind
from gateway.access.words import Role
from tests.gateway.asking import name_beds
from tests.gateway.hospital import NUMBER, admit, open_hospital
from tests.gateway.people.test_grant_routes import COPY, ICU, STAY, seal
from tests.gateway.signing_in import hire
from tests.gateway.test_page import CONTRASTS, Look, Tab, chromium, expect, look, screenshot
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
SMALL = """() => [...document.querySelectorAll('#page :is(button, a, input, select)')].filter(b => b.checkVisibility())
    .map(b => [b.id || b.textContent, b.getBoundingClientRect()])
    .filter(([, r]) => r.width < 44 || r.height < 44).map(([text]) => text)"""
WIDER = "() => document.documentElement.scrollWidth > innerWidth"
SAID = {
    "en": {"title": "Access", "stay": "Access to visit V2", "team": "team", "ended": "ended", "menu": "Access",
           "from": "access · visit V2", "nobody": "Nobody of this number works here.", "own": "None beyond my wards.",
           "sides": "hospital: not confirmed yet · patient: confirmed", "kind": "Open a custody copy",
           "archived": "Archived: nobody changes the chart until it is reopened.", "reopened": "Reopened: the chart",
           "command": "vitalwire custody copy VISIT FILE --why REASON",
           "open": "Not archived: the chart may be changed."},
    "zh": {"title": "访问授权", "stay": "就诊 V2 的访问授权", "team": "医疗组", "ended": "已于", "menu": "授权",
           "from": "授权 · 就诊 V2", "nobody": "没有此工号的在职人员。", "own": "除本病区外，无。",
           "sides": "医方：尚未确认 · 患方：已确认", "kind": "启封封存件",
           "archived": "病历已归档：重新开放之前不能修改。", "reopened": "病历已重新开放：可修改至",
           "command": "vitalwire custody copy 就诊号 文件 --why 原因", "open": "病历未归档：可以修改。"},
}  # fmt: skip


@pytest.fixture
def tab(page: Page, look: Look, language: str) -> Tab:
    admit(open_hospital(page.database))
    name_beds(page.database)
    hire(page.database, "N9", Role.NURSE, ("h^3a",), name="李娜")
    with open_store(page.database) as conn:
        conn.execute("UPDATE staff SET pool = %s WHERE staff = 'N9'", ([ICU],))
    return look(language)


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sit_down(tab: Tab, page: Page, staff: str, role: Role, wards: tuple[str, ...]) -> None:
    page.sign_in(staff, role, wards)
    tab.context.clear_cookies()
    tab.context.add_cookies([page.browser_cookie])  # type: ignore[list-item]


def is_well_made(tab: Tab) -> None:
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    assert not tab.evaluate(WIDER)


def test_a_physician_gives_a_relation_and_ends_it(page: Page, look: Look, tab: Tab, language: str) -> None:
    said = SAID[language]
    tab.goto(f"{page.url}/patient/P2#{language}")
    tab.locator("#charts a", has_text=said["from"]).click()
    expect(tab.locator("#title")).to_have_text(said["title"])
    expect(tab.locator("#stay-title")).to_have_text(said["stay"])
    expect(tab.locator("#copies-section")).to_be_hidden()
    expect(tab.locator("#archive-section")).to_be_hidden()
    tab.locator("#give-staff").fill("9")
    tab.locator("#give-hours").select_option("8")
    tab.locator("#give-reason").fill("dialysis tonight")
    tab.locator("#give-go").click()
    expect(tab.locator("#give-refusal")).to_have_text(said["nobody"])
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
    tab.locator("#give-staff").fill("N9")
    tab.locator("#give-go").click()
    rows = tab.locator("#stay-grants .item")
    expect(rows.locator("h3")).to_have_text([f"{said['team']} · 李娜 · N9"])
    expect(rows).to_contain_text("dialysis tonight")
    expect(tab.locator("#give-staff")).to_have_value("")
    is_well_made(tab)
    screenshot(tab, f"grants-stay-{language}.png")
    rows.locator("input").fill("she left")
    rows.locator("input").press("Enter")
    expect(rows).to_contain_text(said["ended"])
    expect(rows.locator("form")).to_be_hidden()


def test_a_nurse_sees_why_she_may_see_and_begins_a_shift(page: Page, tab: Tab, language: str) -> None:
    said = SAID[language]
    tab.goto(f"{page.url}/grants#{language}")
    expect(tab.locator("#own")).to_contain_text(said["own"])
    tab.locator("#stay-number").fill("V2")
    tab.locator("#stay-go").click()
    tab.locator("#give-staff").fill("N9")
    tab.locator("#give-reason").fill("dialysis tonight")
    tab.locator("#give-go").click()
    expect(tab.locator("#stay-grants h3")).to_contain_text("N9")
    sit_down(tab, page, "N8", Role.NURSE, ("h^3a",))  # of the same pool
    with open_store(page.database) as conn:
        conn.execute("UPDATE staff SET pool = %s WHERE staff = 'N8'", ([ICU],))
        conn.execute("UPDATE access_grant SET staff = 'N8'")
    tab.goto(f"{page.url}/#{language}")
    tab.locator("#to-grants", has_text=said["menu"]).click()
    expect(tab.locator("#own h3")).to_contain_text(said["team"])
    for hidden in ("#restricted-section", "#trainees-section", "#second-section", "#of-stay"):
        expect(tab.locator(hidden)).to_be_hidden()
    tab.locator("#shift-ward").select_option(ICU)
    tab.locator("#shift-go").click()
    expect(tab.locator("#shifts h3")).to_have_text("ICU^H")
    is_well_made(tab)
    screenshot(tab, f"grants-mine-{language}.png")
    tab.locator("#own input").fill("it is over")
    tab.locator("#own form button").click()
    expect(tab.locator("#own")).to_contain_text(said["own"])


def test_the_record_office_restricts_reads_lists_and_is_the_second_person(
    page: Page, tab: Tab, language: str
) -> None:  # fmt: skip
    said = SAID[language]
    seal(page.database)
    with open_store(page.database) as conn:
        asked = {"copy": COPY, "part": 1}
        second_person.ask(conn, Kind.CUSTODY_COPY, asked, Author("os:ann@office", "court order 8"))
    sit_down(tab, page, "R1", Role.RECORD_OFFICE, ())
    tab.goto(f"{page.url}/grants#{language}")
    tab.locator("#restrict-patient").fill(NUMBER)
    tab.locator("#restrict-reason").fill("a colleague")
    tab.locator("#restrict-go").click()
    expect(tab.locator("#restricted h3")).to_have_text(NUMBER)
    expect(tab.locator("#shift")).to_be_hidden()  # who has no pool
    request = tab.locator("#second .item")
    expect(request.locator("h3")).to_have_text(said["kind"])
    expect(request).to_contain_text("court order 8")
    is_well_made(tab)
    screenshot(tab, f"grants-office-{language}.png")
    request.locator("button").first.click()
    expect(request).to_contain_text(re.compile("R1 agreed|R1 已同意"))
    expect(request.locator("form")).to_be_hidden()
    tab.locator("#restricted input").fill("she left the hospital")
    tab.locator("#restricted form button").click()
    expect(tab.locator("#restricted h3")).to_be_hidden()
    tab.locator("#stay-number").fill("V2")
    tab.locator("#stay-go").click()
    expect(tab.locator("#copies .item")).to_contain_text(said["sides"])
    expect(tab.locator("#give")).to_be_hidden()
    expect(tab.locator("#copies .item")).to_contain_text(bytes(range(32)).hex())
    is_well_made(tab)
    screenshot(tab, f"grants-copies-{language}.png")


def test_the_record_office_reopens_the_chart_of_an_archived_stay(
    page: Page, look: Look, tab: Tab, language: str
) -> None:  # fmt: skip
    said = SAID[language]
    sit_down(tab, page, "R1", Role.RECORD_OFFICE, ())
    tab.goto(f"{page.url}/grants/V2#{language}")
    expect(tab.locator("#archive-state")).to_have_text(said["open"])
    with open_store(page.database) as conn:
        conn.execute("UPDATE encounter SET discharged_at = now() - interval '8 days' WHERE encounter = %s", (STAY,))
    tab.reload()
    expect(tab.locator("#archive-state")).to_have_text(said["archived"])
    expect(tab.locator("#copies-about")).to_contain_text(said["command"])
    is_well_made(tab)
    screenshot(tab, f"grants-archived-{language}.png")
    tab.locator("#reopen-hours").select_option("24")
    tab.locator("#reopen-reason").fill("a late laboratory result")
    tab.locator("#reopen-go").click()
    expect(tab.locator("#archive-state")).to_contain_text(said["reopened"])
    expect(tab.locator("#reopen-reason")).to_have_value("")
    with open_store(page.database) as conn:
        act = acts.acts(conn)[-1]
    assert (act.kind, act.by, act.why) == ("archive.reopen", "staff:R1", "a late laboratory result")
    screenshot(tab, f"grants-reopened-{language}.png")
