"""A page that opens with a picture in it: its scripts are under way while the picture is read, and draw it at once.

The picture is data (`<script type="application/json">`), which no browser runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.feed import Feed
from gateway.feed_viewer import FeedViewer

_BODY_END = b"</body>"


async def opening(html: bytes, hello: bytes, feed: Feed, viewer: FeedViewer) -> AsyncIterator[bytes]:
    """The page in parts: what it is made of at once; then `hello` and a picture, or null where none comes in time."""
    before, end, after = html.partition(_BODY_END)
    yield before
    picture = await feed.opening(viewer) or b"null"
    yield b'<script type="application/json" id="opening">' + _data(
        b'{"hello":' + hello + b',"picture":' + picture + b"}"
    )
    yield b"</script>\n" + end + after


def _data(json: bytes) -> bytes:
    """As it may stand in a script element: nothing in it begins a tag (HTML, 13.2.5.15)."""
    return json.replace(b"<", b"\\u003c")
