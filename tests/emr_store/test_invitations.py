"""Invitations of boxes: a code of one use, the key that was compared, and what `verify` says of changes."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
import pytest

from emr_store import acts, credential_proof, invitations, registry
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.invitations import InvitationRefusedError, InvitationRow, Refusal
from emr_store.verification import Verification
from evidence.act import parse_act
from evidence.signature import key_id
from schemas.errors import VitalwireError
from tests.making import Key

ENGINEER = Author("staff:B1", "")
HERE = "10.0.0.7"


@pytest.fixture
def conn(module_database: str) -> Iterator[psycopg.Connection]:
    """What a test changes is taken back."""
    with open_store(module_database) as opened, opened.transaction(force_rollback=True):
        yield opened


def code(name: str = "code") -> bytes:
    return sha256(name.encode()).digest()


def asking_box(conn: psycopg.Connection, key: Key, name: str = "code") -> InvitationRow:
    """It has shown its key."""
    invitations.invite(conn, "ICU box 2", code(name), ENGINEER)
    row = invitations.use(conn, code(name), key.public_der, HERE)
    assert row is not None
    return row


def later(conn: psycopg.Connection, interval: str) -> None:
    """So much time went by."""
    conn.execute(
        "UPDATE edge_invitation SET invited_at = invited_at - %(by)s::interval, open_until = open_until -"
        " %(by)s::interval, asked_at = asked_at - %(by)s::interval",
        {"by": interval},
    )


def findings(conn: psycopg.Connection) -> list[str]:
    result = Verification()
    stated = [parse_act(bytes(body)) for (body,) in conn.execute("SELECT body FROM act")]
    credential_proof.check_credentials(conn, stated, result)
    return [f"{finding.where}: {finding.what}" for finding in result.findings]


def test_a_box_asks_and_a_person_lets_it_in(conn: psycopg.Connection) -> None:
    key = Key()
    row = asking_box(conn, key)
    assert [(each.label, each.key_id, each.address) for each in invitations.undecided(conn)] == [
        ("ICU box 2", key.key_id, HERE)
    ]
    assert invitations.edge_of_key(conn, key.key_id) is None
    edge = invitations.agree(conn, row.invitation, key.key_id, ENGINEER)
    found = invitations.edge_of_key(conn, key.key_id)
    assert found is not None
    assert (found.edge, found.label, found.is_valid) == (edge, "ICU box 2", True)
    assert invitations.undecided(conn) == []
    kinds = [(act.kind, act.by) for act in acts.acts(conn)]
    assert kinds == [
        ("edge.invite", "staff:B1"), ("edge.ask", f"invitation:{row.invitation}"), ("edge.agree", "staff:B1"),
        ("edge.register", "staff:B1"),
    ]  # fmt: skip
    assert findings(conn) == []


def test_a_code_opens_once_for_one_key(conn: psycopg.Connection) -> None:
    key = Key()
    row = asking_box(conn, key)
    assert invitations.use(conn, code(), Key().public_der, HERE) is None
    assert invitations.use(conn, code(), key.public_der, "10.0.0.8") == row  # its answer was lost
    invitations.agree(conn, row.invitation, key.key_id, ENGINEER)
    assert invitations.use(conn, code(), key.public_der, HERE) is None
    assert invitations.use(conn, code("another"), key.public_der, HERE) is None


def test_a_code_ends_after_an_hour_and_a_request_after_a_day(conn: psycopg.Connection) -> None:
    invitations.invite(conn, "late", code("late"), ENGINEER)
    key = Key()
    row = asking_box(conn, key)
    later(conn, "61 minutes")
    assert invitations.use(conn, code("late"), Key().public_der, HERE) is None
    assert [each.label for each in invitations.undecided(conn)] == ["ICU box 2"]
    later(conn, "23 hours")
    assert invitations.undecided(conn) == []
    with pytest.raises(InvitationRefusedError) as refused:
        invitations.agree(conn, row.invitation, key.key_id, ENGINEER)
    assert refused.value.refusal is Refusal.CHANGED
    assert invitations.use(conn, code(), key.public_der, HERE) is None


def test_a_key_that_is_not_the_one_that_was_compared_is_not_let_in(conn: psycopg.Connection) -> None:
    compared, other = Key(), Key()
    row = asking_box(conn, compared)
    conn.execute("UPDATE edge_invitation SET public_der = %s", (other.public_der,))
    with pytest.raises(InvitationRefusedError) as refused:
        invitations.agree(conn, row.invitation, compared.key_id, ENGINEER)
    assert refused.value.refusal is Refusal.OTHER_KEY
    assert invitations.edge_of_key(conn, other.key_id) is None
    assert f"key (SHA-256): the row says {other.key_id.hex()}" in findings(conn)[0]


def test_what_was_refused_is_not_agreed_to(conn: psycopg.Connection) -> None:
    key = Key()
    row = asking_box(conn, key)
    invitations.refuse(conn, row.invitation, Author("staff:B1", "not ours"))
    for decide in (
        lambda: invitations.refuse(conn, row.invitation, ENGINEER),
        lambda: invitations.agree(conn, row.invitation, key.key_id, ENGINEER),
        lambda: invitations.agree(conn, uuid4(), key.key_id, ENGINEER),
    ):
        with pytest.raises(InvitationRefusedError):
            decide()
    found = invitations.of_key(conn, key.key_id)
    assert found is not None
    assert (found.agrees, found.edge) == (False, None)
    assert findings(conn) == []


def test_an_open_code_can_be_taken_back(conn: psycopg.Connection) -> None:
    row = invitations.invite(conn, "x", code(), ENGINEER)
    invitations.refuse(conn, row.invitation, Author("staff:B1", "lost the paper"))
    assert invitations.use(conn, code(), Key().public_der, HERE) is None


def test_the_key_of_a_registered_edge_stays_its_own(conn: psycopg.Connection) -> None:
    key, edge = Key(), UUID(bytes=b"K" * 16)
    registry.add_edge(conn, edge, "old label", key.public_der)
    row = asking_box(conn, key)
    assert invitations.agree(conn, row.invitation, key.key_id, ENGINEER) == edge


def test_a_revoked_key_is_not_taken(conn: psycopg.Connection) -> None:
    key, edge = Key(), UUID(bytes=b"K" * 16)
    registry.add_edge(conn, edge, "old label", key.public_der)
    registry.revoke_edge(conn, edge)
    row = asking_box(conn, key)
    with pytest.raises(InvitationRefusedError, match="revoked") as refused:
        invitations.agree(conn, row.invitation, key.key_id, ENGINEER)
    assert refused.value.refusal is Refusal.KEY_NOT_TAKEN


@pytest.mark.parametrize("label", ["", "  ", "x" * 61, "a\0b"])
def test_what_is_no_label_is_refused(conn: psycopg.Connection, label: str) -> None:
    with pytest.raises(VitalwireError, match="label"):
        invitations.invite(conn, label, code(), ENGINEER)


def test_changes_that_no_act_says_are_found(conn: psycopg.Connection) -> None:
    key = Key()
    row = asking_box(conn, key)
    edge = invitations.agree(conn, row.invitation, key.key_id, ENGINEER)
    for change, said in (
        ("label = 'OR box'", "label: the row says OR box"),
        ("address = ''", "address: the row says nothing"),
        ("open_until = open_until + interval '1 year'", "code open until: the row says"),
        (f"code_sha256 = '\\x{'ab' * 32}'", "code: the row says abab"),
        ("decided_by = 'staff:X'", "decided by: the row says staff:X"),
    ):
        with conn.transaction(force_rollback=True):
            conn.execute(f"UPDATE edge_invitation SET {change} WHERE edge = %s".encode(), (edge,))
            (finding,) = findings(conn)
            assert said in finding
    with conn.transaction(force_rollback=True):
        conn.execute("DELETE FROM edge_invitation")
        assert "the table does not have it" in findings(conn)[0]
    with conn.transaction(force_rollback=True):
        conn.execute("DELETE FROM unlogged WHERE act IN (SELECT act_id FROM act WHERE kind = 'edge.invite')")
        conn.execute("UPDATE edge_invitation SET invitation = gen_random_uuid()")
        assert any("no act in the log let it in" in finding for finding in findings(conn))


def test_a_key_is_named_by_its_hash(conn: psycopg.Connection) -> None:
    key = Key()
    assert asking_box(conn, key).key_id == key_id(key.public_der) == key.key_id
