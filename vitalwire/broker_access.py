"""Keeping a box from the broker: Kafka reads no CRL, so a certificate opens its connection until it ends.

Where the broker has an authorizer that allows what ACLs name, an ACL denies the box everything, and goes before all
that allow. Where everybody is allowed whatever no ACL names (`allow.everyone.if.no.acl.found`), such an ACL would shut
out all others, for then there is one: nothing is written there, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from runtime.errors import UserError
from vitalwire.broker import LOOK_LIMIT_S, usable

# Kafka, "Authorization and ACLs": "*" is each of a kind; the cluster has a name of its own.
RESOURCES = (
    (ResourceType.TOPIC, "*"),
    (ResourceType.GROUP, "*"),
    (ResourceType.TRANSACTIONAL_ID, "*"),
    (ResourceType.BROKER, "kafka-cluster"),  # librdkafka's name for the cluster
)
ALLOWS_EVERYBODY = "allow.everyone.if.no.acl.found"


class Denial(Enum):
    """What became of it."""

    DENIED = "denied"
    NO_AUTHORIZER = "no authorizer"
    EVERYBODY = "everybody is allowed what no ACL names"
    FAILED = "failed"


@dataclass(frozen=True)
class Denied:
    """`why` is the broker's own word where it failed."""

    outcome: Denial
    why: str = ""


def principals(edge: UUID) -> tuple[str, str]:
    """As whom the broker knows the box: by the whole name of its certificate, or by a mapping to its common name."""
    return f"User:CN={edge}", f"User:{edge}"


def deny(settings: dict[str, Any], edge: UUID) -> Denied:
    """Write the ACLs, if that hurts nobody else. `settings` are of an AdminClient."""
    try:
        with usable(str(settings["bootstrap.servers"])):
            admin = AdminClient(settings)
    except UserError as error:
        return Denied(Denial.FAILED, str(error))
    try:
        broker = next(iter(admin.list_topics(timeout=LOOK_LIMIT_S).brokers))
        resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
        configured = admin.describe_configs([resource], request_timeout=LOOK_LIMIT_S)[resource].result()
        # Asked for first: librdkafka aborts the process where a broker does not know the request for ACLs.
        if "authorizer.class.name" not in configured or not configured["authorizer.class.name"].value:
            return Denied(Denial.NO_AUTHORIZER)
        # Kafka does not know this key itself, and hides its value: where it is there, it may be true.
        if ALLOWS_EVERYBODY in configured and configured[ALLOWS_EVERYBODY].value != "false":
            return Denied(Denial.EVERYBODY)
        bindings = [
            AclBinding(kind, name, ResourcePatternType.LITERAL, who, "*", AclOperation.ALL, AclPermissionType.DENY)
            for kind, name in RESOURCES
            for who in principals(edge)
        ]
        for written in admin.create_acls(bindings, request_timeout=LOOK_LIMIT_S).values():
            written.result()
    except KafkaException as error:
        found = error.args[0]
        if found.code() == KafkaError.SECURITY_DISABLED:
            return Denied(Denial.NO_AUTHORIZER)
        return Denied(Denial.FAILED, found.str())
    return Denied(Denial.DENIED)


def command(kafka: str, edge: UUID) -> str:
    """What does the same at the broker, by Kafka's own tools."""
    who = " ".join(f"--deny-principal '{each}'" for each in principals(edge))
    return (
        f"kafka-acls.sh --bootstrap-server {kafka} --add {who} --operation All --topic '*' --group '*'"
        " --transactional-id '*' --cluster"
    )


def words(denied: Denied, kafka: str, edge: UUID) -> str:
    """What people are told."""
    until = "until its certificate ends this box still reaches the broker, where nothing that it signs is believed"
    match denied.outcome:
        case Denial.DENIED:
            return f"the broker {kafka} refuses {principals(edge)[0]} from now on; connections that stand too"
        case Denial.NO_AUTHORIZER:
            return (
                f"the broker {kafka} has no authorizer: {until}; keep it away by a firewall, or set"
                " authorizer.class.name (docs/enrolment.md) and run this again"
            )
        case Denial.EVERYBODY:
            return (
                f"the broker {kafka} has {ALLOWS_EVERYBODY}: an ACL that denies this box would shut out everybody else"
                f" too, so none was written; {until}; allow your clients by ACLs of their own, take that key away"
                " (docs/enrolment.md), and run this again"
            )
        case Denial.FAILED:
            return f"the broker {kafka} did not take it: {denied.why}; {until}; there: {command(kafka, edge)}"
