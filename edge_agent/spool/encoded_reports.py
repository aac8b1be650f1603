"""Reports as leaves: the bytes that are kept, hashed and sealed."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from edge_agent.events import event
from schemas.batch import encode_report
from schemas.errors import VitalwireError
from schemas.report import Kind, Lane, Report

SALT_BYTES, SALTS = 16, 256  # drawn at one time: a system call each would cost more than the hash
CLAIM_CHARS_MAX = 1000  # of a report that does not fit


@dataclass(slots=True)
class EncodedReport:
    """A report's bytes; its sequence is not set yet."""

    lane: Lane
    received_at_us: int
    claim: str
    device: bytes
    content: bytearray


class ReportEncoder:
    """Makes leaves, each with a salt of its own."""

    def __init__(self) -> None:
        self._salts, self._at = b"", 0

    def encode(self, reports: Sequence[Report], frame: bytes) -> list[EncodedReport]:
        """Each report as its leaf; those that do not fit the layout become one `rejected` report together."""
        encoded_reports: list[EncodedReport] = []
        failed: list[tuple[Report, str]] = []
        for report in reports:
            try:
                encoded_reports.append(self._encoded(report, frame))
            except (VitalwireError, struct.error, ValueError, OverflowError) as error:
                failed.append((report, str(getattr(error, "reason", "does-not-fit"))))
        if failed:
            first, reason = failed[0]
            text = f"{len(failed)} of {len(reports)} reports do not fit the layout"
            claim = first.claim.encode("utf-8", "replace").decode()[:CLAIM_CHARS_MAX]
            encoded_reports.append(
                self._encoded(event(claim, reason, text, first.received_at_us, Kind.REJECTED, frame), frame)
            )
        return encoded_reports

    def _encoded(self, report: Report, frame: bytes) -> EncodedReport:
        salt = self._salt()
        content = encode_report(report, salt, sha256(salt + frame).digest())
        return EncodedReport(report.lane, report.received_at_us, report.claim, bytes(content[:16]), content)

    def _salt(self) -> bytes:
        if self._at == len(self._salts):
            self._salts, self._at = os.urandom(SALT_BYTES * SALTS), 0
        self._at += SALT_BYTES
        return self._salts[self._at - SALT_BYTES : self._at]
