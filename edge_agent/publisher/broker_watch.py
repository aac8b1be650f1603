"""Who the broker is, and which of our topics it has: asked rarely, and of those topics alone.

An edge that asks for everything once a second is a burden when there are a thousand of them. That a broker has gone is
told by its connections; the question every ten seconds finds the ones that are half open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from confluent_kafka import Consumer, KafkaError, KafkaException

from edge_agent.publisher.security import ClientSettings
from schemas import topics
from schemas.report import Lane

PROBE_S = 10.0  # how often a broker that is there is asked
MISSING_S = 1.0  # while it lacks a topic of ours
TICK_S = 0.05
ANSWER_LIMIT_S = 3.0
_REFUSED = {KafkaError._SSL, KafkaError._AUTHENTICATION}
_TLS_ALERT = "SSL alert number"  # OpenSSL's words for what the other side refused
# A consumer, for a producer's question may create the topic: with the broker's defaults, not with ours.
_WATCHER = {"group.id": "edge-watch", "allow.auto.create.topics": False}


@dataclass(frozen=True)
class Broker:
    """Whom we reach. `log` counts how often its log turned out to be another one, `session` how often we began anew."""

    cluster_id: str
    log: int
    session: int = 0


class BrokerWatch:
    """`broker` is None while nobody answers; `trouble` is then what a client said of its connection last.

    `is_stale` says that what was given to the broker before may be gone: it may come back empty under the same id, and
    then an old idempotent producer waits for ever. Methods are called on any thread, and `on_event` on the same.
    """

    def __init__(self, client: ClientSettings, on_event: Callable[[str, str], object]) -> None:
        self._client, self._on_event = client, on_event
        self._missing = set(map(topics.raw, Lane))
        self._log = self._session = 0
        self.broker: Broker | None = None
        self.receipt_partitions = 0
        self.trouble, self._is_refused = "", False
        self.is_stale = False

    def run(self, ending: Event) -> None:
        """Ask, for ever."""
        consumer, session = Consumer(self._client | _WATCHER), self._session
        asked_at_s = 0.0
        while not ending.wait(TICK_S):
            if session != self._session:
                consumer.close()
                consumer, session, asked_at_s = Consumer(self._client | _WATCHER), self._session, 0.0
            if time.monotonic() - asked_at_s < self._pause_s():
                continue
            try:
                self._ask(consumer, session)
            except KafkaException as error:
                self.lost(error.args[0])
            asked_at_s = time.monotonic()
        consumer.close()

    def reconnect(self) -> None:
        """Our certificate is another one: clients read its file when they are made, so each is made anew."""
        self._session += 1
        self.is_stale = True

    def has(self, topic: str) -> bool:
        """Whether the broker has this topic of a lane, as far as is known."""
        return topic not in self._missing

    def forget_topics(self) -> None:
        """The broker says that one is gone."""
        self._missing = set(map(topics.raw, Lane))

    def lost(self, error: KafkaError) -> None:
        """The broker does not answer."""
        if self.broker is not None:
            self.broker, self.is_stale = None, True
            self.forget_topics()
            self._on_event("broker-lost", str(error))

    def log_changed(self, error: KafkaError) -> None:
        """The log that was written to is gone."""
        self._log += 1
        self.lost(error)

    def on_error(self, error: KafkaError) -> None:
        """What a client tells of its connections."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.lost(error)
            self.trouble = self.trouble or error.str()  # what was said before says more
        elif self.broker is None:
            if _is_refusal(error) and not self._is_refused:
                self._is_refused = True
                self._on_event("broker-refused", error.str())
            self.trouble = error.str()
        self.is_stale |= error.fatal()

    def _ask(self, consumer: Consumer, session: int) -> None:
        answer = consumer.list_topics(topics.RECEIPTS, ANSWER_LIMIT_S)
        found = answer.topics.get(topics.RECEIPTS)
        partitions = len(found.partitions) if found is not None and found.error is None else 0
        missing = {name for name in self._missing if not _has(consumer, name)}
        broker = Broker(str(answer.cluster_id), self._log, session)
        if self.broker is None:
            self._on_event("broker-reached", f"cluster {broker.cluster_id}")
        self.broker, self.receipt_partitions, self._missing = broker, partitions, missing
        self.trouble, self._is_refused = "", False

    def _pause_s(self) -> float:
        if self.broker is None:
            return 0.0  # each question waits itself for an answer
        return MISSING_S if self._missing or self.receipt_partitions < topics.RECEIPT_PARTITIONS else PROBE_S


def _is_refusal(error: KafkaError) -> bool:
    """Also where the broker does not take our certificate: by TLS 1.3 it says so once the connection stands."""
    return error.code() in _REFUSED or _TLS_ALERT in error.str()


def _has(consumer: Consumer, name: str) -> bool:
    found = consumer.list_topics(name, ANSWER_LIMIT_S).topics.get(name)
    return found is not None and found.error is None and len(found.partitions) > 0
