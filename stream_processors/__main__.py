"""One worker process: `python -m stream_processors NAME CONFIG [LANE ...]`, kept by `vitalwire processors run`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

import faust
import structlog

from emr_store.chart_queue import EachMetrics
from emr_store.connect import with_role
from emr_store.retention import Keep
from emr_store.roles import RETENTION, WRITER
from runtime import config as configuration
from runtime import keys, logs, metrics
from runtime.process import share_arenas
from runtime.watchdog import AttemptsWatchdog
from schemas import topics
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import Lane
from stream_processors import (
    alarm_limits,
    alarms,
    app,
    attribute,
    background,
    broker,
    chart,
    destinations,
    parameters,
    stage,
)
from stream_processors.alarm_limits import OpenEpisodes
from stream_processors.config import APPS, ProcessorsConfig
from stream_processors.connection import conninfo
from stream_processors.stage import Send
from stream_processors.storing import Store
from stream_processors.validation_stage import Validator

BROKER_WAIT_S = 1.0
EXIT_STALLED = 70
# A writer's thread waits for the interpreter's lock after each answer of the database; by default up to 5 ms.
SWITCH_S = 0.0005
_log = structlog.get_logger("processors")


def limits(config: ProcessorsConfig) -> list[alarm_limits.Limit]:
    """The configured limits with their metrics' codes."""
    return [
        alarm_limits.Limit(METRIC_BY_REFERENCE_ID[limit.metric].code, limit.low, limit.high, limit.priority)
        for limit in config.limits
    ]


async def prepare(config: ProcessorsConfig) -> None:
    """Wait for the broker, and make its topics; until then the worker is not ready."""
    stage.waits["broker"] = f"waits for the broker at {config.kafka}"
    while True:
        try:
            await broker.ensure_topics(config)
            await broker.stamp_topics(config)
            del stage.waits["broker"]
            return
        except Exception as error:  # noqa: BLE001  whatever it is, the broker is not there yet
            _log.info("waiting for the broker", kafka=config.kafka, error=type(error).__name__)
            await asyncio.sleep(BROKER_WAIT_S)


def worker(name: str, config: ProcessorsConfig, lanes: Sequence[Lane]) -> faust.App:
    """The faust app of one of the three, ready to run."""
    broker.security(config)  # what is wrong with it is said at once; the wait for the broker would not end
    where, key = with_role(conninfo(config), WRITER), keys.load(config.key_file, allow_demo=config.demo)
    watchdog = AttemptsWatchdog(config.stall_s, lambda: broker.end_at_once(EXIT_STALLED))
    watchdog.start()
    asyncio.run(prepare(config))
    if name == "validate":
        validator = Validator(where, key, config.registry_every_s, config.batch_layout)
        return app.build(
            name, config, app.validate_stages(validator, lanes), watchdog, lambda send: [validator.keep_fresh()]
        )
    if name == "store":
        return _store_worker(name, config, lanes, key, watchdog)

    async def load() -> OpenEpisodes:
        return alarms.open_episodes(await broker.newest_values(config, topics.ALERTS_OPEN), key.public_der)

    alarming = alarms.Alarms(limits(config), key, load)
    return app.build(
        name,
        config,
        app.alarm_stages(alarming),
        watchdog,
        background=lambda send: [alarming.keep_reconciled(where, send)],
        assigned=alarming.assigned,
    )


def _store_worker(
    name: str, config: ProcessorsConfig, lanes: Sequence[Lane], key: keys.SigningKey, watchdog: AttemptsWatchdog
) -> faust.App:
    where = with_role(conninfo(config), WRITER)
    committed = asyncio.Event()
    each_metrics = EachMetrics()
    stores = {lane: Store(where, key, committed.set, each_metrics) for lane in lanes}
    stages = app.store_stages(stores, alarms.AlarmFiling(where, key), Store(where, key, committed.set))
    keep = Keep(
        reports=config.keep_reports_days,
        minutes=config.keep_minutes_days,
        batches=config.keep_batches_days,
        adt_batches=config.keep_adt_batches_days,
    )

    def tasks(send: Send) -> list[Awaitable[None]]:
        return [
            background.deliver_receipts(where, key, committed, send),
            background.keep_sealing(where, config.site, key),
            background.note_platform_key(where, key),
            background.make_partitions(where),
            background.summarise(where),
            background.seal_looks(where),
            background.validate_anew(where, key),
            parameters.count_parameters(where),
            background.drop_old(with_role(conninfo(config), RETENTION), keep),
            background.purge_sign_ins(with_role(conninfo(config), RETENTION), config.keep_sign_in_attempts_days),
            background.note_limits(where, config.limits),
            attribute.keep_attributing(where, config),
            chart.keep_charting(where, config.chart.policies, each_metrics),
            *destinations.background_tasks(where, config.destination),
        ]

    return app.build(name, config, stages, watchdog, tasks)


def main(arguments: Sequence[str]) -> None:
    """Run one worker until it is told to stop."""
    share_arenas()
    name, path, *lanes = arguments
    config = configuration.load(Path(path), ProcessorsConfig)
    logs.set_up()
    sys.setswitchinterval(SWITCH_S)
    if config.metrics_port:
        metrics.serve(config.metrics_port + APPS.index(name), ready=lambda: list(stage.waits.values()))
    built = worker(name, config, [Lane[n.upper()] for n in lanes] or list(Lane))
    faust.Worker(built, loglevel="info", logging_config=logs.QUIET, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1:])
