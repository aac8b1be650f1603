"""F28: a certificate ends: a box's own for the broker, or the broker's. Said before and after, healed by a new one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emr_store.fleet import UNHEARD_AFTER_S
from runtime import keys
from runtime.pki import LASTS, request_for
from runtime.whole_file import replace_file
from tests.commands import vitalwire
from tests.faults import ward
from tests.faults.conftest import NOT_QUICK
from tests.faults.oracles import RECOVERY_S, Outcome, events, flowing, footprint, settle, until
from tests.faults.senders import Sender
from tests.faults.system import System
from tests.own_kafka import TrustingKafka

LEFT_S = 40  # of a certificate, once data flows
SAID_S = 20  # an edge says its counts every ten seconds
ENDED_S = UNHEARD_AFTER_S + 5
HEALED_S = RECOVERY_S + SAID_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600), NOT_QUICK]


@contextmanager
def tls_ward(folder: Path, database: str) -> Iterator[tuple[TrustingKafka, System, list[Sender]]]:
    """Programs that reach a broker of their own by TLS alone, each with a certificate that lasts."""
    (folder / "broker").mkdir()
    with TrustingKafka(folder / "broker") as kafka:
        key = folder / "kafka.key"
        keys.generate(key)
        (folder / "kafka.crt").write_text(kafka.pki.issue(request_for(key), "hospital").pem)
        reach = f'kafka = "{kafka.tls_address}"\nkafka_ca = "{kafka.ca}"\n'
        reach += 'kafka_cert = "kafka.crt"\nkafka_key = "kafka.key"\n'
        with ward.running(folder, kafka.address, database, broker=reach) as (system, senders):
            yield kafka, system, senders


def test_f28_client_certificate_ends(tmp_path: Path, database: str, outcome: Outcome) -> None:
    """The broker takes the box no more once it connects anew; what is measured waits there until a person renews."""
    with tls_ward(tmp_path, database) as (kafka, system, senders):
        ends = change_certificate(kafka, system, timedelta(seconds=LEFT_S))
        flowing(system, senders)
        system.footprint = footprint(system)
        until(lambda: "its certificate for the broker ends in" in trouble(system), SAID_S, "status says it before")
        assert events(system, "certificate-ends") == 1
        sleep_until(ends)
        restart(kafka)  # connections that stand are never asked again
        until(lambda: "broker-refused" in edge_log(system), RECOVERY_S, "the broker refuses it")
        check_away(system, senders, "its certificate for the broker ended")
        change_certificate(kafka, system, LASTS)
        until(lambda: trouble(system) == "", HEALED_S, "status says no more of it")
        settle(system, senders, outcome)
        assert events(system, "certificate-ends") == 2
        assert events(system, "certificate-renewed") >= 1


def test_f28_server_certificate_ends(tmp_path: Path, database: str, outcome: Outcome) -> None:
    """Nobody believes the broker any more; it has a new certificate, and no other program is touched."""
    with tls_ward(tmp_path, database) as (kafka, system, senders):
        ends = datetime.now(UTC) + timedelta(seconds=LEFT_S)
        kafka.serve_for(timedelta(seconds=LEFT_S))
        restart(kafka)
        flowing(system, senders)
        system.footprint = footprint(system)
        assert "ends on" in doctor(kafka, system)
        sleep_until(ends)
        restart(kafka)
        until(lambda: "certificate verify failed" in edge_log(system), RECOVERY_S, "the box does not believe it")
        assert "ended on" in doctor(kafka, system)
        check_away(system, senders, "nothing heard for 1 min")
        kafka.serve_for(LASTS)
        restart(kafka)
        until(lambda: trouble(system) == "", HEALED_S, "status says no more of it")
        settle(system, senders, outcome)
        assert events(system, "broker-refused") >= 1
        assert "ends on" not in doctor(kafka, system)


def change_certificate(kafka: TrustingKafka, system: System, lasts: timedelta) -> datetime:
    """The edge alone has this one, from now on; when it ends."""
    issued = kafka.pki.issue(request_for(system.folder / "kafka.key"), "edge", datetime.now(UTC) + lasts - LASTS)
    replace_file(system.folder / "edge.crt", issued.pem.encode())
    config = system.folder / "edge.toml"
    if "edge.crt" not in config.read_text():
        system.stop("edge")
        config.write_text(config.read_text().replace("kafka.crt", "edge.crt"))
        system.start("edge")
    return issued.not_after


def restart(kafka: TrustingKafka) -> None:
    kafka.stop()
    kafka.start()


def sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds() + 1))


def edge_log(system: System) -> str:
    return (system.folder / "edge.log").read_text()


def trouble(system: System) -> str:
    """What `vitalwire status` says of the box; "" where it is well."""
    code, text = vitalwire("status --json --database", system.database)
    assert code == 0, text
    return "; ".join(each["trouble"] for each in json.loads(text)["edges_in_trouble"])


def doctor(kafka: TrustingKafka, system: System) -> str:
    """What it says of the broker's certificate."""
    certificate = kafka.kafka / "server.crt"
    _, text = vitalwire("doctor --json --certificate", str(certificate), "--database", system.database)
    found = json.loads(text)["findings"]
    return "; ".join(each["what"] for each in found if each["where"].startswith(str(certificate)))


def check_away(system: System, senders: list[Sender], words: str) -> None:
    """A minute later `vitalwire status` has the words, and the bedside has noticed nothing."""
    acked = sum(len(sender.acked) for sender in senders)
    time.sleep(ENDED_S)
    assert sum(len(sender.acked) for sender in senders) > acked + 100
    assert words in trouble(system)
