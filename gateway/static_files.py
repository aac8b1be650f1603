"""The pages' files. Scripts and styles lie in a folder that names their content: what a browser has it keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files

from gateway.answers import HEADERS

KINDS = {"mjs": "text/javascript", "css": "text/css"}
KEPT = {**HEADERS, "Cache-Control": "max-age=31536000, immutable, no-transform"}  # RFC 8246
_FROM = re.compile(rb'(?<= from ")/(?=[a-z-]+\.mjs")')


class StaticFiles:
    """These files by their names; `build` is another one where one of them is."""

    def __init__(self, found: Mapping[str, bytes]) -> None:
        self.build = sha256(b"".join(found[name] for name in sorted(found))).hexdigest()
        self.folder = f"/static/{self.build[:16]}"
        self.found = found

    def served(self) -> dict[str, tuple[bytes, str]]:
        """By address, what scripts and styles hold and what they are; scripts import each other in the folder."""
        return {
            f"{self.folder}/{name}": (_FROM.sub(f"{self.folder}/".encode(), content), KINDS[_suffix(name)])
            for name, content in self.found.items()
            if _suffix(name) in KINDS
        }


@cache
def shipped_files() -> StaticFiles:
    """Those in gateway/static, as they are when they are first asked for."""
    return StaticFiles({file.name: file.read_bytes() for file in (files("gateway") / "static").iterdir()})


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
