"""The downtime view over HTTP: what it gives, to whom, and what bad input gets."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.config import DowntimeConfig
from edge_agent.downtime.codes import CodeGate
from edge_agent.downtime.server import CONNECTIONS_MAX, DowntimeServer, page
from edge_agent.downtime.settings import prepare
from runtime.tls import server_context
from tests.edge_agent.downtime.showing import CODE, a_ward, ask, keep, serving


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep(tmp_path_factory.mktemp("box"), a_ward())


@pytest.fixture
def local(history: Path) -> Iterator[DowntimeServer]:
    with serving(history) as server:
        yield server


@pytest.fixture
def locked(history: Path) -> Iterator[DowntimeServer]:
    with serving(history, CodeGate(CODE, time.monotonic)) as server:
        yield server


def test_the_page_and_its_values_on_loopback(local: DowntimeServer) -> None:
    assert ask(local, "/").body == page()[0]
    assert [device["bed"] for device in ask(local, "/values").json["devices"]] == ["ICU^^07", "ICU^^09"]
    assert len(ask(local, "/bands").json["bands"]) == 4


@pytest.mark.parametrize(
    "path",
    ["/../edge.key", "/%2e%2e/edge.key", "//etc/passwd", "/page.html", "/values/", "/values?x=1", "/downtime.history",
     "/code", "/%00", "*"],
)  # fmt: skip
def test_no_other_path_is_anything(local: DowntimeServer, path: str) -> None:
    assert (ask(local, path).status, ask(local, path).json) == (404, {"refused": "path"})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X" * 10])
def test_no_other_method_is_anything(local: DowntimeServer, method: str) -> None:
    assert ask(local, "/values", method).status == 501


@pytest.mark.parametrize("path", ["/", "/values", "/nothing"])
def test_every_answer_has_the_headers_of_the_hospitals_pages(local: DowntimeServer, path: str) -> None:
    headers = ask(local, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Server"] == "vitalwire"


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "10.0.0.7", "127.0.0.1.nip.example", ""])
def test_another_name_is_refused_on_loopback(local: DowntimeServer, host: str) -> None:
    assert ask(local, "/values", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9480", "127.0.0.1:9480", "[::1]:9480", "[::1]"])
def test_the_names_of_loopback_are_taken(local: DowntimeServer, host: str) -> None:
    assert ask(local, "/values", Host=host).status == 200


def test_with_a_code_nothing_is_shown_without_it(locked: DowntimeServer) -> None:
    assert ask(locked, "/").status == 200
    for path in ("/values", "/bands"):
        assert (ask(locked, path).status, ask(locked, path).json) == (401, {"refused": "code"})
        assert ask(locked, path, Cookie="vitalwire-downtime=x").status == 401
        assert ask(locked, path, Cookie="=;;\x01").status == 401


def test_the_code_opens_it_by_a_cookie_that_no_script_reads(locked: DowntimeServer) -> None:
    answer = ask(locked, "/code", "POST", f'"{CODE}"')
    assert answer.status == 200
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert ask(locked, "/values", Cookie=cookie.partition(";")[0]).status == 200


@pytest.mark.parametrize("body", ["", "x", "{}", "[1]", "7", '"' + "x" * 5000 + '"', '"\\ud800"'])
def test_what_is_no_code_is_refused(locked: DowntimeServer, body: str) -> None:
    assert ask(locked, "/code", "POST", body).status in (400, 403)


def test_who_guesses_is_throttled(locked: DowntimeServer) -> None:
    answers = [ask(locked, "/code", "POST", '"0000000000"') for _ in range(6)]
    assert [answer.status for answer in answers] == [403] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) == answers[-1].json["wait_s"]
    assert ask(locked, "/code", "POST", f'"{CODE}"').status == 429


def test_another_sites_page_sends_no_code(locked: DowntimeServer) -> None:
    assert ask(locked, "/code", "POST", f'"{CODE}"', Sec_Fetch_Site="cross-site").status == 403


def test_without_a_code_there_is_nothing_to_post(local: DowntimeServer) -> None:
    assert ask(local, "/code", "POST", f'"{CODE}"').status == 404


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with serving(tmp_path / "nothing") as server:
        answer = ask(server, "/values")
    assert answer.status == 503
    assert "enabled" in answer.json["why"]


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 70_000, b"\r\n" * 9]
)
def test_what_is_no_request_ends_its_own_connection_alone(local: DowntimeServer, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", local.port), 5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        try:
            while connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass
    assert ask(local, "/values").status == 200


def test_connections_are_bounded_and_their_places_come_back(local: DowntimeServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", local.port), 5) for _ in range(CONNECTIONS_MAX)]
    with socket.create_connection(("127.0.0.1", local.port), 5) as refused:
        refused.settimeout(5)
        assert refused.recv(1) == b""
    for each in idle:
        each.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            assert ask(local, "/values").status == 200
            break
        except OSError:
            time.sleep(0.01)
    else:
        pytest.fail("no place came back")


def test_by_tls_with_a_certificate_of_its_own(tmp_path: Path, history: Path) -> None:
    config = DowntimeConfig(
        listen="0.0.0.0:0", certificate=tmp_path / "d.crt", certificate_key=tmp_path / "d.key",
        code_file=tmp_path / "code",
    )  # fmt: skip
    list(prepare(config, datetime.now(UTC)))
    tls = server_context(tmp_path / "d.crt", tmp_path / "d.key")
    trusted = ssl.create_default_context(cafile=tmp_path / "d.crt")
    gate = CodeGate((tmp_path / "code").read_text().strip(), time.monotonic)
    with serving(history, gate, tls) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), 5)  # no handshake: holds up nobody
        assert ask(server, "/values", trusted=trusted).status == 401
        answer = ask(server, "/code", "POST", f'"{(tmp_path / "code").read_text().strip()}"', trusted)
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie
        assert ask(server, "/values", trusted=trusted, Cookie=cookie.partition(";")[0]).status == 200
        with pytest.raises((ConnectionError, OSError)):
            ask(server, "/values")  # plaintext
        silent.close()
