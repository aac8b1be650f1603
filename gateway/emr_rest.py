"""The chart for a system that polls: what was written since a cursor, in the order of COMMIT. docs/emr-views.md."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store import chart_sequence, emr_views
from emr_store.connect import StoreError, open_store
from gateway.access.words import Action, DataClass
from gateway.answers import HEADERS
from gateway.api_looks import note_stays
from gateway.asking import REFUSED_BODY, Asking, asking_of
from gateway.people.machines import MachineAsking
from gateway.people.scopes import SEARCH
from schemas.errors import VitalwireError

PATH = "/emr/vital-signs"
PAGE = "emr"  # what a look calls it
SCOPES = ("Observation", "Patient")  # that a machine needs: names stand beside values
LIMIT, LIMIT_MAX = 100, 1000
QUERY_CHARS_MAX = 1024
LATEST = "latest"  # a cursor behind all that is there
_POSITION_DIGITS_MAX = 18


class _BadParameterError(Exception):
    """What was asked cannot be answered."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(why)
        self.parameter, self.why = parameter, why


def emr_routes(conninfo: str) -> list[Route]:
    """What another system of the hospital asks for."""

    def vital_signs(request: Request) -> Response:
        if len(request.url.query) > QUERY_CHARS_MAX:
            return _answer({"error": f"a query has at most {QUERY_CHARS_MAX} characters"}, 414)
        asking = asking_of(request)
        if isinstance(asking, MachineAsking) and not all(asking.opens(kind, SEARCH) for kind in SCOPES):
            needs = " ".join(f"system/{kind}.{SEARCH}" for kind in SCOPES)
            said = f'Bearer realm="vitalwire", error="insufficient_scope", scope="{needs}"'
            return Response(REFUSED_BODY, 403, {**HEADERS, "WWW-Authenticate": said}, "application/json")
        try:
            since, limit = _asked(request.query_params)
            with open_store(conninfo) as conn:
                return _answer(_vital_signs(conn, asking, since, limit))
        except _BadParameterError as error:
            return _answer({"error": f"{error.parameter}: {error.why}", "parameter": error.parameter}, 400)
        except StoreError:
            return _answer({"error": "the database does not answer: ask again in a while"}, 503)

    return [Route(PATH, vital_signs)]


def _asked(parameters: QueryParams) -> tuple[str, int]:
    for name in parameters:
        if name not in ("since", "limit"):
            raise _BadParameterError(name, "no such parameter: there are since and limit")
        if len(parameters.getlist(name)) > 1:
            raise _BadParameterError(name, "was given more than once")
    since, limit = parameters.get("since", "0"), parameters.get("limit", str(LIMIT))
    if since != LATEST and not _is_number(since, _POSITION_DIGITS_MAX):
        raise _BadParameterError("since", f"must be what `next` said, or {LATEST}")
    if not _is_number(limit, len(str(LIMIT_MAX))) or not 1 <= int(limit) <= LIMIT_MAX:
        raise _BadParameterError("limit", f"must be 1 to {LIMIT_MAX}")
    return since, int(limit)


def _is_number(text: str, digits_max: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits_max


def _vital_signs(conn: Any, asking: Asking, since: str, limit: int) -> dict[str, object]:
    position = chart_sequence.newest_position(conn) if since == LATEST else int(since)
    try:
        found = emr_views.changes_after(conn, position, limit, asking.sight(Action.SEE, DataClass.CHART))
    except VitalwireError as error:
        raise _BadParameterError(
            "since", f"{error}: a cursor of another database? Read the whole anew, without since"
        ) from None
    if found.rows:
        note_stays(conn, asking, PAGE, DataClass.CHART, [row.encounter for row in found.rows], "since&limit")
    return {"vital_signs": found.rows, "next": str(found.position), "more": not found.is_last}


def _answer(said: dict[str, object], status: int = 200) -> Response:
    return Response(msgspec.json.encode(said), status, media_type="application/json", headers=HEADERS)
