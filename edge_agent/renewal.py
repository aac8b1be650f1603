"""The box's certificate for Kafka is renewed while a third of its lifetime is left, and the publisher begins anew.

The old one serves until the new one is in its place; what cannot be renewed is said, and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_agent import client_certificate
from edge_agent.bugs import log_bug
from edge_agent.config import EdgeConfig
from edge_agent.enrolment import Gateway
from runtime.errors import UserError
from runtime.keys import SigningKey
from runtime.pki import Issued, request_for

LOOK_S = 3600.0
RETRY_S = 600.0  # while it is due and could not be renewed


class Renewal:
    """Of one certificate file. `trouble`: why it is due and not renewed, for people; "" where it is well."""

    def __init__(
        self, gateway: Gateway, key: SigningKey, *, certificate: Path, key_file: Path, edge: str,
        on_event: Callable[[str, str], object], on_renewed: Callable[[], object],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._gateway, self._key, self._edge = gateway, key, edge
        self._certificate, self._key_file = certificate, key_file
        self._on_event, self._on_renewed, self._now = on_event, on_renewed, now
        self._serial = ""  # of the one that is in use
        self.trouble = ""

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """For ever."""
        while True:
            await sleep(await asyncio.to_thread(self.look))

    def look(self) -> float:
        """Renew it where it is due; in how many seconds to look again. Blocks."""
        try:
            self._renew()
        except UserError as error:
            return self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - a bug here must not keep data from flowing
            log_bug("the renewal of the certificate failed", error, "")
            return self._failed(f"{type(error).__name__}, which is a bug: the agent's log has its place")
        self.trouble = ""
        return LOOK_S

    def _renew(self) -> None:
        """Raises UserError where the gateway gives none, and for one that this box cannot use."""
        current = client_certificate.read_file(self._certificate)
        if client_certificate.renewal_due(current, self._now()):
            current = self._new_certificate()
        elif problem := client_certificate.problem_of(current, key_file=self._key_file, at=self._now()):
            raise UserError(f"{self._certificate} is a certificate {problem}")
        if self._serial not in ("", current.serial):  # also one that a person put there
            self._on_event("certificate-renewed", f"for Kafka, {current.serial}, until {current.not_after.isoformat()}")
            self._on_renewed()
        self._serial = current.serial

    def _new_certificate(self) -> Issued:
        self._serial = self._serial or client_certificate.read_file(self._certificate).serial
        standing = self._gateway.prove(self._key, request_for(self._key_file))
        if standing.state != "agreed" or not standing.certificate:
            raise UserError(standing.why or f"the gateway says {standing.state}")
        return client_certificate.put(
            self._certificate, standing.certificate, key_file=self._key_file, edge=self._edge, at=self._now()
        )

    def _failed(self, why: str) -> float:
        """Each reason is an event once, until it is well again."""
        try:
            ends = f"ends at {client_certificate.read_file(self._certificate).not_after:%Y-%m-%d %H:%M} UTC"
        except UserError:
            ends = "is not usable"
        trouble = f"the certificate for Kafka {ends} and is not renewed: {why}"
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_event("certificate-not-renewed", trouble)
        return RETRY_S


def renewal_of(
    config: EdgeConfig, key: SigningKey, on_event: Callable[[str, str], object], on_renewed: Callable[[], object]
) -> Renewal | None:
    """As configured; None: there is no gateway, or no certificate. Raises UserError for an address that is none."""
    if config.gateway is None or config.kafka_cert is None or config.kafka_key is None:
        return None
    return Renewal(
        Gateway(config.gateway, config.gateway_ca), key, certificate=config.kafka_cert, key_file=config.kafka_key,
        edge=config.edge, on_event=on_event, on_renewed=on_renewed,
    )  # fmt: skip
