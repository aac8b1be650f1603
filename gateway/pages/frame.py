"""The frame that every page stands in: one head, the way to the other pages, keys and their help. What a page is.

A page is a module here with its reader and its PAGE, its fragment `<noun>.html`, and its script `<noun>.mjs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from gateway.static_files import StaticFiles, page_script_name

FRAME = "frame.html"
# What a page may need beside the frame's own style and its script; served by gateway/app.py.
LIBRARIES = {
    "uplot": '  <link rel="stylesheet" href="/uplot.css">\n  <script src="/uplot.js" defer></script>\n',
}


@dataclass(frozen=True)
class Page:
    """A page; its files lie in gateway/static and are called by `noun`.

    `<noun>.html` is what stands below the header, `<noun>-header.html`, where there is one, what it adds to it.
    """

    noun: str
    path: str  # as Starlette routes it
    libraries: tuple[str, ...] = ()  # of LIBRARIES

    def html(self, static: StaticFiles) -> bytes:
        """The whole of it, of these files; raises KeyError where one is missing."""
        found, folder = static.found, static.folder
        frame = Template(found[FRAME].decode())
        return frame.substitute(
            noun=self.noun,
            folder=folder,
            libraries="".join(LIBRARIES[name] for name in self.libraries),
            script=page_script_name(self.noun),
            header=found.get(f"{self.noun}-header.html", b"").decode(),
            content=found[f"{self.noun}.html"].decode(),
        ).encode()
