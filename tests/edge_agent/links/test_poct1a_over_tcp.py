"""A POCT1-A device at a real socket: it calls, is asked for its results, and is let go once they are kept."""

from __future__ import annotations

import asyncio
import re

import pytest

from adapters.sessions.poct1a import Poct1Session
from tests.edge_agent.links.scene import LIMIT_S, Agent, connect, listening, running

DIALOGUE = (
    ('<HEL.R01><HDR><HDR.control_id V="1"/></HDR></HEL.R01>', ["ACK.R01"]),
    ('<DST.R01><HDR><HDR.control_id V="2"/></HDR><DST><DST.new_observations_qty V="2"/></DST></DST.R01>',
     ["ACK.R01", "REQ.R01"]),
    ('<OBS.R01><HDR><HDR.control_id V="3"/></HDR><SVC/></OBS.R01>', ["ACK.R01"]),
    ('<OBS.R02><HDR><HDR.control_id V="4"/></HDR><SVC/></OBS.R02>', ["ACK.R01"]),
    ('<EOT.R01><HDR><HDR.control_id V="5"/></HDR></EOT.R01>', ["ACK.R01", "END.R01"]),
)  # fmt: skip


@pytest.mark.parametrize("is_mllp", [False, True])
def test_a_whole_conversation(is_mllp: bool) -> None:
    async def scene() -> None:
        agent, listener = Agent(make_session=Poct1Session), listening()
        async with running(listener, agent), asyncio.timeout(LIMIT_S):
            reader, writer = await connect(listener)

            def say(text: str) -> None:
                writer.write(b"\x0b" + text.encode() + b"\x1c\r" if is_mllp else text.encode())

            for said, answers in DIALOGUE:
                say(said)
                received = b""
                while re.findall(rb"</([A-Z]{3}\.R\d\d)>", received) != [each.encode() for each in answers]:
                    chunk = await reader.read(4096)
                    assert chunk, f"closed after {received!r}"
                    received += chunk
            say('<ACK.R01><ACK><ACK.type_cd V="AA"/></ACK></ACK.R01>')
            assert (await reader.read()).strip(b"\x0b\x1c\r") == b""
            writer.close()
        frames = [frame.decode() for frame, reason in agent.frames() if not reason]
        assert frames == [said for said, _ in DIALOGUE[:4]]

    asyncio.run(scene())
