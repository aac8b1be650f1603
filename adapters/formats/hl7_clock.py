"""When a value was measured: OBX-14, else OBR-7, else MSH-7, else as received.

A level that is empty or null says nothing, and the next one counts. A time that is there and cannot be read, or cannot
be (zeros, 31 February, a year before 1900), makes the moment doubtful: it is filed under the next level that can be
read, and is no time of the frame's own. A time without an offset is in the zone of the level above it, the last of
which is the source's; the zone is never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo

from adapters.formats.hl7_charset import printable
from adapters.formats.hl7v2 import NULL, Syntax
from adapters.formats.instants import DTM_CHARS_MAX, Instant, parse_dtm
from schemas.report import ClockQuality

EARLIEST_US = -2_208_988_800_000_000  # 1900-01-01: what is earlier is no clock's time
_TO_THE_SECOND = re.compile(r"[0-9]{14}")


@dataclass(frozen=True, slots=True)
class Moment:
    """When it was, how that is known, and what could not be read of it ("" for nothing)."""

    at_us: int
    received_at_us: int
    device_at_us: int | None
    uncertainty_ms: int
    quality: ClockQuality
    own_time: bool
    unread: str = ""


class Clock:
    """The times of one message."""

    def __init__(
        self, msh_7: str, syntax: Syntax, zone: tzinfo | None, received_at_us: int, *, clockless: bool
    ) -> None:
        self._syntax, self._received_at_us, self._clockless = syntax, received_at_us, clockless
        self._moments: dict[tuple[str, str], Moment] = {}
        self._msh_7 = "" if clockless else self._stated(msh_7)
        message = self._instant(self._msh_7, zone)
        self._zone = message.offset if message is not None and message.offset is not None else zone
        self._own = message is not None and _TO_THE_SECOND.match(self._msh_7) is not None
        self.of_message = self.moment("", "")

    def moment(self, obr_7: str, obx_14: str) -> Moment:
        """The moment of a value under these two fields, as sent."""
        found = self._moments.get((obr_7, obx_14))
        if found is None:
            found = self._moments[obr_7, obx_14] = self._find(self._stated(obr_7), self._stated(obx_14))
        return found

    def _stated(self, sent: str) -> str:
        """The first component of the first repetition, without blanks; "" where it says nothing."""
        if not sent:
            return ""
        text = sent.partition(self._syntax.repetition)[0].partition(self._syntax.component)[0].strip()
        return "" if text == NULL else text

    def _find(self, obr_7: str, obx_14: str) -> Moment:
        if self._clockless:
            obr_7 = ""
        group = self._instant(obr_7, self._zone)
        zone = group.offset if group is not None and group.offset is not None else self._zone
        unread = ""
        for field, sent, its_zone in (
            ("OBX-14", obx_14, zone),
            ("OBR-7", obr_7, self._zone),
            ("MSH-7", self._msh_7, self._zone),
        ):
            instant = self._instant(sent, its_zone)
            if instant is not None:
                own = not unread and (self._own or _TO_THE_SECOND.match(sent) is not None)
                quality = ClockQuality.DOUBTFUL if unread else ClockQuality.DEVICE
                return Moment(
                    instant.us, self._received_at_us, instant.us, instant.uncertainty_ms, quality, own, unread
                )
            if sent and not unread:
                unread = f"{field} as sent: {printable(sent[:80])}"
        quality = ClockQuality.DOUBTFUL if unread else ClockQuality.RECEIVED
        return Moment(self._received_at_us, self._received_at_us, None, 0, quality, False, unread)

    @staticmethod
    def _instant(text: str, zone: tzinfo | None) -> Instant | None:
        if not text or len(text) > DTM_CHARS_MAX:
            return None
        instant = parse_dtm(text, zone)
        return instant if instant is not None and instant.us >= EARLIEST_US else None
