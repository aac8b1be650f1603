"""The hospital process, as a table: topic -> function -> topic.

    <lane>.raw -> validate -> <lane>.signed -> store -> the record, receipts
          live.signed, backfill.signed   -> alarm -> alerts, alerts.open; alerts -> filed in the record

Three faust apps, each a process of its own: alarms flow while the store waits for its database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import faust
from faust.exceptions import ProducerSendError

from runtime.watchdog import AttemptsWatchdog
from schemas import topics
from schemas.errors import ServiceError
from schemas.report import Lane
from stream_processors import stage
from stream_processors.alarms import AlarmFiling, Alarms
from stream_processors.broker import SESSION_TIMEOUT_S, broker_errors, security, watch_topics
from stream_processors.config import ProcessorsConfig
from stream_processors.fetch import fetch_promptly
from stream_processors.stage import Output, Send, Stage
from stream_processors.storing import WRITERS, Store
from stream_processors.validation_stage import Validator

VALIDATE_BYTES = 1024 * 1024  # of all partitions together: of four, a block each of what several batches hold
STORE_BYTES = 4 * 1024 * 1024  # a transaction
# What is sent again and what is live lock the same row of the ledger: neither waits long for the other.
STORE_BYTES_BY_LANE = {Lane.BACKFILL: 512 * 1024}
ALARM_TAKES = {Lane.LIVE: 20, Lane.BACKFILL: 2}  # messages a chunk: live ones never wait long for those sent again
METADATA_AGE_MS = 5000  # a topic that was made a moment ago is seen this soon; the default is five minutes


def validate_stages(validator: Validator, lanes: Sequence[Lane]) -> list[Stage]:
    """Validate and sign."""
    return [
        Stage(
            name="validate",
            source=topics.raw(lane),
            take=200,
            within_s=0.05,
            work=partial(validator.validate_and_sign, lane),
            dead_letter=partial(validator.dead_letter, lane),
            done=partial(validator.sent, lane),
            bytes_max=VALIDATE_BYTES,
        )
        for lane in lanes
    ]


def store_stages(stores: Mapping[Lane, Store], filing: AlarmFiling, filing_store: Store) -> list[Stage]:
    """Store, and the filing of alarms."""
    storing = [
        Stage(
            name="store",
            source=topics.signed(lane),
            take=50,
            within_s=0.02,
            work=of_lane.store,
            dead_letter=of_lane.dead_letter,
            bytes_max=STORE_BYTES_BY_LANE.get(lane, STORE_BYTES),
            workers=WRITERS,
            worker_index=index,
        )
        for lane, of_lane in stores.items()
        for index in range(WRITERS)
    ]
    filed = Stage(
        name="file",
        source=topics.ALERTS,
        take=100,
        within_s=0.05,
        work=filing.file,
        dead_letter=filing_store.dead_letter,
    )
    return [*storing, filed]


def alarm_stages(alarms: Alarms) -> list[Stage]:
    """Alarms: what is live, and what was live and is sent again after a broker lost it; old values ring nobody up."""
    return [
        Stage(
            name="alarm",
            source=topics.signed(lane),
            take=take,
            within_s=0.05,
            work=alarms.evaluate,
            dead_letter=alarms.skip,
            done=partial(alarms.sent, topics.signed(lane)),
        )
        for lane, take in ALARM_TAKES.items()
    ]


def sender(topic: Callable[[str], Any]) -> Send:
    """Sends to the topics of these names (faust's) and returns when the broker has all; raises ServiceError."""

    async def send(outputs: Sequence[Output]) -> None:
        with broker_errors():
            sent = [await _sent(topic(output.topic), output) for output in outputs]
            await asyncio.gather(*sent)

    return send


async def _sent(topic: Any, output: Output) -> Any:
    """What to await until the broker has it; raises the producer's own error, without what faust wraps it in."""
    try:
        return await topic.send(key=output.key, value=output.value, partition=output.partition)
    except ProducerSendError as error:
        raise error.__cause__ or error from None
    except AssertionError as error:
        if output.partition is None:
            raise
        # All that aiokafka asserts of such a message; `broker.ensure_topics` gives a topic as many as its source has.
        what = f"{output.topic} has no partition {output.partition} yet"
        raise ServiceError("NoSuchPartition", what, transient=True) from error


class _WithoutTables(faust.App):  # type: ignore[misc]  # faust's own
    """An app that needs no folder: under its unit a worker may have none that it can write."""

    def _create_directories(self) -> None:
        """Nothing: they would hold tables."""


def build(
    name: str,
    config: ProcessorsConfig,
    stages: Sequence[Stage],
    watchdog: AttemptsWatchdog,
    background: Callable[[Send], Sequence[Awaitable[None]]],
    assigned: Callable[[], None] = lambda: None,
) -> faust.App:
    """A faust app of these stages; the settings are those whose behaviour was measured (docs/adr/0004).

    `assigned` is called when this worker was given partitions.
    """
    app = _WithoutTables(
        f"vitalwire-{name}",
        broker=f"kafka://{config.kafka.replace(',', ';')}",
        broker_credentials=security(config).get("ssl_context"),
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 5,
        broker_rebalance_timeout=SESSION_TIMEOUT_S,
        broker_commit_interval=0.5,
        stream_buffer_maxsize=64,  # a full one holds up the app's other topics: more than a fetch brings
        stream_wait_empty=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_AGE_MS,
        producer_metadata_max_age_ms=METADATA_AGE_MS,
        producer_max_request_size=topics.MESSAGE_BYTES_MAX,
        consumer_max_fetch_size=topics.MESSAGE_BYTES_MAX,
        producer_acks=-1,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    fetch_promptly(app)
    known: dict[str, Any] = {}

    def topic(of: str) -> Any:
        return known.setdefault(of, app.topic(of, key_serializer="raw", value_serializer="raw", internal=False))

    send = sender(topic)

    for each in stages:

        async def body(stream: Any, each: Stage = each) -> None:
            await stage.run(each, stream, send, watchdog)

        app.agent(topic(each.source), name=f"{each.name}:{each.source}:{each.worker_index}")(body)

    async def on_assigned(*_: Any, **__: Any) -> None:
        assigned()

    app.on_partitions_assigned.connect(on_assigned)

    @app.task  # type: ignore[untyped-decorator]  # faust's own
    async def begin() -> None:
        tasks = [asyncio.ensure_future(t) for t in (*background(send), watch_topics(config))]
        await asyncio.gather(*tasks)

    return app
