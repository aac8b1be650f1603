"""Who waits, at each door where somebody proves who he is; by clocks of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from structlog.testing import capture_logs

from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.looks import Looks
from gateway.people.attempts import SignInAttempts
from gateway.people.entering import Entering
from gateway.people.factors import Factor
from gateway.people.key_routes import key_routes
from gateway.people.machine_routes import ASSERTION_TYPE, TOKEN, machine_routes
from gateway.people.machines import Machines, token_key
from gateway.people.oidc import OpenIdProvider
from gateway.people.oidc_routes import oidc_routes
from gateway.people.public_origin import PublicOrigin
from gateway.people.sessions import Sessions
from gateway.people.sign_in_required import SignInRequired
from gateway.people.sign_in_settings import SignInSettings
from gateway.people.throttle import ACCOUNT_FREE, ADDRESS_FREE, ADDRESS_WAIT_S_MAX, WINDOW_S
from gateway.refusal_log import RefusalLog
from gateway.static_files import shipped_files
from simulators.oidc import Simulator
from tests.conftest import Databases, address_of
from tests.gateway.people.machine import Machine
from tests.gateway.people.provider import client_of, running_provider
from tests.gateway.signing_in import hire

HOST, ELSEWHERE = "10.0.0.7", "10.0.0.8"
ORIGIN = "https://icu.example"
OWN = {"Origin": ORIGIN, "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def address(databases: Databases) -> Iterator[str]:
    name = databases.make_migrated()
    yield address_of(databases.server, name)
    databases.end(name)


class Clock:
    """It stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock(address: str) -> Clock:
    """Nobody has failed yet."""
    with open_store(address) as conn:
        conn.execute("DELETE FROM sign_in_attempt")
    return Clock()


@pytest.fixture
def attempts(address: str, clock: Clock) -> SignInAttempts:
    return SignInAttempts(address, clock)


class Door:
    """Routes of the gateway, asked from any address."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def ask(self, method: str, path: str, host: str = HOST, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=(host, 1))
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())


def application(address: str, sessions: Sessions, routes: list[Route]) -> Starlette:
    required = Middleware(
        SignInRequired, sessions=sessions, looks=Looks(address), is_open=lambda path: True,
        public_origin=PublicOrigin(ORIGIN),
    )  # fmt: skip
    return Starlette(routes=routes, middleware=[Middleware(RefusalLog), required])


def throttled(factor: Factor) -> float:
    return REGISTRY.get_sample_value("vitalwire_sign_in_throttled_total", {"factor": str(factor)}) or 0.0


def rows(address: str) -> list[Any]:
    with open_store(address) as conn:
        return conn.execute("SELECT account, address, factor, begun, succeeded FROM sign_in_attempt").fetchall()


# --- /token ---


@pytest.fixture
def tokens(address: str, attempts: SignInAttempts) -> Door:
    machines = Machines(address, address, Looks(address), token_key(None))
    routes = machine_routes(machines, PublicOrigin(ORIGIN), attempts)
    return Door(Starlette(routes=routes, middleware=[Middleware(RefusalLog)]))


@pytest.fixture
def machine(address: str) -> Machine:
    return Machine(address, 8420)


def ask_token(door: Door, machine: Machine, host: str = HOST, **other: Any) -> httpx.Response:
    stated = {"aud": f"{ORIGIN}/token"} | other
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}
    return door.ask("POST", TOKEN, host, data=form | {"client_assertion": machine.assertion(**stated)})


def test_a_client_that_fails_waits_and_is_told_how_long(
    tokens: Door, machine: Machine, address: str, clock: Clock
) -> None:
    for _ in range(ACCOUNT_FREE + 1):
        assert ask_token(tokens, machine, aud="https://elsewhere.example").status_code == 401
    before = throttled(Factor.MACHINE_KEY)
    with capture_logs() as logged:
        refused = ask_token(tokens, machine)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error"] == "temporarily_unavailable"
    assert "wait 2 s" in refused.json()["error_description"]
    assert refused.headers["cache-control"] == "no-store"
    (said,) = [each for each in logged if each["event"] == "a request is refused"]
    assert (said["status"], said["door"], said["host"]) == (429, "/token", HOST)
    assert throttled(Factor.MACHINE_KEY) == before + 1
    clock.move(2)
    assert ask_token(tokens, machine).status_code == 200
    assert ask_token(tokens, machine, aud="https://elsewhere.example").status_code == 401  # it counts from there anew
    assert ask_token(tokens, machine).status_code == 200
    account = f"client:{machine.name}@{HOST}"
    assert set(rows(address)) == {
        (account, HOST, "machine_key", False, True),
        (account, HOST, "machine_key", False, False),
    }


def test_who_only_says_that_he_is_a_client_keeps_it_from_nothing_elsewhere(
    tokens: Door, machine: Machine, address: str
) -> None:
    forger = Machine(address, 8420)
    for _ in range(ACCOUNT_FREE + 1):
        assert ask_token(tokens, forger, ELSEWHERE, iss=machine.name, sub=machine.name).status_code == 401
    assert ask_token(tokens, forger, ELSEWHERE, iss=machine.name, sub=machine.name).status_code == 429
    assert ask_token(tokens, machine).status_code == 200
    assert ask_token(tokens, forger, ELSEWHERE).status_code == 200  # nor another client there


def test_a_name_that_nobody_has_waits_as_one_that_somebody_has_and_is_not_kept(
    tokens: Door, machine: Machine, address: str
) -> None:
    for _ in range(ACCOUNT_FREE + 1):
        assert ask_token(tokens, machine, iss="nobody", sub="nobody").status_code == 401
    refused = ask_token(tokens, machine, iss="nobody", sub="nobody")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert "nobody" not in str(rows(address))


def test_an_address_that_fails_under_many_names_waits(tokens: Door, machine: Machine, clock: Clock) -> None:
    for number in range(ADDRESS_FREE + 1):
        assert ask_token(tokens, machine, iss=f"n{number}", sub=f"n{number}").status_code == 401
    assert ask_token(tokens, machine).status_code == 429
    assert ask_token(tokens, machine, ELSEWHERE).status_code == 200
    clock.move(ADDRESS_WAIT_S_MAX)
    assert ask_token(tokens, machine).status_code == 200


def test_a_scope_that_was_not_registered_is_no_failure_to_prove_oneself(tokens: Door, address: str) -> None:
    machine = Machine(address, 8420, scope="system/Observation.rs")
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "scope": "system/Patient.rs"}
    for _ in range(ACCOUNT_FREE + 2):
        assertion = machine.assertion(aud=f"{ORIGIN}/token")
        answer = tokens.ask("POST", TOKEN, data=form | {"client_assertion": assertion})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert ask_token(tokens, machine).status_code == 200


# --- security keys ---


@pytest.fixture
def keys(address: str, attempts: SignInAttempts) -> Door:
    sessions = Sessions(address, address)
    routes = key_routes(address, address, sessions, SignInSettings(), shipped_files(), attempts)
    return Door(application(address, sessions, routes))


def begin_key(door: Door, host: str = HOST) -> httpx.Response:
    return door.ask("POST", "/sign-in/key/begin", host, json={}, headers=OWN)


def test_who_begins_over_and_over_waits(keys: Door, address: str, clock: Clock) -> None:
    for _ in range(ADDRESS_FREE + 1):
        assert begin_key(keys).status_code == 200
    before = throttled(Factor.SECURITY_KEY)
    with capture_logs() as logged:
        refused = begin_key(keys)
    assert (refused.status_code, refused.json()) == (429, {"refused": "wait", "wait_s": 2})
    assert refused.headers["retry-after"] == "2"
    assert [each["status"] for each in logged if each["event"] == "a request is refused"] == [429]
    assert throttled(Factor.SECURITY_KEY) == before + 1
    assert begin_key(keys, ELSEWHERE).status_code == 200
    with open_store(address) as conn:
        made = conn.execute("SELECT count(*) FROM key_challenge").fetchone()
        assert begin_key(keys).status_code == 429
        assert conn.execute("SELECT count(*) FROM key_challenge").fetchone() == made
    clock.move(2)
    assert begin_key(keys).status_code == 200
    clock.move(WINDOW_S)
    for _ in range(ADDRESS_FREE):
        assert begin_key(keys).status_code == 200


def test_who_has_begun_is_not_kept_from_finishing_by_others_who_began(keys: Door) -> None:
    for _ in range(ADDRESS_FREE + 2):
        begin_key(keys)
    wish = {"credential": {"id": "x"}}
    refused = keys.ask("POST", "/sign-in/key", json=wish, headers=OWN)
    assert (refused.status_code, refused.json()) == (403, {"refused": "key_refused"})


def test_who_fails_with_keys_waits_before_he_begins_too(keys: Door, address: str) -> None:
    wish = {"credential": {"id": "x"}}
    for _ in range(ADDRESS_FREE + 1):
        assert keys.ask("POST", "/sign-in/key", json=wish, headers=OWN).status_code == 403
    refused = keys.ask("POST", "/sign-in/key", json=wish, headers=OWN)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert begin_key(keys).status_code == 429
    assert set(rows(address)) == {("", HOST, "security_key", False, False)}


def test_a_sign_in_ends_what_was_begun_before_it(attempts: SignInAttempts) -> None:
    for _ in range(ADDRESS_FREE + 1):
        assert attempts.begin(Factor.SECURITY_KEY, HOST) == 0
    assert attempts.begin(Factor.SECURITY_KEY, HOST) == 2
    attempts.note(Factor.SECURITY_KEY, "N1", HOST, succeeded=True)
    assert attempts.begin(Factor.SECURITY_KEY, HOST) == 0


# --- the provider ---


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    with running_provider("N7") as simulator:
        yield simulator


@pytest.fixture
def through_provider(address: str, attempts: SignInAttempts, provider: Simulator) -> Door:
    sessions, settings = Sessions(address, address), SignInSettings()
    entering = Entering(address, sessions, settings)
    routes = oidc_routes(address, sessions, entering, OpenIdProvider(client_of(provider)), attempts)
    return Door(application(address, sessions, routes))


def test_an_address_that_begins_at_the_provider_over_and_over_waits(through_provider: Door, clock: Clock) -> None:
    for _ in range(ADDRESS_FREE + 1):
        assert through_provider.ask("GET", "/sign-in/provider").headers["location"].startswith("http://127.0.0.1")
    before = throttled(Factor.PROVIDER)
    with capture_logs() as logged:
        refused = through_provider.ask("GET", "/sign-in/provider")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert 'content="0; url=/sign-in?refused=wait&amp;wait_s=2"' in refused.text
    assert [each["status"] for each in logged if each["event"] == "a request is refused"] == [429]
    assert throttled(Factor.PROVIDER) == before + 1
    assert through_provider.ask("GET", "/sign-in/provider", ELSEWHERE).status_code == 303
    clock.move(2)
    assert through_provider.ask("GET", "/sign-in/provider").status_code == 303


def test_what_no_provider_answered_is_a_failure_of_its_address(
    through_provider: Door, address: str, provider: Simulator, clock: Clock
) -> None:
    invented = "/sign-in/callback?state=x&code=y"
    for _ in range(ADDRESS_FREE + 1):
        assert through_provider.ask("GET", invented).headers["location"] == "/sign-in?refused=provider"
    refused = through_provider.ask("GET", invented)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert through_provider.ask("GET", "/sign-in/provider").status_code == 429
    assert set(rows(address)) == {("", HOST, "provider", False, False)}
    assert through_provider.ask("GET", invented, ELSEWHERE).status_code == 303
    clock.move(2)
    assert through_provider.ask("GET", "/sign-in/provider").status_code == 303
    assert len(rows(address)) == ADDRESS_FREE + 3


def test_who_comes_in_by_the_provider_ends_what_failed_before(
    through_provider: Door, address: str, attempts: SignInAttempts
) -> None:
    hire(address, "N7", Role.NURSE)
    for _ in range(ADDRESS_FREE):
        attempts.note(Factor.PROVIDER, "", HOST, succeeded=False)
    begun = through_provider.ask("GET", "/sign-in/provider")
    answered = httpx.get(begun.headers["location"], trust_env=False).headers["location"]
    cookie = begun.headers["set-cookie"].partition(";")[0]
    entered = through_provider.ask("GET", answered.removeprefix(ORIGIN), headers={"Cookie": cookie})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert ("N7", HOST, "provider", False, True) in rows(address)
    attempts.note(Factor.PROVIDER, "", HOST, succeeded=False)
    assert attempts.wait_s(Factor.PROVIDER, "", HOST) == 0


def test_while_the_store_is_away_nobody_is_sent_to_the_provider(provider: Simulator) -> None:
    nowhere = "host=127.0.0.1 port=1 dbname=x connect_timeout=1"
    sessions, settings = Sessions(nowhere, nowhere), SignInSettings()
    entering = Entering(nowhere, sessions, settings)
    routes = oidc_routes(nowhere, sessions, entering, OpenIdProvider(client_of(provider)), SignInAttempts(nowhere))
    door = Door(application(nowhere, sessions, routes))
    assert door.ask("GET", "/sign-in/provider").headers["location"] == "/sign-in?refused=store_away"
