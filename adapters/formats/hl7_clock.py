"""When a value was measured: OBX-14, else OBR-7, else MSH-7, else as received, by the rules of `moments`."""

from __future__ import annotations

import re
from datetime import tzinfo

from adapters.formats.hl7v2 import NULL, Syntax
from adapters.formats.moments import StatedMoment, moment_of

_PLAIN = re.compile(r"[0-9+\-.]*")  # a time in its one component


class Clock:
    """The times of one message; each is read when it is needed, and once."""

    __slots__ = ("_clockless", "_moments", "_msh_7", "_received_at_us", "_source_zone", "_syntax")

    def __init__(
        self, msh_7: str, syntax: Syntax, zone: tzinfo | None, received_at_us: int, *, clockless: bool
    ) -> None:
        self._syntax, self._received_at_us, self._clockless = syntax, received_at_us, clockless
        self._source_zone = zone
        self._moments: dict[tuple[str, str], StatedMoment] = {}
        self._msh_7 = "" if clockless else stated_time(msh_7, syntax)

    @property
    def of_message(self) -> StatedMoment:
        """The moment of the message itself."""
        return self.moment("", "")

    def moment(self, obr_7: str, obx_14: str) -> StatedMoment:
        """The moment of a value under these two fields, as sent."""
        found = self._moments.get((obr_7, obx_14))
        if found is None:
            stated = "" if self._clockless else stated_time(obr_7, self._syntax)
            levels = ("OBX-14", stated_time(obx_14, self._syntax)), ("OBR-7", stated), ("MSH-7", self._msh_7)
            found = self._moments[obr_7, obx_14] = moment_of(levels, self._source_zone, self._received_at_us)
        return found


def stated_time(sent: str, syntax: Syntax) -> str:
    """The first component of a time's first repetition, without blanks; "" where it says nothing."""
    if _PLAIN.fullmatch(sent):
        return sent
    text = sent.partition(syntax.repetition)[0].partition(syntax.component)[0].strip()
    return "" if text == NULL else text
