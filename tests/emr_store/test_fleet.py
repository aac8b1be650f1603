from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from emr_store import places, registry
from emr_store.fleet import Box, BoxDevice, BoxState, fleet, sentence_of, state_of, trouble_of, unheard_since
from schemas.edge_status import EdgeStatus
from tests.making import report
from tests.storing import EDGE, Store, event

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
FLOWS = Box(
    edge=UUID(int=7), label="box 7", key_ends_at=None, heard_at=NOW, status_at=NOW,
    status=EdgeStatus(oldest_waiting_s=1.0), clock_offset_ms=None,
    devices=[BoxDevice("a", None, None), BoxDevice("b", "ICU-2", NOW - timedelta(seconds=90))],
)  # fmt: skip


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("box", "state"),
    [
        (FLOWS, BoxState.FLOWS),
        (replace(FLOWS, devices=[]), BoxState.NO_VALUES),  # its agent lives, and that is all
        (replace(FLOWS, devices=[BoxDevice("b", None, ago(121))]), BoxState.NO_VALUES),
        (replace(FLOWS, status=EdgeStatus(oldest_waiting_s=31)), BoxState.LATE),
        (replace(FLOWS, status=EdgeStatus(refused_batches=1)), BoxState.REFUSED),
        (replace(FLOWS, heard_at=ago(61)), BoxState.UNHEARD),
        (replace(FLOWS, heard_at=None), BoxState.NEVER),
    ],
)
def test_green_is_a_box_whose_data_flows(box: Box, state: BoxState) -> None:
    assert state_of(box, NOW) == state


def test_what_waits_is_said_where_it_is_the_matter() -> None:
    away = replace(FLOWS, heard_at=ago(250), status=EdgeStatus(waiting_reports=2312, room_s=111_600))
    unheard = sentence_of(away, NOW)
    assert unheard is not None
    assert unheard.en == (
        "nothing heard for 4 min 10 s; when it spoke last, 2,312 reports waited on the box; room for 31 h"
    )  # fmt: skip
    late = sentence_of(replace(FLOWS, status=EdgeStatus(oldest_waiting_s=61)), NOW)
    assert late is not None
    assert late.en.startswith("the oldest report waited 1 min 1 s")
    assert sentence_of(FLOWS, NOW) is None
    clock = sentence_of(replace(FLOWS, status=EdgeStatus(device_clocks_off_ms={"site:acme:7": -90_000})), NOW)
    assert clock is not None
    assert clock.en == "the clock of site:acme:7 is 1 min 30 s behind"


@pytest.mark.parametrize(
    ("left_s", "en"),
    [
        (14 * 86_400 + 1, None),
        (86_400, "its certificate for the broker ends in 24 h: renew it"),
        (-90, "its certificate for the broker ended 1 min 30 s ago and is refused: renew it"),
    ],
)
def test_a_certificate_that_ends_is_said_of_a_box_whose_data_flows(left_s: int, en: str | None) -> None:
    box = replace(FLOWS, status=EdgeStatus(certificate_ends_at_s=int(NOW.timestamp()) + left_s))
    assert getattr(trouble_of(box, NOW), "en", None) == en


def test_a_box_that_is_not_heard_since_its_certificate_ended_says_both() -> None:
    status = EdgeStatus(certificate_ends_at_s=int(NOW.timestamp()) - 90)
    found = trouble_of(replace(FLOWS, heard_at=ago(90), status=status), NOW)
    assert found is not None
    assert re.match("nothing heard for 1 min 30 s; .*; its certificate for the broker ended", found.en)


def test_where_no_box_is_heard_it_is_the_hospital() -> None:
    away, never = replace(FLOWS, heard_at=ago(61)), replace(FLOWS, heard_at=None)
    assert unheard_since([away, never, replace(FLOWS, heard_at=ago(300))], NOW) == ago(61)
    assert unheard_since([away, FLOWS], NOW) is None
    assert unheard_since([never], NOW) is None


def test_a_box_has_what_it_said_last_and_the_devices_that_it_speaks_of(database: str) -> None:
    store = Store(database)
    counts = {"version": "0.1.0", "disk_free_bytes": 9, "frames:x": 3, "waiting_reports": 7}
    store.emit(
        event("a", "connected", ""), report("a"), event(f"edge:{UUID(bytes=EDGE)}", "counts", json.dumps(counts))
    )
    with store.open() as conn:
        places.assign(conn, "a", "ICU-1", name="monitor 1")
        registry.add_edge(conn, UUID(int=7), "box 7", b"another key")
        registry.add_edge(conn, UUID(int=8), "stolen", b"a third key")
        registry.revoke_edge(conn, UUID(int=8))
        box, silent = fleet(conn)
    assert (box.label, silent.label) == ("box", "box 7")
    assert box.status == EdgeStatus(version="0.1.0", disk_free_bytes=9, waiting_reports=7)
    assert [(device.name, device.bed) for device in box.devices] == [("monitor 1", "ICU-1")]
    assert box.newest_value_at == box.devices[0].heard_at is not None
    assert box.heard_at is not None
    assert (silent.heard_at, silent.status_at, silent.devices) == (None, None, [])
    assert state_of(silent, NOW) is BoxState.NEVER


def test_counts_that_cannot_be_read_are_not_known_and_hide_no_box(database: str) -> None:
    store = Store(database)
    store.emit(event(f"edge:{UUID(bytes=EDGE)}", "counts", '{"version": 7}'))
    with store.open() as conn:
        (box,) = fleet(conn)
    assert box.status == EdgeStatus()
