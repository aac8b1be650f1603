"""Records that were made before: a record never changes, and a patient's values come again.

Kept by source: monitors of one make say the same things of their values, so that a ward shares them.
"""

from __future__ import annotations

from adapters.formats.hl7_observation import Observation, record_of
from schemas.report import Record

RECORDS_MAX = 20_000  # of a source, some 5 MB; beyond it all are forgotten
CHANNELS_MAX = 5_000
TEXT_CHARS_MAX = 24  # of a value that is remembered: a number
_What = tuple[Observation, int, int]


class RecordsOfChannel(dict[str, Record]):
    """The records of one observation, channel and marks by their value as sent; what is not there is made."""

    __slots__ = ("_channel", "_generation", "_marks", "_owner", "_what")

    def __init__(
        self, owner: RememberedRecords, what: Observation, channel: int, marks: int, generation: int
    ) -> None:  # fmt: skip
        super().__init__()
        self._owner, self._what, self._channel, self._marks = owner, what, channel, marks
        self._generation = generation

    def __missing__(self, sent: str) -> Record:
        """Make it, and remember it where it is short."""
        record = record_of(self._what, sent, self._channel, self._marks)
        if len(sent) <= TEXT_CHARS_MAX and self._owner.has_capacity(self._generation):
            self[sent] = record
        return record


class RememberedRecords:
    """Those of one source."""

    def __init__(self) -> None:
        self._channels: dict[_What, RecordsOfChannel] = {}
        self._count = self._generation = 0

    def of(self, what: Observation, channel: int, marks: int) -> RecordsOfChannel:
        """The records of this observation, channel and marks."""
        key = (what, channel, marks)
        found = self._channels.get(key)
        if found is None:
            if len(self._channels) >= CHANNELS_MAX:
                self._forget()
                self._channels.clear()
                self._generation += 1
            found = self._channels[key] = RecordsOfChannel(self, what, channel, marks, self._generation)
        return found

    def has_capacity(self, generation: int) -> bool:
        """Whether one more may be remembered; those of an earlier generation are not counted any more."""
        if generation != self._generation:
            return False
        if self._count >= RECORDS_MAX:
            self._forget()
        self._count += 1
        return True

    def _forget(self) -> None:
        for records in self._channels.values():
            records.clear()
        self._count = 0
