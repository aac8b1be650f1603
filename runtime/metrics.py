"""/metrics for Prometheus, /healthz (the process lives) and /readyz (data flows), on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from runtime.errors import UserError


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape each few seconds is no news."""


def serve(host: str, port: int, ready: Callable[[], list[str]]) -> WSGIServer:
    """Serve until `shutdown`; `ready` gives the reasons why data does not flow. Raises UserError for a port in use."""
    metrics = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start_response)
            return found
        reasons = ready() if path == "/readyz" else []
        status = "404 Not Found" if path not in ("/healthz", "/readyz") else "503 Not Ready" if reasons else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"ok": status == "200 OK", "reasons": reasons}).encode()]

    try:
        server = make_server(host, port, application, handler_class=_Quiet)
    except OSError as error:
        raise UserError(f"metrics cannot be served on {host}:{port}: {error.strerror}; set metrics_port", 2) from None
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
