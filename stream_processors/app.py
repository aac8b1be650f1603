"""The hospital process, as a table: topic -> function -> topic.

    <lane>.raw -> validate -> <lane>.valid -> sign -> <lane>.signed -> store -> the record, receipts
                              live.valid  -> alert -> alerts -> filed in the record

Three faust apps, each a process of its own: alerts flow while the store waits for its database.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import faust

from runtime.watchdog import AttemptsWatchdog
from schemas import topics
from schemas.report import Lane
from stream_processors import stage
from stream_processors.broker import SESSION_TIMEOUT_S, security, watch_topics
from stream_processors.config import ProcessorsConfig
from stream_processors.fetch import fetch_promptly
from stream_processors.stage import Output, Stage
from stream_processors.work import WRITERS, Alert, Judge, Store, file_alerts

STORE_BYTES = 4 * 1024 * 1024  # a transaction
METADATA_AGE_MS = 5000  # a topic that was made a moment ago is seen this soon; the default is five minutes


def judge_stages(judge: Judge, lanes: Sequence[Lane]) -> list[Stage]:
    """validate and sign."""
    stages = []
    for lane in lanes:
        validate, sign = partial(judge.validate, lane), partial(judge.sign, lane)
        poison, done = partial(judge.quarantine, lane), partial(judge.validated, lane)
        stages.append(Stage("validate", topics.raw(lane), 200, 0.05, validate, poison, done))
        stages.append(Stage("sign", topics.valid(lane), 50, 0.01, sign, poison))
    return stages


def store_stages(stores: Mapping[Lane, Store], filing: Store, conninfo: str) -> list[Stage]:
    """store, and the filing of alerts."""
    return [
        *(Stage("store", topics.signed(n), 50, 0.02, s.store, s.poison, bytes_max=STORE_BYTES, ways=WRITERS, way=way)
          for n, s in stores.items() for way in range(WRITERS)),
        Stage("file", topics.ALERTS, 100, 0.05, partial(file_alerts, conninfo), filing.poison),
    ]  # fmt: skip


def alert_stages(alert: Alert) -> list[Stage]:
    """alert: the live lane only; a value of an hour ago rings nobody up."""
    return [Stage("alert", topics.valid(Lane.LIVE), 20, 0.05, alert.evaluate, alert.skip, alert.said)]


def build(
    name: str, config: ProcessorsConfig, stages: Sequence[Stage], watchdog: AttemptsWatchdog,
    background: Callable[[Callable[[Sequence[Output]], Awaitable[None]]], Sequence[Awaitable[None]]],
) -> faust.App:  # fmt: skip
    """A faust app of these stages; the settings are those whose behaviour was measured (docs/adr/0004)."""
    app = faust.App(
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
        datadir=tempfile.gettempdir(),  # faust wants a folder though no table is kept
        web_enabled=False,
    )
    fetch_promptly(app)
    known: dict[str, Any] = {}

    def topic(of: str) -> Any:
        return known.setdefault(of, app.topic(of, key_serializer="raw", value_serializer="raw", internal=False))

    async def send(outputs: Sequence[Output]) -> None:
        sent = [await topic(o.topic).send(key=o.key, value=o.value, partition=o.partition) for o in outputs]
        await asyncio.gather(*sent)

    for each in stages:

        async def body(stream: Any, each: Stage = each) -> None:
            await stage.run(each, stream, send, watchdog)

        app.agent(topic(each.source), name=f"{each.name}:{each.source}:{each.way}")(body)

    @app.task  # type: ignore[untyped-decorator]  # faust's own
    async def begin() -> None:
        tasks = [asyncio.ensure_future(t) for t in (*background(send), watch_topics(config))]
        await asyncio.gather(*tasks)

    return app
