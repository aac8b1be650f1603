"""HTTP/1.1 as uvicorn speaks it, and what it answers by itself has the headers of every other answer."""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.security_headers import SecurityHeaders, security_headers

_UNREADABLE = b'{"refused":"unreadable"}'


class HttpProtocol(H11Protocol):
    """Of one connection. Two answers come before the application: to bytes that are no request, and to one too many."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._connections_max, self.limit_concurrency = self.limit_concurrency, None
        self._application, self.app = self.app, self._answer

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """As uvicorn counts: those who are connected, and what is asked at the moment, this one included."""
        busiest = max(len(self.connections), len(self.tasks))
        if self._connections_max is None or busiest <= self._connections_max:
            await self._application(scope, receive, send)
            return
        self.logger.warning("Exceeded concurrency limit.")
        busy = SecurityHeaders(service_unavailable, is_https=self.scheme == "https")  # type: ignore[arg-type]
        await busy(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """`msg` says what the bytes lack: for the log, which has it."""
        headers = security_headers(is_https=self.scheme == "https") | {
            "Content-Type": "application/json", "Cache-Control": "no-store", "Connection": "close",
            "Content-Length": str(len(_UNREADABLE)),
        }  # fmt: skip
        for event in (
            h11.Response(status_code=400, headers=list(headers.items())),
            h11.Data(data=_UNREADABLE),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
