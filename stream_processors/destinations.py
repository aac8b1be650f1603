"""The destinations of the configuration, each with its connections and its way of writing."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from adapters.emr.answer import Outcome
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.tls import client_context
from stream_processors.config import DestinationConfig
from stream_processors.deliver import LOOK_EVERY_S, Delivering, Sequencing
from stream_processors.deliver_fhir import FhirReceiver, basic
from stream_processors.deliver_mllp import MllpReceiver
from stream_processors.deliver_receiver import Receiver
from stream_processors.deliver_writing import FhirWriter, Hl7Writer, Writer
from stream_processors.recurring_work import keep_doing
from stream_processors.stage import waits

SEQUENCE_WAITS = "the order of charts waits"  # in `waits`
_log = structlog.get_logger("deliver")


def background_tasks(conninfo: str, destinations: Sequence[DestinationConfig]) -> list[Awaitable[None]]:
    """What gives versions their order, and serves each destination. `waits` says whose files cannot be used."""
    sequencing = Sequencing(conninfo)
    tasks: list[Awaitable[None]] = [
        keep_doing(sequencing.work, every_s=LOOK_EVERY_S, waits_as=SEQUENCE_WAITS, log=_log)
    ]
    for config in destinations:
        try:
            tasks.append(delivering(conninfo, config).keep_delivering())
        except UserError as error:
            waits[f"delivery to {config.name}"] = f"delivery to {config.name}: {error}"
            _log.error("a destination cannot be served", destination=config.name, reason=str(error))
    return tasks


def delivering(conninfo: str, config: DestinationConfig) -> Delivering:
    """Serves this destination. Raises UserError for files of it that cannot be used."""
    return Delivering(conninfo, config, writer(config), receiver(config))


def writer(config: DestinationConfig) -> Writer:
    """Writes messages as this destination wants them."""
    if config.protocol == "fhir":
        return FhirWriter(
            config.name, preliminary=config.preliminary, identifier_systems=config.identifier_systems
        )  # fmt: skip
    return Hl7Writer(config.name, config.hl7v2.style())


def receiver(config: DestinationConfig) -> Callable[[], Receiver]:
    """Makes connections to it. Raises UserError for files that cannot be used."""
    tls = _tls(config)
    meanings = {code: Outcome(meaning) for code, meaning in config.answers.items()}
    if config.protocol == "fhir":
        headers = _authorisation(config)
        return lambda: FhirReceiver(
            config.address, tls=tls, timeout_s=config.timeout_s, meanings=meanings, headers=headers
        )
    host, port = config.mllp_address()
    return lambda: MllpReceiver(host, port, tls=tls, timeout_s=config.timeout_s, meanings=meanings)


def _authorisation(config: DestinationConfig) -> dict[str, str]:
    """What the receiver knows us by. Raises UserError for a file that cannot be read, or that others can read."""
    if config.secret_file is None:
        return {}
    secret = _header_text(config.secret_file)
    return {"Authorization": basic(config.user, secret) if config.user else f"Bearer {secret}"}


def _header_text(path: Path) -> str:
    secret = read_secret(path)
    if not secret or not secret.isprintable():
        raise UserError(f"{path} holds no secret of one line")
    return secret


def _tls(config: DestinationConfig) -> ssl.SSLContext | None:
    is_plain = not config.address.startswith("https:") if config.protocol == "fhir" else config.tls_ca is None
    if is_plain:
        return None
    return client_context(config.tls_ca, config.tls_cert, config.tls_key)
