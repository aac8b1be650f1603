"""What the agent keeps for when the hospital's side is away: the last value of each channel, and bands of 24 hours.

`take` is on the event loop and costs about a microsecond a value. The file is written from a thread, a few times a
minute; whatever hinders that hinders nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import Lock

import msgspec

from adapters.formats.values import printable
from edge_agent.bugs import log_bug
from edge_agent.config import DowntimeConfig
from edge_agent.downtime.ring_file import BUCKET_S, DAY_S, FILE_NAME, Band, HistoryState, RingFile, Series, SlotChange
from schemas.report import LATE_CONTEXT, ChannelWords, Kind, Lane, Mark, Record, RecordKind, Report, Validity

WRITE_EVERY_S = 5.0
FORGET_EVERY_US = 60_000_000
CLAIM_BYTES_MAX, WORD_BYTES_MAX = 220, 48  # as JSON, so that a channel's text fits its slot
LABELS_MAX = 4  # of channels, for each slot
PLACES = {("HL7", "PV1-3"), ("ASTM", "P-26")}  # what senders call the place of a patient
WITHDRAWAL = int(Mark.WITHDRAWAL)
_BUCKET_US, _DAY_US = BUCKET_S * 1_000_000, DAY_S * 1_000_000
NUMBER_MAX = 1e30  # a larger one is no vital sign, and does not fit the file
Key = tuple[int, int, int, str]  # code, unit, channel, and the sender's word where there is no code


class _Kept:
    """A channel in memory. `series` is as it was written last but for its words; `last` came since."""

    __slots__ = ("at_us", "bands", "is_changed", "is_new", "last", "received_at_us", "series", "slot")

    def __init__(self, slot: int, series: Series, *, is_new: bool) -> None:
        self.slot, self.series, self.is_new, self.is_changed = slot, series, is_new, is_new
        self.at_us, self.received_at_us = series.at_us, series.received_at_us
        self.last: Record | None = None
        self.bands: dict[int, Band] = {}  # that are not in the file yet

    def as_series(self) -> Series:
        """As it is now."""
        series, last = self.series, self.last
        if last is not None:
            series.at_us, series.received_at_us = self.at_us, self.received_at_us
            series.marks, series.mantissa, series.exponent = int(last.marks), last.mantissa, last.exponent
            taken_back = series.marks & WITHDRAWAL
            series.validity = int(Validity.NOT_AVAILABLE if taken_back else last.validity)
            self.last = None
        return msgspec.structs.replace(series)


class _Device:
    """A device in memory; `bed` as its sender claimed it last."""

    __slots__ = ("bed", "channels")

    def __init__(self) -> None:
        self.bed = ""
        self.channels: dict[Key, _Kept] = {}


# Looked up once: of an enumeration each costs as much as the rest of a value.
_NUMERIC, _BOUND = RecordKind.NUMERIC, RecordKind.BOUND
_VALID, _QUESTIONABLE = Validity.VALID, Validity.QUESTIONABLE


class DowntimeKeeper:
    """Keeps at most `channels_max` channels; a further one takes the place of one that was silent for 24 hours."""

    def __init__(
        self, folder: Path, config: DowntimeConfig, emit: Callable[[str, str], object], now_us: Callable[[], int]
    ) -> None:  # fmt: skip
        self._path, self._is_enabled, self._channels_max = folder / FILE_NAME, config.enabled, config.channels_max
        self._emit, self._now_us = emit, now_us
        self._devices: dict[str, _Device] = {}
        self._labels: dict[tuple[str, int], str] = {}
        self._file: RingFile | None = None
        self._free = list(range(config.channels_max, 0, -1))
        self._forgot_us = 0
        self._forgotten: list[int] = []  # slots that are not erased yet
        self._trouble, self._writing = "", Lock()
        self._omitted, self._receipts = 0, 0
        self._last_receipt_at_us: int | None = None
        if config.enabled:
            self._open()

    def _open(self) -> None:
        """Go on with what is in the file, made by the run before; without one if it cannot be opened."""
        taken = set[int]()
        try:
            self._file = RingFile(self._path, self._channels_max)
            for slot, series in self._file.series():
                device = self._devices.setdefault(series.claim, _Device())
                device.bed = series.bed
                key = (series.code, series.unit, series.channel, series.name)
                if key not in device.channels:
                    taken.add(slot)
                    device.channels[key] = _Kept(slot, series, is_new=False)
            self._free = [slot for slot in self._free if slot not in taken]
            self._last_receipt_at_us = self._file.state().last_receipt_at_us
        except OSError as error:
            self._trouble = error.strerror or str(error)

    # --- on the event loop --------------------------------------------------------------------------------------------

    def take(self, source: str, reports: Sequence[Report]) -> None:
        """Of what came. A bug here is logged, and costs nothing but this view."""
        if not self._is_enabled:
            return
        try:
            for report in reports:
                if report.lane is Lane.ADT:
                    continue
                if report.kind is Kind.METRIC:
                    self._take_metric(source, report)
                elif report.kind is Kind.CONTEXT:
                    self._take_context(report)
                elif report.kind is Kind.DESCRIPTION:
                    self._take_words(report)
        except Exception as error:  # noqa: BLE001 - the feed is not to know of it
            log_bug("the downtime view failed", error, source)

    def note_receipts(self, believed: int) -> None:
        """How many receipts of the hospital came since the start."""
        if believed != self._receipts:
            self._receipts, self._last_receipt_at_us = believed, self._now_us()

    async def run(self, state: Callable[[], HistoryState]) -> None:
        """Write each few seconds until cancelled; what hinders it is said once, until it goes again."""
        while self._is_enabled:
            await asyncio.sleep(WRITE_EVERY_S)
            await self._write_changes(state())

    async def end(self, state: HistoryState) -> None:
        """Write what is new, and let go of the file."""
        if self._is_enabled:
            await self._write_changes(state)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    async def _write_changes(self, state: HistoryState) -> None:
        state = msgspec.structs.replace(state, omitted=self._omitted, last_receipt_at_us=self._last_receipt_at_us)
        self._forget()
        erased, self._forgotten = self._forgotten, []
        changes = self._changes()
        try:
            await asyncio.to_thread(self._write, erased, changes, state)
        except OSError as error:
            self._put_back(changes)
            self._forgotten += erased
            why = error.strerror or str(error)
            if why != self._trouble:
                self._trouble = why
                self._emit(
                    "downtime-trouble", f"{self._path} cannot be written ({why}): the downtime view stays as it is"
                )
        except Exception as error:  # noqa: BLE001 - as `take`
            log_bug("the downtime view failed", error, "")
        else:
            self._trouble = ""

    def _take_metric(self, source: str, report: Report) -> None:
        claim, received_us = fitted(report.claim, CLAIM_BYTES_MAX), report.received_at_us
        at_us = report.observed_at_us
        if not received_us - _DAY_US < at_us <= received_us:  # a clock that is wrong
            at_us = received_us
        number = at_us // _BUCKET_US
        device = self._devices.get(claim) or _Device()
        channels = device.channels
        for record in report.records:
            kind = record.kind
            if kind is not _NUMERIC and kind is not _BOUND:
                continue
            code = record.code
            name = "" if code or record.as_sent is None else fitted(record.as_sent.code, WORD_BYTES_MAX)
            key = (code, record.unit, record.channel, name)
            kept = channels.get(key)
            if kept is None:
                kept = self._new_channel(claim, source, device, record, key)
                if kept is None:
                    self._omitted += 1
                    continue
            if at_us >= kept.at_us or kept.at_us > received_us:  # the latter: the clock was set back
                kept.last, kept.at_us, kept.received_at_us = record, at_us, received_us
            kept.is_changed = True
            validity = record.validity
            if kind is not _NUMERIC or (validity is not _VALID and validity is not _QUESTIONABLE):
                continue
            if record.marks and int(record.marks) & WITHDRAWAL:  # as numbers: flags cost a microsecond each
                continue
            value = record.mantissa * 10.0**record.exponent
            band = kept.bands.get(number)
            if band is not None and band[0] <= value <= band[1]:  # nearly always
                continue
            if -NUMBER_MAX < value < NUMBER_MAX:
                low, high = band or (value, value)
                kept.bands[number] = (min(low, value), max(high, value))

    def _new_channel(self, claim: str, source: str, device: _Device, record: Record, key: Key) -> _Kept | None:
        if not self._free:
            self._forget()
        if not self._free:
            return None
        self._devices.setdefault(claim, device)
        sent = record.as_sent
        series = Series(
            claim=claim, source=fitted(source, WORD_BYTES_MAX),
            code=record.code, unit=record.unit, channel=record.channel, name=key[3],
            unit_as_sent="" if record.unit or sent is None else fitted(sent.unit, WORD_BYTES_MAX),
            label=self._labels.get((claim, record.channel), ""), bed=device.bed,
        )  # fmt: skip
        kept = device.channels[key] = _Kept(self._free.pop(), series, is_new=True)
        return kept

    def _take_context(self, report: Report) -> None:
        bed = ""
        for record in report.records:
            sent = record.as_sent
            if sent is None:
                continue
            if sent.code == LATE_CONTEXT:  # it holds for itself alone
                return
            if (sent.system, sent.code) in PLACES and isinstance(record.text, str):
                bed = fitted(record.text, WORD_BYTES_MAX)
        claim = fitted(report.claim, CLAIM_BYTES_MAX)
        device = self._devices.get(claim)
        if device is None:
            if len(self._devices) >= self._channels_max:  # a sender may make up devices that never have a value
                self._devices.pop(next((other for other, each in self._devices.items() if not each.channels), ""), None)
            device = self._devices[claim] = _Device()
        if bed != device.bed:
            device.bed = bed
            for kept in device.channels.values():
                kept.series.bed, kept.is_changed = bed, True

    def _take_words(self, report: Report) -> None:
        claim = fitted(report.claim, CLAIM_BYTES_MAX)
        for record in report.records:
            if not record.channel or not isinstance(record.text, str):
                continue
            try:
                words = msgspec.json.decode(record.text, type=ChannelWords)
            except msgspec.MsgspecError:
                continue
            label = fitted(words.label or words.body_site, WORD_BYTES_MAX)
            if not label:
                continue
            if len(self._labels) >= LABELS_MAX * self._channels_max:
                self._labels.clear()
            self._labels[claim, record.channel] = label
            device = self._devices.get(claim)
            for kept in device.channels.values() if device else ():
                if kept.series.channel == record.channel:
                    kept.series.label, kept.is_changed = label, True

    def _forget(self) -> None:
        """What was silent for 24 hours goes, once a minute, and is erased with the next write."""
        now_us = self._now_us()
        if abs(now_us - self._forgot_us) < FORGET_EVERY_US:
            return
        self._forgot_us = now_us
        for claim, device in list(self._devices.items()):
            for key, kept in list(device.channels.items()):
                if abs(now_us - kept.received_at_us) > _DAY_US:
                    del device.channels[key]
                    self._free.append(kept.slot)
                    self._forgotten.append(kept.slot)
                    if not device.channels:  # one that never had a value waits for it, with its bed
                        del self._devices[claim]

    def _changes(self) -> list[SlotChange]:
        """What is not in the file yet, as it is now: the next values may come while it is written."""
        oldest = self._now_us() // _BUCKET_US - DAY_S // BUCKET_S
        changes = []
        for device in self._devices.values():
            for kept in device.channels.values():
                if kept.is_changed:
                    bands = {number: band for number, band in kept.bands.items() if number > oldest}
                    changes.append(SlotChange(kept.slot, kept.as_series(), bands, kept.is_new))
                    kept.bands, kept.is_changed, kept.is_new = {}, False, False
        return changes

    def _put_back(self, changes: list[SlotChange]) -> None:
        """These could not be written: they are once more what is new."""
        by_slot = {change.slot: change for change in changes}
        for device in self._devices.values():
            for kept in device.channels.values():
                change = by_slot.get(kept.slot)
                if change is None or change.series.claim != kept.series.claim:
                    continue
                kept.is_changed, kept.is_new = True, kept.is_new or change.is_new
                for number, (low, high) in change.bands.items():
                    newer = kept.bands.get(number, (low, high))
                    kept.bands[number] = (min(low, newer[0]), max(high, newer[1]))

    # --- on a thread --------------------------------------------------------------------------------------------------

    def _write(self, erased: list[int], changes: list[SlotChange], state: HistoryState) -> None:
        with self._writing:  # one that was cancelled goes on in its thread
            if self._file is None:
                self._file = RingFile(self._path, self._channels_max)
            self._file.write(erased, changes, state)


@lru_cache(16_384)
def fitted(text: str, bytes_max: int) -> str:
    """The text if it takes at most so many bytes in JSON; else its beginning, and a hash that tells it from others."""
    text = printable(text)
    if len(text) * 6 <= bytes_max or len(msgspec.json.encode(text)) <= bytes_max:
        return text
    ending = "…" + sha256(text.encode()).hexdigest()[:8]
    kept = text[:bytes_max]
    while len(msgspec.json.encode(kept + ending)) > bytes_max:
        kept = kept[:-1]
    return kept + ending
