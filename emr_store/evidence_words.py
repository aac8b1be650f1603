"""The facts behind an answer, in words: messages, acts of people, numbers beside a device's values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import psycopg

from clinical.adt_events import EVENTS
from clinical.adt_words import NAMES_ZH
from clinical.census import SOURCE_PREFIX
from clinical.temporary_patients import SOURCE_NAME
from evidence.act import parse_act
from schemas.scan import decode_scan


class Behind(NamedTuple):
    """One fact; `fact` in hexadecimal, `kind` is adt, act, pid or scan."""

    fact: str
    kind: str
    at: datetime | None  # when it happened, by its sender; of an act, when it was done
    known_at: datetime | None  # when we heard of it
    words: str
    words_zh: str


def facts_behind(conn: psycopg.Connection, facts: Iterable[bytes]) -> list[Behind]:
    """In the order given; one that is not kept any more is said to be so."""
    asked = list(dict.fromkeys(facts))
    found = {**_adt(conn, asked), **_acts(conn, asked), **_claims(conn, asked), **_scans(conn, asked)}
    return [
        found.get(fact)
        or Behind(fact.hex(), "unknown", None, None, "a fact that is not kept any more", "已不再保存的依据")
        for fact in asked
    ]


def _adt(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    rows = conn.execute(
        "SELECT fact, event, source, control, happened_at, received_at, bed_as_sent, bed, encounter, undone_at"
        " FROM adt_fact LEFT JOIN fact_undone USING (fact) WHERE fact = ANY(%s)",
        (facts,),
    )
    found = {}
    for fact, event, source, control, happened_at, received_at, as_sent, bed, encounter, undone_at in rows:
        name = EVENTS[event].name if event in EVENTS else "unknown event"
        where = f" to {as_sent}" if as_sent else " without a bed"
        unknown = " (a bed that is not registered)" if as_sent and not bed else ""
        whose = f" of {encounter}" if encounter else ""
        words = f"ADT {event} ({name}){whose}{where}{unknown}, message {control} of {source}"
        bed_zh = f"床位 {as_sent}" if as_sent else "无床位"
        unknown_zh = "（未登记）" if unknown else ""
        name_zh = NAMES_ZH.get(event, "未知事件")
        words_zh = f"ADT {event}（{name_zh}）{encounter or ''}，{bed_zh}{unknown_zh}，{source} 的消息 {control}"
        if source.startswith(SOURCE_PREFIX):
            numbers = source.removeprefix(SOURCE_PREFIX)
            words = f"the census{whose}{where}{unknown}, {control}, by numbers of {numbers}"
            words_zh = f"在院名单 {encounter or ''}，{bed_zh}{unknown_zh}，{control}，编号按 {numbers}"
        if source == SOURCE_NAME:
            words = f"an act, as ADT {event} ({name}){whose}{where}, {control} in `vitalwire acts list`"
            words_zh = f"人工操作，同 ADT {event}（{name_zh}）{encounter or ''}，{bed_zh}，{control}"
        if undone_at is not None:
            words, words_zh = f"{words}; a person took it back since", f"{words_zh}；后经人工撤销"
        found[bytes(fact)] = Behind(bytes(fact).hex(), "adt", happened_at, received_at, words, words_zh)
    return found


_ACTS_ZH = {
    "device.assign": "设备放置于床位",
    "device.move": "设备移至床位",
    "device.release": "设备离开床位",
    "device.associate": "人工指定归属",
}


def _acts(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    found = {}
    for act_id, body, at in conn.execute("SELECT act_id, body, at FROM act WHERE act_id = ANY(%s)", (facts,)):
        act = parse_act(bytes(body))
        details = ", ".join(f"{name} {value}" for name, value in sorted(act.details.items()) if value)
        why = f", because: {act.why}" if act.why else ""
        found[bytes(act_id)] = Behind(
            bytes(act_id).hex(), "act", at, at, f"{act.kind} by {act.by}: {details}{why}",
            f"{_ACTS_ZH.get(act.kind, act.kind)}（{act.by}）：{details}{f'，原因：{act.why}' if act.why else ''}",
        )  # fmt: skip
    return found


def _claims(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    rows = conn.execute(
        "SELECT c.fact, c.from_at, c.patients, b.stored_at FROM pid_claim c"
        " LEFT JOIN batch b ON b.batch_id = substring(c.fact FROM 1 FOR 32) WHERE c.fact = ANY(%s)",
        (facts,),
    )
    return {
        bytes(fact): Behind(
            bytes(fact).hex(), "pid", from_at, stored_at,
            f"the device's sender named {', '.join(patients)}" if patients else "the device's sender named nobody",
            f"设备发送的患者号：{', '.join(patients)}" if patients else "设备未指明患者",
        )
        for fact, from_at, patients, stored_at in rows
    }  # fmt: skip


def _scans(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    found = {}
    rows = conn.execute("SELECT scan, said, at, received_at FROM device_scan WHERE scan = ANY(%s)", (facts,))
    for fact, said, at, received_at in rows:
        scan = decode_scan(said)
        number = scan.wristband.value if scan.wristband is not None else ""
        by = f", by {scan.scanner}" if scan.scanner else ""
        by_zh = f"，扫码端 {scan.scanner}" if scan.scanner else ""
        found[bytes(fact)] = Behind(
            bytes(fact).hex(), "scan", at, received_at,
            f"a scan of the wristband {number} and the device {scan.device}{by}",
            f"扫码：腕带 {number}，设备 {scan.device}{by_zh}",
        )  # fmt: skip
    return found
