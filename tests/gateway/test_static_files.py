"""Files under an address that names their content."""

from __future__ import annotations

from gateway.page_script import page_script
from gateway.static_files import StaticFiles, shipped_files

FILES = {"a.mjs": b'import { b } from "/b.mjs";', "b.mjs": b'ask("/values/b.mjs");', "c.css": b"", "d.html": b"<p>"}


def test_scripts_import_each_other_in_the_folder_that_names_them_all() -> None:
    static = StaticFiles(FILES)
    assert static.served() == {
        f"{static.folder}/a.mjs": (f'import {{ b }} from "{static.folder}/b.mjs";'.encode(), "text/javascript"),
        f"{static.folder}/b.mjs": (FILES["b.mjs"], "text/javascript"),
        f"{static.folder}/c.css": (b"", "text/css"),
    }


def test_a_page_has_a_script_with_all_its_modules() -> None:
    static = StaticFiles(
        {"a.mjs": b'import { b } from "/b.mjs";\nb();\n', "b.mjs": b"export function b() {}\n", "a.html": b""}
    )
    content, kind = static.served()[f"{static.folder}/a-page.mjs"]
    assert kind == "text/javascript"
    assert content == page_script("a.mjs", static.found)


def test_where_one_file_differs_the_folder_does() -> None:
    folders = {StaticFiles(FILES | {name: b"other"}).folder for name in FILES} | {StaticFiles(FILES).folder}
    assert len(folders) == len(FILES) + 1


def test_no_script_that_is_shipped_imports_from_elsewhere() -> None:
    static = shipped_files()
    for address, (content, kind) in static.served().items():
        imports = [line for line in content.decode().splitlines() if line.startswith("import ")]
        assert kind == "text/css" or all(f'from "{static.folder}/' in line for line in imports), address
