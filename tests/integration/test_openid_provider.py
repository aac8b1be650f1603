"""Sign-in by Keycloak, as a hospital would run it: its own login form, its tokens, its logout, its new keys."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from emr_store import provider_accounts
from emr_store.acts import Author
from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.people import oidc
from gateway.people.oidc import Begun, OpenIdProvider, Provider, ProviderAwayError
from gateway.people.oidc_tokens import Expected, Refused, TokenRefusedError, identity_of
from gateway.people.sign_in_settings import SignInSettings
from tests.conftest import Databases, address_of
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.test_page import ARGS, CHROMIUM
from tests.gateway.ward import Page
from tests.integration.keycloak import Keycloak, client_of, realm_of, running_keycloak, send_form
from tests.integration.test_people_walk import spki_of
from tests.runtime.conftest import Certified, certify

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

# Alone a run takes half a minute; the first on a machine makes the server, and takes some minutes.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
REALM, OTHER_REALM = "hospital", "another-hospital"
CLIENT, OTHER_CLIENT, SECRET = "vitalwire", "laboratory", "a secret of the test"
NURSE, MOVED, PHYSICIAN, STRANGER = "10001", "10002", "20001", "90001"
PEOPLE = {
    NURSE: "a nurse's password",
    PHYSICIAN: "a physician's password",
    STRANGER: "a stranger's password",
    MOVED: "x7",
}
REFUSED = "/sign-in?refused=provider"


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    with running_keycloak(tmp_path_factory.mktemp("keycloak")) as started:
        yield started


@pytest.fixture(scope="module")
def provider(keycloak: Keycloak) -> Provider:
    """As the site's file names it."""
    return Provider(keycloak.issuer(REALM), CLIENT, SECRET, ca=keycloak.ca)


@pytest.fixture(scope="module")
def page(databases: Databases, keycloak: Keycloak, provider: Provider) -> Iterator[Page]:
    """The stranger has an account at the provider and works here no more."""
    served = Page(address_of(databases.server, databases.make_migrated()))
    hire(served.database, NURSE, Role.NURSE, name="李娜")
    hire(served.database, MOVED, Role.NURSE, name="赵敏")
    hire(served.database, PHYSICIAN, Role.PHYSICIAN, name="王伟")
    clients = [client_of(each, SECRET, served.url) for each in (CLIENT, OTHER_CLIENT)]
    for realm in (REALM, OTHER_REALM):
        keycloak.administer("POST", "/realms", realm_of(realm, clients, PEOPLE))
    served.start(SignInSettings(provider=provider))
    assert connect(served, "/sign-in").status == 200
    yield served
    served.stop()


@pytest.fixture
def browser(keycloak: Keycloak) -> Iterator[httpx.Client]:
    with keycloak.browser() as client:
        yield client


def log_in(browser: httpx.Client, address: str, username: str) -> str:
    """Through the provider's form, with its redirects; where it sends the browser."""
    answer = send_form(browser, browser.get(address), username=username, password=PEOPLE[username])
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def begin(page: Page, browser: httpx.Client) -> str:
    """Presses our button; where that sends the browser."""
    answer = browser.get(f"{page.url}/sign-in/provider?to=/worklist")
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def sign_in(page: Page, browser: httpx.Client, username: str) -> str:
    """From our button and back; where our callback sends the browser."""
    return browser.get(log_in(browser, begin(page, browser), username)).headers["location"]


def is_in(page: Page, browser: httpx.Client) -> bool:
    return browser.get(f"{page.url}/me").status_code == 200


def counted(token: str, reason: Refused) -> float:
    labels = {"token": token, "reason": str(reason)}
    return REGISTRY.get_sample_value("vitalwire_sign_in_refused_tokens_total", labels) or 0.0


def user_id(keycloak: Keycloak, username: str) -> str:
    (found,) = keycloak.administer("GET", f"/realms/{REALM}/users?username={username}&exact=true")
    return str(found["id"])


def test_who_comes_from_its_form_is_the_person_of_the_staff_file(page: Page, browser: httpx.Client) -> None:
    asked = httpx.URL(begin(page, browser)).params
    assert (asked["code_challenge_method"], len(asked["code_challenge"]), bool(asked["nonce"])) == ("S256", 43, True)
    assert not is_in(page, browser)
    back = log_in(browser, begin(page, browser), NURSE)
    answer = browser.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/worklist")
    me = browser.get(f"{page.url}/me").json()
    assert (me["id"], me["name"], me["role"], me["factor"]) == (NURSE, "李娜", "nurse", "provider")
    assert browser.get(back).headers["location"] == REFUSED  # a code and a state are good once


def test_a_wrong_password_brings_nobody_in(page: Page, browser: httpx.Client) -> None:
    shown = browser.get(begin(page, browser))
    answer = send_form(browser, shown, username=NURSE, password="wrong")
    assert answer.status_code == 200
    assert "Invalid username or password" in answer.text
    assert not is_in(page, browser)


def test_who_has_an_account_there_and_does_not_work_here_is_refused(page: Page, browser: httpx.Client) -> None:
    before = counted("id", Refused.NOBODY)
    assert sign_in(page, browser, STRANGER) == REFUSED
    assert counted("id", Refused.NOBODY) == before + 1
    assert not is_in(page, browser)


def test_who_signs_out_there_is_out_here(page: Page, keycloak: Keycloak, browser: httpx.Client) -> None:
    with keycloak.browser() as elsewhere:
        assert sign_in(page, browser, NURSE) == "/worklist"
        assert sign_in(page, elsewhere, NURSE) == "/worklist"
        asks = browser.get(f"{keycloak.issuer(REALM)}/protocol/openid-connect/logout")
        assert send_form(browser, asks, confirmLogout="Logout").status_code == 200
        assert not is_in(page, browser)
        assert is_in(page, elsewhere)  # the token named one session
        keycloak.administer("POST", f"/realms/{REALM}/users/{user_id(keycloak, NURSE)}/logout")
        assert not is_in(page, elsewhere)


def test_a_logout_token_for_another_client_ends_nothing(page: Page, keycloak: Keycloak, browser: httpx.Client) -> None:
    """Its client is registered with our address."""
    other = OpenIdProvider(Provider(keycloak.issuer(REALM), OTHER_CLIENT, SECRET, ca=keycloak.ca))
    assert sign_in(page, browser, NURSE) == "/worklist"
    with keycloak.browser() as elsewhere:
        log_in(elsewhere, other.begin(f"{page.url}/sign-in/callback").url, NURSE)
        before = counted("logout", Refused.AUDIENCE)
        asks = elsewhere.get(f"{keycloak.issuer(REALM)}/protocol/openid-connect/logout")
        # Keycloak says on its page whether every client took the token; ours refused it.
        send_form(elsewhere, asks, confirmLogout="Logout")
    assert counted("logout", Refused.AUDIENCE) == before + 1
    assert is_in(page, browser)


def id_token(keycloak: Keycloak, begun: Begun, realm: str, client: str, redirect_uri: str) -> str:
    """That the provider gives to this client for a sign-in of the nurse."""
    with keycloak.browser() as browser:
        code = httpx.URL(log_in(browser, begun.url, NURSE)).params["code"]
        answer = browser.post(f"{keycloak.issuer(realm)}/protocol/openid-connect/token", auth=(client, SECRET), data={
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": begun.verifier,
        })  # fmt: skip
    return str(answer.json()["id_token"])


def test_a_token_for_another_client_or_of_another_realm_is_refused(
    page: Page, keycloak: Keycloak, provider: Provider
) -> None:
    redirect_uri, ours = f"{page.url}/sign-in/callback", OpenIdProvider(provider)
    found: dict[tuple[str, str], str] = {}
    for realm, client in ((REALM, CLIENT), (REALM, OTHER_CLIENT), (OTHER_REALM, CLIENT)):
        begun = OpenIdProvider(replace(provider, issuer=keycloak.issuer(realm), client_id=client)).begin(redirect_uri)
        token = id_token(keycloak, begun, realm, client, redirect_uri)
        for expected in (provider.expected, Expected(keycloak.issuer(OTHER_REALM), CLIENT)):
            try:
                outcome = identity_of(token, expected, begun.nonce, ours._find_key, time.time()).staff
            except TokenRefusedError as refused:
                outcome = str(refused.reason)
            found[f"{realm} {client}", expected.issuer.rpartition("/")[2]] = outcome
    assert found == {
        ("hospital vitalwire", REALM): NURSE,
        ("hospital vitalwire", OTHER_REALM): "issuer",
        ("hospital laboratory", REALM): "audience",
        ("hospital laboratory", OTHER_REALM): "issuer",
        # The other realm has keys of its own, which ours does not publish.
        ("another-hospital vitalwire", REALM): "key",
        ("another-hospital vitalwire", OTHER_REALM): "key",
    }


def test_the_answer_of_another_realm_or_for_another_client_is_refused(
    page: Page, keycloak: Keycloak, provider: Provider, browser: httpx.Client
) -> None:
    """Each has the state of the sign-in that this browser began."""
    for realm, client, reason in ((OTHER_REALM, CLIENT, Refused.ISSUER), (REALM, OTHER_CLIENT, Refused.CODE)):
        asked = httpx.URL(begin(page, browser))
        changed = str(asked.copy_set_param("client_id", client)).replace(f"/{REALM}/", f"/{realm}/")
        before = counted("id", reason)
        assert browser.get(log_in(browser, changed, NURSE)).headers["location"] == REFUSED
        assert counted("id", reason) == before + 1
        assert not is_in(page, browser)


def test_a_provider_of_another_name_or_authority_is_none(provider: Provider, tmp_path: Path) -> None:
    by_address = replace(provider, issuer=provider.issuer.replace("localhost", "127.0.0.1"))
    with pytest.raises(ProviderAwayError, match="another issuer"):
        OpenIdProvider(by_address).begin("http://127.0.0.1/sign-in/callback")
    with pytest.raises(ProviderAwayError, match="ConnectError"):
        OpenIdProvider(replace(provider, ca=certify(tmp_path, "another").cert)).begin("http://127.0.0.1/x")


def test_new_keys_of_the_provider_are_taken(
    page: Page, keycloak: Keycloak, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sign_in(page, browser, NURSE) == "/worklist"
    (realm,) = [each for each in keycloak.administer("GET", "/realms") if each["realm"] == REALM]
    keycloak.administer("POST", f"/realms/{REALM}/components", {
        "name": "new", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
        "parentId": realm["id"], "config": {"priority": ["200"], "keySize": ["2048"], "algorithm": ["RS256"]},
    })  # fmt: skip
    monkeypatch.setattr(oidc, "KEYS_AGAIN_S", 0.0)  # a minute later
    with keycloak.browser() as elsewhere:
        assert sign_in(page, elsewhere, PHYSICIAN) == "/worklist"
        assert is_in(page, elsewhere)
        keycloak.administer("POST", f"/realms/{REALM}/users/{user_id(keycloak, PHYSICIAN)}/logout")
        assert not is_in(page, elsewhere)
    assert is_in(page, browser)


def test_while_it_hangs_whoever_is_in_stays_in(page: Page, keycloak: Keycloak, browser: httpx.Client) -> None:
    assert sign_in(page, browser, NURSE) == "/worklist"
    with keycloak.browser() as elsewhere:
        back = log_in(elsewhere, begin(page, elsewhere), PHYSICIAN)
        with keycloak.hanging():
            assert elsewhere.get(back).headers["location"] == "/sign-in?refused=provider_away"
            assert is_in(page, browser)
        assert sign_in(page, elsewhere, PHYSICIAN) == "/worklist"


def test_who_is_in_there_still_is_asked_anew(page: Page, keycloak: Keycloak, browser: httpx.Client) -> None:
    """Of a workstation that many use: whoever comes next presses the same button."""
    assert sign_in(page, browser, NURSE) == "/worklist"
    asked = httpx.URL(begin(page, browser))
    shown = browser.get(asked)
    assert (shown.status_code, 'type="password"' in shown.text) == (200, True)


def test_a_new_account_under_an_old_number_is_not_that_person(
    page: Page, keycloak: Keycloak, browser: httpx.Client
) -> None:
    """The claim is the same, `sub` is another."""
    assert sign_in(page, browser, MOVED) == "/worklist"
    keycloak.administer("DELETE", f"/realms/{REALM}/users/{user_id(keycloak, MOVED)}")
    (account,) = realm_of("", [], {MOVED: PEOPLE[MOVED]})["users"]
    keycloak.administer("POST", f"/realms/{REALM}/users", account)
    before = counted("id", Refused.ANOTHER_ACCOUNT)
    with keycloak.browser() as elsewhere:
        assert sign_in(page, elsewhere, MOVED) == REFUSED
        assert counted("id", Refused.ANOTHER_ACCOUNT) == before + 1
        with open_store(page.database) as conn:
            provider_accounts.unbind(conn, MOVED, Author("os:ann@office", "a new account"))
    with keycloak.browser() as elsewhere:
        assert sign_in(page, elsewhere, MOVED) == "/worklist"


@pytest.fixture
def tab(page: Page, keycloak: Keycloak) -> Iterator[Any]:
    """Of a Chromium that trusts the provider's certificate."""
    if sync_playwright is None or not CHROMIUM.exists():
        missing = f"needs {CHROMIUM} and the Python package playwright"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    spki = spki_of(Certified(keycloak.ca, Path()))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGS, f"--ignore-certificate-errors-spki-list={spki}"]
        )
        with closing(browser):
            yield browser.new_page()


def test_in_a_browser(page: Page, tab: Any) -> None:
    """Our cookies come back with it from another site, and its form may send it to us."""
    tab.goto(f"{page.url}/worklist")
    tab.locator("#to-provider").click()
    tab.locator("#username").fill(PHYSICIAN)
    tab.locator("#password").fill(PEOPLE[PHYSICIAN])
    tab.locator("#kc-login").click()
    expect(tab.locator("#to-people")).to_have_text("王伟")
    assert tab.url.partition("#")[0] == f"{page.url}/worklist"
