"""F37: what a provider, or somebody in its name, can lie about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from emr_store import provider_accounts
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.access.words import Role
from gateway.people.oidc import OpenIdProvider, ProviderAwayError
from gateway.people.oidc_tokens import Refused, TokenRefusedError
from gateway.people.sign_in_settings import SignInSettings
from simulators.oidc import OF_ID_TOKENS, OF_LOGOUT_TOKENS, Lie, Person, Simulator
from tests.gateway.people.provider import client_of, go_through, running_provider
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

REFUSED = "/sign-in?refused=provider"
REASON = {
    Lie.ALG_NONE: Refused.ALGORITHM, Lie.HS256_WITH_PUBLIC_KEY: Refused.ALGORITHM,
    Lie.HS256_WITH_CLIENT_SECRET: Refused.ALGORITHM, Lie.UNKNOWN_KID: Refused.KEY, Lie.FOREIGN_KEY: Refused.SIGNATURE,
    Lie.JKU: Refused.HEADER, Lie.X5U: Refused.HEADER, Lie.JWK: Refused.HEADER, Lie.CRITICAL: Refused.HEADER,
    Lie.NO_SIGNATURE: Refused.SIGNATURE, Lie.CHANGED: Refused.SIGNATURE, Lie.ISSUER: Refused.ISSUER,
    Lie.AUDIENCE: Refused.AUDIENCE, Lie.MANY_AUDIENCES: Refused.AUTHORISED_PARTY,
    Lie.AUTHORISED_PARTY: Refused.AUTHORISED_PARTY, Lie.EXPIRED: Refused.EXPIRED, Lie.NO_EXPIRY: Refused.EXPIRED,
    Lie.FUTURE: Refused.ISSUED_AT, Lie.NO_SUBJECT: Refused.SUBJECT, Lie.NONCE: Refused.NONCE,
    Lie.NO_NONCE: Refused.NONCE, Lie.LOGOUT_TYPE: Refused.TYPE, Lie.NO_STAFF: Refused.STAFF,
    Lie.DISPLAY_STAFF: Refused.STAFF, Lie.NO_AUTH_TIME: Refused.AUTH_TIME, Lie.OLD_AUTH_TIME: Refused.AUTH_TIME,
    Lie.FUTURE_AUTH_TIME: Refused.AUTH_TIME, Lie.ID_TYPE: Refused.TYPE, Lie.NO_EVENTS: Refused.EVENTS,
    Lie.OTHER_EVENT: Refused.EVENTS, Lie.WITH_NONCE: Refused.NONCE, Lie.NO_TOKEN_ID: Refused.TOKEN_ID,
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    with running_provider("N7") as simulator:
        yield simulator


@pytest.fixture
def honest(provider: Simulator) -> Iterator[Simulator]:
    """It is again after each test."""
    yield provider
    provider.lie, provider.algorithm, provider.clock_off_s, provider.is_away = None, "RS256", 0.0, False
    provider.person = Person("N7")


@pytest.fixture
def page(database: str, honest: Simulator) -> Iterator[Page]:
    migrate(database)
    hire(database, "N7", Role.NURSE, name="Wang")
    served = Page(database)
    served.start(SignInSettings(provider=client_of(honest)))
    assert connect(served, "/sign-in").status == 200
    yield served
    served.stop()


@pytest.fixture
def browser(page: Page) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as client:
        yield client


def forget_tries(page: Page) -> None:
    """As after a quarter of an hour: who failed waits no longer."""
    with open_store(page.database) as conn:
        conn.execute("DELETE FROM sign_in_attempt")


def counted(token: str, reason: Refused) -> float:
    labels = {"token": token, "reason": str(reason)}
    return REGISTRY.get_sample_value("vitalwire_sign_in_refused_tokens_total", labels) or 0.0


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_who_comes_from_the_provider_is_in(
    page: Page, browser: httpx.Client, honest: Simulator, algorithm: str
) -> None:
    honest.algorithm = algorithm
    assert browser.get(f"{page.url}/sign-in/options").json() == {"provider": True, "demo": False}
    answer = go_through(browser, f"{page.url}/sign-in/provider?to=/worklist")
    assert (answer.status_code, answer.headers["location"]) == (303, "/worklist")
    me = browser.get(f"{page.url}/me").json()
    assert (me["id"], me["name"], me["factor"], me["idle_s"]) == ("N7", "Wang", "provider", 1800)
    # The same answer a second time is nobody's.
    assert browser.get(str(answer.request.url)).headers["location"] == REFUSED


def test_each_lie_in_an_id_token_is_refused_with_the_same_answer(
    page: Page, browser: httpx.Client, honest: Simulator
) -> None:
    for algorithm in ("RS256", "ES256"):
        for lie in OF_ID_TOKENS:
            honest.algorithm, honest.lie = algorithm, lie
            forget_tries(page)
            before = counted("id", REASON[lie])
            answer = go_through(browser, f"{page.url}/sign-in/provider")
            assert (answer.status_code, answer.headers["location"], answer.content) == (303, REFUSED, b""), lie
            assert counted("id", REASON[lie]) == before + 1, lie
            assert browser.get(f"{page.url}/me").status_code == 401, lie


def test_each_lie_in_a_logout_token_is_refused_with_the_same_body(
    page: Page, browser: httpx.Client, honest: Simulator
) -> None:
    go_through(browser, f"{page.url}/sign-in/provider")
    for algorithm in ("RS256", "ES256"):
        for lie in OF_LOGOUT_TOKENS:
            honest.algorithm, honest.lie = algorithm, lie
            before = counted("logout", REASON[lie])
            token = honest.logout_token(subject=honest.person.subject, session=honest.person.session)
            answer = httpx.post(f"{page.url}/sign-in/back-channel-logout", data={"logout_token": token})
            assert (answer.status_code, answer.content) == (400, b'{"refused":"no_access"}'), lie
            assert counted("logout", REASON[lie]) == before + 1, lie
    assert browser.get(f"{page.url}/me").status_code == 200


def test_the_provider_ends_a_session_at_once_and_by_each_token_once(
    page: Page, browser: httpx.Client, honest: Simulator
) -> None:
    address = f"{page.url}/sign-in/back-channel-logout"
    for given in ({"session": "sid-1"}, {"subject": "subject-1"}, {"subject": "subject-1", "session": "sid-1"}):
        go_through(browser, f"{page.url}/sign-in/provider")
        assert browser.get(f"{page.url}/me").status_code == 200
        for others in ({"session": "sid-2"}, {"subject": "subject-1", "session": "sid-2"}):
            assert httpx.post(address, data={"logout_token": honest.logout_token(**others)}).status_code == 200
            assert browser.get(f"{page.url}/me").status_code == 200
        token = honest.logout_token(**given)
        assert httpx.post(address, data={"logout_token": token}).status_code == 200
        assert browser.get(f"{page.url}/me").status_code == 401
        again = httpx.post(address, data={"logout_token": token})
        assert (again.status_code, again.content) == (400, b'{"refused":"no_access"}')
    for body in ({}, {"logout_token": ""}, {"logout_token": "a.b.c"}, {"logout_token": "e30.e30.e30"}):
        assert httpx.post(address, data=body).status_code == 400
    assert httpx.post(address, data={"logout_token": "x" * 20_000}).status_code == 413


def test_a_state_that_is_not_the_browsers_own_is_refused(page: Page, browser: httpx.Client) -> None:
    begun = browser.get(f"{page.url}/sign-in/provider")
    sent_back = browser.get(begun.headers["location"]).headers["location"]
    with httpx.Client(trust_env=False) as victim:
        assert victim.get(sent_back).headers["location"] == REFUSED
        assert victim.get(f"{page.url}/me").status_code == 401
    assert browser.get(f"{page.url}/sign-in/callback?error=access_denied").headers["location"] == REFUSED


def test_a_page_of_another_site_begins_no_sign_in(page: Page, browser: httpx.Client) -> None:
    for site in ("cross-site", "same-site"):
        answer = browser.get(f"{page.url}/sign-in/provider?to=/worklist", headers={"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?to=/worklist")
        assert "set-cookie" not in answer.headers
    for site in ("same-origin", "none"):  # our button; an address that somebody typed
        answer = browser.get(f"{page.url}/sign-in/provider", headers={"Sec-Fetch-Site": site})
        assert "/authorize" in answer.headers["location"]


def test_a_browser_gets_no_token_of_the_provider(page: Page, browser: httpx.Client) -> None:
    answer = go_through(browser, f"{page.url}/sign-in/provider")
    assert answer.headers["location"] == "/"
    assert answer.content == b""
    assert [name for name in browser.cookies if "eyJ" in (browser.cookies.get(name) or "")] == []
    assert "eyJ" not in str(answer.headers)
    assert "eyJ" not in browser.get(f"{page.url}/me").text


def test_of_another_issuers_answer_the_code_is_not_used(page: Page, browser: httpx.Client) -> None:
    begun = browser.get(f"{page.url}/sign-in/provider")
    sent_back = browser.get(begun.headers["location"]).headers["location"]
    mixed_up = sent_back.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example"
    assert browser.get(mixed_up).headers["location"] == REFUSED


def test_who_does_not_work_here_learns_no_more_than_a_liar(
    page: Page, browser: httpx.Client, honest: Simulator
) -> None:
    honest.person = replace(honest.person, staff="N99")
    assert go_through(browser, f"{page.url}/sign-in/provider").headers["location"] == REFUSED


def test_a_number_is_of_the_account_that_signed_in_first(page: Page, browser: httpx.Client, honest: Simulator) -> None:
    """The provider can give a name away; what it calls `sub` it cannot."""
    hire(page.database, "N8", Role.NURSE, name="Zhao")
    begin = f"{page.url}/sign-in/provider"
    assert go_through(browser, begin).headers["location"] == "/"
    for another in (replace(honest.person, subject="subject-2"), replace(honest.person, staff="N8")):
        honest.person = another
        before = counted("id", Refused.ANOTHER_ACCOUNT)
        assert go_through(browser, begin).headers["location"] == REFUSED
        assert counted("id", Refused.ANOTHER_ACCOUNT) == before + 1
    assert browser.get(f"{page.url}/me").json()["id"] == "N7"  # nobody took that session over
    with open_store(page.database) as conn:
        assert provider_accounts.unbind(conn, "N7", Author("os:ann@office", "a new account")) == 1
    honest.person = Person("N7", subject="subject-2")
    assert go_through(browser, begin).headers["location"] == "/"
    honest.person = Person("N8", subject="subject-1")
    assert go_through(browser, begin).headers["location"] == "/"


def test_a_sign_in_there_is_as_strong_as_the_site_requires(database: str, honest: Simulator) -> None:
    hire(database, "N7", Role.NURSE, name="Wang")
    served = Page(database)
    required = replace(client_of(honest), acr=("loa2", "loa3"), amr=("pwd", "otp"))
    served.start(SignInSettings(provider=required))
    assert connect(served, "/sign-in").status == 200
    begin = f"{served.url}/sign-in/provider"
    strong = replace(honest.person, acr="loa3", amr=("otp", "pwd", "mfa"))
    found = []
    with httpx.Client(timeout=20, trust_env=False) as browser:
        asked = httpx.URL(browser.get(begin).headers["location"]).params
        before = counted("id", Refused.STRENGTH)
        for person in (honest.person, replace(strong, acr="loa1"), replace(strong, amr=("pwd",)), strong):
            honest.person = person
            found.append(go_through(browser, begin).headers["location"])
    served.stop()
    assert (asked["acr_values"], asked["max_age"], asked["prompt"]) == ("loa2 loa3", "0", "login")
    assert found == [REFUSED, REFUSED, REFUSED, "/"]
    assert counted("id", Refused.STRENGTH) == before + 3


def test_a_site_may_let_a_sign_in_there_be_older(honest: Simulator) -> None:
    client = OpenIdProvider(replace(client_of(honest), max_age_s=7200))
    begun = client.begin("http://127.0.0.1/sign-in/callback")
    asked = httpx.URL(begun.url).params
    assert (asked["max_age"], "prompt" in asked) == ("7200", False)
    honest.lie = Lie.OLD_AUTH_TIME
    sent_back = httpx.get(begun.url).headers["location"]
    code = httpx.URL(sent_back).params["code"]
    identity = client.finish(code, "http://127.0.0.1/sign-in/callback", begun.nonce, begun.verifier)
    assert identity.staff == "N7"


def test_who_is_in_stays_in_while_the_provider_is_away(page: Page, browser: httpx.Client, honest: Simulator) -> None:
    go_through(browser, f"{page.url}/sign-in/provider")
    begun = browser.get(f"{page.url}/sign-in/provider")
    sent_back = browser.get(begun.headers["location"]).headers["location"]
    honest.is_away = True
    assert browser.get(sent_back).headers["location"] == "/sign-in?refused=provider_away"
    assert browser.get(f"{page.url}/me").status_code == 200


def test_a_clock_that_is_off_is_said_before_a_token_is_refused(
    page: Page, browser: httpx.Client, honest: Simulator
) -> None:
    honest.clock_off_s = 50.0
    assert go_through(browser, f"{page.url}/sign-in/provider").headers["location"] == "/"
    honest.clock_off_s = 400.0
    with capture_logs() as logged:
        answer = go_through(browser, f"{page.url}/sign-in/provider")
    assert answer.headers["location"] == "/sign-in?refused=clock"
    said, refused = [each for each in logged if "provider" in each["event"]]
    assert (said["event"], -401 <= said["ahead_s"] <= -399) == ("the provider's clock differs", True)
    assert (refused["event"], refused["reason"]) == ("a token of the provider is refused", "clock")


def test_new_keys_are_asked_for_seldom(honest: Simulator) -> None:
    client = OpenIdProvider(client_of(honest))
    asked = honest.key_requests
    client.logout(honest.logout_token(session="sid-1"))
    assert honest.key_requests == asked + 1
    honest.lie = Lie.UNKNOWN_KID
    for _ in range(20):
        with pytest.raises(TokenRefusedError):
            client.logout(honest.logout_token(session="sid-1"))
    assert honest.key_requests == asked + 1
    honest.lie = None
    honest.new_keys()
    client._keys_read_s = float("-inf")  # a minute later
    client.logout(honest.logout_token(session="sid-1"))
    assert honest.key_requests == asked + 2


def test_a_provider_that_names_another_issuer_is_none(honest: Simulator) -> None:
    client = OpenIdProvider(replace(client_of(honest), issuer=f"{honest.issuer}/"))
    with pytest.raises(ProviderAwayError, match="another issuer"):
        client.begin("http://127.0.0.1/sign-in/callback")
