"""A box's certificate is renewed in time by the real gateway; what goes wrong is said, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from edge_agent import client_certificate
from edge_agent.config import EdgeConfig
from edge_agent.enrolment import Gateway
from edge_agent.renewal import LOOK_S, RETRY_S, Renewal, renewal_of
from emr_store import registry
from emr_store.connect import open_store
from runtime import keys
from runtime.errors import UserError
from runtime.pki import LASTS, request_for
from tests.conftest import Databases, address_of
from tests.enrolling import EnrollingHospital
from tests.runtime.conftest import Certified


@pytest.fixture(scope="module")
def hospital(
    databases: Databases, ours: Certified, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EnrollingHospital]:
    name = databases.make_migrated()
    made = EnrollingHospital(address_of(databases.server, name), tmp_path_factory.mktemp("hospital"), ours)
    yield made
    made.stop()
    databases.end(name)


class Box:
    """It was let in today; `at` is its clock."""

    def __init__(self, hospital: EnrollingHospital, folder: Path) -> None:
        self.hospital, self.folder, self.at = hospital, folder, datetime.now(UTC)
        self.key = keys.generate(folder / "edge.key")
        keys.generate(folder / "kafka.key")
        self.gateway = Gateway(hospital.address, hospital.certified.cert)
        self.gateway.begin(hospital.invite(), self.key)
        self.edge = hospital.agree(self.key.key_id)
        self.certificate = folder / "kafka.crt"
        self.certificate.write_text(self.gateway.prove(self.key, request_for(folder / "kafka.key")).certificate)
        self.events: list[tuple[str, str]] = []
        self.reconnects = 0
        self.renewal = Renewal(
            self.gateway, self.key, certificate=self.certificate, key_file=folder / "kafka.key", edge=self.edge,
            on_event=lambda code, text: self.events.append((code, text)), on_renewed=self._reconnect,
            now=lambda: self.at,
        )  # fmt: skip

    def _reconnect(self) -> None:
        self.reconnects += 1

    @property
    def serial(self) -> str:
        return client_certificate.read_file(self.certificate).serial


@pytest.fixture
def box(hospital: EnrollingHospital, tmp_path: Path) -> Box:
    with open_store(hospital.database) as conn:
        conn.execute("DELETE FROM sign_in_attempt")
    return Box(hospital, tmp_path)


def test_it_is_renewed_when_a_third_of_its_lifetime_is_left(box: Box) -> None:
    first = box.serial
    assert box.renewal.look() == LOOK_S
    box.at += timedelta(days=59)
    box.renewal.look()
    assert (box.serial, box.events, box.reconnects) == (first, [], 0)
    box.at += timedelta(days=2)
    assert box.renewal.look() == LOOK_S
    assert box.serial != first
    assert [code for code, _ in box.events] == ["certificate-renewed"]
    assert (box.reconnects, box.renewal.trouble) == (1, "")
    assert client_certificate.read_file(box.certificate).public_der == keys.load(box.folder / "kafka.key").public_der
    assert sorted(each.name for each in box.folder.iterdir()) == [
        "edge.key", "edge.pub", "kafka.crt", "kafka.key", "kafka.pub"
    ]  # fmt: skip


def test_a_box_that_was_off_for_long_gets_one_all_the_same(box: Box) -> None:
    """The proof is by the edge's key, which outlives the certificate."""
    ended = box.hospital.pki.issue(
        request_for(box.folder / "kafka.key"), box.edge, datetime.now(UTC) - LASTS - timedelta(minutes=10)
    )
    box.certificate.write_text(ended.pem)
    box.renewal.look()
    assert box.serial != ended.serial
    assert box.reconnects == 1


def test_one_that_a_person_put_there_is_used(box: Box) -> None:
    box.renewal.look()
    by_hand = box.hospital.pki.issue(request_for(box.folder / "kafka.key"), box.edge)
    box.certificate.write_text(by_hand.pem)
    box.renewal.look()
    assert box.reconnects == 1
    keys.generate(box.folder / "other.key")
    box.certificate.write_text(box.hospital.pki.issue(request_for(box.folder / "other.key"), box.edge).pem)
    assert box.renewal.look() == RETRY_S
    assert "of another key" in box.renewal.trouble
    assert box.reconnects == 1


def test_what_cannot_be_renewed_is_said_once_and_stays_in_use(box: Box) -> None:
    first = box.serial
    with open_store(box.hospital.database) as conn:
        registry.revoke_edge(conn, UUID(box.edge))
    box.at += timedelta(days=61)
    assert [box.renewal.look(), box.renewal.look()] == [RETRY_S, RETRY_S]
    assert (box.serial, box.reconnects) == (first, 0)
    ((code, text),) = box.events
    assert code == "certificate-not-renewed"
    assert "revoked this key" in text
    assert text == box.renewal.trouble


def test_a_gateway_that_is_away_is_asked_again(box: Box) -> None:
    box.at += timedelta(days=61)
    away = box.renewal
    away._gateway = Gateway("https://127.0.0.1:1", box.hospital.certified.cert)
    assert away.look() == RETRY_S
    assert "is not reached" in away.trouble
    away._gateway = box.gateway
    assert (away.look(), away.trouble, box.reconnects) == (LOOK_S, "", 1)


def test_a_gateway_of_another_authority_is_given_nothing(box: Box, theirs: Certified) -> None:
    with pytest.raises(UserError, match="--ca names"):
        Gateway(box.hospital.address, theirs.cert).prove(box.key)


def test_a_certificate_of_another_edge_or_time_is_not_put(box: Box) -> None:
    pki, csr, first = box.hospital.pki, request_for(box.folder / "kafka.key"), box.serial
    for pem, why in (
        (pki.issue(csr, "another").pem, "of another, and this box is"),
        (pki.issue(csr, box.edge, datetime.now(UTC) + timedelta(days=2)).pem, "clock right"),
        ("-----BEGIN CERTIFICATE-----\n", "no certificate"),
    ):
        with pytest.raises(UserError, match=why):
            client_certificate.put(
                box.certificate, pem, key_file=box.folder / "kafka.key", edge=box.edge, at=datetime.now(UTC)
            )
    assert box.serial == first


def test_it_looks_again_and_again(box: Box) -> None:
    waited: list[float] = []

    class EndError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        box.at += timedelta(days=31)
        if len(waited) == 3:
            raise EndError

    with pytest.raises(EndError):
        asyncio.run(box.renewal.run(sleep))
    assert waited == [LOOK_S] * 3
    assert box.reconnects == 1


def test_it_is_there_where_a_gateway_and_a_certificate_are_configured(box: Box) -> None:
    def configured(**more: object) -> Renewal | None:
        config = EdgeConfig(edge=box.edge, **more)  # type: ignore[arg-type]
        return renewal_of(config, box.key, lambda *_: None, lambda: None)

    files = {"kafka_cert": box.certificate, "kafka_key": box.folder / "kafka.key"}
    assert configured() is None
    assert configured(gateway=box.hospital.address) is None
    assert configured(**files) is None
    assert configured(gateway=box.hospital.address, gateway_ca=box.hospital.certified.cert, **files) is not None
    for wrong in ("icu.example", "http://icu.example", "https://icu.example/pages", "https://x:y"):
        with pytest.raises(UserError):
            configured(gateway=wrong, **files)
