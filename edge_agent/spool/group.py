"""A group: the frames of one commit, and what becomes of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.events import event
from edge_agent.repeats import Repeats, Sending
from edge_agent.spool import gaps
from edge_agent.spool.chunks import ChunkWriter
from edge_agent.spool.gaps import WaveGaps
from edge_agent.spool.leaves import Leaf, LeafEncoder
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
    encoder: LeafEncoder
    duplicates: Repeats
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

    def tell_gaps(self) -> None:
        """The waves that were lost, as events of their devices, as far as there is capacity for them."""
        for device, report in gaps.waiting_events(self.db, self.now_us):
            (leaf,) = self.encoder.encode([report], b"")
            if not self._ensure_capacity(len(leaf.content)):
                return
            self._append(leaf)
            gaps.told(self.db, device)

    def write(self) -> None:
        """What was gathered, at the end of the transaction."""
        self._chunks.write(self.db)
        self._gaps.write(self.db)
        self.sequences.write(self.now_us)

    def _keep_frame(self, frame: Frame) -> Kept:
        delivery, content = frame.delivery, b""
        sending = None
        if delivery is not None:
            content = delivery.frame
            if delivery.sender:
                own_time, claims = any(r.own_time for r in frame.reports), frozenset(r.claim for r in frame.reports)
                sending = Sending(delivery, own_time, claims)
        if sending is not None and self.duplicates.is_repeat(sending, self.now_us):
            self.duplicates.remember(sending, self.now_us)
            return Kept.DUPLICATE
        leaves = self.encoder.encode(frame.reports, content)
        waves = [leaf for leaf in leaves if leaf.lane is Lane.WAVEFORM]
        if waves:
            leaves = [leaf for leaf in leaves if leaf.lane is not Lane.WAVEFORM]
        size = sum(len(leaf.content) for leaf in leaves)
        if not self.quota.has_capacity(self.figures, size):
            return Kept.FULL
        wave_size = sum(len(leaf.content) for leaf in waves)
        if waves and self.quota.has_wave_capacity(self.figures, size, wave_size):
            leaves, size = leaves + waves, size + wave_size
        elif waves:
            self._gaps.add(waves)
            self.figures.waves_lost += len(waves)
        self._ensure_capacity(size)
        if sending is not None:
            self.duplicates.remember(sending, self.now_us)
        for leaf in leaves:
            self._append(leaf)
        return Kept.KEPT

    def _ensure_capacity(self, size: int) -> bool:
        """Capacity for so many bytes within the quota: batches with a receipt go, waves first, and nothing else."""
        if not self.quota.has_capacity(self.figures, size):
            return False
        while self.quota.is_exceeded(self.figures, size):
            if not evict(self.db, self.figures, _EVER, 1, [Lane.WAVEFORM]) and not evict(
                self.db, self.figures, _EVER, 1, _NUMBERS
            ):
                break
        return True

    def _append(self, leaf: Leaf) -> None:
        device = leaf.device
        if self.sequences.floor and self.sequences.is_new(device):
            self._tell_floor(leaf, device)
        self._append_as(leaf, device)

    def _tell_floor(self, leaf: Leaf, device: bytes) -> None:
        """The hospital would count the numbers up to the floor as lost."""
        text = f"numbers up to {self.sequences.floor} were not given to it by this spool"
        (said,) = self.encoder.encode([event(leaf.claim, "sequence-floor", text, leaf.received_at_us)], b"")
        self._append_as(said, device)

    def _append_as(self, leaf: Leaf, device: bytes) -> None:
        set_sequence(leaf.content, self.sequences.next(device))
        self._chunks.add(leaf)
        size = len(leaf.content)
        self.figures.reports += 1
        self.figures.report_bytes += size
        if leaf.lane is Lane.WAVEFORM:
            self.figures.wave_bytes += size
