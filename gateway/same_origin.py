"""Whether a request that changes something comes from one of our own pages, in a browser of this machine."""

from __future__ import annotations

from starlette.requests import Request

LOOPBACK = ("127.0.0.1", "::1")


def is_own(request: Request) -> bool:
    """A page of another site cannot send this: its Origin is its own, and JSON is no form.

    Who sends no Origin is no browser, or an old one, and is refused: reading needs none.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin", "")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        request.client is not None
        and request.client.host in LOOPBACK
        and origin == f"{request.url.scheme}://{host}"
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and kind == "application/json"
    )
