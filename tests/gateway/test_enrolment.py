"""`/enrol` as boxes and strangers ask it: what is believed, what is not, and that nobody learns from a refusal."""

from __future__ import annotations

import http.client
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from emr_store import invitations, registry
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.invitation_codes import code_hash, new_code
from gateway.asking import REFUSED_BODY
from gateway.people.sign_in_settings import SignInSettings
from runtime import keys
from runtime.keys import SigningKey
from runtime.pki import Pki, issued, request_for
from schemas.enrolment import BODY_BYTES_MAX, proof_message
from tests.conftest import Databases, address_of
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from tests.making import Key

ENGINEER = Author("staff:B1", "")
PLATFORM = Key()


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pki") / "passphrase"
    path.touch(0o600)
    path.write_text("correct horse battery")
    return path


@pytest.fixture(scope="module")
def pki(passphrase: Path) -> Pki:
    return Pki.create(passphrase.parent / "pki", "Hospital X boxes", passphrase)


@pytest.fixture(scope="module")
def page(databases: Databases, pki: Pki) -> Iterator[Page]:
    name = databases.make_migrated()
    served = Page(address_of(databases.server, name))
    with open_store(served.database) as conn:
        registry.note_platform_key(conn, b"old")
        conn.execute("UPDATE platform_key SET first_seen = now() - interval '1 year'")
        registry.note_platform_key(conn, PLATFORM.public_der)
    served.start(SignInSettings(pki=pki))
    assert connect(served, "/sign-in").status == 200
    yield served
    served.stop()
    databases.end(name)


@pytest.fixture(autouse=True)
def _nobody_waits(page: Page) -> None:
    with open_store(page.database) as conn:
        conn.execute("DELETE FROM sign_in_attempt")


class Box:
    """With keys of its own."""

    def __init__(self, page: Page, folder: Path, name: str = "edge") -> None:
        self.page = page
        self.key: SigningKey = keys.generate(folder / f"{name}.key")
        keys.generate(folder / f"{name}-kafka.key")
        self.csr = request_for(folder / f"{name}-kafka.key")

    def ask(self, asked: dict[str, Any] | bytes) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)
        connection.request("POST", "/enrol", asked if isinstance(asked, bytes) else json.dumps(asked).encode())
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body)

    def begin(self, code: str) -> tuple[int, Any]:
        return self.ask({"ask": "begin", "code": code, "public_key": encoded(self.key.public_der)})

    def challenge(self) -> str:
        status, found = self.ask({"ask": "challenge", "key_id": encoded(self.key.key_id)})
        assert status == 200
        return str(found["challenge"])

    def proof(self, challenge: str, csr: str = "", **changed: Any) -> dict[str, Any]:
        signature = self.key.sign(proof_message(b64decode(challenge), csr))
        asked = {"ask": "prove", "key_id": encoded(self.key.key_id), "challenge": challenge}
        return asked | {"signature": encoded(signature), "csr": csr} | changed

    def prove(self, challenge: str = "", csr: str = "") -> Any:
        status, found = self.ask(self.proof(challenge or self.challenge(), csr))
        assert status == 200, found
        return found


def encoded(value: bytes) -> str:
    return b64encode(value).decode()


def invited(page: Page, label: str = "ICU box 2") -> str:
    code = new_code()
    hashed = code_hash(code)
    assert hashed is not None
    with open_store(page.database) as conn:
        invitations.invite(conn, label, hashed, ENGINEER)
    return code


def agree(page: Page, box: Box) -> str:
    with open_store(page.database) as conn:
        row = invitations.of_key(conn, box.key.key_id)
        assert row is not None
        return str(invitations.agree(conn, row.invitation, box.key.key_id, ENGINEER))


def test_a_box_is_let_in_by_a_person(page: Page, pki: Pki, tmp_path: Path) -> None:
    box = Box(page, tmp_path)
    status, begun = box.begin(invited(page).lower())
    assert status == 200
    pending = box.prove(begun["challenge"], box.csr)
    assert (pending["state"], pending["edge"], pending["certificate"]) == ("pending", "", "")
    edge = agree(page, box)
    agreed = box.prove(pending["challenge"], box.csr)
    assert (agreed["state"], agreed["edge"], agreed["label"], agreed["ca"]) == ("agreed", edge, "ICU box 2", pki.ca_pem)
    (tmp_path / "platform.pub").write_text(agreed["platform_key"])
    assert keys.read_public(tmp_path / "platform.pub") == PLATFORM.public_der
    certificate = [each for each in issued(pki.folder) if each.name == edge]
    assert [each.pem for each in certificate] == [agreed["certificate"]]
    assert certificate[0].public_der == keys.load(tmp_path / "edge-kafka.key").public_der
    with open_store(page.database) as conn:
        (row,) = conn.execute("SELECT body FROM act WHERE kind = 'certificate.issue'").fetchall()
        assert json.loads(bytes(row[0]))["details"]["serial"] == certificate[0].serial
    assert box.prove()["certificate"] == ""  # none was asked for


def test_a_used_code_is_refused_as_any_other(page: Page, tmp_path: Path) -> None:
    code = invited(page)
    box, other = Box(page, tmp_path), Box(page, tmp_path, "other")
    assert box.begin(code)[0] == 200
    assert box.begin(code)[0] == 200  # its answer was lost
    answers = [other.begin(code), other.begin(new_code()), other.begin("no code"), other.begin("")]
    assert answers == [(403, json.loads(REFUSED_BODY))] * 4


def test_an_expired_code_is_refused(page: Page, tmp_path: Path) -> None:
    code = invited(page)
    with open_store(page.database) as conn:
        conn.execute("UPDATE edge_invitation SET open_until = now() WHERE asked_at IS NULL")
    assert Box(page, tmp_path).begin(code)[0] == 403


def test_a_proof_is_taken_once_from_who_has_the_key(page: Page, tmp_path: Path) -> None:
    box, other = Box(page, tmp_path), Box(page, tmp_path, "other")
    challenge = box.begin(invited(page))[1]["challenge"]
    wrong = [
        box.proof(challenge, signature=encoded(other.key.sign(proof_message(b64decode(challenge), "")))),
        box.proof(encoded(b"VWEDGE01" + bytes(32))),
        box.proof(other.challenge()),
        box.proof(box.challenge(), csr="x") | {"csr": box.csr},  # the request was changed on its way
        other.proof(other.challenge()),  # a key that nobody knows
    ]
    assert [box.ask(each) for each in wrong] == [(403, json.loads(REFUSED_BODY))] * 5
    good = box.proof(box.challenge())
    assert box.ask(good)[0] == 200
    assert box.ask(good)[0] == 403


def test_what_is_refused_or_revoked_is_said_to_who_has_the_key(page: Page, tmp_path: Path) -> None:
    box, stolen = Box(page, tmp_path), Box(page, tmp_path, "stolen")
    for each in (box, stolen):
        assert each.begin(invited(page))[0] == 200
    with open_store(page.database) as conn:
        row = invitations.of_key(conn, box.key.key_id)
        assert row is not None
        invitations.refuse(conn, row.invitation, ENGINEER)
    assert box.prove()["state"] == "refused"
    edge = agree(page, stolen)
    with open_store(page.database) as conn:
        registry.revoke_edge(conn, UUID(edge))
    found = stolen.prove(csr=stolen.csr)
    assert (found["state"], found["certificate"]) == ("refused", "")


def test_after_a_revocation_only_a_person_issues(page: Page, pki: Pki, tmp_path: Path) -> None:
    box = Box(page, tmp_path)
    assert box.begin(invited(page))[0] == 200
    edge = agree(page, box)
    assert box.prove(csr=box.csr)["certificate"]
    (certificate,) = [each for each in issued(pki.folder) if each.name == edge]
    pki.revoke(certificate.serial, "lost")
    found = box.prove(csr=box.csr)
    assert (found["state"], found["certificate"]) == ("agreed", "")
    assert "vitalwire pki issue" in found["why"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"ask":"end"}', b'{"ask":"begin","code":"x"}', b'{"ask":"challenge","key_id":"AA=="}',
        b'{"ask":"begin","code":"x","public_key":"!"}', b"\xff" * 100,
        b'{"ask":"prove","key_id":"AA==","challenge":"","signature":"","csr":1}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(page: Page, tmp_path: Path, body: bytes) -> None:
    assert Box(page, tmp_path).ask(body) == (403, json.loads(REFUSED_BODY))


def test_what_is_no_p256_key_uses_no_code(page: Page, tmp_path: Path) -> None:
    code, box = invited(page), Box(page, tmp_path)
    for public in (b"", b"x" * 91, box.key.public_der + b"x", b"x" * 1000):
        assert box.ask({"ask": "begin", "code": code, "public_key": encoded(public)})[0] == 403
    assert box.begin(code)[0] == 200


def test_a_long_body_is_not_read_to_its_end(page: Page, tmp_path: Path) -> None:
    assert Box(page, tmp_path).ask(b"x" * (BODY_BYTES_MAX + 1))[0] == 413


def test_who_guesses_waits(page: Page, tmp_path: Path) -> None:
    box, code = Box(page, tmp_path), invited(page)
    with open_store(page.database) as conn:
        conn.cursor().executemany(
            "INSERT INTO sign_in_attempt (account, address, succeeded, at, factor) VALUES ('', '127.0.0.1', false, %s,"
            " 'edge')",
            [(datetime.now(UTC) - timedelta(seconds=each),) for each in range(40)],
        )
    status, said = box.begin(code)
    assert (status, said["refused"]) == (429, "wait")
    assert 0 < said["wait_s"] <= 10
    assert box.ask({"ask": "challenge", "key_id": encoded(box.key.key_id)})[0] == 429


def test_without_an_authority_a_person_issues(page: Page, tmp_path: Path) -> None:
    box = Box(page, tmp_path)
    alone = Page(page.database)
    alone.start(SignInSettings())
    assert connect(alone, "/sign-in").status == 200
    try:
        assert box.begin(invited(page))[0] == 200
        agree(page, box)
        box.page = alone
        found = box.prove(csr=box.csr)
        assert (found["state"], found["certificate"], found["ca"]) == ("agreed", "", "")
        assert "vitalwire pki issue" in found["why"]
    finally:
        alone.stop()
