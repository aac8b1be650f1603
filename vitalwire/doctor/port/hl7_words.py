"""What is said of a sender of HL7, in English and Chinese: a slug for scripts, a sentence for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from vitalwire.doctor.port.hl7_sender import HL7Sender
from vitalwire.doctor.port.words import Language

SHOWN_MAX = 12
TLS_LEAST = "1.2"


class Answer(NamedTuple):
    """`slug` is "read" where all is well."""

    slug: str
    text: str


_SENTENCES: Mapping[str, dict[Language, str]] = {
    "nobody": {
        "en": "Nobody has connected to {place} in {seconds} s: is the sender set to this address, no firewall between?",
        "zh": "{seconds}秒内没有任何连接到{place}：发送方是否设为此地址，中间是否有防火墙？",
    },
    "tls-here-not": {
        "en": "{peer}: a sender connects and speaks TLS (it offers {offered}), and here is none: give --tls-cert and"
        " --tls-key",
        "zh": "{peer}：发送方使用TLS（提供{offered}），而此处没有TLS：请给出--tls-cert和--tls-key",
    },
    "tls-old": {
        "en": "{peer}: a sender connects, TLS fails: it offers {offered}, and at least {least} is needed: look for an"
        " update of the sender",
        "zh": "{peer}：发送方已连接，TLS失败：它只提供{offered}，至少需要{least}：请查找发送方的更新",
    },
    "tls-fails": {
        "en": "{peer}: a sender connects, TLS fails: {problem} (it offers {offered})",
        "zh": "{peer}：发送方已连接，TLS失败：{problem}（它提供{offered}）",
    },
    "no-tls": {
        "en": "{peer}: a sender connects without TLS, and here it is needed: switch it on at the sender",
        "zh": "{peer}：发送方未使用TLS，而此处要求TLS：请在发送方启用",
    },
    "no-bytes": {
        "en": "{peer}: connects and sends nothing: is its export switched on, and a patient admitted?",
        "zh": "{peer}：已连接但不发送任何内容：导出是否已启用，患者是否已接入？",
    },
    "not-mllp": {
        "en": "{peer}: bytes come, but no message begins (no start block 0B): is it another protocol? {head}",
        "zh": "{peer}：有数据，但没有消息开始（无起始块0B）：是否为其他协议？{head}",
    },
    "no-end-block": {
        "en": "{peer}: messages come without an end block (1C 0D): set the sender to MLLP",
        "zh": "{peer}：消息没有结束块（1C 0D）：请将发送方设为MLLP",
    },
    "unreadable": {
        "en": "{peer}: {messages} messages come, and none can be read as observations: {reasons}",
        "zh": "{peer}：收到{messages}条消息，但都不能作为观测值读取：{reasons}",
    },
    "adt": {
        "en": "{peer}: {senders} sends {types}, HL7 {versions}: who is where, for the driver hl7_adt",
        "zh": "{peer}：{senders}发送{types}，HL7 {versions}：患者位置消息，使用驱动hl7_adt",
    },
    "no-values": {
        "en": "{peer}: {senders} sends {types}, HL7 {versions}, and no values in them",
        "zh": "{peer}：{senders}发送{types}，HL7 {versions}，其中没有数值",
    },
    "read": {
        "en": "{peer}: {senders} sends {types}, HL7 {versions}, dialect {dialect}: {messages} messages, {values}"
        " values. Codes: {codes}.{unmapped}{beside}",
        "zh": "{peer}：{senders}发送{types}，HL7 {versions}，方言{dialect}：{messages}条消息，{values}个数值。"
        "代码：{codes}。{unmapped}{beside}",
    },
}  # fmt: skip
_UNMAPPED: dict[Language, str] = {"en": " Without a code of ours: {names}.", "zh": "没有对应代码：{names}。"}
_BESIDE: dict[Language, str] = {"en": " Beside them: {reasons}.", "zh": "此外：{reasons}。"}


def answer_about(sender: HL7Sender, language: Language, *, has_tls: bool) -> Answer:
    """The nearest thing that is wrong on the way from the socket to a value."""
    slug = _slug(sender, has_tls=has_tls)
    none = "?"
    best = sender.dialects[sender.best_dialect]
    unmapped = _UNMAPPED[language].format(names=_names(best.unmapped)) if best.unmapped else ""
    beside = sender.unframed + best.unreadable
    words = {
        "peer": sender.peer, "problem": sender.tls_problem, "least": TLS_LEAST, "head": sender.head[:16].hex(" "),
        "offered": sender.tls_offered or none, "messages": sender.messages, "reasons": _names(beside),
        "senders": _names(sender.senders) or none, "types": _names(sender.types) or none,
        "versions": _names(sender.versions) or none, "dialect": sender.best_dialect,
        "values": best.values, "codes": _names(best.codes) or "-",
        "unmapped": unmapped, "beside": _BESIDE[language].format(reasons=_names(beside)) if beside else "",
    }  # fmt: skip
    return Answer(slug, _SENTENCES[slug][language].format(**words))


def nobody(place: str, seconds: float, language: Language) -> Answer:
    """No sender came."""
    return Answer("nobody", _SENTENCES["nobody"][language].format(place=place, seconds=f"{seconds:.0f}"))


def _slug(sender: HL7Sender, *, has_tls: bool) -> str:
    if sender.speaks_tls and not has_tls:
        return "tls-here-not"
    if sender.tls_problem and not sender.messages:
        is_old = sender.tls_offered in ("SSL 3.0", "1.0", "1.1")
        return "no-tls" if not sender.tls_offered else "tls-old" if is_old else "tls-fails"
    if not sender.bytes_heard:
        return "no-bytes"
    if not sender.messages:
        begins = sender.is_in_frame or sender.unframed.keys() & {"no-end-block", "nested-start-block"}
        return "no-end-block" if begins and sender.head.startswith(b"\x0b") else "not-mllp"
    best = sender.dialects[sender.best_dialect]
    if not best.codes and not best.unmapped:
        if any(each.startswith("ADT") for each in sender.types):
            return "adt"
        return "no-values" if best.read else "unreadable"
    return "read"


def _names(counted: Counter[str]) -> str:
    names = [name for name, _ in counted.most_common(SHOWN_MAX)]
    more = len(counted) - len(names)
    return ", ".join(filter(None, names)) + (f" (+{more})" if more > 0 else "")
