"""A page in parts, with a picture that no browser runs."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.access.anyone import ANYONE
from gateway.access.viewer import Viewer
from gateway.feed import Feed
from gateway.opening import opening

HTML = b"<head></head><body><main></main></body></html>\n"


def parts(picture: bytes | None) -> list[bytes]:
    class Still(Feed):
        """Its reader does not run; this is the next picture."""

        async def opening(self, viewer: Viewer) -> bytes | None:
            return picture

    async def taken() -> list[bytes]:
        return [part async for part in opening(HTML, b'{"build":"1"}', Still(""), ANYONE)]

    return asyncio.run(taken())


@pytest.mark.parametrize("picture", [None, b'{"label":"</script><!--<script>"}'])
def test_what_the_page_is_made_of_comes_before_its_picture(picture: bytes | None) -> None:
    first, *rest = parts(picture)
    assert first == b"<head></head><body><main></main>"
    begin, end = b'<script type="application/json" id="opening">', b"</script>\n</body></html>\n"
    whole = b"".join(rest)
    assert whole.startswith(begin)
    assert whole.endswith(end)
    data = whole.removeprefix(begin).removesuffix(end)
    assert b"<" not in data
    assert json.loads(data) == {"hello": {"build": "1"}, "picture": picture and json.loads(picture)}
