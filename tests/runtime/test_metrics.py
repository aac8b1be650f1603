import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Counter

from runtime.errors import UserError
from runtime.metrics import MetricsServer, serve

seen = Counter("vitalwire_test_seen", "Seen by the test")
reasons: list[str] = []


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    reasons.clear()
    running = serve(0, lambda: reasons)
    yield running
    running.stop()


def get(server: MetricsServer, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_metrics_and_health_are_served(server: MetricsServer) -> None:
    seen.inc()
    status, text = get(server, "/metrics")
    assert status == 200
    assert b"vitalwire_test_seen_total 1.0" in text
    assert get(server, "/healthz") == (200, b'{"ok": true, "reasons": []}')
    assert get(server, "/elsewhere")[0] == 404


def test_ready_means_that_data_flows_and_says_why_not(server: MetricsServer) -> None:
    assert get(server, "/readyz")[0] == 200
    reasons.append("the broker is not reached")
    status, body = get(server, "/readyz")
    assert (status, json.loads(body)) == (503, {"ok": False, "reasons": ["the broker is not reached"]})
    assert get(server, "/healthz")[0] == 200


def test_what_fails_is_not_ready(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> list[str]:
        raise KeyError("SMITH^JOHN")

    running: Any = serve(0, fails)
    status, body = get(running, "/readyz")
    running.stop()
    assert (status, json.loads(body)["reasons"]) == (503, ["readiness cannot be told: KeyError"])
    assert capfd.readouterr().err == ""


def test_a_client_that_says_nothing_holds_nobody_up(server: MetricsServer, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)):
        assert get(server, "/healthz")[0] == 200
    with socket.create_connection(("127.0.0.1", server.server_port)) as rude:
        rude.sendall(b"\x00\xff\r\n\r\n")
        assert b"400" in rude.recv(1000)
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_in_use_is_one_line_and_stop_gives_it_back(server: MetricsServer) -> None:
    port = server.server_port
    with pytest.raises(UserError, match=f"port {port}: Address already in use; set metrics_port"):
        serve(port, list)
    server.stop()
    serve(port, list).stop()
