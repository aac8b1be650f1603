"""The page of boxes over HTTP: who sees those that wait, and what becomes of an agreement to another key."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from emr_store import acts, invitations
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.invitations import InvitationRow
from gateway.access.words import Role
from runtime.keys import fingerprint
from tests.conftest import Databases, address_of
from tests.gateway.test_app import PATIENCE_S, connect
from tests.gateway.ward import Page
from tests.making import Key


@pytest.fixture(scope="module")
def served(databases: Databases) -> Iterator[Page]:
    name = databases.make_migrated()
    page = Page(address_of(databases.server, name))
    page.start()
    assert connect(page, "/sign-in").status == 200
    yield page
    page.stop()
    databases.end(name)


@pytest.fixture
def page(served: Page) -> Page:
    """An engineer looks on; no box waits."""
    with open_store(served.database) as conn:
        for row in invitations.undecided(conn):
            invitations.refuse(conn, row.invitation, Author("staff:B1", "of another test"))
    served.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    return served


def asking(page: Page, key: Key, name: str) -> InvitationRow:
    with open_store(page.database) as conn:
        code = sha256(name.encode()).digest()
        invitations.invite(conn, name, code, Author("staff:A1", ""))
        row = invitations.use(conn, code, key.public_der, "10.0.0.7")
    assert row is not None
    return row


def listed(page: Page) -> list[Any]:
    answer = connect(page, "/boxes/undecided")
    assert answer.status == 200
    return list(json.load(answer)["boxes"])


def post(page: Page, act: str, **wish: Any) -> tuple[int, str]:
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers}
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("POST", f"/boxes/{act}", json.dumps(wish).encode(), own)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text).get("refused", "") if text else ""


def test_a_box_that_waits_is_listed_with_its_fingerprint(page: Page) -> None:
    key = Key()
    row = asking(page, key, "ICU 盒 2")
    (found,) = listed(page)
    assert (found["label"], found["by"], found["address"]) == ("ICU 盒 2", "A1", "10.0.0.7")
    assert (found["fingerprint"], found["key"]) == (fingerprint(key.public_der), key.key_id.hex())
    assert found["invitation"] == str(row.invitation)
    assert found["since"] < found["until"]


def test_an_engineer_agrees_to_what_he_compared(page: Page) -> None:
    key, other = Key(), Key()
    row = asking(page, key, "agreed")
    wish = {"invitation": str(row.invitation)}
    assert post(page, "agree", **wish, key=other.key_id.hex()) == (409, "other_key")
    assert post(page, "agree", **wish, key=key.key_id.hex()) == (204, "")
    assert post(page, "agree", **wish, key=key.key_id.hex()) == (409, "changed")
    assert listed(page) == []
    with open_store(page.database) as conn:
        assert invitations.edge_of_key(conn, key.key_id) is not None
        assert invitations.edge_of_key(conn, other.key_id) is None
        assert {act.by for act in acts.acts(conn) if act.kind == "edge.agree"} == {"staff:B1"}


def test_a_key_that_changed_after_it_was_shown_is_not_agreed_to(page: Page) -> None:
    shown, changed = Key(), Key()
    row = asking(page, shown, "changed")
    with open_store(page.database) as conn:
        conn.execute(
            "UPDATE edge_invitation SET public_der = %s WHERE invitation = %s", (changed.public_der, row.invitation)
        )
    assert post(page, "agree", invitation=str(row.invitation), key=shown.key_id.hex()) == (409, "other_key")


def test_who_refuses_says_why(page: Page) -> None:
    row = asking(page, Key(), "refused")
    wish = {"invitation": str(row.invitation)}
    assert post(page, "refuse", **wish, why=" ") == (400, "no_reason")
    assert post(page, "refuse", **wish, why="x" * 501) == (400, "reason_too_long")
    assert post(page, "refuse", **wish) == (400, "unreadable")
    assert post(page, "refuse", **wish, why="not ours") == (204, "")
    with open_store(page.database) as conn:
        assert [act.why for act in acts.acts(conn) if act.kind == "edge.refuse"][-1] == "not ours"


@pytest.mark.parametrize("wish", [{}, {"invitation": "x", "key": ""}, {"invitation": "0" * 32, "key": "zz"}])
def test_what_cannot_be_read_decides_nothing(page: Page, wish: dict[str, str]) -> None:
    assert post(page, "agree", **wish) == (400, "unreadable")


@pytest.mark.parametrize("role", [Role.NURSE, Role.PHYSICIAN, Role.RECORD_OFFICE, Role.AUDITOR])
def test_others_see_no_box_and_let_none_in(page: Page, role: Role) -> None:
    key = Key()
    row = asking(page, key, f"not for a {role}")
    page.sign_in("X1", role)
    assert connect(page, "/boxes/undecided").status == 403
    assert post(page, "agree", invitation=str(row.invitation), key=key.key_id.hex())[0] == 403
    assert post(page, "refuse", invitation=str(row.invitation), why="x")[0] == 403
    with open_store(page.database) as conn:
        assert invitations.edge_of_key(conn, key.key_id) is None


def test_an_administrator_lets_boxes_in_too(page: Page) -> None:
    key = Key()
    row = asking(page, key, "by an administrator")
    page.sign_in("A1", Role.ADMINISTRATOR)
    assert post(page, "agree", invitation=str(row.invitation), key=key.key_id.hex()) == (204, "")


def test_the_page_has_its_fragment(page: Page) -> None:
    body = connect(page, "/boxes").read().decode()
    assert 'id="waiting"' in body
    assert "boxes-words.mjs" in body
