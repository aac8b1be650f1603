"""Changes that the database's owner can make to keys, screens and programs, and what `verify` says."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from emr_store import acts, credential_proof, machine_clients, proof, security_keys, staff, station_displays
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.security_keys import NewKey
from emr_store.staff import StaffRow
from emr_store.verification import Verification
from evidence.act import parse_act
from tests.conftest import Databases, address_of

ADMIN = Author("staff:A1", "lost")
KEPT, LOST = b"k" * 32, b"l" * 32  # credentials
CODE = sha256(b"code").digest()


@pytest.fixture(scope="module")
def store(databases: Databases) -> Iterator[str]:
    """Two keys, two screens and two programs, of each one that was revoked."""
    name = databases.make_migrated()
    address = address_of(databases.server, name)
    with open_store(address) as conn:
        staff.import_file(conn, [StaffRow("N1", "李娜", "nurse", "here")], b"f" * 32)
        for credential in (KEPT, LOST):
            new = NewKey(credential, "N1", b"public of " + credential, "blue", "0" * 32, 0, untold=False)
            assert security_keys.enrol(conn, new, Author("staff:N1"), None)
        assert security_keys.revoke(conn, LOST, ADMIN, untold=True) is not None
        for label in ("left", "right"):
            display = station_displays.add(conn, "hosp^icu", label, ADMIN, sha256(label.encode()).digest())
        assert station_displays.enrol(conn, sha256(b"right").digest(), "10.0.0.7") is not None
        assert station_displays.revoke(conn, display.display, ADMIN)
        for client in ("emr", "old"):
            machine_clients.register(conn, client, b"public of " + client.encode(), ["system/Patient.r"], [], ADMIN)
        machine_clients.revoke(conn, "old", ADMIN)
    yield address
    databases.end(name)


@pytest.fixture
def conn(store: str) -> Iterator[psycopg.Connection]:
    """What a test changes is taken back."""
    with open_store(store) as opened, opened.transaction(force_rollback=True):
        yield opened


def verified(conn: psycopg.Connection) -> Verification:
    result = Verification()
    stated = [parse_act(bytes(body)) for (body,) in conn.execute("SELECT body FROM act")]
    credential_proof.check_credentials(conn, stated, result)
    return result


def findings(conn: psycopg.Connection) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in verified(conn).findings]


def act_of(conn: psycopg.Connection, kind: str, **details: str) -> str:
    """As a finding names it."""
    for act_id, body in conn.execute("SELECT act_id, body FROM act WHERE kind = %s", (kind,)):
        stated = parse_act(bytes(body)).details
        if all(stated[name] == value for name, value in details.items()):
            return f"act {bytes(act_id).hex()[:16]} ({kind})"
    raise AssertionError(kind)


def test_what_nobody_changed_holds(conn: psycopg.Connection) -> None:
    for zone in ("UTC", "Asia/Shanghai"):
        conn.execute(f"SET LOCAL TIME ZONE '{zone}'".encode())
        result = verified(conn)
        assert (result.findings, result.counts["credentials"], result.not_proved) == ([], 6, [])


def test_uses_and_what_an_owner_was_told_are_nobodys_act(conn: psycopg.Connection) -> None:
    key = security_keys.find(conn, KEPT)
    assert key is not None
    assert security_keys.note_use(conn, key, 7, acts.now(conn))
    security_keys.told(conn, "N1")
    assert findings(conn) == []


def test_a_changed_public_key_is_found(conn: psycopg.Connection) -> None:
    conn.execute("UPDATE security_key SET public_key = 'forged' WHERE credential = %s", (KEPT,))
    conn.execute("UPDATE machine_client SET public_key = 'forged' WHERE client = 'emr'")
    forged = sha256(b"forged").hexdigest()
    enrolled = act_of(conn, "security_key.enrol", credential=KEPT.hex())
    registered = act_of(conn, "client.register", client="emr")
    assert findings(conn) == [
        f"machine_client: client emr: public key (SHA-256): the row says {forged}, and {registered} in the log says"
        f" {sha256(b'public of emr').hexdigest()}",
        f"security_key: key {KEPT.hex()[:16]} of N1: public key (SHA-256): the row says {forged}, and {enrolled} in the"
        f" log says {sha256(b'public of ' + KEPT).hexdigest()}",
    ]


def test_a_revocation_that_was_taken_away_is_found(conn: psycopg.Connection) -> None:
    conn.execute("UPDATE security_key SET revoked_at = NULL, revoked_by = NULL, revoke_reason = NULL")
    conn.execute("UPDATE station_display SET revoked_at = NULL")
    conn.execute("DELETE FROM machine_client_revoked")
    found = findings(conn)
    for where, kind, details in (
        (f"security_key: key {LOST.hex()[:16]} of N1", "security_key.revoke", {"credential": LOST.hex()}),
        ("station_display: screen right of hosp^icu", "display.revoke", {}),
        ("machine_client: client old", "client.revoke", {"client": "old"}),
    ):
        words = f"{where}: revoked: the row says nothing, and {act_of(conn, kind, **details)} in the log says 20"
        assert any(each.startswith(words) for each in found), (words, found)


def test_a_row_that_vanished_is_found(conn: psycopg.Connection) -> None:
    for table in ("security_key", "station_display", "machine_client_revoked", "machine_client"):
        conn.execute(f"DELETE FROM {table}".encode())
    found = findings(conn)
    assert len(found) == 6
    for kind, details in (
        ("security_key.enrol", {"credential": KEPT.hex()}), ("security_key.revoke", {"credential": LOST.hex()}),
        ("display.add", {"label": "left"}), ("display.revoke", {}),
        ("client.register", {"client": "emr"}), ("client.revoke", {"client": "old"}),
    ):  # fmt: skip
        words = f"{act_of(conn, kind, **details)} in the log is about it, and the table does not have it"
        assert sum(each.endswith(words) for each in found) == 1, (words, found)


INVENTED = {
    "INSERT INTO security_key SELECT 'x', staff, public_key, label, model, 0, enrolled_at, NULL, NULL, NULL, NULL,"
    " false, act_id FROM security_key WHERE revoked_at IS NULL": "security_key: 78: no act in the log let it in",
    "INSERT INTO station_display SELECT gen_random_uuid(), ward, label, 'x', open_until, enrolled_at, NULL, act_id FROM"
    " station_display LIMIT 1": "no act in the log let it in (the row names act ",
    "INSERT INTO machine_client SELECT 'eve', public_key, scopes, wards, registered_at, act_id FROM machine_client"
    " WHERE client = 'emr'": "machine_client: eve: no act in the log let it in (the row names act ",
}


@pytest.mark.parametrize("sql", INVENTED)
def test_an_invented_row_is_found(conn: psycopg.Connection, sql: str) -> None:
    assert conn.execute(sql.encode()).rowcount == 1
    (found,) = findings(conn)
    assert INVENTED[sql] in found


CHANGES = {
    "UPDATE security_key SET staff = 'N2' WHERE revoked_at IS NULL": "owner: the row says N2, and act ",
    "UPDATE security_key SET label = 'red' WHERE revoked_at IS NULL": "label: the row says red, and act ",
    "UPDATE security_key SET enrolled_at = now() WHERE revoked_at IS NULL": "enrolled: the row says",
    "UPDATE security_key SET revoked_at = now() WHERE revoked_at IS NULL": "revoked: the row says 20",
    "UPDATE security_key SET revoked_by = 'staff:N1' WHERE revoked_at IS NOT NULL": "revoked by: the row says staff:N1",
    "UPDATE security_key SET revoke_reason = '' WHERE revoked_at IS NOT NULL": "reason of the revocation: the row says",
    "UPDATE security_key SET act_id = (SELECT act_id FROM act WHERE kind = 'client.revoke')": "newest act: the row",
    "UPDATE station_display SET ward = 'hosp^3a'": "ward: the row says hosp^3a, and act ",
    "UPDATE station_display SET open_until = open_until + interval '1 year'": "link open until: the row says",
    "UPDATE station_display SET enrolled_at = now() WHERE enrolled_at IS NULL": "and no act in the log says so",
    "UPDATE machine_client SET scopes = '{system/*.rs}'": "scopes: the row says system/*.rs, and act ",
    "UPDATE machine_client SET wards = '{hosp^icu}'": "wards: the row says hosp^icu, and act ",
    "UPDATE machine_client_revoked SET revoked_at = now() + interval '1 year'": "revoked: the row says",
    "INSERT INTO machine_client_revoked SELECT 'emr', now(), act_id FROM act LIMIT 1": "client emr: revoked: the row",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_what_the_database_s_owner_changes_is_found(conn: psycopg.Connection, sql: str) -> None:
    conn.execute(
        "INSERT INTO staff SELECT 'N2', name, role, licence, licence_until, wards, pool, valid, NULL, act_id FROM staff"
    )
    assert conn.execute(sql.encode()).rowcount
    assert any(CHANGES[sql] in each for each in findings(conn)), findings(conn)


def test_an_act_about_what_nobody_let_in_and_one_that_cannot_be_read_are_found(conn: psycopg.Connection) -> None:
    def record(kind: str, **details: Any) -> str:
        act = acts.act(kind, ADMIN, acts.now(conn), **details)
        acts.record(conn, act)
        return f"act {act.act_id.hex()[:16]} ({kind})"

    unknown, damaged = record("client.revoke", client="nobody"), record("security_key.revoke", credential=7)
    twice = record("client.register", client="emr", key_sha256="", scopes=[], wards=[])
    found = findings(conn)
    assert f"machine_client: nobody: {unknown} is about it, and no act in the log let it in" in found
    assert f"machine_client: client emr: {twice} in the log lets it in a second time" in found
    assert any(each.startswith(f"{damaged}: what it says cannot be read") for each in found)


def test_of_a_key_that_an_older_program_let_in_the_public_key_is_not_proved(conn: psycopg.Connection) -> None:
    act = acts.act("security_key.enrol", ADMIN, acts.now(conn), staff="N1", credential="aa", label="old", model="m")
    conn.execute(
        "INSERT INTO security_key VALUES (%s, 'N1', 'p', 'old', 'm', 0, %s, NULL, NULL, NULL, NULL, false, %s)",
        (b"\xaa", acts.moment_of(act), acts.record(conn, act)),
    )
    result = verified(conn)
    assert result.findings == []
    assert result.not_proved == [
        "the public keys of 1 security keys: an older program let them in, by acts that do not state them"
    ]
    conn.execute("UPDATE security_key SET label = 'new' WHERE label = 'old'")
    assert len(findings(conn)) == 1


def test_verify_looks_at_them(conn: psycopg.Connection) -> None:
    result = proof.verify(conn)
    assert (result.findings, result.counts["credentials"]) == ([], 6)
    conn.execute("UPDATE machine_client SET public_key = 'forged' WHERE client = 'emr'")
    assert [finding.where for finding in proof.verify(conn).findings] == ["machine_client: client emr"]
