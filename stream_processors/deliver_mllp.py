"""Messages over MLLP (HL7 v2, transport specification MLLP release 1): a frame out, an acknowledgement back.

The answer is matched by MSA-2. After a timeout the connection is closed, so that an answer that comes late is never
taken for the next message's; one that comes twice is passed over, for what it acknowledges was answered before.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections import deque
from collections.abc import Mapping

from adapters.emr.answer import Answer, Outcome
from adapters.emr.mllp_ack import ANOTHER_MESSAGE, read_ack
from stream_processors.deliver_receiver import ANSWER_BYTES_MAX, FRAME_BYTES_MAX, AwayError, Outgoing, Reply

_BEGIN, _END = b"\x0b", b"\x1c\r"
_ANSWERED_MAX = 100  # messages of a connection whose second answer is passed over
_MSA = re.compile(rb"(?:^|[\r\n])MSA\|[^|\r\n]*\|([^|\r\n]*)")


class MllpReceiver:
    """A connection to an MLLP listener, opened when a message is to go."""

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, timeout_s: float, meanings: Mapping[str, Outcome]
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._timeout_s, self._meanings = timeout_s, meanings
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._answered: deque[bytes] = deque(maxlen=_ANSWERED_MAX)

    async def send(self, outgoing: Outgoing) -> Reply:
        """Raises AwayError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                frame = await self._exchange(outgoing)
        except TimeoutError:
            sent = self._streams is not None
            await self.close()
            raise AwayError(f"no answer within {self._timeout_s:g} s", timed_out=sent) from None
        except asyncio.IncompleteReadError:
            await self.close()
            raise AwayError("it closed the connection instead of answering", timed_out=True) from None
        except asyncio.LimitOverrunError:
            await self.close()
            return Reply(Answer(outcome=Outcome.RETRY, code="", reason="answered with a frame without end"), b"")
        except (OSError, ssl.SSLError) as error:
            await self.close()
            raise AwayError(_words(error)) from None
        except BaseException:
            await self.close()
            raise
        answer = read_ack(frame, outgoing.control_id, self._meanings)
        if answer.reason == ANOTHER_MESSAGE or answer.code == "":
            await self.close()  # whatever comes next is no answer to what is asked next
        self._answered.append(outgoing.control_id.encode())
        return Reply(answer, frame[:ANSWER_BYTES_MAX])

    async def close(self) -> None:
        """End the connection."""
        streams, self._streams = self._streams, None
        self._answered.clear()
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await streams[1].wait_closed()

    async def _exchange(self, outgoing: Outgoing) -> bytes:
        """The first frame that answers no earlier message of this connection."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()  # it went while nothing was under way
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._host, self._port, ssl=self._tls, limit=FRAME_BYTES_MAX
            )  # fmt: skip
        reader, writer = self._streams
        writer.write(_BEGIN + outgoing.body + _END)
        await writer.drain()
        while True:
            frame = await reader.readuntil(_END)
            named = _MSA.search(frame)
            if named is None or named[1].strip() not in self._answered:
                return frame


def _words(error: Exception) -> str:
    """Without addresses that say nothing: "Connect call failed ('127.0.0.1', 1)" is "Connection refused"."""
    if isinstance(error, ConnectionRefusedError):
        return "it refuses connections"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, ConnectionError):
        return "it broke the connection"
    return getattr(error, "strerror", None) or type(error).__name__
