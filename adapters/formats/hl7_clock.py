"""When a value was measured: OBX-14, else OBR-7, else MSH-7, else as received.

A level that is empty or null says nothing, and the next one counts. A time that is there and cannot be read, or cannot
be (zeros, 31 February, a year before 1900), makes the moment doubtful: it is filed under the next level that can be
read, and is no time of the frame's own. A time without an offset is in the zone of the level above it, the last of
which is the source's; the zone is never guessed.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import NamedTuple

from adapters.formats.hl7_charset import printable
from adapters.formats.hl7v2 import NULL, Syntax
from adapters.formats.instants import DTM_CHARS_MAX, Instant, parse_dtm
from schemas.report import ClockQuality

_TO_THE_SECOND = re.compile(r"[0-9]{14}")
_PLAIN = re.compile(r"[0-9+\-.]*")  # a time in its one component


class Moment(NamedTuple):
    """When it was, how that is known, and what could not be read of it ("" for nothing)."""

    at_us: int
    received_at_us: int
    device_at_us: int | None
    uncertainty_ms: int
    quality: ClockQuality
    own_time: bool
    unread: str = ""


class Clock:
    """The times of one message; each is read when it is needed, and once."""

    __slots__ = ("_clockless", "_instants", "_moments", "_msh_7", "_received_at_us", "_source_zone", "_syntax")

    def __init__(
        self, msh_7: str, syntax: Syntax, zone: tzinfo | None, received_at_us: int, *, clockless: bool
    ) -> None:
        self._syntax, self._received_at_us, self._clockless = syntax, received_at_us, clockless
        self._source_zone = zone
        self._moments: dict[tuple[str, str], Moment] = {}
        self._instants: dict[str, Instant] = {}  # of texts that state their offset
        self._msh_7 = "" if clockless else self._stated(msh_7)

    @property
    def of_message(self) -> Moment:
        """The moment of the message itself."""
        return self.moment("", "")

    def moment(self, obr_7: str, obx_14: str) -> Moment:
        """The moment of a value under these two fields, as sent."""
        found = self._moments.get((obr_7, obx_14))
        if found is None:
            found = self._moments[obr_7, obx_14] = self._find(self._stated(obr_7), self._stated(obx_14))
        return found

    def _stated(self, sent: str) -> str:
        """The first component of the first repetition, without blanks; "" where it says nothing."""
        if _PLAIN.fullmatch(sent):
            return sent
        text = sent.partition(self._syntax.repetition)[0].partition(self._syntax.component)[0].strip()
        return "" if text == NULL else text

    def _find(self, obr_7: str, obx_14: str) -> Moment:
        if self._clockless:
            obr_7 = ""
        unread = ""
        if obx_14:
            instant = self._instant(obx_14) or self._instant(obx_14, self._zone_of(obr_7))
            if instant is not None:
                return self._moment(obx_14, instant, unread)
            unread = _unread("OBX-14", obx_14)
        for field, sent in (("OBR-7", obr_7), ("MSH-7", self._msh_7)):
            if sent:
                instant = self._instant(sent) or self._instant(sent, self._zone())
                if instant is not None:
                    return self._moment(sent, instant, unread)
                unread = unread or _unread(field, sent)
        quality = ClockQuality.DOUBTFUL if unread else ClockQuality.RECEIVED
        return Moment(self._received_at_us, self._received_at_us, None, 0, quality, False, unread)

    def _moment(self, sent: str, instant: Instant, unread: str) -> Moment:
        own = not unread and (_TO_THE_SECOND.match(sent) is not None or self._message_is_timed())
        quality = ClockQuality.DOUBTFUL if unread else ClockQuality.DEVICE
        return Moment(instant.us, self._received_at_us, instant.us, instant.uncertainty_ms, quality, own, unread)

    def _message_is_timed(self) -> bool:
        """Whether MSH-7 is an instant to the second."""
        timed = _TO_THE_SECOND.match(self._msh_7) is not None
        return timed and (self._instant(self._msh_7) or self._instant(self._msh_7, self._source_zone)) is not None

    def _zone(self) -> tzinfo | None:
        """The zone of times of the message that state none: the offset of MSH-7, else the source's."""
        message = self._instant(self._msh_7)
        return self._source_zone if message is None else message.offset

    def _zone_of(self, obr_7: str) -> tzinfo | None:
        """The zone of times below an OBR: the offset that its own time states, else the message's."""
        group = self._instant(obr_7)
        return self._zone() if group is None else group.offset

    def _instant(self, text: str, zone: tzinfo | None = None) -> Instant | None:
        """The instant of a text; without a zone only of one that states its offset."""
        if not text or len(text) > DTM_CHARS_MAX:
            return None
        if zone is not None:
            return parse_dtm(text, zone)
        instant = self._instants.get(text)
        if instant is None and text[-5:-4] in ("+", "-"):
            instant = parse_dtm(text, None)
            if instant is not None:
                self._instants[text] = instant
        return instant


def _unread(field: str, sent: str) -> str:
    return f"{field} as sent: {printable(sent[:80])}"
