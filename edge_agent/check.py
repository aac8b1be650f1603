"""Tries a configuration against the real world before the agent does: files, sockets, broker, time zones."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from edge_agent import client_certificate
from edge_agent.config import EdgeConfig, SerialLink, SourceConfig
from edge_agent.holders import listener_on
from edge_agent.settings_check import CheckFinding, problem
from edge_agent.sources import plan_source, site_mappings
from edge_agent.watch import Watcher, diagnosis, watch
from runtime import keys
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.tls import client_context
from schemas.errors import ConfigError, VitalwireError

OPEN_LIMIT_S = 5.0  # for the other side of a socket to answer
LOOK_S = 0.05
MENDS = {"ModemManager": "systemctl disable --now ModemManager", "brltty": "apt remove brltty"}
FREE_BYTES_MIN = 1 << 30  # less than this on the spool's disk is soon full


def senders(config: EdgeConfig) -> Iterator[CheckFinding]:
    """Senders of the mapping that are no source: their rows would never be used."""
    names = [source.name for source in config.source]
    try:
        mappings = site_mappings(config.mapping)
    except (ConfigError, OSError):  # said where the file is looked at
        return
    for sender in mappings:
        if sender and sender not in names:
            near = get_close_matches(sender, names, 1)
            mend = f"did you mean {near[0]!r}?" if near else f"sources are {', '.join(map(repr, names)) or 'none'}"
            yield CheckFinding("mapping", f"the sender {sender!r} is no source: its rows are never used", mend)


def files(config: EdgeConfig) -> Iterator[CheckFinding]:
    """Keys, mapping and spool."""
    looks: tuple[tuple[str, str, Callable[[Path], object]], ...] = (
        ("key_file", "vitalwire edge keygen", lambda p: keys.load(p, allow_demo=config.demo)),
        ("platform_key_file", "copy it from the hospital's side", keys.read_public),
        ("kafka_ca", "copy the certificate of the broker's CA", client_context),
        ("kafka_cert", "copy the certificate that the broker's CA gave this box", lambda _: _kafka_client(config)),
        ("kafka_key", "copy the key of kafka_cert", read_secret),
        ("mapping", "leave the key out, or write the file", site_mappings),
    )
    for name, mend, look in looks:
        path = getattr(config, name)
        try:
            if path is not None and not os.path.exists(path):
                yield CheckFinding(name, f"{path} does not exist", mend)
            elif path is not None:
                look(path)
                yield CheckFinding(name, f"{path} is good")
        except (UserError, VitalwireError) as error:
            yield problem(name, str(error))
    folder = next(p for p in (config.spool, *config.spool.absolute().parents) if os.path.exists(p))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield CheckFinding("spool", f"{config.spool} cannot be written", f"see ls -ld {folder}")
        return
    free, used = shutil.disk_usage(folder).free, 0
    with suppress(OSError):  # the agent ends, and its log with it
        used = sum(file.stat().st_size for file in config.spool.glob("spool.db*"))
    mend = "make room, or set spool_bytes_max lower" if free + used < config.spool_bytes_max else ""
    text = f"{config.spool}: {free / 1e9:.1f} GB free, {used / 1e9:.1f} of {config.spool_bytes_max / 1e9:.1f} GB used"
    yield CheckFinding("spool", text, mend, note=free > FREE_BYTES_MIN)


def certificate(config: EdgeConfig, now: datetime) -> CheckFinding | None:
    """How long the box's certificate for Kafka is good, and whether it is renewed; None where there is none to read."""
    try:
        found = client_certificate.read_file(config.kafka_cert) if config.kafka_cert is not None else None
    except UserError:
        return None  # `files` says so
    if found is None:
        return None
    days = (found.not_after - now).days
    text = f"{config.kafka_cert} ends on {found.not_after:%Y-%m-%d}, in {days} days"
    if config.gateway is not None and config.kafka_cert is not None:
        folder = config.kafka_cert.absolute().parent
        if not os.access(folder, os.W_OK | os.X_OK):
            mend = f"the agent renews it there, and {folder} cannot be written: put it where it can"
            return CheckFinding("kafka_cert", text, mend)
        return CheckFinding("kafka_cert", f"{text}; the agent renews it from {config.gateway}")
    mend = "set gateway, so that the agent renews it, or let a person issue one: `vitalwire pki issue`"
    return CheckFinding("kafka_cert", text, mend, note=now < found.not_after)


def _kafka_client(config: EdgeConfig) -> object:
    if config.kafka_key is None:
        raise UserError("kafka_cert stands alone: set kafka_key too")
    return client_context(config.kafka_ca, config.kafka_cert, config.kafka_key)


def metrics(config: EdgeConfig) -> CheckFinding:
    """The port on which the agent is looked at."""
    holder, place = listener_on(config.metrics_port), f"port {config.metrics_port}"
    if holder is None or holder.is_agent:
        return CheckFinding("metrics_port", f"{place} is {f'in use by {holder}' if holder else 'free'}")
    return CheckFinding("metrics_port", f"{place} is taken by {holder}", "choose another, or 0 for none")


def time_zone(source: SourceConfig) -> CheckFinding | None:
    """Refuses a source whose messages may carry a time without its zone: a zone is never guessed."""
    if source.time_zone:
        return None
    try:
        plan = plan_source(source, {})
    except ConfigError:  # said where it is looked at
        return None
    if not plan.driver.has_local_times(plan.settings):
        return None
    return CheckFinding(source.name, "no time zone for times that come without one", 'time_zone = "Europe/Berlin"')


def steady(source: SourceConfig, devices: Path = Path("/dev/serial")) -> CheckFinding | None:
    """A port's name that another plug may get after the next start."""
    link = source.link
    if not isinstance(link, SerialLink) or not link.port.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
        return None
    same = (each for each in sorted(devices.glob("by-*/*")) if os.path.realpath(each) == os.path.realpath(link.port))
    better = next(same, devices / "by-id/...")
    return CheckFinding(
        source.name, f"{link.port} may be another device after a restart", f'port = "{better}"', note=True
    )


async def socket(source: SourceConfig) -> CheckFinding:
    """Open a source once, as the agent would."""
    w, stop = Watcher(plan_source(source, {})), asyncio.Event()
    o, task = w.o, asyncio.ensure_future(watch(w, stop))
    for _ in range(int(OPEN_LIMIT_S / LOOK_S)):
        if task.done() or o.opened or o.trouble or o.held_by or o.refused:
            break
        await asyncio.sleep(LOOK_S)
    stop.set()
    await task
    if o.held_by.startswith("the running agent"):
        return CheckFinding(o.source, f"{o.place} is in use by {o.held_by}")
    if o.held_by:
        return CheckFinding(o.source, f"{o.place} is held by {o.held_by}", MENDS.get(o.held_by.split()[0], "end it"))
    if o.trouble or not o.opened:
        return problem(o.source, diagnosis(w.look()).text)
    return CheckFinding(o.source, f"{o.place} opens")
