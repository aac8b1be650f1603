"""The dialogue of Philips IntelliVue's Data Export, one monitor to a session, a message to a `feed`.

"Data Export Interface Programming Guide" rev G.0, chapter 3 and pages 58 to 73. The same on a LAN, where a message is a
datagram, and on the MIB/RS-232 port (`adapters/sessions/intellivue_mib.py`).

    we       association request, every 2 s until it is answered
    monitor  accept, or refuse: asked again after 5 s
    monitor  create event of the MDS, which we confirm; it aborts where it gets no confirmation within some 10 s
    we       polls: the extended ones of numerics, enumerations, waves and alarms go on for a minute and are renewed
             before, or where 10 s brought nothing; single ones of the patient (30 s), of the MDS (60 s), of waves with
             all their attributes once, and the keep-alive, a short poll of the alert monitor
    we       release, or before the confirmation an abort, at the end

A monitor that does not grant the extended poll is polled once a second. One that says nothing for as long as it would
bear our silence (10 s) is aborted, and asked for an association again. Every message that comes is a piece, those of
the association too, but for a result that a network has doubled; none waits for an answer of ours. A step sends one
message at most, so that each is a datagram.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from adapters.formats.intellivue import (
    CLASS_ALERT,
    CLASS_ENUMERATION,
    CLASS_MDS,
    CLASS_NUMERIC,
    CLASS_PATIENT,
    CLASS_WAVE,
    CONNECT_INDICATION,
    SESSION,
    TICKS_PER_S,
    DataMessage,
    MdsCreated,
    PollResult,
    RequestFailed,
    create_result,
    data_message,
    poll_request,
)
from adapters.formats.intellivue_association import (
    ANY_NUMERICS,
    ENUMERATIONS,
    NUMERICS_1_S,
    WAVES,
    Association,
    Granted,
    abort,
    association_message,
    association_request,
    granted,
    release_request,
    release_response,
)
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError

REQUEST_EVERY_S = 2.0
REFUSED_S = 5.0  # before the next request: another client is associated, or our own last one that ends by itself
REASSOCIATE_S = 2.0
CREATE_WAIT_S = 12.0  # after an accept, for the create event
ACTIVE_S = 60.0  # of an extended poll
RENEW_S = 45.0
NO_RESULT_S = 10.0  # of an extended poll: it is asked for anew
FAILED_S = 30.0  # after the monitor refused a poll
RECENT_MAX = 64  # results that a network may double: some seconds
PACE_S = 0.02  # between two messages of ours
KEEP_ALIVE_SHARE = 0.4  # of what the monitor bears
_GUIDE = "Data Export Interface Programming Guide rev G.0"
_GROUP_ALL, _GROUP_ALERTS, _GROUP_OBSERVED, _GROUP_PATIENT, _GROUP_STATIC = 0, 0x0801, 0x0803, 0x0807, 0x0811
REQUESTS = (
    Request("association request", b"\x0d", f"{_GUIDE}, p. 67-73: negotiates the export alone"),
    Request("release request", b"\x09", f"{_GUIDE}, p. 67-73: ends the export"),
    Request("abort", b"\x19", f"{_GUIDE}, p. 67-73: ends the export"),
    Request("single poll", b"\x0c\x16", f"{_GUIDE}, p. 58-63: reads attributes"),
    Request("extended poll", b"\xf1\x3b", f"{_GUIDE}, p. 60-62: reads attributes, again and again"),
)


class _State(Enum):
    """Its value is the phase that people read."""

    IDLE = "waiting"
    REQUESTED = "associating"
    ACCEPTED = "accepted"
    ASSOCIATED = "polling"


@dataclass(frozen=True)
class _Poll:
    """What is asked for again and again; `option` is what an extended one needs to be granted (0: a single poll)."""

    number: int
    class_id: int
    group: int
    every_s: float
    option: int = 0


_EXTENDED = (
    _Poll(1, CLASS_NUMERIC, _GROUP_OBSERVED, RENEW_S, ANY_NUMERICS),
    _Poll(2, CLASS_ENUMERATION, _GROUP_OBSERVED, RENEW_S, ENUMERATIONS),
    _Poll(3, CLASS_WAVE, _GROUP_ALL, RENEW_S, WAVES),
    _Poll(4, CLASS_ALERT, _GROUP_ALERTS, RENEW_S, ANY_NUMERICS),
)
_WITHOUT_EXTENDED = (
    _Poll(5, CLASS_NUMERIC, _GROUP_OBSERVED, 1.0),
    _Poll(6, CLASS_ENUMERATION, _GROUP_OBSERVED, 1.0),
    _Poll(7, CLASS_ALERT, _GROUP_ALERTS, 1.0),
)
_MDS = _Poll(8, CLASS_MDS, _GROUP_ALL, 60.0)
_PATIENT = _Poll(9, CLASS_PATIENT, _GROUP_PATIENT, 30.0)
_WAVE_CONTEXT = _Poll(10, CLASS_WAVE, _GROUP_ALL, float("inf"))  # once
_KEEP_ALIVE_NUMBER = 11


class IntellivueSession:
    """One monitor's client. `waves`: ask for them too. `may_double`: the network may bring a datagram twice."""

    def __init__(self, *, waves: bool = True, may_double: bool = False) -> None:
        self._may_double = may_double
        self._wants_waves = waves
        self._state = _State.IDLE
        self._granted = Granted()
        self._is_assumed = False  # what was granted was not read
        self._out: deque[bytes] = deque()
        self._recent: deque[bytes] = deque(maxlen=RECENT_MAX)  # digests of results
        self._due: dict[_Poll, float] = {}
        self._renewed_s: dict[int, float] = {}  # when an extended poll was asked for last, by its number
        self._asked: dict[int, _Poll] = {}  # by invoke id
        self._next_s = 0.0  # when the state's own time is up: a request, or a create event that did not come
        self._heard_s = 0.0
        self._may_send_s = 0.0
        self._invoke_id = 0

    def opened(self, now: Moment) -> Step:
        """The monitor is asked at once."""
        self._request(now)
        return self._step(now)

    def feed(self, data: bytes, now: Moment) -> Step:
        """One message came."""
        counts: tuple[str, ...] = ()
        if not data:
            return self._step(now)
        try:
            if data[:4] == CONNECT_INDICATION:
                self._indicated(now)
            elif data[:2] == SESSION[:2]:
                message = data_message(data)
                if self._may_double and isinstance(message, PollResult) and self._came_before(data):
                    self._heard_s = now.steady_s
                    return self._step(now, counts=("results-doubled",))
                self._data(message, now)
            else:
                self._association(association_message(data), data, now)
        except FrameError as error:  # its driver says so too, and keeps the bytes
            counts = (f"unread:{error.reason}",)
        else:
            self._heard_s = now.steady_s
        return self._step(now, (Piece(data),), counts)

    def tick(self, now: Moment) -> Step:
        """Something is due."""
        at_s, counts = now.steady_s, ()
        if self._out:
            return self._step(now)
        if self._state is _State.ASSOCIATED:
            if at_s >= self._heard_s + self._bears_s:
                self._lose(now, REASSOCIATE_S, abort())
                return self._step(now, counts=("association-lost",))
            self._ask_what_is_due(at_s)
        elif at_s >= self._next_s:
            if self._state is _State.ACCEPTED:
                self._lose(now, REASSOCIATE_S, abort())
                return self._step(now, counts=("association-lost",))
            self._request(now)
        return self._step(now, counts=counts)

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """No message is answered for having been kept."""
        return self._step(now)

    def closed(self, orderly: bool, now: Moment) -> Step:
        """The link ends: the monitor is released, so that its one association is free for the next client."""
        last = b""
        if self._state is _State.ASSOCIATED:
            last = release_request()
        elif self._state in (_State.ACCEPTED, _State.REQUESTED):
            last = abort()
        self._state = _State.IDLE
        self._out.clear()
        return Step(send=last, phase=self._state.value)

    # --- the association ----------------------------------------------------------------------------------------------

    @property
    def _options(self) -> int:
        return NUMERICS_1_S | ENUMERATIONS | (WAVES if self._wants_waves else 0)

    @property
    def _bears_s(self) -> float:
        """How long a silence the monitor bears of us (p. 70), and we of it."""
        period_s = self._granted.min_poll_s
        if period_s < 3.3:
            return 10.0
        return 3 * period_s if period_s <= 43 else 130.0

    def _request(self, now: Moment) -> None:
        self._out.append(association_request(extended_options=self._options))
        self._state, self._next_s = _State.REQUESTED, now.steady_s + REQUEST_EVERY_S

    def _lose(self, now: Moment, wait_s: float, last: bytes = b"") -> None:
        """No association any more; it is asked for again after a while."""
        self._out.clear()
        self._due.clear()
        self._renewed_s.clear()
        self._asked.clear()
        self._granted = Granted()
        if last:
            self._out.append(last)
        self._state, self._next_s = _State.IDLE, now.steady_s + wait_s

    def _indicated(self, now: Moment) -> None:
        """The monitor is on the network and ready for an association."""
        if self._state is _State.IDLE:
            self._request(now)

    def _association(self, kind: Association, data: bytes, now: Moment) -> None:
        match kind:
            case Association.ACCEPT:
                self._accepted(data, now)
            case Association.REFUSE if self._state is _State.REQUESTED:
                self._lose(now, REFUSED_S)
            case Association.ABORT if self._state is not _State.IDLE:
                self._lose(now, REASSOCIATE_S)
            case Association.RELEASE_REQUEST:
                self._lose(now, REASSOCIATE_S, release_response())

    def _accepted(self, data: bytes, now: Moment) -> None:
        """It is granted, and what; datagrams change places, so that the create event may have come before."""
        self._is_assumed = False
        try:
            self._granted = granted(data)
        except FrameError:  # associated all the same: polled once a second
            self._granted = Granted()
        if self._state is _State.ASSOCIATED:
            self._schedule(now)
        else:
            self._state, self._next_s = _State.ACCEPTED, now.steady_s + CREATE_WAIT_S

    def _created(self, created: MdsCreated, now: Moment) -> None:
        """Confirmed each time that it comes: the confirmation may have been lost.

        It says that we are associated, whatever else was lost: where the accept was, what we asked for is taken for
        granted until a poll is refused.
        """
        self._out.appendleft(create_result(created))
        if self._state is not _State.ASSOCIATED:
            if self._state is not _State.ACCEPTED:
                self._granted, self._is_assumed = Granted(extended_options=self._options), True
            self._state = _State.ASSOCIATED
            self._schedule(now)

    # --- polls --------------------------------------------------------------------------------------------------------

    def _schedule(self, now: Moment) -> None:
        """What is polled from now on."""
        options = self._granted.extended_options
        extended = [poll for poll in _EXTENDED if poll.option & options]
        polls = [_PATIENT, _MDS, *(extended if options & ANY_NUMERICS else _WITHOUT_EXTENDED)]
        if not self._wants_waves or not options & ANY_NUMERICS:
            polls = [poll for poll in polls if poll.class_id != CLASS_WAVE]
        elif options & WAVES:
            polls.insert(0, _WAVE_CONTEXT)
        polls.append(_Poll(_KEEP_ALIVE_NUMBER, CLASS_ALERT, _GROUP_STATIC, self._bears_s * KEEP_ALIVE_SHARE))
        self._due = dict.fromkeys(polls, now.steady_s)
        self._renewed_s.clear()

    def _ask_what_is_due(self, at_s: float) -> None:
        for poll, due_s in self._due.items():
            if at_s >= due_s:
                self._ask(poll)
                wait_s = NO_RESULT_S if poll.option else max(poll.every_s, self._granted.min_poll_s)
                self._due[poll] = due_s + wait_s if due_s + wait_s > at_s else at_s + wait_s
                if poll.option:
                    self._renewed_s[poll.number] = at_s

    def _ask(self, poll: _Poll) -> None:
        self._invoke_id = self._invoke_id % 0xFFFF + 1
        self._asked[self._invoke_id] = poll
        if len(self._asked) > 64:
            del self._asked[next(iter(self._asked))]
        self._out.append(
            poll_request(
                invoke_id=self._invoke_id,
                poll_number=poll.number,
                class_id=poll.class_id,
                group=poll.group,
                active_ticks=int(ACTIVE_S * TICKS_PER_S) if poll.option else None,
            )
        )

    def _data(self, message: DataMessage, now: Moment) -> None:
        match message:
            case MdsCreated():
                self._created(message, now)
            case PollResult():
                self._resulted(message, now)
            case RequestFailed():
                poll = self._asked.get(message.invoke_id)
                if poll is not None and poll.option and self._is_assumed:
                    self._lose(now, REASSOCIATE_S, abort())
                elif poll is not None and poll in self._due:
                    self._due[poll] = now.steady_s + (FAILED_S if poll.option else max(FAILED_S, poll.every_s))

    def _came_before(self, result: bytes) -> bool:
        """Whether a network has doubled it: its ticks and its number are not the same again for days."""
        digest = blake2b(result, digest_size=16).digest()
        if digest in self._recent:
            return True
        self._recent.append(digest)
        return False

    def _resulted(self, result: PollResult, now: Moment) -> None:
        """An extended poll goes on: it is due when it has to be renewed, or when it brings nothing for a while."""
        poll = next((each for each in self._due if each.number == result.poll_number), None)
        if poll is None or not poll.option:
            return
        renew_s = self._renewed_s.get(poll.number, now.steady_s) + RENEW_S
        self._due[poll] = min(renew_s, now.steady_s + NO_RESULT_S)

    # ------------------------------------------------------------------------------------------------------------------

    def _step(self, now: Moment, pieces: tuple[Piece, ...] = (), counts: tuple[str, ...] = ()) -> Step:
        """With the next message that is to be sent, if its time has come."""
        at_s, send = now.steady_s, b""
        if self._out and at_s >= self._may_send_s:
            send, self._may_send_s = self._out.popleft(), at_s + PACE_S
        if self._out:
            wake_at_s = self._may_send_s
        elif self._state is _State.ASSOCIATED:
            wake_at_s = min(self._heard_s + self._bears_s, *self._due.values())
        else:
            wake_at_s = self._next_s
        return Step(pieces, send, max(wake_at_s, at_s + PACE_S), self._state.value, counts=counts)
