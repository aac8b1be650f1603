"""`vitalwire edge downtime`: what this box received in the last 24 hours, shown by itself (docs/downtime.md)."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.config import EdgeConfig
from edge_agent.downtime import view
from edge_agent.downtime.codes import CodeGate
from edge_agent.downtime.ring_file import FILE_NAME, HistoryReader
from edge_agent.downtime.server import Downtime, DowntimeServer
from edge_agent.downtime.settings import Opened, opened, prepare
from runtime import config as configuration
from runtime import logs
from runtime.clock import now_us
from runtime.errors import UserError
from runtime.tls import server_context
from vitalwire.output import as_json, console


def downtime(
    config: Annotated[Path, typer.Option(help="the agent's TOML file")] = Path("edge.toml"),
    make: Annotated[
        bool, typer.Option("--prepare", help="make the certificate and the code that [downtime] names, and end")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="for scripts: what there is to show, without a page")] = False,
) -> None:
    """Serve the page with the last 24 hours of this box until Ctrl-C: vitalwire edge downtime --config edge.toml."""
    settings = configuration.load(config, EdgeConfig)  # not load_edge: drivers take 20 MB
    if make:
        for made in prepare(settings.downtime, datetime.now(UTC)):
            console.print(made, markup=False, soft_wrap=True)
        _print_fingerprint(opened(settings.downtime))
        return
    history = settings.spool / FILE_NAME
    if json:
        with HistoryReader(history) as reader:
            as_json(view.view(reader, now_us()))
        return
    found, tls = opened(settings.downtime), None
    if settings.downtime.certificate is not None and settings.downtime.certificate_key is not None:
        tls = server_context(settings.downtime.certificate, settings.downtime.certificate_key)
    gate = CodeGate(found.code, time.monotonic) if found.code else None
    logs.set_up()
    try:
        server = DowntimeServer((found.host, found.port), Downtime(history, gate, now_us), tls)
    except OSError as error:
        raise UserError(
            f"the downtime view cannot listen on {settings.downtime.listen}: {error.strerror}; set [downtime] listen"
        ) from None
    _print_fingerprint(found)
    host = f"[{found.host}]" if ":" in found.host else found.host
    console.print(f"downtime view http{'s' if tls else ''}://{host}:{server.port}/ (Ctrl-C ends it)", markup=False)
    with server:
        _serve(server)


def _print_fingerprint(found: Opened) -> None:
    if found.fingerprint:
        console.print(f"certificate SHA-256 {found.fingerprint}", markup=False, soft_wrap=True)


def _serve(server: DowntimeServer) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serving = threading.Thread(target=server.serve_forever, args=(0.2,), name="downtime", daemon=True)
    serving.start()
    stop.wait()
    server.shutdown()
    serving.join()
