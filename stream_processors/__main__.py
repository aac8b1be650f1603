"""One worker process: `python -m stream_processors NAME CONFIG [LANE ...]`, kept by `vitalwire processors run`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import faust
import structlog

from emr_store.connect import StoreError, open_store
from emr_store.registry import note_platform_key
from emr_store.retention import Keep
from runtime import config as configuration
from runtime import keys, logs, metrics
from runtime.watchdog import AttemptsWatchdog
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import Lane
from stream_processors import alert, app, broker, stage
from stream_processors.config import APPS, ProcessorsConfig
from stream_processors.connection import conninfo
from stream_processors.stage import Output, Stage
from stream_processors.work import Alert, Judge, Store, deliver_receipts, drop_old, summarise

BROKER_WAIT_S = 1.0
EXIT_STALLED = 70
_log = structlog.get_logger("processors")


def limits(config: ProcessorsConfig) -> list[alert.Limit]:
    """The configured limits with their metrics' codes."""
    return [
        alert.Limit(METRIC_BY_REFERENCE_ID[limit.metric].code, limit.low, limit.high, limit.priority)
        for limit in config.limits
    ]


async def prepare(name: str, config: ProcessorsConfig) -> dict[alert.Key, alert.Episode]:
    """Wait for the broker, make its topics, and for the alerts learn which episodes are open."""
    while True:
        try:
            await broker.ensure_topics(config)
            episodes: dict[alert.Key, alert.Episode] = {}
            if name == "alert":
                alert.replay(await broker.kept_transitions(config), episodes)
            return episodes
        except Exception as error:  # noqa: BLE001  whatever it is, the broker is not there yet
            _log.info("waiting for the broker", kafka=config.kafka, error=type(error).__name__)
            await asyncio.sleep(BROKER_WAIT_S)


def note_key(where: str, key: keys.SigningKey) -> None:
    """Keep the public half for `verify`; the store may be away, then the next start does it."""
    try:
        with open_store(where) as conn:
            note_platform_key(conn, key.public_der)
    except StoreError as error:
        _log.warning("platform key not noted", error=type(error).__name__)


Send = Callable[[Sequence[Output]], Awaitable[None]]


def worker(name: str, config: ProcessorsConfig, lanes: Sequence[Lane]) -> faust.App:
    """The faust app of one of the three, ready to run."""
    broker.security(config)  # what is wrong with it is said at once; the wait for the broker would not end
    where, key = conninfo(config), keys.load(config.key_file, allow_demo=config.demo)
    watchdog = AttemptsWatchdog(config.stall_s, lambda: broker.end_at_once(EXIT_STALLED))
    watchdog.start()
    episodes = asyncio.run(prepare(name, config))
    stages: list[Stage]
    background: Callable[[Send], Sequence[Awaitable[None]]]
    if name == "judge":
        judge = Judge(where, key, config.registry_every_s)
        stages, background = app.judge_stages(judge, lanes), lambda send: [judge.keep_fresh()]
    elif name == "store":
        note_key(where, key)
        committed = asyncio.Event()
        stores = {lane: Store(where, key, committed.set) for lane in lanes}
        stages = app.store_stages(stores, Store(where, key, committed.set), where)
        keep = Keep(config.keep_reports_days, config.keep_minutes_days, config.keep_batches_days)
        background = lambda send: [  # noqa: E731
            deliver_receipts(where, committed, send), summarise(where), drop_old(where, keep)
        ]  # fmt: skip
    else:
        stages, background = app.alert_stages(Alert(limits(config), episodes)), lambda send: []
    return app.build(name, config, stages, watchdog, background)


def main(arguments: Sequence[str]) -> None:
    """Run one worker until it is told to stop."""
    name, path, *lanes = arguments
    config = configuration.load(Path(path), ProcessorsConfig)
    logs.set_up()
    if config.metrics_port:
        metrics.serve(config.metrics_port + APPS.index(name), ready=lambda: list(stage.waits.values()))
    built = worker(name, config, [Lane[n.upper()] for n in lanes] or list(Lane))
    faust.Worker(built, loglevel="info", logging_config=logs.QUIET, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1:])
