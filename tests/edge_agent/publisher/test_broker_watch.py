"""The broker is asked rarely and for little, and what it lacks costs nothing when it comes."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.admin import AdminClient, NewTopic

from edge_agent.publisher import broker_watch, receipts
from edge_agent.publisher.broker_watch import BrokerWatch
from schemas import topics
from schemas.report import Lane
from tests.edge_agent.publisher.bench import QUIET, Bench, put_batches, until


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every topic whose metadata was asked for, by the real client."""
    names: list[str] = []

    class Asking(Consumer):
        def list_topics(self, topic: str, timeout: float) -> Any:
            names.append(topic)
            return super().list_topics(topic, timeout)

    monkeypatch.setattr(broker_watch, "Consumer", Asking)
    return names


def test_what_is_there_is_not_asked_for_again(bench: Bench, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_watch, "PROBE_S", 0.1)
    bench.broker.start()
    _, publisher = bench.edge()
    until(lambda: len(asked) > 20, "some probes")
    publisher.stop()
    once = {name: asked.count(name) for name in asked if name != topics.RECEIPTS}
    assert once == dict.fromkeys(map(topics.raw, Lane), 1)


def test_topics_that_appear_have_no_consumer_made_anew(
    bench: Bench, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Consumer] = []

    def consumer(settings: dict[str, Any]) -> Consumer:
        made.append(Consumer(settings))
        return made[-1]

    monkeypatch.setattr(receipts, "Consumer", consumer)
    monkeypatch.setattr(broker_watch, "MISSING_S", 0.1)
    monkeypatch.setattr(broker_watch, "PROBE_S", 0.1)
    bench.broker.start(with_topics=False)
    _, publisher = bench.edge()
    until(lambda: publisher.broker, "the broker is reached")
    assert not publisher._watch.has(topics.raw(Lane.LIVE))
    bench.broker.create_topics()
    until(lambda: made, "a consumer")
    until(lambda: all(map(publisher._watch.has, map(topics.raw, Lane))), "all topics are seen")
    client = AdminClient({"bootstrap.servers": bench.broker.address} | QUIET)
    client.create_topics([NewTopic("another", 4, 1)])["another"].result(10)
    seen = len(asked)
    until(lambda: len(asked) > seen + 5, "some probes")
    hospital, spool = bench.hospital(), publisher._sender._spool
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 1, "receipt")
    assert hospital.numbers() == [1]
    assert len(made) == 1


def test_a_topic_that_the_broker_lost_is_asked_for_again() -> None:
    watch = BrokerWatch({}, lambda *_: None)
    watch._missing = set()
    assert watch.has(topics.raw(Lane.LIVE))
    watch.forget_topics()
    assert not watch.has(topics.raw(Lane.LIVE))


def test_of_a_broker_that_was_never_reached_nothing_is_told_as_lost() -> None:
    events: list[str] = []
    watch = BrokerWatch({}, lambda slug, _: events.append(slug))
    for code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._SSL, KafkaError._SSL):
        watch.on_error(KafkaError(code, "why"))
    assert events == ["broker-refused"]
    assert watch.trouble == "why"
    assert not watch.is_stale


def test_a_certificate_that_the_broker_refuses_is_a_refusal_though_the_connection_stood() -> None:
    """As librdkafka says it of TLS 1.3."""
    events: list[str] = []
    watch = BrokerWatch({}, lambda slug, _: events.append(slug))
    text = "Receive failed: error:0A000416:SSL routines::ssl/tls alert certificate unknown: SSL alert number 46"
    for why in ("Connection refused", text, text):
        watch.on_error(KafkaError(KafkaError._TRANSPORT, why))
    assert events == ["broker-refused"]
