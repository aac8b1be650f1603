"""A group: the frames of one commit, and what becomes of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.duplicates import Duplicates
from edge_agent.events import event
from edge_agent.spool import gaps, rejected
from edge_agent.spool.chunks import ChunkWriter
from edge_agent.spool.encoded_reports import EncodedReport, ReportEncoder
from edge_agent.spool.gaps import WaveGaps
from edge_agent.spool.queue import Frame, Kept, Proof
from edge_agent.spool.quota import Figures, Quota
from edge_agent.spool.receipts import evict
from edge_agent.spool.sequences import Sequences
from schemas.batch import set_sequence
from schemas.report import Lane

_NUMBERS = tuple(lane for lane in Lane if lane is not Lane.WAVEFORM)
_EVER = 2**63 - 1


@dataclass
class GroupWriter:
    """Keeps the frames of one transaction; `figures` are changed as they are kept."""

    db: sqlite3.Connection
    figures: Figures
    quota: Quota
    encoder: ReportEncoder
    duplicates: Duplicates
    sequences: Sequences
    now_us: int

    def __post_init__(self) -> None:
        self._chunks, self._gaps = ChunkWriter(), WaveGaps()

    def keep(self, entries: Sequence[Frame | Proof]) -> list[Kept]:
        """What became of each frame, in order."""
        outcomes = []
        for entry in entries:
            if isinstance(entry, Proof):
                self.duplicates.prove(entry.connection, entry.tokens)
            else:
                outcomes.append(self._keep_frame(entry))
        return outcomes

    def emit_gaps(self) -> None:
        """The waves that were lost, as events of their devices, as far as there is capacity for them."""
        for device, report in gaps.waiting_events(self.db, self.now_us):
            encoded_reports = self.encoder.encode([report], b"")
            size = len(encoded_reports[0].content)
            if not self.quota.has_capacity(self.figures, size):
                return
            self._append(encoded_reports, size, 0)
            gaps.delete(self.db, device)

    def write(self) -> None:
        """What was gathered, at the end of the transaction."""
        self._chunks.write(self.db)
        self._gaps.write(self.db)
        self.sequences.write()
        self.duplicates.write(self.now_us)

    def _keep_frame(self, frame: Frame) -> Kept:
        sending = frame.sending
        if sending is not None and self.duplicates.is_duplicate(sending, self.now_us):
            self.duplicates.remember(sending, self.now_us)
            return Kept.DUPLICATE
        if frame.once is not None and rejected.is_known(self.db, frame.once):
            return Kept.DUPLICATE
        encoded_reports = self.encoder.encode(frame.reports, frame.delivery.frame if frame.delivery else b"")
        size = wave_size = 0
        for encoded in encoded_reports:
            if encoded.lane is Lane.WAVEFORM:
                wave_size += len(encoded.content)
            else:
                size += len(encoded.content)
        if not self.quota.has_capacity(self.figures, size):
            return Kept.FULL
        if wave_size and not self.quota.has_wave_capacity(self.figures, size, wave_size):
            encoded_reports, wave_size = self._without_waves(encoded_reports), 0
        if sending is not None:
            self.duplicates.remember(sending, self.now_us)
        if frame.once is not None and frame.delivery is not None:
            rejected.remember(self.db, frame.once, frame.delivery.received_at_us)
        self._append(encoded_reports, size + wave_size, wave_size)
        return Kept.KEPT

    def _without_waves(self, encoded_reports: Sequence[EncodedReport]) -> list[EncodedReport]:
        waves = [encoded for encoded in encoded_reports if encoded.lane is Lane.WAVEFORM]
        self._gaps.add(waves)
        self.figures.waves_lost += len(waves)
        return [encoded for encoded in encoded_reports if encoded.lane is not Lane.WAVEFORM]

    def _append(self, encoded_reports: Sequence[EncodedReport], size: int, wave_size: int) -> None:
        """Leaves of `size` bytes, of which `wave_size` are waves'. Batches with a receipt go for them, waves first."""
        figures, sequences = self.figures, self.sequences
        while self.quota.is_exceeded(figures, size):
            if not evict(self.db, figures, _EVER, 1, [Lane.WAVEFORM]) and not evict(
                self.db, figures, _EVER, 1, _NUMBERS
            ):
                break
        for encoded in encoded_reports:
            if sequences.floor and sequences.is_new(encoded.device):
                self._emit_floor(encoded)
            set_sequence(encoded.content, sequences.next(encoded.device))
            self._chunks.add(encoded)
            self._count(encoded)
        figures.report_bytes += size
        figures.wave_bytes += wave_size

    def _count(self, encoded: EncodedReport) -> None:
        figures = self.figures
        figures.reports += 1
        oldest_us = figures.oldest_received_us
        if oldest_us is None or encoded.received_at_us < oldest_us:
            figures.oldest_received_us = encoded.received_at_us

    def _emit_floor(self, encoded: EncodedReport) -> None:
        """The hospital would count the numbers up to the floor as lost."""
        text = f"numbers up to {self.sequences.floor} were not given to it by this spool"
        (floor_event,) = self.encoder.encode(
            [event(encoded.claim, "sequence-floor", text, encoded.received_at_us)], b""
        )
        set_sequence(floor_event.content, self.sequences.next(floor_event.device))
        self._chunks.add(floor_event)
        self._count(floor_event)
        self.figures.report_bytes += len(floor_event.content)
