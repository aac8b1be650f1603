"""`python -m benchmarks.emr_receiver SECONDS`: accepts every HL7 message after so many seconds; prints its port.

A process of its own, so that what is measured is delivery and not the receiver.
"""

from __future__ import annotations

import asyncio
import sys

_END = b"\x1c\r"
_MSH_10 = 9  # of what stands between separators


def acknowledgement(message: bytes) -> bytes:
    """AA for the message's MSH-10."""
    control_id = message.partition(b"\r")[0].split(b"|")[_MSH_10]
    text = b"MSH|^~\\&|EMR|HOSP|VITALWIRE|HOSP|20260101000000||ACK|%s|P|2.5\rMSA|AA|%s\r" % (control_id, control_id)
    return b"\x0b" + text + _END


async def run(delay_s: float) -> None:
    """Until it is ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(_END)
                await asyncio.sleep(delay_s)
                writer.write(acknowledgement(frame))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1])))
