from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.events import event
from edge_agent.spool import Spool
from edge_agent.spool.waiting import waiting_reports
from schemas.errors import VitalwireError
from schemas.report import Lane
from tests.edge_agent.spool.keeping import SEAL, SECOND_US, put, receipt
from tests.making import T0_US, report


def test_reports_without_a_receipt_are_counted_cut_or_not_and_events_are_not(
    make: Callable[..., Spool], tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    assert waiting_reports(folder) == 0
    spool = make()
    for i in range(3):
        put(spool, report(at_us=T0_US + 2 * i), report("another", T0_US + 2 * i))
        put(spool, event("edge:1", "started", "", T0_US))
        if i < 2:
            assert spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, 1)[0]
    with pytest.raises(VitalwireError, match="is in use by an agent: end that one first"):
        waiting_reports(folder)
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    spool.close()
    assert waiting_reports(folder) == 4


def test_a_spool_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(VitalwireError, match=r"cannot be read: .* copy it away before it is removed"):
        waiting_reports(tmp_path)
