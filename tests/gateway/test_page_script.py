"""A page's modules in one file: in the order in which they run, each with what it keeps to itself."""

from __future__ import annotations

import re

import pytest

from gateway.app import PAGES
from gateway.page_script import page_script
from gateway.pages.frame import Page
from gateway.static_files import shipped_files

STATIC = shipped_files()
# Of every window: a module that means one of these would be given what another one exports.
OF_WINDOWS = frozenset({
    "alert", "atob", "blur", "btoa", "caches", "close", "closed", "confirm", "crypto",
    "document", "event", "external", "fetch", "find", "focus", "frames", "history", "innerHeight",
    "innerWidth", "length", "localStorage", "location", "menubar", "moveBy", "moveTo", "name", "navigation",
    "navigator", "open", "opener", "origin", "parent", "performance", "print", "process", "prompt",
    "queueMicrotask", "scroll", "scrollBy", "scrollTo", "self", "sessionStorage", "status", "stop", "structuredClone",
    "top", "window",
})  # fmt: skip


def test_modules_stand_behind_what_they_import() -> None:
    found = {
        "ward.mjs": b'import { now, say } from "/feed.mjs";\nconst own = 1;\nsay(now, own);\n',
        "feed.mjs": b'import { make } from "/elements.mjs";\nconst own = 2;\nexport let now = null;\n'
        b"export function say(...what) {\n  now = make(own);\n}\n",
        "elements.mjs": b"export const make = tag => tag;\nexport async function set() {}\n",
        "other.mjs": b"never();\n",
    }
    assert page_script("ward.mjs", found).decode() == (
        "// elements.mjs\nlet make;\nconst { set } = (() => {\n"
        "make = tag => tag;\nasync function set() {}\nreturn { set };\n})();\n"
        "// feed.mjs\nlet now;\nconst { say } = (() => {\n"
        "\nconst own = 2;\nnow = null;\nfunction say(...what) {\n  now = make(own);\n}\nreturn { say };\n})();\n"
        "// ward.mjs\n(() => {\n\nconst own = 1;\nsay(now, own);\n})();\n"
    )


def test_modules_that_import_each_other_are_there_once() -> None:
    found = {
        "a.mjs": b'import { b } from "/b.mjs";\nexport function a() {}\n',
        "b.mjs": b'import { a } from "/a.mjs";\nexport function b() {}\n',
    }
    assert re.findall(rb"^// (.*)$", page_script("a.mjs", found), re.MULTILINE) == [b"b.mjs", b"a.mjs"]


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (b'import { a as other } from "/b.mjs";\n', "cannot be joined"),
        (b'import * as all from "/b.mjs";\n', "cannot be joined"),
        (b"export default 1;\n", "cannot be joined"),
        (b"export class Tile {}\n", "cannot be joined"),
        (b'import { c } from "/b.mjs";\n', "b.mjs exports no c"),
        (b'import { a } from "/b.mjs";\nexport const a = 1;\n', "on one page"),
    ],
)
def test_what_cannot_be_joined_is_refused(module: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        page_script("page.mjs", {"page.mjs": module, "b.mjs": b"export const a = 1;\n"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.noun)
def test_no_module_exports_what_every_window_has(page: Page) -> None:
    script = page_script(f"{page.noun}.mjs", STATIC.found).decode()
    values = re.findall(r"^let (.*);\n(?:const \{|\(\(\) =>)", script, re.MULTILINE)
    functions = re.findall(r"^const \{ (.*) \} = \(\(\) => \{$", script, re.MULTILINE)
    exported = {name for line in (*values, *functions) for name in line.split(", ")}
    assert len(exported) > 20
    assert not exported & OF_WINDOWS
