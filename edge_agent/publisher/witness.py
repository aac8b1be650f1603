"""The witness: keeps the checkpoints of the hospital's log that come with receipts, and says where two contradict.

A contradiction is for people: data flows on, for what the hospital may have done wrong is no reason to lose anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from edge_agent.spool import Spool, WitnessedCheckpoint
from edge_agent.spool.checkpoints import LAG_US
from evidence.checkpoint import Checkpoint, read_checkpoint
from evidence.receipt import Receipt
from schemas.errors import LayoutError, VitalwireError

EVENTS = {"log-began", "log-forked", "log-shrunk"}  # as the spool finds them
CONTRADICTIONS = EVENTS - {"log-began"}


class Witness:
    """Believes checkpoints that `platform_key_der` signed; `contradiction` is the last one that was met, "" if none."""

    def __init__(
        self, spool: Spool, platform_key_der: bytes, counts: Counter[str], on_event: Callable[[str, str], object]
    ) -> None:  # fmt: skip
        self._spool, self._platform_key_der = spool, platform_key_der
        self._counts, self._on_event = counts, on_event
        self._last_note, self._last_stored_us = b"", 0  # as a rule the next receipt brings the same one
        self.contradiction = ""

    def take(self, receipts: Sequence[Receipt]) -> None:
        """Keep the checkpoints of these (verified) receipts."""
        arrived: list[WitnessedCheckpoint] = []
        for receipt in receipts:
            is_known = receipt.checkpoint == self._last_note and receipt.stored_at_us < self._last_stored_us + LAG_US
            if receipt.checkpoint and not is_known:
                self._last_note, self._last_stored_us = receipt.checkpoint, receipt.stored_at_us
                checkpoint = self._believed(receipt.checkpoint)
                if checkpoint is not None:
                    arrived.append(WitnessedCheckpoint(checkpoint, receipt.checkpoint, receipt.stored_at_us))
        if not arrived:
            return
        try:
            found = self._spool.witness(arrived)
        except VitalwireError as error:  # the next receipt brings one that says all that these say
            self._last_note = b""
            self._on_event("checkpoint-not-kept", str(error))
            return
        self._counts["checkpoints"] += len(arrived)
        for finding in found:
            if finding.slug in CONTRADICTIONS:
                self.contradiction = finding.slug
            self._on_event(finding.slug, finding.text)

    def _believed(self, note: bytes) -> Checkpoint | None:
        try:
            return read_checkpoint(note, self._platform_key_der)
        except LayoutError as error:
            self._counts[f"checkpoint {error.reason}"] += 1
            return None
