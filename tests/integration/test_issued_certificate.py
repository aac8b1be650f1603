"""The hospital's own authority before a real Kafka: it takes boxes that were issued a certificate, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from edge_agent.publisher import Publisher
from edge_agent.spool import Spool
from evidence.seal import seal
from runtime import keys
from runtime.errors import UserError
from runtime.pki import Pki, request_for
from runtime.tls import librdkafka_tls
from runtime.whole_file import replace_file
from tests.edge_agent.publisher.bench import EDGE, EDGE_KEY, PLATFORM, Hospital, TestBroker, put_batches, until
from tests.own_kafka import TrustingKafka
from vitalwire import broker
from vitalwire.broker import topics_of

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustingKafka]:
    with TrustingKafka(tmp_path_factory.mktemp("trusting")) as kafka:
        yield kafka


@pytest.fixture
def tls_key(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "kafka.key")
    return tmp_path / "kafka.key"


def test_who_was_issued_a_certificate_connects_and_no_other(
    trusting: TrustingKafka, tls_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 5.0)
    ours, theirs = tmp_path / "kafka.crt", tmp_path / "theirs.crt"
    ours.write_text(trusting.pki.issue(request_for(tls_key), "edge-1").pem)
    assert topics_of(trusting.tls_address, trusting.ca, ours, tls_key) is not None
    other = Pki.create(tmp_path / "other", "Hospital X", trusting.pki.folder.parent / "passphrase")  # of one name
    theirs.write_text(other.issue(request_for(tls_key), "edge-1").pem)
    for cert, key in ((None, None), (theirs, tls_key)):
        with pytest.raises(UserError, match="is not reached"):
            topics_of(trusting.tls_address, trusting.ca, cert, key)


def test_a_renewed_certificate_takes_over_without_a_gap(trusting: TrustingKafka, tls_key: Path, tmp_path: Path) -> None:
    """The publisher sends by the old one, then by the new one; every batch has its receipt."""
    cert = tmp_path / "kafka.crt"
    cert.write_text(trusting.pki.issue(request_for(tls_key), "edge-1").pem)
    security = librdkafka_tls(trusting.ca, cert, tls_key)
    topics = TestBroker(tmp_path / "unused.log")
    topics.advertised = trusting.tls_address
    topics.create_topics(security)
    events: list[str] = []
    with ExitStack() as at_end:
        hospital = Hospital(trusting.tls_address, security=security)
        at_end.callback(hospital.stop)
        spool = Spool(
            tmp_path / "spool", bytes_max=1 << 26, receipt_hold_s=1000, cut_after_s=0.05,
            on_event=lambda code, text: events.append(code),
        )  # fmt: skip
        at_end.callback(spool.close)
        publisher = Publisher(
            spool, partial(seal, edge=EDGE, config_hash=bytes(32), key_id=EDGE_KEY.key_id, sign=EDGE_KEY.sign),
            PLATFORM.public_der, edge=EDGE, kafka=trusting.tls_address, ca=trusting.ca, cert=cert, key=tls_key,
            on_event=lambda code, text: events.append(code),
        )  # fmt: skip
        publisher.start()
        at_end.callback(publisher.stop)
        put_batches(spool, 2)
        until(lambda: publisher.counts["released"] == 2, "receipts by the old certificate")
        replace_file(cert, trusting.pki.issue(request_for(tls_key), "edge-1").pem.encode())
        publisher.reconnect()
        put_batches(spool, 3)
        until(lambda: publisher.counts["released"] == 5, "receipts by the new certificate")
        until(lambda: publisher.counts["rebuilt"] == 1, "clients are new")
        assert set(hospital.numbers()) == {1, 2, 3, 4, 5}
        assert events == ["broker-reached"]
