"""Answers that all ways of signing in share, and where a browser may go after it."""

from __future__ import annotations

import re

from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.answers import HEADERS, as_json
from gateway.people.sign_in_required import SIGN_IN

_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")  # of ours: no other host, no backslash, no control byte


def path_after(wished: str) -> str:
    """Where a browser goes after sign-in: a path of ours, whatever an address asked for."""
    return wished if _PATH.fullmatch(wished) and not wished.startswith(SIGN_IN) else "/"


def back(*, refused: str) -> Response:
    """To the page that signs in, with a word for why not."""
    return RedirectResponse(f"{SIGN_IN}?refused={refused}", 303, HEADERS)


def too_soon(wait_s: int) -> Response:
    """To a page's request: too many failed before, or were begun."""
    answer = as_json({"refused": "wait", "wait_s": wait_s}, 429)
    answer.headers["Retry-After"] = str(wait_s)
    return answer


def too_soon_page(wait_s: int) -> Response:
    """The same to a browser that goes from page to page: it is led back to where people sign in."""
    to = f"{SIGN_IN}?refused=wait&amp;wait_s={wait_s}"
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>429</title>'
        f'<meta http-equiv="refresh" content="0; url={to}"><a href="{to}">429</a></html>'
    )
    return HTMLResponse(body, 429, headers={**HEADERS, "Retry-After": str(wait_s)})
