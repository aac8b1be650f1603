"""The facts behind an answer, in words: messages, acts of people, numbers beside a device's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from clinical.act_words import act_words
from clinical.adt_events import EVENTS
from clinical.adt_words import NAMES_ZH
from clinical.census import SOURCE_PREFIX
from clinical.key_words import NO_BED_NAMES, patient_words, visit_words
from clinical.temporary_patients import SOURCE_NAME
from clinical.worklist import Words
from evidence.act import parse_act
from schemas.scan import decode_scan


class Behind(NamedTuple):
    """One fact; `fact` in hexadecimal, `kind` is adt, act, pid or scan."""

    fact: str
    kind: str
    at: datetime | None  # when it happened, by its sender; of an act, from when on it holds
    known_at: datetime | None  # when we heard of it; of an act, when it was done
    words: str
    words_zh: str


class _AdtRow(NamedTuple):
    fact: bytes
    event: str
    source: str
    control: str
    happened_at: datetime | None
    received_at: datetime
    bed_as_sent: str
    bed: str
    encounter: str | None
    undone_at: datetime | None  # a person took it back


def facts_behind(
    conn: psycopg.Connection, facts: Iterable[bytes], bed_names: Mapping[str, str] = NO_BED_NAMES
) -> list[Behind]:
    """In the order given; one that is not kept any more is said to be so.

    `bed_names`: what the site calls its beds, by their keys; others are called as they were sent.
    """
    asked = list(dict.fromkeys(facts))
    found = {
        **_adt(conn, asked, bed_names), **_acts(conn, asked), **_claims(conn, asked), **_scans(conn, asked),
    }  # fmt: skip
    return [
        found.get(fact)
        or Behind(fact.hex(), "unknown", None, None, "a fact that is not kept any more", "已不再保存的依据")
        for fact in asked
    ]


_ADT_SQL = """
SELECT fact, event, source, control, happened_at, received_at, bed_as_sent, bed, encounter, undone_at
FROM adt_fact LEFT JOIN fact_undone USING (fact) WHERE fact = ANY(%s)
"""


def _adt(conn: psycopg.Connection, facts: list[bytes], bed_names: Mapping[str, str]) -> dict[bytes, Behind]:
    found = {}
    for row in conn.cursor(row_factory=class_row(_AdtRow)).execute(_ADT_SQL, (facts,)):
        words = _adt_words(row, bed_names)
        if row.undone_at is not None:
            words = Words(en=f"{words.en}; a person took it back since", zh=f"{words.zh}；后经人工撤销")
        fact = bytes(row.fact)
        found[fact] = Behind(fact.hex(), "adt", row.happened_at, row.received_at, words.en, words.zh)
    return found


def _adt_words(row: _AdtRow, bed_names: Mapping[str, str]) -> Words:
    visit = visit_words(row.encounter) if row.encounter else Words(en="", zh="")
    of = f" of {visit.en}" if row.encounter else ""
    bed = bed_names.get(row.bed) or row.bed_as_sent
    bed_en = f" to bed {bed}" if bed else " without a bed"
    bed_zh = f"床位 {bed}" if bed else "无床位"
    if bed and not row.bed:
        bed_en, bed_zh = f"{bed_en} (which is not registered)", f"{bed_zh}（未登记）"
    if row.source.startswith(SOURCE_PREFIX):
        office = row.source.removeprefix(SOURCE_PREFIX)
        return Words(
            en=f"the census{of}{bed_en}, {row.control}, by numbers of {office}",
            zh=f"在院名单，{visit.zh}，{bed_zh}，第 {row.control.removeprefix('line ')} 行，编号按 {office}",
        )
    name = EVENTS[row.event].name if row.event in EVENTS else "unknown event"
    name_zh = NAMES_ZH.get(row.event, "未知事件")
    visit_zh = f"{visit.zh}，" if visit.zh else ""
    if row.source == SOURCE_NAME:
        return Words(
            en=f"an act, as ADT {row.event} ({name}){of}{bed_en}, {row.control} in `vitalwire acts list`",
            zh=f"人工操作，同 ADT {row.event}（{name_zh}），{visit_zh}{bed_zh}，编号 {row.control}",
        )
    return Words(
        en=f"ADT {row.event} ({name}){of}{bed_en}, message {row.control} of {row.source}",
        zh=f"ADT {row.event}（{name_zh}），{visit_zh}{bed_zh}，{row.source} 的消息 {row.control}",
    )


def _acts(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    rows = conn.execute("SELECT act_id, body, at FROM act WHERE act_id = ANY(%s)", (facts,)).fetchall()
    acts = {bytes(act_id): (parse_act(bytes(body)), at) for act_id, body, at in rows}
    names = _device_names(conn, {str(act.details.get("device", "")) for act, _ in acts.values()} - {""})
    found = {}
    for act_id, (act, at) in acts.items():
        since = act.details.get("since")
        # What a question's act says of `since` is the question's.
        holds_from = datetime.fromisoformat(since) if since and act.kind != "worklist.resolve" else at
        device = names.get(str(act.details.get("device")), "")
        words = act_words(act.kind, act.by, act.why, act.details, device=device)
        found[act_id] = Behind(act_id.hex(), "act", holds_from, at, words.en, words.zh)
    return found


def _device_names(conn: psycopg.Connection, devices: set[str]) -> dict[str, str]:
    """As people call them now, by their ids."""
    if not devices:
        return {}
    rows = conn.execute(
        "SELECT uuid::text, name FROM registered_device WHERE uuid = ANY(%s) AND name <> ''",
        ([UUID(device) for device in devices],),
    )
    return dict(rows.fetchall())


def _claims(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    rows = conn.execute(
        "SELECT c.fact, c.from_at, c.patients, b.stored_at FROM pid_claim c"
        " LEFT JOIN batch b ON b.batch_id = substring(c.fact FROM 1 FOR 32) WHERE c.fact = ANY(%s)",
        (facts,),
    )
    found = {}
    for fact, from_at, patients, stored_at in rows:
        words, words_zh = "the device's sender named nobody", "设备未指明患者"
        if patients:
            numbers = [patient_words(patient) for patient in patients]
            words = f"the device's sender named {', '.join(numbers)}"
            words_zh = f"设备发送的患者号：{'、'.join(numbers)}"
        found[bytes(fact)] = Behind(bytes(fact).hex(), "pid", from_at, stored_at, words, words_zh)
    return found


def _scans(conn: psycopg.Connection, facts: list[bytes]) -> dict[bytes, Behind]:
    found = {}
    rows = conn.execute("SELECT scan, said, at, received_at FROM device_scan WHERE scan = ANY(%s)", (facts,))
    for fact, said, at, received_at in rows:
        scan = decode_scan(said)
        number = scan.wristband.value if scan.wristband is not None else ""
        by = f", by {scan.scanner}" if scan.scanner else ""
        by_zh = f"，扫码端 {scan.scanner}" if scan.scanner else ""
        words = f"a scan of the wristband {number} and the device {scan.device}{by}"
        words_zh = f"扫码：腕带 {number}，设备 {scan.device}{by_zh}"
        found[bytes(fact)] = Behind(bytes(fact).hex(), "scan", at, received_at, words, words_zh)
    return found
