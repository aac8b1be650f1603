"""/metrics for Prometheus, /healthz (the process lives) and /readyz (data flows), on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from runtime.errors import UserError


class _Handler(WSGIRequestHandler):
    timeout = 5.0  # a client that says nothing for so long, in seconds, is left

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape each few seconds is no news."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves from threads of its own; `server_port` is the port that it got."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Without HTTPServer's look into the DNS, which a hospital's network may answer late or never."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that went away is no news either."""

    def stop(self) -> None:
        """Serve no more and give the port back."""
        self.shutdown()
        self.server_close()


def serve(
    port: int, ready: Callable[[], list[str]], notes: Callable[[], list[str]] = list
) -> MetricsServer:  # fmt: skip
    """Serve on loopback until `stop`: there is no TLS here. `ready` gives the reasons why data does not flow, if any.

    `notes` are what /readyz says beside them: a part in trouble, while the rest flows. Raises UserError for a port in
    use.
    """
    metrics = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                return list(metrics(environ, start_response))
            case "/healthz":
                status, reasons = "200 OK", []
            case "/readyz":
                reasons = _reasons(ready)
                status = "503 Service Unavailable" if reasons else "200 OK"
            case _:
                status, reasons = "404 Not Found", ["there are /metrics, /healthz and /readyz"]
        start_response(status, [("Content-Type", "application/json")])
        answer = {"ok": not reasons, "reasons": reasons}
        if environ.get("PATH_INFO") == "/readyz" and (given := _reasons(notes)):
            answer["notes"] = given
        return [json.dumps(answer, ensure_ascii=False).encode()]

    try:
        server = MetricsServer(("127.0.0.1", port), _Handler)
    except OSError as error:
        raise UserError(f"metrics cannot be served on port {port}: {error.strerror}; set metrics_port") from None
    server.set_app(application)
    Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()
    return server


def _reasons(ready: Callable[[], list[str]]) -> list[str]:
    try:
        return ready()
    except Exception as error:  # noqa: BLE001  the answer is "not ready", whatever it is
        return [f"readiness cannot be told: {type(error).__name__}"]
