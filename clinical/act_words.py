"""What people did, in words: the acts that may stand behind whose a value is, or behind a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical.key_words import patient_words, visit_words
from clinical.worklist import WORDS, Words

STAFF = "staff"  # how `by` begins where somebody was signed in
PAGE = "page"  # how `by` begins where somebody used a page; else "os"


@dataclass(frozen=True)
class Author:
    """Who did it, as an act has it: staff:<number>, os:<user>@<host>; in older ones page: and the same."""

    by: str

    @property
    def en(self) -> str:
        """As in: staff no. 1234; root (ward-pc), on the page."""
        if self._staff:
            return f"staff no. {self._staff}"
        return f"{self._user} ({self._host})" + (", on the page" if self._on_page else "")

    @property
    def zh(self) -> str:
        """The same in Chinese."""
        if self._staff:
            return f"工号 {self._staff} "
        return f"{self._user}（{self._host}{'，页面' if self._on_page else ''}）"

    @property
    def _staff(self) -> str:
        kind, _, number = self.by.partition(":")
        return number if kind == STAFF else ""

    @property
    def _on_page(self) -> bool:
        return self.by.partition(":")[0] == PAGE

    @property
    def _user(self) -> str:
        return self.by.partition(":")[2].partition("@")[0] or self.by

    @property
    def _host(self) -> str:
        return self.by.partition("@")[2] or "?"


def act_words(kind: str, by: str, why: str, details: Mapping[str, Any], *, device: str = "") -> Words:
    """A sentence in both languages. `device` is what people call the device that the act is of, "" where unknown."""
    author = Author(by)
    if kind in _DONE:
        name = str(details.get("name") or device)
        done = _DONE[kind](details, Words(en=f"device {name}" if name else "the device", zh=f"设备{name}"))
    else:
        done = Words(en=f"act {kind}", zh=f"执行操作 {kind}")
    return Words(
        en=f"{done.en} by {author.en}" + (f", because: {why}" if why else ""),
        zh=f"{author.zh}{done.zh}" + (f"，原因：{why}" if why else ""),
    )


def _assigned(details: Mapping[str, Any], device: Words) -> Words:
    bed = details.get("bed")
    return Words(en=f"{device.en} put at bed {bed}", zh=f"将{device.zh}放置于床位 {bed}")


def _moved(details: Mapping[str, Any], device: Words) -> Words:
    before, bed = details.get("from"), details.get("bed")
    return Words(
        en=f"{device.en} moved from bed {before} to bed {bed}", zh=f"将{device.zh}从床位 {before} 移至床位 {bed}"
    )


def _released(details: Mapping[str, Any], device: Words) -> Words:
    before = details.get("from")
    return Words(en=f"{device.en} taken from bed {before}", zh=f"将{device.zh}从床位 {before} 移走")


def _associated(details: Mapping[str, Any], device: Words) -> Words:
    whose = Words(en="nobody's", zh="不属于任何患者")
    if encounter := details.get("encounter"):
        visit = visit_words(encounter)
        whose = Words(en=f"of {visit.en}", zh=f"属于{visit.zh}")
    until = Words(en="", zh="")
    if instant := details.get("until"):
        until = Words(en=f" until {_minute(instant)}", zh=f"，至 {_minute(instant)}")
    return Words(
        en=f"values of {device.en} said to be {whose.en}{until.en},", zh=f"确认{device.zh}的数据{whose.zh}{until.zh}"
    )


def _resolved(details: Mapping[str, Any], device: Words) -> Words:
    if details.get("adt_is_right"):
        return Words(
            en="“ADT is right until the monitor’s number changes”,", zh="确认以ADT为准，直到监护仪上的号码改变"
        )
    asked = _QUESTIONS.get(str(details.get("question")))
    if asked is None:
        return Words(en="a question dealt with", zh="处理了一项待办")
    # The first sentence: what was not clear. What it was about stands beside it.
    return Words(
        en=f"dealt with (“{asked.en.partition('.')[0].replace('{detail}', '…')}”)",
        zh=f"处理了“{asked.zh.partition('。')[0].replace('{detail}', '…')}”",
    )


def _temporary(details: Mapping[str, Any], device: Words) -> Words:
    number, bed = details.get("number"), details.get("bed")
    return Words(en=f"temporary patient {number} put into bed {bed}", zh=f"将临时患者 {number} 安置于床位 {bed}")


def _linked(details: Mapping[str, Any], device: Words) -> Words:
    number, patient = details.get("number"), patient_words(str(details.get("patient")))
    return Words(en=f"temporary patient {number} said to be {patient}", zh=f"确认临时患者 {number} 为 {patient}")


def _census(details: Mapping[str, Any], device: Words) -> Words:
    rows = details.get("rows")
    return Words(en=f"census of {rows} patients read", zh=f"读入在院名单（{rows} 名患者）")


def _unlinked(details: Mapping[str, Any], device: Words) -> Words:
    retired, survivor = (patient_words(str(details.get(of))) for of in ("retired", "survivor"))
    return Words(en=f"{retired} said not to be {survivor}", zh=f"确认 {retired} 不是 {survivor}")


def _undone(details: Mapping[str, Any], device: Words) -> Words:
    act = str(details.get("act"))[:8]
    return Words(en=f"act {act} taken back", zh=f"撤销操作 {act}")


_QUESTIONS = {kind.value: asked for kind, asked in WORDS.items()}
_DONE = {
    "device.assign": _assigned,
    "device.move": _moved,
    "device.release": _released,
    "device.associate": _associated,
    "worklist.resolve": _resolved,
    "patient.temporary": _temporary,
    "patient.link": _linked,
    "patient.census": _census,
    "patient.unlink": _unlinked,
    "patient.undo": _undone,
}
KINDS = frozenset(_DONE)


def _minute(instant: str) -> str:
    """Of an instant in ISO 8601, with its offset."""
    return f"{instant[:10]} {instant[11:16]}{instant[-6:]}"
