"""What comes on the topic `receipts`: believed only when the platform's key signed it, for this edge."""

from __future__ import annotations

from collections import Counter

from evidence.statements import Receipt, read_receipt
from schemas.errors import LayoutError


class ReceiptReader:
    """Reads this edge's receipts; `counts` says what came: stored, quarantined, or why a message was not believed."""

    def __init__(self, edge: bytes, platform_key_der: bytes) -> None:
        self._edge, self._platform_key_der = edge, platform_key_der
        self.counts: Counter[str] = Counter()

    def read(self, key: bytes | None, message: bytes | None) -> Receipt | None:
        """The receipt, or None where it is another edge's or not to be believed."""
        if key != self._edge:
            return None
        try:
            receipt = read_receipt(message or b"", self._platform_key_der)
        except LayoutError as error:
            self.counts[error.reason] += 1
            return None
        if receipt.edge != self._edge:
            self.counts["foreign"] += 1
            return None
        self.counts[receipt.outcome.name.lower()] += 1
        return receipt
