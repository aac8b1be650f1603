from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher, Type

from emr_store import emergency
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.access.viewer import Licence
from gateway.people.attempts import SignInAttempts
from gateway.people.emergency import ACCOUNTS, EmergencyAccounts, Unopened, hash_of, new_password
from gateway.people.sessions import viewer_of
from tests.gateway.people.test_sign_in import ask, cookie_of
from tests.gateway.test_app import connect
from tests.gateway.ward import Page

PASSWORD = "abcde-fghjk-mnpqr-stuvw-xyz23"


@pytest.fixture
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the least parameters that Argon2id takes: what a try costs is not what these tests are about."""
    monkeypatch.setattr(
        "gateway.people.emergency._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.ID)
    )


def test_a_password_is_hashed_as_rfc_9106_has_it() -> None:
    """Its second choice, of 64 MiB; tests/vitalwire/test_emergency.py opens an envelope by it."""
    assert hash_of(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.fixture
def sealed(database: str, quick_hash: None) -> str:
    migrate(database)
    with open_store(database) as conn:
        keep_bed_names(conn, {"hosp^icu^1": "ICU-1", "hosp^ward^2": "W-2"})
        emergency.seal(conn, dict.fromkeys(ACCOUNTS, hash_of(PASSWORD)), None)
    return database


@pytest.fixture
def page(sealed: str) -> Iterator[Page]:
    served = Page(sealed)
    served.start()
    assert connect(served, "/sign-in").status == 200
    yield served
    served.stop()


def post(page: Page, account: str, password: str, **headers: str) -> tuple[Any, Any]:
    wish = json.dumps({"account": account, "password": password}).encode()
    own = {"Origin": page.url, "Content-Type": "application/json"} | headers
    answer, found = ask(page, "/sign-in/emergency", "POST", wish, **own)
    return answer, json.loads(found) if found else None


def test_an_envelope_opens_a_session_and_the_auditor_learns_of_it_at_once(page: Page) -> None:
    answer, found = post(page, "emergency-1", PASSWORD)
    assert (answer.status, found) == (204, None)
    me = json.loads(ask(page, "/me", Cookie=cookie_of(answer))[1])
    assert (me["id"], me["factor"], me["licence"], me["idle_s"]) == ("emergency:emergency-1", "emergency", "none", 900)
    assert me["wards"] == ["hosp^icu", "hosp^ward"]
    with open_store(page.database) as conn:
        reviews = conn.execute("SELECT kind, person, role FROM review").fetchall()
        opened = conn.execute("SELECT account, address FROM emergency_opened").fetchall()
        kinds = conn.execute("SELECT kind FROM act WHERE kind LIKE 'emergency%' ORDER BY at").fetchall()
    assert reviews == [("emergency", "emergency:emergency-1", "physician")]
    assert opened == [("emergency-1", "127.0.0.1")]
    assert kinds == [("emergency.seal",), ("emergency.open",)]


def test_what_does_not_open_is_refused_alike_and_made_to_wait(page: Page) -> None:
    for account in ("emergency-1", "emergency-9", "root"):
        answer, found = post(page, account, "wrong")
        assert (answer.status, found) == (401, {"refused": "wrong", "wait_s": 0})
        assert answer.headers["Set-Cookie"] is None
    for _ in range(4):
        post(page, "emergency-1", "wrong")
    answer, found = post(page, "emergency-1", PASSWORD)
    assert (answer.status, found["refused"]) == (429, "wait")
    assert answer.headers["Retry-After"] == str(found["wait_s"])
    assert post(page, "emergency-2", PASSWORD)[0].status == 204  # the other is not kept out
    with open_store(page.database) as conn:
        accounts = conn.execute("SELECT DISTINCT account FROM sign_in_attempt ORDER BY 1").fetchall()
    assert accounts == [("",), ("emergency-1",), ("emergency-2",)]


def test_only_our_page_opens_one(page: Page) -> None:
    assert post(page, "emergency-1", PASSWORD, Origin="http://evil.example")[0].status == 403
    assert post(page, "emergency-1", PASSWORD, **{"Content-Type": "text/plain"})[0].status == 403
    answer, found = ask(page, "/sign-in/emergency", "POST", b"[]", Origin=page.url, Content_Type="application/json")
    assert (answer.status, json.loads(found)) == (400, {"refused": "unreadable"})


def test_an_opened_envelope_ends_after_a_day_and_a_new_seal_ends_it_now(sealed: str) -> None:
    now = [datetime.now(UTC)]
    accounts = EmergencyAccounts(sealed, SignInAttempts(sealed), lambda: now[0])
    assert accounts.open("emergency-1", PASSWORD, "10.0.0.1") == "emergency:emergency-1"
    now[0] += timedelta(hours=23)
    assert accounts.open("emergency-1", PASSWORD, "10.0.0.1") == "emergency:emergency-1"
    now[0] += timedelta(hours=2)
    assert accounts.open("emergency-1", PASSWORD, "10.0.0.1") == (Unopened.WRONG, 0)
    password = new_password()
    with open_store(sealed) as conn:
        emergency.seal(conn, dict.fromkeys(ACCOUNTS, hash_of(password)), None)
    assert accounts.open("emergency-2", PASSWORD, "10.0.0.1") == (Unopened.WRONG, 0)
    assert accounts.open("emergency-2", password, "10.0.0.1") == "emergency:emergency-2"


def test_nobody_else_is_an_emergency_account(sealed: str) -> None:
    with open_store(sealed) as conn:
        assert viewer_of(conn, "emergency:root", datetime.now(UTC)) is None
        found = viewer_of(conn, "emergency:emergency-1", datetime.now(UTC))
    assert found is not None
    assert found.licence is Licence.NONE


@pytest.mark.parametrize("typed", [PASSWORD.upper(), PASSWORD[:-1], f"{PASSWORD}x", f" {PASSWORD}"])
def test_a_password_is_taken_as_it_was_typed(sealed: str, typed: str) -> None:
    accounts = EmergencyAccounts(sealed, SignInAttempts(sealed))
    assert accounts.open("emergency-1", typed, "10.0.0.1") == (Unopened.WRONG, 0)
    assert accounts.open("emergency-1", PASSWORD, "10.0.0.1") == "emergency:emergency-1"
