"""One supervisor a source: what fails there is said once, tried again with back-off, and never hurts a neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from prometheus_client import Gauge

from adapters.driver import SerialSettings, Source
from edge_agent.agent import Chain, OnArrived
from edge_agent.bugs import log_bug
from edge_agent.config import MqttLink, SerialLink, TcpLink, UdpLink
from edge_agent.conversation import Conversation, Keeper, Line
from edge_agent.events import EventEmitter
from edge_agent.links.mqtt import MqttBroker, client_id
from edge_agent.links.owner import LinkError, LinkOwner
from edge_agent.links.serial import SerialPort
from edge_agent.links.tcp import TcpListener, dialler_of
from edge_agent.links.udp import UdpMonitor
from edge_agent.recording import Tap
from edge_agent.sources import SourcePlan, link_type
from edge_agent.spool import Spool
from runtime.clock import now_us
from runtime.errors import UserError
from schemas.errors import VitalwireError

RETRY_FIRST_S = 0.5
# A cable that is plugged in again is back in five seconds; a port in use or a gateway is not asked so often.
RETRY_MAX_S = {"serial": 5.0, "tcp": 30.0, "mqtt": 30.0, "udp": 5.0}
_LOSING = ("serial", "udp")  # what was said meanwhile cannot be asked for again
BUGS_MAX = 20  # different ones that are said of a source
REASONS_MAX = 20  # as well
_stands = Gauge("vitalwire_source_stands", "1: the source's link stands, 0: it does not", ["source"])


@dataclass
class SourceState:
    """How a source stands, for `status` and people; `why` is "" where nothing is wrong."""

    name: str
    driver: str
    link: str
    address: str
    state: Literal["opening", "stands", "trouble"] = "opening"
    why: str = ""
    since_us: int = 0
    frames: int = 0


class Link(Protocol):
    """What moves a source's bytes: `run` works until it is lost (LinkError) or ends in good order."""

    async def run(self, owner: LinkOwner) -> None:
        """Open it and serve."""
        ...


def link_of(plan: SourcePlan, edge: str) -> Link:
    """The link of a source, as configured; nothing is opened."""
    match plan.link:
        case SerialLink() as link:
            return SerialPort(link, plan.driver.serial or SerialSettings())
        case TcpLink(dial=None) as link:
            return TcpListener(link)
        case TcpLink() as link:
            return dialler_of(link)
        case UdpLink() as link:
            return UdpMonitor(link)
        case MqttLink() as link:
            return MqttBroker(link, link.client_id or client_id(edge, plan.name))


class Supervisor:
    """Keeps one source at work; what its link, its conversations and its chain have to say ends here."""

    def __init__(
        self, plan: SourcePlan, link: Link, spool: Spool, emitter: EventEmitter, emit: Callable[[str, str], object],
        now_us: Callable[[], int] = now_us, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_arrived: OnArrived = lambda _, __: None,
    ) -> None:  # fmt: skip
        self.name, self.plan, self.tap = plan.name, plan, Tap()
        self.chain = Chain(plan, spool, emitter, self._session_failed, on_arrived, self.tap)
        self.keeper: Keeper = self.chain
        self._link, self._emit, self._now_us, self._sleep = link, emit, now_us, sleep
        kind = link_type(plan.link)
        self._retry_max_s, self._back_code = RETRY_MAX_S[kind], "gap" if kind in _LOSING else "source-restored"
        self._state = SourceState(plan.name, plan.driver.name, kind, plan.link.address, since_us=now_us())
        self._gone_since_us = 0
        self._reasons: set[str] = set()  # that were said, since frames came last
        self._is_emitted = False  # of the trouble that lasts
        self._frames_then = 0
        self._bugs: set[str] = set()

    @property
    def state(self) -> SourceState:
        """How it stands now."""
        self._state.frames = self.chain.frames
        return self._state

    async def run(self) -> None:
        """For ever: whatever ends the link, it is begun again."""
        delay_s = RETRY_FIRST_S
        while True:
            frames = self.chain.frames
            try:
                await self._link.run(self)
                self._set_state("opening", "")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this source's trouble only
                self.troubled(self._words(error))
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # what failed is the end itself
                    return
            if self.chain.frames > frames:  # one that opens and closes without a word is not tried in a storm
                delay_s = RETRY_FIRST_S
            await self._sleep(delay_s)
            delay_s = min(delay_s * 2, self._retry_max_s)

    # --- as the owner of its link -------------------------------------------------------------------------------------

    def stands(self) -> None:
        """The link stands. Since when it did not is an event with both times."""
        if self._gone_since_us and (self._is_emitted or self._back_code == "gap"):
            self.emit(self._back_code, f"{self.name} was gone from {self._gone_since_us} to {self._now_us()}")
        self._gone_since_us, self._is_emitted = 0, False
        self._set_state("stands", "")

    def troubled(self, why: str, refused: str = "") -> None:
        """It does not stand; each reason is said once, until frames have come again."""
        self._gone_since_us = self._gone_since_us or self._now_us()
        if self.chain.frames != self._frames_then:
            self._frames_then = self.chain.frames
            self._reasons.clear()
        if why not in self._reasons and len(self._reasons) < REASONS_MAX:
            self._reasons.add(why)
            self._is_emitted = True
            self.emit("source-trouble", f"{self.name}: {why}")
        self._set_state("trouble", why)

    def emit(self, code: str, text: str) -> None:
        """Something to be kept as an event of the edge."""
        self._emit(code, text)

    def count(self, name: str) -> None:
        """Something to be counted with the source's counts."""
        self.plan.counts[name] += 1

    def source(self, peer: str) -> Source[Any]:
        """What the driver is told of a connection or a topic."""
        return self.plan.source(peer)

    def converse(self, line: Line, peer: str) -> Conversation:
        """A connection's conversation, in the protocol of the source's driver."""
        return Conversation(self.plan.session(), line, self.source(peer), self.keeper, self.tap)

    # ------------------------------------------------------------------------------------------------------------------

    def _session_failed(self, error: Exception) -> None:
        """A session's bug: its connection ends, and each is said once."""
        self.count("session-errors")
        words = self._words(error)
        if words not in self._bugs and len(self._bugs) < BUGS_MAX:
            self._bugs.add(words)
            self.emit("source-trouble", f"{self.name}: {words}")

    def _words(self, error: Exception) -> str:
        """Why, for people; a bug's own text may hold what a device sent, and so a patient's name."""
        if isinstance(error, LinkError | UserError | VitalwireError):
            return str(error)
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        log_bug("a link or a session failed", error, self.name)
        return f"{type(error).__name__}, which is a bug: the agent's log has its place"

    def _set_state(self, state: Literal["opening", "stands", "trouble"], why: str) -> None:
        if (state, why) != (self._state.state, self._state.why):
            self._state.state, self._state.why, self._state.since_us = state, why, self._now_us()
        _stands.labels(self.name).set(state == "stands")
