"""A box from its code to its first batch: the real gateway over TLS, the commands that people type."""

from __future__ import annotations

import json
import re
import stat
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from edge_agent.config import EdgeConfig
from emr_store import invitations, registry
from emr_store.connect import open_store
from evidence.dead_letter import DeadLetter
from evidence.seal import FIRST_PREVIOUS, seal
from runtime import config as configuration
from runtime import keys
from runtime.errors import UserError
from runtime.pki import issued
from runtime.tls import client_context
from schemas.batch import encode_report
from schemas.block import Block
from schemas.report import Lane
from stream_processors.validation import EdgeKey, Memory, validate
from tests.commands import as_json, vitalwire
from tests.conftest import Databases, address_of
from tests.enrolling import EnrollingHospital
from tests.making import report
from tests.runtime.conftest import Certified
from tests.wire import eventually
from vitalwire import edge_enrol


@pytest.fixture(scope="module")
def hospital(
    databases: Databases, ours: Certified, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EnrollingHospital]:
    name = databases.make_migrated()
    made = EnrollingHospital(address_of(databases.server, name), tmp_path_factory.mktemp("hospital"), ours)
    yield made
    made.stop()
    databases.end(name)


@pytest.fixture(autouse=True)
def _as_typed_at_the_hospital(hospital: EnrollingHospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_DATABASE", hospital.database)
    monkeypatch.setattr(edge_enrol, "POLL_S", 0.05)
    with open_store(hospital.database) as conn:
        conn.execute("DELETE FROM sign_in_attempt")
        conn.execute("UPDATE edge_invitation SET open_until = now(), asked_at = asked_at - interval '2 days'"
                     " WHERE agrees IS NULL")  # fmt: skip


@pytest.fixture
def people() -> Iterator[ThreadPoolExecutor]:
    """Somebody at the hospital, while the box waits."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def enrol(hospital: EnrollingHospital, folder: Path, *more: str) -> tuple[int, str]:
    ca = ("--ca", str(hospital.certified.cert))
    return vitalwire("edge enrol --gateway", hospital.address, *ca, "--folder", str(folder), *more)


def invited(label: str = "ICU box 2") -> str:
    code, text = vitalwire("registry edge invite --label", label)
    assert code == 0
    found = re.search(r"^code  ([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def waiting(hospital: EnrollingHospital) -> list[invitations.InvitationRow]:
    with open_store(hospital.database) as conn:
        return [row for row in invitations.undecided(conn) if row.public_der is not None]


def agreed_as_soon_as_it_waits(hospital: EnrollingHospital, folder: Path) -> tuple[int, str]:
    """As the person does who reads the fingerprint from the box."""
    eventually(lambda: bool(waiting(hospital)), 20, "a box waits")
    (row,) = waiting(hospital)
    shown = keys.fingerprint(keys.read_public(folder / "edge.pub"))
    with open_store(hospital.database) as conn:
        assert [each.invitation for each in invitations.undecided(conn)] == [row.invitation]
    return vitalwire("registry edge agree", str(row.invitation), "--fingerprint", shown[:24])


def validated(hospital: EnrollingHospital, edge: str, folder: Path) -> Block | DeadLetter:
    """A batch that the box sealed, as the processors judge it by the registry."""
    key, now = keys.load(folder / "edge.key"), time.time_ns() // 1000
    leaf = encode_report(report(at_us=now), b"s" * 16, sha256(b"s" * 16).digest())
    message = seal(
        [bytes(leaf)], lane=Lane.LIVE, edge=UUID(edge).bytes, spool=b"S" * 16, batch_no=1, previous=FIRST_PREVIOUS,
        created_at_us=now, config_hash=bytes(32), key_id=key.key_id, sign=key.sign,
    )  # fmt: skip
    with open_store(hospital.database) as conn:
        rows = registry.edge_keys(conn)
    known = {
        row.key_id: EdgeKey(row.edge.bytes, row.public_der, row.valid_from_us, row.valid_until_us, row.revoked)
        for row in rows
    }
    (found,) = validate("live.raw", [message], Memory(known), now)
    return found


def test_what_it_is_let_in_with_stands_in_its_configuration(
    hospital: EnrollingHospital, people: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """Where it stood already it is replaced; what an engineer wrote for the ward stays."""
    config = tmp_path / "edge.toml"
    rest = 'kafka = "k:9094"\n\n[[source]]\nname = "icu"\nedge = "of the source"\n'
    config.write_text(f'# of the ward\nedge = "{UUID(int=7)}"\n{rest}')
    config.chmod(0o600)
    person: Future[tuple[int, str]] = people.submit(agreed_as_soon_as_it_waits, hospital, tmp_path)
    status, text = enrol(hospital, tmp_path, "--code", invited(), "--config", str(config))
    assert (person.result()[0], status) == (0, 0), text
    assert f"{config} says so. Start the agent again" in " ".join(text.split())
    head, _, tables = config.read_text().partition("[[source]]")
    assert f"[[source]]{tables}" == rest.partition("\n\n")[2]
    found = tomllib.loads(head)
    assert found["edge"] == next(each["edge"] for each in as_json("registry edge list") if each["label"] == "ICU box 2")
    assert (found["kafka"], found["gateway"]) == ("k:9094", hospital.address)
    assert head.count("edge =") == 1
    assert "# of the ward" in head
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="put the lines there yourself"):
        edge_enrol.write_settings(tmp_path / "absent.toml", found)


def test_a_box_enrols_and_its_batch_is_believed(
    hospital: EnrollingHospital, people: ThreadPoolExecutor, tmp_path: Path
) -> None:
    code = invited("ICU 盒 2")
    person: Future[tuple[int, str]] = people.submit(agreed_as_soon_as_it_waits, hospital, tmp_path)
    status, text = enrol(hospital, tmp_path, "--code", code.lower())
    assert person.result()[0] == 0, person.result()
    assert status == 0, text
    shown = keys.fingerprint(keys.read_public(tmp_path / "edge.pub"))
    assert f"fingerprint  {shown}" in text
    assert "let in as ICU 盒 2" in text
    assert shown in person.result()[1]
    config = tmp_path / "edge.toml"
    config.write_text("\n".join(line for line in text.splitlines() if re.match(r"[a-z_]+ = ", line)))
    settings = configuration.load(config, EdgeConfig)
    (certificate,) = [each for each in issued(hospital.pki.folder) if each.name == settings.edge]
    assert settings.kafka_cert is not None
    assert settings.kafka_key is not None
    assert settings.kafka_cert.read_text() == certificate.pem
    client_context(tmp_path / "boxes-ca.crt", settings.kafka_cert, settings.kafka_key)  # they fit each other
    assert keys.read_public(settings.platform_key_file) == hospital.platform.public_der
    assert (settings.gateway, settings.gateway_ca) == (hospital.address, hospital.certified.cert)
    for name in ("edge.key", "kafka.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert isinstance(validated(hospital, settings.edge, tmp_path), Block)
    registered = {each["edge"]: each["label"] for each in as_json("registry edge list")}
    assert registered[settings.edge] == "ICU 盒 2"


def test_before_a_person_agreed_no_batch_is_believed_and_it_can_go_on_waiting(
    hospital: EnrollingHospital, tmp_path: Path
) -> None:
    status, text = enrol(hospital, tmp_path, "--code", invited(), "--wait-min", "0.002")
    assert status == 3
    assert "nobody agreed yet; go on waiting with: vitalwire edge enrol --gateway" in text
    assert not (tmp_path / "kafka.crt").exists()
    found = validated(hospital, "0b7c2f3e-0000-4000-8000-000000000001", tmp_path)
    assert isinstance(found, DeadLetter)
    key = keys.load(tmp_path / "edge.key")
    edge = hospital.agree(key.key_id)
    status, text = enrol(hospital, tmp_path, "--json")
    assert status == 0
    said = json.loads(text)
    assert (said["state"], said["edge"], said["notes"]) == ("agreed", edge, [])
    assert isinstance(validated(hospital, edge, tmp_path), Block)


def test_keys_and_certificates_may_lie_apart(hospital: EnrollingHospital, tmp_path: Path) -> None:
    etc, state = tmp_path / "etc", tmp_path / "state"
    apart = ("--certificate-folder", str(state), "--wait-min", "0")
    status, text = enrol(hospital, etc, "--code", invited(), *apart)
    assert (status, f"--certificate-folder {state}" in text) == (3, True)
    hospital.agree(keys.load(etc / "edge.key").key_id)
    status, text = enrol(hospital, etc, *apart)
    assert status == 0
    assert f'kafka_cert = "{state / "kafka.crt"}"' in text
    assert {each.name for each in etc.iterdir()} == {"edge.key", "edge.pub", "platform.pub"}
    assert {each.name for each in state.iterdir()} == {"kafka.key", "kafka.crt", "boxes-ca.crt"}


def test_a_code_that_was_used_is_refused_in_words(hospital: EnrollingHospital, tmp_path: Path) -> None:
    code = invited()
    assert enrol(hospital, tmp_path / "first", "--code", code, "--wait-min", "0")[0] == 3
    status, text = enrol(hospital, tmp_path / "second", "--code", code, "--wait-min", "0")
    assert status == 2
    assert "a code opens once and for an hour" in text
    assert len(waiting(hospital)) == 1


def test_a_code_whose_hour_is_over_is_refused(hospital: EnrollingHospital, tmp_path: Path) -> None:
    code = invited()
    with open_store(hospital.database) as conn:
        conn.execute("UPDATE edge_invitation SET open_until = now() WHERE agrees IS NULL")
    status, text = enrol(hospital, tmp_path, "--code", code, "--wait-min", "0")
    assert (status, "for an hour" in text) == (2, True)


def test_a_gateway_of_another_authority_is_not_shown_the_code(
    hospital: EnrollingHospital, theirs: Certified, tmp_path: Path
) -> None:
    more = ("--ca", str(theirs.cert), "--folder", str(tmp_path), "--code", invited())
    status, text = vitalwire("edge enrol --gateway", hospital.address, *more)
    assert (status, "--ca names" in text) == (2, True)
    assert waiting(hospital) == []


def test_nothing_goes_in_plaintext_to_another_machine(tmp_path: Path) -> None:
    status, text = vitalwire("edge enrol --gateway http://icu.example --code X --folder", str(tmp_path))
    assert (status, "https://" in text) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_fingerprint_that_is_not_the_boxs_is_refused(hospital: EnrollingHospital, tmp_path: Path) -> None:
    assert enrol(hospital, tmp_path, "--code", invited(), "--wait-min", "0")[0] == 3
    (row,) = waiting(hospital)
    agree = ("registry edge agree", str(row.invitation), "--fingerprint")
    status, text = vitalwire(*agree, "0123 4567 89ab cdef")
    assert (status, "another fingerprint: do not agree" in text) == (2, True)
    status, text = vitalwire(*agree, keys.fingerprint(row.public_der or b"")[:9])
    assert (status, "four groups" in text) == (2, True)
    with open_store(hospital.database) as conn:  # between the box's question and the person's answer
        keys.generate(tmp_path / "other.key")
        other = keys.load(tmp_path / "other.key").public_der
        conn.execute("UPDATE edge_invitation SET public_der = %s WHERE invitation = %s", (other, row.invitation))
    status, text = vitalwire(*agree, keys.fingerprint(row.public_der or b""))
    assert (status, "another fingerprint" in text) == (2, True)
    assert vitalwire("registry edge refuse", str(row.invitation), "--why", "the key changed")[0] == 0
    assert vitalwire(*agree, keys.fingerprint(other))[0] == 2


def test_who_is_refused_is_told(hospital: EnrollingHospital, tmp_path: Path) -> None:
    assert enrol(hospital, tmp_path, "--code", invited(), "--wait-min", "0")[0] == 3
    (row,) = waiting(hospital)
    (listed,) = as_json("registry edge pending")
    assert (listed["invitation"], listed["fingerprint"]) == (
        str(row.invitation), keys.fingerprint(row.public_der or b"")
    )  # fmt: skip
    text = vitalwire("registry edge pending")[1]
    assert "127.0.0.1" in text
    assert vitalwire("registry edge refuse", str(row.invitation), "--why", " ")[0] == 2
    assert vitalwire("registry edge refuse", str(row.invitation), "--why", "not ours") == (
        0, f"refused {row.invitation}\n"
    )  # fmt: skip
    status, text = enrol(hospital, tmp_path)
    assert (status, "this box is not let in" in text) == (4, True)


def test_the_code_is_kept_nowhere(hospital: EnrollingHospital) -> None:
    code = invited()
    with open_store(hospital.database) as conn:
        rows = conn.execute("SELECT edge_invitation::text FROM edge_invitation UNION ALL SELECT body::text FROM act")
        text = "".join(each for (each,) in rows)
    for written in (code, code.replace("-", "")):
        assert written not in text
        assert written.encode().hex() not in text


def test_each_command_has_an_example() -> None:
    for command in ("edge enrol", "registry edge invite", "registry edge pending", "registry edge agree",
                    "registry edge refuse", "pki init", "pki issue", "pki list", "pki revoke", "pki crl"):  # fmt: skip
        code, text = vitalwire(command, "--help")
        assert code == 0
        assert f"vitalwire {command}" in " ".join(text.replace("│", " ").split()), command
