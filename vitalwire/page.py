"""`vitalwire page`: what each bed shows now, on this machine alone."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import uvicorn

from clinical.sheet.style import Style
from emr_store.connect import with_role
from emr_store.roles import CLERK, READER
from gateway.app import create
from gateway.feed import Feed
from gateway.people.sign_in_settings import SignInSettings
from runtime import logs
from runtime.errors import UserError
from runtime.process import collect_seldom, stop_event
from vitalwire import sheet
from vitalwire.output import console
from vitalwire.record import Database, explained
from vitalwire.sheet import SheetStyle

LOOPBACK = "127.0.0.1"  # alone, as long as the page has no access control
CONNECTIONS_MAX = 200  # a page that is open holds one
NOT_READING_MS = 30_000  # a looker that takes nothing for so long is cut off


def page(
    database: Database = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8420,
    sheet_style: SheetStyle = "standard",
) -> None:
    """What each bed shows now and how old it is, in a browser of this machine, until Ctrl-C: vitalwire page."""
    logs.set_up()
    style = sheet.style_of(sheet_style)
    with explained(database):
        collect_seldom()
        asyncio.run(serve(database, port, sheet_style=style))


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
) -> None:
    """Serve on loopback until `until`, or until a signal where that is None; UserError for a port in use."""
    clerk, conninfo = with_role(conninfo, CLERK), with_role(conninfo, READER)
    stop, listener = until or stop_event(), _listen(port)
    if until is None:
        console.print(f"page http://localhost:{listener.getsockname()[1]}/ (Ctrl-C ends it)", markup=False)
    feed = Feed(conninfo)
    server = _Server(uvicorn.Config(
        create(conninfo, feed, clerk, sheet_style, settings), log_config=None, access_log=False, server_header=False,
        limit_concurrency=CONNECTIONS_MAX, timeout_graceful_shutdown=2,
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


def _listen(port: int) -> socket.socket:
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise UserError(f"the page cannot listen on {LOOPBACK}:{port}: {why}; choose another --port") from None
    # Inherited by each connection (tcp(7)).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, NOT_READING_MS)
    # Else the second write of each answer waits for the first one's acknowledgement, which Linux delays by 40 ms.
    # asyncio sees to it only for sockets that name their protocol, which those of create_server do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
