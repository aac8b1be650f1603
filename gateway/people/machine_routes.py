"""`/token` and what says where it is: SMART Backend Services. Errors as RFC 6749, section 5.2, has them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from emr_store.connect import StoreError
from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY
from gateway.fhir.refusals import FHIR_REFUSED_BODY, MEDIA_TYPE, Issue, IssueType, outcome
from gateway.people.attempts import SignInAttempts
from gateway.people.entering import address_of
from gateway.people.factors import Factor
from gateway.people.machines import TOKEN_S, ClientRefusedError, Granted, Machines, ScopeRefusedError
from gateway.people.public_origin import PublicOrigin
from gateway.people.scopes import READABLE

TOKEN, CONFIGURATION = "/token", "/.well-known/smart-configuration"
OPEN_PATHS = frozenset({TOKEN, CONFIGURATION, f"/fhir{CONFIGURATION}"})
FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BODY_BYTES_MAX = 16_384
_API = ("/fhir", "/emr")
_FIELDS = frozenset({"grant_type", "scope", "client_assertion_type", "client_assertion", "client_id"})


class MachineBearer:
    """ASGI middleware, outside of SignInRequired: who asks the API with a token needs no session."""

    def __init__(self, app: ASGIApp, machines: Machines, public_origin: PublicOrigin) -> None:
        self._app, self._machines, self._public_origin = app, machines, public_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Puts an Asking into the request's state."""
        if scope["type"] != "http" or not is_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            await self._app(scope, receive, send)
            return
        address = request.client.host if request.client else ""
        try:
            origin = self._public_origin.url("", request)
            asking = await run_in_threadpool(self._machines.asking, token.strip(), origin, address)
        except StoreError:
            await _away(request)(scope, receive, send)
            return
        if asking is None:
            await api_refusal(request)(scope, receive, send)
            return
        scope.setdefault("state", {})["asking"] = asking
        await self._app(scope, receive, send)


def is_api(path: str) -> bool:
    """Whether programs ask it."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in _API)


def api_refusal(request: Request) -> Response:
    """401 to whom nobody knows (RFC 6750, section 3): one body, whatever is wrong with what was shown."""
    said = 'Bearer realm="vitalwire"'
    if request.headers.get("authorization"):
        said += ', error="invalid_token"'
    headers = {**HEADERS, "WWW-Authenticate": said}
    if request.url.path.startswith("/fhir"):
        return Response(FHIR_REFUSED_BODY, 401, media_type=MEDIA_TYPE, headers=headers)
    return Response(REFUSED_BODY, 401, media_type="application/json", headers=headers)


def _away(request: Request) -> Response:
    if request.url.path.startswith("/fhir"):
        issue = Issue(code=IssueType.TRANSIENT, diagnostics="the store is away: try again in a few seconds")
        headers = {**HEADERS, "Retry-After": "5"}
        return Response(msgspec.json.encode(outcome([issue])), 503, media_type=MEDIA_TYPE, headers=headers)
    return _json({"error": "temporarily_unavailable"}, 503, {"Retry-After": "5"})


def machine_routes(machines: Machines, public_origin: PublicOrigin, attempts: SignInAttempts) -> list[Route]:
    """They are for everybody: OPEN_PATHS. `public_origin`: whose tokens they are, and for whom."""

    async def token(request: Request) -> Response:
        try:
            fields = await _fields(request)
            origin, address = public_origin.url("", request), address_of(request)
            granted = await run_in_threadpool(_granted, machines, attempts, fields, origin, address)
        except _BadRequestError as error:
            return _error(error.code, str(error))
        except _WaitError as error:
            return _too_soon(error.wait_s)
        except ClientRefusedError as refused:
            return _error("invalid_client", refused.about_clock or "no client is known by this assertion", 401)
        except ScopeRefusedError:
            return _error("invalid_scope", "nothing of it was registered for this client")
        except ValueError as error:
            return _error("invalid_scope", str(error))
        except StoreError:
            return _json({"error": "temporarily_unavailable"}, 503, {"Retry-After": "5"})
        return _json(
            {"access_token": granted.token, "token_type": "bearer", "expires_in": TOKEN_S, "scope": granted.scope}
        )

    async def configuration(request: Request) -> Response:
        return _json(smart_configuration(public_origin.url("", request)))

    return [
        Route(TOKEN, token, methods=["POST"]),
        Route(CONFIGURATION, configuration, methods=["GET"]),
        Route(f"/fhir{CONFIGURATION}", configuration, methods=["GET"]),
    ]


class _WaitError(Exception):
    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


def _granted(
    machines: Machines, attempts: SignInAttempts, fields: dict[str, str], origin: str, address: str
) -> Granted:  # fmt: skip
    """Raises as Machines.grant does, and _WaitError."""
    named = machines.account_of(fields["client_assertion"])
    # A client at this address: `iss` is only said, and somebody elsewhere must not keep the real one waiting.
    account = f"{named}@{address}" if named else ""
    wait_s = attempts.wait_s(Factor.MACHINE_KEY, account, address)
    if wait_s > 0:
        raise _WaitError(wait_s)
    try:
        granted = machines.grant(fields["client_assertion"], fields.get("scope", ""), origin)
    except ClientRefusedError:
        attempts.note(Factor.MACHINE_KEY, account, address, succeeded=False)
        raise
    attempts.note(Factor.MACHINE_KEY, account, address, succeeded=True)
    return granted


def smart_configuration(origin: str) -> dict[str, Any]:
    """SMART App Launch 2.2, conformance.html, of a server for backend services alone."""
    return {
        "token_endpoint": f"{origin}{TOKEN}",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "ES384", "RS384"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": [f"system/{name}.rs" for name in READABLE],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }


class _BadRequestError(Exception):
    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


async def _fields(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise _BadRequestError("invalid_request", f"the body must be {FORM}")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise _BadRequestError("invalid_request", f"the body is longer than {BODY_BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise _BadRequestError("invalid_request", "the body is no form") from None
    fields = {name: value for name, value in pairs if name in _FIELDS}
    if len({name for name, _ in pairs}) != len(pairs):
        raise _BadRequestError("invalid_request", "a parameter is stated twice")
    if not fields.get("grant_type"):
        raise _BadRequestError("invalid_request", "grant_type is missing")
    if fields["grant_type"] != "client_credentials":
        raise _BadRequestError("unsupported_grant_type", "client_credentials is the only one")
    if fields.get("client_assertion_type") != ASSERTION_TYPE or not fields.get("client_assertion"):
        raise _BadRequestError("invalid_request", f"client_assertion is missing, or its type {ASSERTION_TYPE}")
    return fields


def _too_soon(wait_s: int) -> Response:
    """RFC 6585, section 4; RFC 6749 has no word of its own for it."""
    why = f"too many assertions were refused: wait {wait_s} s, and see why in the answers before this one"
    said = {"error": "temporarily_unavailable", "error_description": why}
    return _json(said, 429, {"Retry-After": str(wait_s)})


def _error(code: str, why: str, status: int = 400) -> Response:
    return _json({"error": code, "error_description": why}, status)


def _json(said: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    own = {**HEADERS, "Cache-Control": "no-store", "Pragma": "no-cache", **(headers or {})}
    return Response(msgspec.json.encode(said), status, media_type="application/json", headers=own)
