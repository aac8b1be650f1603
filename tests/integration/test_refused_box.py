"""A Kafka of this test's own with an authorizer, and a box that it is to refuse: no other client is hurt."""

from __future__ import annotations

import base64
import glob
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from vitalwire.broker_access import Denial, deny
from vitalwire.embedded.services import free_port

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
# Over a password instead of certificates: who somebody is differs by its spelling alone.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_PLAINTEXT
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="{secret}" user_admin="{secret}" user_{box}="{secret}" user_other="{secret}";
super.users=User:admin;User:ANONYMOUS
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
log.dirs={folder}/data
offsets.topic.replication.factor=1
{more}
"""
BOX = UUID(int=7)


@dataclass
class Broker:
    address: str
    secret: str

    def settings(self, user: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.address, "log_level": 0, "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN", "sasl.username": user, "sasl.password": self.secret,
        }  # fmt: skip

    def may_produce(self, user: str) -> bool:
        taken: list[bool] = []

        def note(error: object, message: object) -> None:
            taken.append(error is None)

        producer = Producer(self.settings(user) | {"message.timeout.ms": 10_000})
        producer.produce("readings", b"x", on_delivery=note)
        producer.flush(15)
        return taken == [True]


def jars() -> str:
    """Where deploy/services has fetched them."""
    number = subprocess.run(["cksum"], stdin=(ROOT / "deploy/services/pom.xml").open("rb"), capture_output=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vitalwire"
    (found,) = glob.glob(str(cache / f"kafka-{number.stdout.split()[0].decode()}"))
    return f"{found}/*"


@contextmanager
def started(folder: Path, more: str) -> Iterator[Broker]:
    port, secret = free_port(span=2), secrets.token_hex(8)
    settings = folder / "server.properties"
    settings.write_text(
        PROPERTIES.format(port=port, controller=port + 1, folder=folder, secret=secret, box=BOX, more=more)
    )
    java = ["java", "-Xmx400m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN", "-cp", jars()]
    cluster = base64.urlsafe_b64encode(b"A" + secrets.token_bytes(15)).decode().rstrip("=")
    subprocess.run([*java, "kafka.tools.StorageTool", "format", "-c", settings, "-t", cluster], check=True,
                   capture_output=True)  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*java, "kafka.Kafka", settings], stdout=log, stderr=log)
        try:
            broker = Broker(f"127.0.0.1:{port}", secret)
            eventually(lambda: is_up(broker))
            yield broker
        finally:
            server.kill()
            server.wait()


def is_up(broker: Broker) -> bool:
    try:
        return bool(AdminClient(broker.settings("admin")).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)


def make_topic(broker: Broker) -> AdminClient:
    admin = AdminClient(broker.settings("admin"))
    for made in admin.create_topics([NewTopic("readings", 1, 1)]).values():
        made.result(timedelta(seconds=20).total_seconds())
    return admin


def test_where_acls_allow_the_box_is_refused_and_nobody_else(tmp_path: Path) -> None:
    with started(tmp_path, "") as broker:
        admin = make_topic(broker)
        allowed = [
            AclBinding(ResourceType.TOPIC, "readings", ResourcePatternType.LITERAL, f"User:{user}", "*",
                       AclOperation.ALL, AclPermissionType.ALLOW)
            for user in (str(BOX), "other")
        ]  # fmt: skip
        for made in admin.create_acls(allowed).values():
            made.result(20)
        eventually(lambda: broker.may_produce(str(BOX)) and broker.may_produce("other"))
        assert deny(broker.settings("other"), BOX).outcome is Denial.FAILED  # who may not
        assert deny(broker.settings("admin"), BOX).outcome is Denial.DENIED
        eventually(lambda: not broker.may_produce(str(BOX)))
        assert broker.may_produce("other")
        assert deny(broker.settings("admin"), BOX).outcome is Denial.DENIED  # once more


def test_where_everybody_is_allowed_nothing_is_written_that_would_shut_others_out(tmp_path: Path) -> None:
    with started(tmp_path, "allow.everyone.if.no.acl.found=true") as broker:
        make_topic(broker)
        eventually(lambda: broker.may_produce("other"))
        assert deny(broker.settings("admin"), BOX).outcome is Denial.EVERYBODY
        assert broker.may_produce("other")
