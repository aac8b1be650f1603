"""Charts that fill themselves, as a background task.

One process works at a time (`emr_store.charting.alone`); what it computes lies in the database alone. Every process
that stores reads the policies, for its writers note which values are charted at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter

from clinical.chart_policy import Policies, PolicyError, read_policies
from emr_store import chart_policies, charting
from emr_store.chart_queue import EachMetrics
from emr_store.charting import Charted, Charter
from emr_store.connect import open_store
from runtime.clock import now_us
from schemas.errors import VitalwireError
from stream_processors.recurring_work import keep_doing
from stream_processors.stage import waits

LOOK_EVERY_S = 0.25  # values that are charted at once
TOUCHED_EVERY_S = 1.0  # late values, and values that are another's by now
DUE_EVERY_S = 10.0
READ_EVERY_S = 5.0  # the policies' file
WAITS = "the chart waits"  # in `waits`
REFUSED = "chart policies"  # likewise
_log = structlog.get_logger("chart")
_versions = Counter("vitalwire_chart_versions", "Versions of chart entries that the charter wrote")


class PolicyFile:
    """A site's `chart.toml`, read anew when it changes. One that contradicts itself is refused, and the old one stays:
    at the start the one that the last act names."""

    def __init__(self, path: Path | None, each_metrics: EachMetrics) -> None:
        self.policies = Policies(ZoneInfo("UTC"))
        self._path, self._each_metrics = path, each_metrics
        self._text: str | None = None

    def read(self, conn: Any) -> bool:
        """Whether there are other policies than before."""
        text = self._read_text()
        if text is None or text == self._text:
            return False
        is_first, self._text = self._text is None, text
        try:
            found = read_policies(text) if text else self.policies
        except PolicyError as error:
            waits[REFUSED] = f"{self._path}: {error}"
            _log.error("chart policies refused", file=str(self._path), reason=str(error))
            if not is_first or not (text := chart_policies.noted_policies(conn)):
                return False
            found = read_policies(text)
        else:
            waits.pop(REFUSED, None)
            self._note(conn, text)
        self.policies = found
        self._each_metrics.replace(found.each_metrics())
        return True

    def _note(self, conn: Any, text: str) -> None:
        try:
            if text and chart_policies.note_policies(conn, text):
                _log.info("other chart policies than before", file=str(self._path))
        except VitalwireError as error:  # too long for one act: no later attempt would do
            _log.error("chart policies not noted", error=str(error))

    def _read_text(self) -> str | None:
        """None: it cannot be read now."""
        if self._path is None:
            return ""
        try:
            return self._path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            if REFUSED not in waits:
                _log.error("chart policies refused", file=str(self._path), reason=reason)
            waits[REFUSED] = f"{self._path}: {reason}"
            return None


async def keep_charting(conninfo: str, path: Path | None, each_metrics: EachMetrics) -> None:
    """Chart what comes, until the program ends."""
    working = Charting(conninfo, PolicyFile(path, each_metrics))
    await keep_doing(working.work, every_s=LOOK_EVERY_S, waits_as=WAITS, log=_log)


class Charting:
    """A connection that charts what waits; opened when it is wanted, and anew after one that failed."""

    def __init__(
        self, conninfo: str, policies: PolicyFile, clock_us: Callable[[], int] = now_us,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._conninfo, self._policies = conninfo, policies
        self._clock_us, self._clock_s = clock_us, clock_s
        self._conn: Any = None
        self._charter: Charter | None = None
        self._next_s: dict[float, float] = {}  # by how often
        self._is_behind = False

    def work(self) -> int:
        """All that waits; how many versions it wrote. Nothing while another process works."""
        if self._conn is None:
            self._conn = open_store(self._conninfo)
        try:
            if self._is_time(READ_EVERY_S) and self._policies.read(self._conn):
                self._charter = None
            with charting.alone(self._conn) as held:
                return self._chart() if held else 0
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End its connection."""
        self._charter = None
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _chart(self) -> int:
        if self._charter is None:
            self._charter = Charter(self._conn, self._policies.policies)
            self._charter.begin(self._clock_us())
        charter, clock_us = self._charter, self._clock_us
        versions = _until_nothing_waits(charter.chart_each)
        if self._is_time(TOUCHED_EVERY_S):
            versions += _until_nothing_waits(charter.chart_acted)
            versions += _until_nothing_waits(lambda: charter.chart_whose(clock_us()))
            versions += _until_nothing_waits(charter.chart_late)
            _until_nothing_waits(charter.chart_corrected)
        if self._is_time(DUE_EVERY_S):
            versions += _until_nothing_waits(lambda: charter.chart_final(clock_us()))
            self._is_behind = True
        if self._is_behind:  # after an outage a step at a time, so that what is charted at once never waits for it
            due = charter.chart_due(clock_us())
            versions += due.versions
            self._is_behind = due.worked
        if versions:
            _versions.inc(versions)
        return versions

    def _is_time(self, every_s: float) -> bool:
        now_s = self._clock_s()
        if now_s < self._next_s.get(every_s, now_s):
            return False
        self._next_s[every_s] = now_s + every_s
        return True


def _until_nothing_waits(take: Callable[[], Charted]) -> int:
    versions = 0
    while True:
        charted = take()
        if not charted.worked:
            return versions
        versions += charted.versions
