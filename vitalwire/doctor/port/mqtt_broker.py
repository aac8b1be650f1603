"""Asks an MQTT broker what there is: beside the agent, in a session of its own, at QoS 0; nothing is published."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from paho.mqtt.client import topic_matches_sub

from adapters.driver import NoSettings, Source
from edge_agent.config import MqttLink
from edge_agent.conversation import Conversation, Keeper, Line
from edge_agent.delivery import Answer, Delivery
from edge_agent.links.address import split_address
from edge_agent.links.mqtt import MqttBroker, client_id
from edge_agent.recording import Tap
from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.process import stop_event
from runtime.tls import client_context
from vitalwire.doctor.port.mqtt_topics import TopicsHeard

ALL_TOPICS = "#"
LOOK_S, REACH_S, ANSWER_S = 0.25, 5.0, 4.0
Version = Literal["5.0", "3.1.1"]
VERSIONS: tuple[Version, ...] = ("5.0", "3.1.1")


class BrokerOwner:
    """The owner of the broker's link, and the keeper of what comes: it keeps nothing."""

    name = "doctor"
    keeps = False

    def __init__(self, heard: TopicsHeard) -> None:
        self.heard = heard
        self.keeper: Keeper = self
        self.tap = Tap()
        self.has_stood = False
        self.refused = self.trouble = ""

    def stands(self) -> None:
        """The broker let us in."""
        self.has_stood = True

    def troubled(self, why: str, refused: str = "") -> None:
        """It did not, or it refuses a topic: of these "#" may be one."""
        self.refused, self.trouble = refused, why

    def emit(self, code: str, text: str) -> None:
        """Nothing is kept."""

    def count(self, name: str) -> None:
        """Nothing is counted."""

    def source(self, peer: str) -> Source[Any]:
        """Of a topic."""
        return Source(self.name, NoSettings(), peer=peer)

    def converse(self, line: Line, peer: str) -> Conversation:
        """Never asked for: MQTT's messages come whole, without a session."""
        raise AssertionError("a broker's link has no conversation")

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        """A message."""
        topic = delivery.source.peer
        asked_for = topic_matches_sub(self.heard.topic, topic)
        self.heard.take(topic, delivery.frame, delivery.received_at_us, is_asked_for=asked_for)

    def prove(self, connection: int, tokens: range) -> None:
        """Nothing waits."""

    def session_failed(self, error: Exception) -> None:
        """There is no session."""


class _Outcome(Enum):
    HEARD = "heard"
    TOPIC_REFUSED = "topic refused"
    NO_ANSWER = "no answer"


async def hear_topics(
    link: MqttLink, seconds: float, progress: Callable[[TopicsHeard], object]
) -> tuple[TopicsHeard, MqttLink]:
    """What the topics say, and the link in the version that the broker speaks.

    It ends after `seconds`, at Ctrl-C, or when one driver is certain. `link` names the one topic that is asked for; all
    others are listened to as well. Raises UserError where the broker is not reached, refuses us, or TLS fails.
    """
    if problem := await asyncio.to_thread(_reach, link):
        raise UserError(problem, EXIT_UNREACHABLE)
    heard = TopicsHeard(link.broker, link.topics[0])
    stop = stop_event()
    for version in VERSIONS:
        of_version = _with(link, link.topics, version)
        # "#" alone: a message that two subscriptions ask for may come twice. Some brokers let nobody have all.
        for topics in ((ALL_TOPICS,), link.topics):
            outcome = await _listen(_with(link, topics, version), BrokerOwner(heard), seconds, stop, progress)
            if outcome is not _Outcome.TOPIC_REFUSED:
                break
        if outcome is not _Outcome.NO_ANSWER:
            return heard, of_version
    raise UserError(await asyncio.to_thread(_why_no_answer, link), EXIT_UNREACHABLE)


async def _listen(
    link: MqttLink, owner: BrokerOwner, seconds: float, stop: asyncio.Event,
    progress: Callable[[TopicsHeard], object],
) -> _Outcome:  # fmt: skip
    """Raises UserError where the broker refuses us."""
    broker = MqttBroker(link, client_id(secrets.token_hex(16), "doctor"), lasting=False)
    work = asyncio.ensure_future(broker.run(owner))
    began_s = time.monotonic()
    try:
        while time.monotonic() < began_s + seconds and not stop.is_set() and not owner.heard.is_certain:
            progress(owner.heard)
            await asyncio.wait([work], timeout=LOOK_S)
            if work.done():
                work.result()
            if owner.refused and "version" in owner.refused.lower():
                return _Outcome.NO_ANSWER
            if owner.refused:
                raise UserError(_refusal(link, owner.refused), EXIT_UNREACHABLE)
            if owner.has_stood and owner.trouble and not owner.heard.topics:
                return _Outcome.TOPIC_REFUSED
            if not owner.has_stood and time.monotonic() > began_s + ANSWER_S:
                return _Outcome.NO_ANSWER
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return _Outcome.HEARD


def _with(link: MqttLink, topics: tuple[str, ...], version: Version) -> MqttLink:
    return MqttLink(
        link.broker, topics, version, None, link.username, link.password_file, link.tls_ca, link.tls_cert,
        link.tls_key, link.insecure,
    )  # fmt: skip


def _refusal(link: MqttLink, reason: str) -> str:
    known = any(word in reason.lower() for word in ("authori", "password", "user"))
    if not known:
        return f"the broker {link.broker} refuses us: {reason}"
    mend = "give --user and --password-file" if link.username is None else "are --user and the password right?"
    return f"the broker {link.broker} refuses the login ({reason}): {mend}"


def _reach(link: MqttLink) -> str:
    """Why the broker's port is not reached, or its TLS fails, "" where it is reached."""
    host, port = split_address(link.broker)
    try:
        with socket.create_connection((host, port), REACH_S) as plain:
            if link.tls_ca is None:
                return ""
            with client_context(link.tls_ca, link.tls_cert, link.tls_key).wrap_socket(plain, server_hostname=host):
                return ""
    except ssl.SSLCertVerificationError as error:
        return f"{link.broker}: TLS fails, its certificate is not good: {error.verify_message}: look at --tls-ca"
    except ssl.SSLError as error:
        why = (error.reason or str(error)).replace("_", " ").lower()
        return f"{link.broker}: TLS fails ({why}): does it speak TLS on this port?"
    except TimeoutError:
        return f"{link.broker} does not answer: is it on, the port right, no firewall between?"
    except OSError as error:
        why = error.strerror or str(error)
        return f"{link.broker} is not reached ({why}): is the broker on, the port right, no firewall between?"


def _why_no_answer(link: MqttLink) -> str:
    """A port that takes a connection and says nothing to MQTT: does it speak TLS?"""
    if link.tls_ca is None and _speaks_tls(link):
        return f"{link.broker} speaks TLS: give its CA, --tls-ca"
    return f"{link.broker} takes connections and does not answer as an MQTT broker does: is it another service's port?"


def _speaks_tls(link: MqttLink) -> bool:
    """Nothing is verified, and nothing said, for it is only asked whether TLS is there at all."""
    host, port = split_address(link.broker)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), REACH_S) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return error.reason not in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
    except OSError:
        return False
