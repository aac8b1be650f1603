"""The pages' files. Scripts and styles lie in a folder that names their content: what a browser has it keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files

from gateway.answers import HEADERS
from gateway.page_script import page_script

KINDS = {"mjs": "text/javascript", "css": "text/css"}
KEPT = {**HEADERS, "Cache-Control": "max-age=31536000, immutable, no-transform"}  # RFC 8246
_FROM = re.compile(rb'(?<= from ")/(?=[a-z-]+\.mjs")')


class StaticFiles:
    """These files by their names, and the scripts of pages; `build` is another one where one of them is."""

    def __init__(self, found: Mapping[str, bytes]) -> None:
        scripts = {
            page_script_name(noun): page_script(f"{noun}.mjs", found)
            for noun in sorted(name.removesuffix(".html") for name in found if name.endswith(".html"))
            if noun != "frame" and f"{noun}.mjs" in found
        }
        self._sent = {**found, **scripts}
        self.build = sha256(b"".join(self._sent[name] for name in sorted(self._sent))).hexdigest()
        self.folder = f"/static/{self.build[:16]}"
        self.found = found

    def served(self) -> dict[str, tuple[bytes, str]]:
        """By address, what scripts and styles hold and what they are; scripts import each other in the folder."""
        return {
            f"{self.folder}/{name}": (_FROM.sub(f"{self.folder}/".encode(), content), KINDS[_suffix(name)])
            for name, content in self._sent.items()
            if _suffix(name) in KINDS
        }


def page_script_name(noun: str) -> str:
    """How the whole script of a page is called; `<noun>.mjs` is the part of it that is the page's own."""
    return f"{noun}-page.mjs"


@cache
def shipped_files() -> StaticFiles:
    """Those in gateway/static, as they are when they are first asked for."""
    return StaticFiles({file.name: file.read_bytes() for file in (files("gateway") / "static").iterdir()})


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
