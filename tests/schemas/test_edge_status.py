from __future__ import annotations

import pytest

from schemas.edge_status import (
    EdgeStatus,
    broker_away,
    device_clocks_off,
    duration_en,
    duration_zh,
    edge_late,
    edge_unheard,
    read_status,
)
from schemas.errors import VitalwireError

WAITS = EdgeStatus(waiting_reports=2312, room_s=31 * 3600 + 900, oldest_waiting_s=61.5)


def test_a_broker_that_is_away_is_said_with_what_waits_and_for_how_long_there_is_room() -> None:
    sentence = broker_away(WAITS, 250.4)
    assert sentence.en == "broker unreachable for 4 min 10 s; 2,312 reports wait on this box; room for 31 h"
    assert sentence.zh == "连不上消息服务器已 4 分 10 秒；本机暂存 2,312 条数据；剩余空间可再存 31 小时"


def test_batches_without_a_receipt_are_said_and_room_that_is_not_known_is_not() -> None:
    sentence = broker_away(EdgeStatus(waiting_reports=5, unreceipted_batches=2), 9)
    assert sentence.en == "broker unreachable for 9 s; 5 reports and 2 batches without a receipt wait on this box"
    assert sentence.zh == "连不上消息服务器已 9 秒；本机暂存 5 条数据、2 批未获回执"


def test_the_hospital_says_what_the_edge_said_last() -> None:
    unheard = edge_unheard(WAITS, 3600)
    assert unheard.en == (
        "nothing heard for 1 h; when it spoke last, 2,312 reports waited on the box; room for 31 h"
    )  # fmt: skip
    assert "未收到" in unheard.zh
    assert edge_late(WAITS).en.startswith("the oldest report waited 1 min 1 s; 2,312 reports wait on the box")


def test_one_is_one() -> None:
    assert broker_away(EdgeStatus(waiting_reports=1), 0).en.endswith("; 1 report waits on this box")
    both = EdgeStatus(waiting_reports=1, unreceipted_batches=1)
    assert broker_away(both, 0).en.endswith("; 1 report and 1 batch without a receipt wait on this box")


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (-1, "0 s", "0 秒"),
        (59.9, "59 s", "59 秒"),
        (120, "2 min", "2 分"),
        (7500, "2 h 5 min", "2 小时 5 分"),
        (273_600, "3 d 4 h", "3 天 4 小时"),
    ],
)
def test_durations_have_two_units(seconds: float, en: str, zh: str) -> None:
    assert (duration_en(seconds), duration_zh(seconds)) == (en, zh)


@pytest.mark.parametrize(("room_s", "en"), [(90, "1 min"), (7199, "119 min"), (7200, "2 h"), (345_600, "4 d")])
def test_room_is_rounded_down(room_s: float, en: str) -> None:
    assert broker_away(EdgeStatus(room_s=room_s), 0).en.endswith(f"; room for {en}")


def test_counts_of_an_edge_are_read_whatever_else_is_in_them() -> None:
    assert read_status('{"version": "1", "frames:bed": 3, "room_s": null}') == EdgeStatus(version="1")
    with pytest.raises(VitalwireError, match="cannot be read"):
        read_status('{"version": 3}')


def test_the_worst_clock_is_named_and_the_others_are_counted() -> None:
    assert device_clocks_off({}) is None
    one = device_clocks_off({"site:acme:7": 182_000})
    assert one is not None
    assert (one.en, one.zh) == ("the clock of site:acme:7 is 3 min 2 s ahead", "site:acme:7 的时钟快 3 分 2 秒")
    several = device_clocks_off({"a": 61_000, "b": -3_600_000})
    assert several is not None
    assert several.en == "the clock of b is 1 h behind; 1 more are off"
