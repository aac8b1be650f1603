"""Answers that all ways of signing in share, and where a browser may go after it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import RedirectResponse, Response

from gateway.answers import HEADERS
from gateway.people.sign_in_required import SIGN_IN

_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")  # of ours: no other host, no backslash, no control byte


def path_after(wished: str) -> str:
    """Where a browser goes after sign-in: a path of ours, whatever an address asked for."""
    return wished if _PATH.fullmatch(wished) and not wished.startswith(SIGN_IN) else "/"


def back(*, refused: str) -> Response:
    """To the page that signs in, with a word for why not."""
    return RedirectResponse(f"{SIGN_IN}?refused={refused}", 303, HEADERS)


def as_json(found: Any, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    return Response(msgspec.json.encode(found), status, media_type="application/json", headers=HEADERS)
