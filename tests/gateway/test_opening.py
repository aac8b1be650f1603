"""A page in parts, with a picture that no browser runs."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.feed import Feed
from gateway.feed_viewer import FeedViewer
from gateway.opening import opening
from tests.gateway.asking import feed_viewer

HTML = b"<head></head><body><main></main></body></html>\n"


def parts(database: str, picture: bytes | None) -> list[bytes]:
    class Still(Feed):
        """Its reader does not run; this is the next picture."""

        async def opening(self, viewer: FeedViewer) -> bytes | None:
            return picture

    viewer = feed_viewer(database)

    async def taken() -> list[bytes]:
        return [part async for part in opening(HTML, b'{"build":"1"}', Still(""), viewer)]

    return asyncio.run(taken())


@pytest.mark.parametrize("picture", [None, b'{"label":"</script><!--<script>"}'])
def test_what_the_page_is_made_of_comes_before_its_picture(database: str, picture: bytes | None) -> None:
    first, *rest = parts(database, picture)
    assert first == b"<head></head><body><main></main>"
    begin, end = b'<script type="application/json" id="opening">', b"</script>\n</body></html>\n"
    whole = b"".join(rest)
    assert whole.startswith(begin)
    assert whole.endswith(end)
    data = whole.removeprefix(begin).removesuffix(end)
    assert b"<" not in data
    assert json.loads(data) == {"hello": {"build": "1"}, "picture": picture and json.loads(picture)}
