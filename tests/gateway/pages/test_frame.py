"""Every page has the one head and the one bar; its own are its fragment and its script."""

from __future__ import annotations

import re

import pytest

from gateway.app import PAGES
from gateway.page_script import page_script
from gateway.pages.frame import FRAME, LIBRARIES, Page
from gateway.static_files import shipped_files

STATIC = shipped_files()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.noun)
def test_a_page_is_the_frame_with_its_fragment_and_its_script(page: Page) -> None:
    html = page.html(STATIC).decode()
    assert html.count("<!doctype html>") == html.count("<head>") == html.count("<main") == 1
    assert "$" not in html
    (script,) = re.findall(r'<script type="module" src="([^"]+)" blocking="render"></script>', html)
    assert STATIC.served()[script] == (page_script(f"{page.noun}.mjs", STATIC.found), "text/javascript")
    assert STATIC.found[f"{page.noun}.html"].decode() in html
    for element in ("to-ward", "to-worklist", "find-number", "help", "language"):
        assert html.count(f'id="{element}"') == 1
    for name, tags in LIBRARIES.items():
        assert (tags in html) == (name in page.libraries)


def test_a_page_asks_for_one_script_however_many_modules_it_has() -> None:
    page = next(page for page in PAGES if page.noun == "worklist")
    assert re.findall(r'"(/static/[^"]+)"', page.html(STATIC).decode()) == [
        f"{STATIC.folder}/worklist-page.mjs", f"{STATIC.folder}/style.css",
    ]  # fmt: skip


def test_no_fragment_has_a_head_of_its_own() -> None:
    whole = {name for name, content in STATIC.found.items() if name.endswith(".html") and b"<head>" in content}
    assert whole == {FRAME}


def test_a_page_without_its_fragment_is_refused() -> None:
    with pytest.raises(KeyError):
        Page("nowhere", "/nowhere").html(STATIC)
