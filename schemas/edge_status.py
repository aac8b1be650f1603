"""What an edge says of itself in its counts, and the sentences that people read of it: one function for all places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from schemas.errors import VitalwireError

HOUR_S, MINUTE_S, DAY_S = 3600, 60, 86_400


class EdgeStatus(msgspec.Struct, frozen=True):
    """Of the event `counts`, what is the same for every edge. None, and "": this edge does not say it.

    `room_s`: how long the spool takes what comes while nothing leaves it, by the inflow of the last hour.
    `device_clocks_off_ms`: by claim, of the devices whose clock is off by more than the source's limit, how far it is
    ahead of the edge's; the worst alone where there are many.
    `certificate_ends_at_s`: of the client certificate for the broker, in seconds since 1970.
    """

    version: str = ""
    waiting_reports: int | None = None
    unreceipted_batches: int | None = None
    refused_batches: int | None = None
    oldest_waiting_s: float | None = None
    clock_offset_ms: float | None = None
    spool_bytes: int | None = None
    spool_quota_bytes: int | None = None
    disk_free_bytes: int | None = None
    room_s: float | None = None
    broker_away_s: float | None = None
    certificate_ends_at_s: int | None = None
    device_clocks_off_ms: dict[str, int] = {}


@dataclass(frozen=True)
class Sentence:
    """The same in both languages."""

    en: str
    zh: str


def read_status(text: str) -> EdgeStatus:
    """Of the JSON of a `counts` event; raises VitalwireError."""
    try:
        return msgspec.json.decode(text, type=EdgeStatus)
    except msgspec.MsgspecError as error:
        raise VitalwireError(f"the counts of an edge cannot be read: {error}") from None


def broker_away(status: EdgeStatus, away_s: float) -> Sentence:
    """The edge reaches no broker: as its events and /readyz say it, on the box."""
    en, zh = _waiting(status)
    return Sentence(
        f"broker unreachable for {duration_en(away_s)}; {en} on this box{_room_en(status)}",
        f"连不上消息服务器已 {duration_zh(away_s)}；本机暂存 {zh}{_room_zh(status)}",
    )


def receipts_away(status: EdgeStatus, away_s: float) -> Sentence:
    """The broker takes what the edge sends, and nobody says that it is stored."""
    en, zh = _waiting(status)
    return Sentence(
        f"no receipt for {duration_en(away_s)}; {en} on this box{_room_en(status)}; the broker is reached: look at the"
        " processors, and at the database and its disk",
        f"已 {duration_zh(away_s)} 未收到回执；本机暂存 {zh}{_room_zh(status)}；"
        "消息服务器可达：请检查处理程序、数据库及其磁盘",
    )


def certificate_ends(left_s: float) -> Sentence:
    """Of the edge's certificate for the broker; negative once it has ended."""
    if left_s > 0:
        return Sentence(
            f"its certificate for the broker ends in {duration_en(left_s)}: renew it",
            f"其消息服务器证书将在 {duration_zh(left_s)}后到期：请更新",
        )
    return Sentence(
        f"its certificate for the broker ended {duration_en(-left_s)} ago and is refused: renew it",
        f"其消息服务器证书已过期 {duration_zh(-left_s)}，连接被拒绝：请更新",
    )


def joined(sentences: Sequence[Sentence]) -> Sentence:
    """As one."""
    return Sentence("; ".join(each.en for each in sentences), "；".join(each.zh for each in sentences))


def edge_unheard(status: EdgeStatus, silent_s: float) -> Sentence:
    """The hospital hears nothing of the edge: what it knows is what the edge said last."""
    en, zh = _waiting(status, verb="waited")
    return Sentence(
        f"nothing heard for {duration_en(silent_s)}; when it spoke last, {en} on the box{_room_en(status)}",
        f"已 {duration_zh(silent_s)} 未收到该主机数据；最后一次上报时，主机暂存 {zh}{_room_zh(status)}",
    )


def edge_late(status: EdgeStatus) -> Sentence:
    """The edge is heard, and what it has to say comes late."""
    en, zh = _waiting(status)
    oldest_s = status.oldest_waiting_s or 0.0
    return Sentence(
        f"the oldest report waited {duration_en(oldest_s)}; {en} on the box{_room_en(status)}",
        f"最早一条数据已等待 {duration_zh(oldest_s)}；主机暂存 {zh}{_room_zh(status)}",
    )


def device_clocks_off(offsets_ms: Mapping[str, int]) -> Sentence | None:
    """Of devices' clocks that are off by more than their limit, by claim, the worst; None where there is none."""
    if not offsets_ms:
        return None
    claim = max(offsets_ms, key=lambda each: abs(offsets_ms[each]))
    ahead, off_s = offsets_ms[claim] > 0, abs(offsets_ms[claim]) / 1000
    others = len(offsets_ms) - 1
    return Sentence(
        f"the clock of {claim} is {duration_en(off_s)} {'ahead' if ahead else 'behind'}"
        + (f"; {others} more are off" if others else ""),
        f"{claim} 的时钟{'快' if ahead else '慢'} {duration_zh(off_s)}" + (f"；另有 {others} 台不准" if others else ""),
    )


def duration_en(seconds: float) -> str:
    """In two units: "4 min 10 s", "2 h 5 min", "31 h", "3 d 4 h"."""
    return _duration(seconds, ("d", "h", "min", "s"))


def duration_zh(seconds: float) -> str:
    """The same: "4 分 10 秒"."""
    return _duration(seconds, ("天", "小时", "分", "秒"))


def _duration(seconds: float, units: tuple[str, str, str, str]) -> str:
    whole_s = max(0, int(seconds))
    day, hour, minute, second = units
    if whole_s < MINUTE_S:
        return f"{whole_s} {second}"
    if whole_s < HOUR_S:
        return _two(whole_s // MINUTE_S, minute, whole_s % MINUTE_S, second)
    if whole_s < 2 * DAY_S:
        return _two(whole_s // HOUR_S, hour, whole_s % HOUR_S // MINUTE_S, minute)
    return _two(whole_s // DAY_S, day, whole_s % DAY_S // HOUR_S, hour)


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def _waiting(status: EdgeStatus, verb: str = "wait") -> tuple[str, str]:
    """What waits: while no broker is reached nothing is cut, so that nearly all of it is reports."""
    reports, batches = status.waiting_reports or 0, status.unreceipted_batches or 0
    en, zh = _count(reports, "report"), f"{reports:,} 条数据"
    if verb == "wait" and reports == 1 and not batches:
        verb = "waits"
    if batches:
        en += f" and {_count(batches, 'batch')} without a receipt"
        zh += f"、{batches:,} 批未获回执"
    return f"{en} {verb}", zh


def _count(number: int, what: str) -> str:
    plural = "batches" if what == "batch" else f"{what}s"
    return f"1 {what}" if number == 1 else f"{number:,} {plural}"


def _room_en(status: EdgeStatus) -> str:
    return "" if status.room_s is None else f"; room for {_room(status.room_s, 'd', 'h', 'min')}"


def _room_zh(status: EdgeStatus) -> str:
    return "" if status.room_s is None else f"；剩余空间可再存 {_room(status.room_s, '天', '小时', '分')}"


def _room(room_s: float, day: str, hour: str, minute: str) -> str:
    """In one unit, rounded down: it is an estimate, and nobody is to count on more than there is."""
    for unit_s, unit, from_s in ((DAY_S, day, 4 * DAY_S), (HOUR_S, hour, 2 * HOUR_S)):
        if room_s >= from_s:
            return f"{int(room_s // unit_s):,} {unit}"
    return f"{int(room_s // MINUTE_S)} {minute}"
