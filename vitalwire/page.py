"""`vitalwire page`: what each bed shows now: on this machine alone, or by `gateway.toml` for a hospital over TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from clinical.sheet.style import Style
from emr_store.connect import with_role
from emr_store.roles import CLERK, READER
from gateway.app import create
from gateway.feed import Feed
from gateway.handshakes import log_handshakes
from gateway.http_protocol import HttpProtocol
from gateway.look_journal import LookJournal
from gateway.people.sign_in_config import GatewayConfig, address, sign_in_settings
from gateway.people.sign_in_settings import SignInSettings
from runtime import config as configuration
from runtime import logs, metrics
from runtime.errors import UserError
from runtime.process import collect_seldom, stop_event
from runtime.tls import server_context
from vitalwire import sheet
from vitalwire.output import console
from vitalwire.record import Database, explained
from vitalwire.sheet import SheetStyle

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 1000  # a page that is open holds one
NOT_READING_MS = 30_000  # a looker that takes nothing for so long is cut off


def page(
    database: Database = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8420,
    sheet_style: SheetStyle = "standard",
    config: Annotated[
        Path | None, typer.Option(help="TOML file, instead of the others; vitalwire config sample gateway")
    ] = None,
    look_journal: Annotated[
        Path, typer.Option(help="file that keeps who looked at what while the store is away")
    ] = Path("looks.journal"),
) -> None:
    """What each bed shows now and how old it is, in browsers, until Ctrl-C: vitalwire page --config gateway.toml.

    Without a file on this machine alone, where nobody but the demo signs in.
    """
    logs.set_up()
    if config is not None:
        _serve_configured(configuration.load(config, GatewayConfig))
        return
    style = sheet.style_of(sheet_style)
    with explained(database):
        collect_seldom()
        asyncio.run(serve(database, port, sheet_style=style, look_journal=look_journal))


def _serve_configured(config: GatewayConfig) -> None:
    host, port = address(config)
    settings, style = sign_in_settings(config), sheet.style_of(config.sheet_style)
    tls = None
    if config.tls_cert and config.tls_key:
        tls = log_handshakes(server_context(config.tls_cert, config.tls_key))
    with explained(config.database, insecure=config.insecure):
        if config.metrics_port:
            metrics.serve(config.metrics_port, list)
        collect_seldom()
        asyncio.run(serve(
            config.database, port, sheet_style=style, settings=settings, host=host, tls=tls,
            look_journal=config.look_journal,
        ))  # fmt: skip


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: signals are the caller's."""
        yield


async def serve(
    conninfo: str,
    port: int,
    until: asyncio.Event | None = None,
    *,
    sheet_style: Style | None = None,
    settings: SignInSettings | None = None,
    host: str = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    look_journal: Path | None = None,
) -> None:
    """Serve until `until`, or until a signal where that is None; UserError for a port in use.

    `settings` None: as on loopback. `tls` None: plain HTTP, which the caller allows on loopback alone.
    """
    journal = None if look_journal is None else LookJournal(look_journal)
    clerk, conninfo = with_role(conninfo, CLERK), with_role(conninfo, READER)
    stop, listener = until or stop_event(), _listen(port, host)
    if until is None:
        here = f"http://localhost:{listener.getsockname()[1]}"
        origin = (settings.public_origin.origin if settings else "") or here
        console.print(f"page {origin}/ (Ctrl-C ends it)", markup=False)
    feed = Feed(conninfo)
    app = create(conninfo, feed, clerk, sheet_style, settings, journal)
    server = _Server(uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=2, proxy_headers=False, http=HttpProtocol,
        ssl_context_factory=None if tls is None else lambda config, default: tls,
    ))  # fmt: skip

    async def end() -> None:
        await stop.wait()
        feed.end()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve([listener])
    finally:
        ending.cancel()
        await asyncio.to_thread(app.state.looks.close)


def _listen(port: int, host: str = LOOPBACK) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        why = os.strerror(error.errno or 0) if error.errno and error.errno > 0 else str(error)
        raise UserError(f"the page cannot listen on {host}:{port}: {why}; choose another --port") from None
    # Inherited by each connection (tcp(7)).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, NOT_READING_MS)
    # Else the second write of each answer waits for the first one's acknowledgement, which Linux delays by 40 ms.
    # asyncio sees to it only for sockets that name their protocol, which those of create_server do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
