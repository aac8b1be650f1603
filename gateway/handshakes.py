"""TLS handshakes that fail at the gateway have a line in the log; the event loop says nothing of them."""

from __future__ import annotations

import ssl

import structlog

_log = structlog.get_logger("gateway")


class _Handshake(ssl.SSLObject):
    """Of one connection."""

    def do_handshake(self) -> None:
        """Raises SSLError, after its line. More bytes are awaited many times, which is no failure."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.info("a TLS handshake failed", reason=error.reason or "")
            raise


def log_handshakes(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context."""
    context.sslobject_class = _Handshake
    return context
