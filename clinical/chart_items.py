"""What can stand in a chart: the metrics of devices, and what a nurse writes by hand beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS, UNITS

TEXT_MAX = 500


class ItemForm(Enum):
    """How it is written."""

    NUMBER = "number"
    CHOICE = "choice"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True)
class Item:
    """`low` to `high`: what is possible, never a limit of an alarm. `choices`: key to (English, Chinese)."""

    key: str
    form: ItemForm
    en: str
    zh: str
    unit: str = ""  # UCUM
    low: float = -math.inf
    high: float = math.inf
    decimals: int = 0
    choices: dict[str, tuple[str, str]] | None = None
    is_volume: bool = False  # counts in the totals of 24 hours

    def check(self, value: float | None, text: str) -> None:
        """Raises VitalwireError, with what is possible, for what is not."""
        match self.form:
            case ItemForm.NUMBER:
                if value is None or text or not self.low <= value <= self.high:
                    said = text or value
                    raise VitalwireError(
                        f"{self.en}: {said} is not possible: {self.low:g} to {self.high:g} {self.unit}"
                    )
            case ItemForm.CHOICE:
                choices = self.choices or {}
                if value is not None or text not in choices:
                    raise VitalwireError(f"{self.en}: write one of {', '.join(choices)}, not {text or value!r}")
            case ItemForm.TEXT:
                if value is not None or not text.strip() or len(text) > TEXT_MAX:
                    raise VitalwireError(f"{self.en}: words, at most {TEXT_MAX} characters")

    def decimals_of(self, value: float | None) -> int:
        """As many as the number has, at least the item's own."""
        if value is None:
            return 0
        written = f"{value:.10g}"
        return max(self.decimals, len(written.partition(".")[2]))


def item_of(key: str) -> Item:
    """A metric by its reference id, or one of `ITEMS`. Raises VitalwireError for any other."""
    found = ITEMS.get(key) or _METRIC_ITEMS.get(key)
    if found is None:
        raise VitalwireError(f"{key!r} is nothing that can be charted: a metric's reference id, or {', '.join(ITEMS)}")
    return found


def _volume(key: str, en: str, zh: str) -> Item:
    return Item(key=key, form=ItemForm.NUMBER, en=en, zh=zh, unit="mL", low=0, high=20_000, is_volume=True)


_ROWS = (
    Item(
        key="acvpu", form=ItemForm.CHOICE, en="Consciousness (ACVPU)", zh="意识",
        choices={
            "A": ("alert", "清醒"), "C": ("new confusion", "意识模糊"), "V": ("responds to voice", "呼唤有反应"),
            "P": ("responds to pain", "疼痛有反应"), "U": ("unresponsive", "无反应"),
        },
    ),
    Item(key="pain", form=ItemForm.NUMBER, en="Pain score", zh="疼痛评分", unit="{score}", low=0, high=10),
    _volume("intake", "Intake", "入量"),
    _volume("output", "Output", "出量"),
    _volume("urine", "Urine", "尿量"),
    _volume("drain", "Drain", "引流"),
    _volume("vomit", "Vomit", "呕吐"),
    # As the sheet writes it: 1, 0, 1/E, 1 2/E, ※, ☆.
    Item(key="stool", form=ItemForm.TEXT, en="Stool", zh="大便"),
    Item(key="oxygen-flow", form=ItemForm.NUMBER, en="Oxygen", zh="吸氧", unit="L/min", low=0, high=80),
    Item(
        key="oxygen-route", form=ItemForm.CHOICE, en="Oxygen by", zh="吸氧方式",
        choices={
            "air": ("room air", "未吸氧"), "cannula": ("nasal cannula", "鼻导管"), "mask": ("mask", "面罩"),
            "high-flow": ("high flow", "高流量"), "ventilator": ("ventilator", "呼吸机"),
        },
    ),
    Item(
        key="temperature-route", form=ItemForm.CHOICE, en="Temperature by", zh="测温方式",
        choices={
            "oral": ("mouth", "口温"), "axillary": ("armpit", "腋温"), "rectal": ("rectum", "肛温"),
            "ear": ("ear", "耳温"), "core": ("core", "核心温度"), "bladder": ("bladder", "膀胱温度"),
        },
    ),
    Item(
        key="temperature-mark", form=ItemForm.CHOICE, en="Temperature mark", zh="体温标记",
        choices={
            "cooled": ("after cooling", "降温后"), "repeated": ("measured twice", "复试"), "low": ("too low", "不升"),
        },
    ),
    Item(
        key="not-measured", form=ItemForm.CHOICE, en="Not measured", zh="未测",
        choices={
            "refused": ("refused", "拒测"), "away": ("away", "外出"), "leave": ("on leave", "请假"),
            "absent": ("not there", "不在"),
        },
    ),
    Item(key="weight", form=ItemForm.NUMBER, en="Weight", zh="体重", unit="kg", low=0.2, high=500, decimals=1),
    Item(
        key="weighed-as", form=ItemForm.CHOICE, en="Not weighed", zh="未测体重",
        choices={"stretcher": ("stretcher", "平车"), "wheelchair": ("wheelchair", "轮椅"), "bed": ("in bed", "卧床")},
    ),
    Item(key="height", form=ItemForm.NUMBER, en="Height", zh="身高", unit="cm", low=20, high=260),
    Item(key="skin-test", form=ItemForm.TEXT, en="Skin test", zh="皮试"),
    Item(key="tubes", form=ItemForm.TEXT, en="Tubes and lines", zh="管路"),
    Item(key="skin", form=ItemForm.TEXT, en="Skin", zh="皮肤"),
    Item(key="diagnosis", form=ItemForm.TEXT, en="Diagnosis", zh="诊断"),
    Item(key="observation", form=ItemForm.TEXT, en="Observation and action", zh="病情观察及措施"),
    Item(
        key="event", form=ItemForm.CHOICE, en="Event", zh="事件",
        choices={
            "admitted": ("admitted", "入院"), "transferred": ("transferred in", "转入"),
            "operation": ("operation", "手术"), "birth": ("birth", "分娩"),
            "discharged": ("discharged", "出院"), "died": ("died", "死亡"),
        },
    ),
)  # fmt: skip
ITEMS: dict[str, Item] = {item.key: item for item in _ROWS}
# LOINC of what is written by hand; what is not here has none. 80288-4, level of consciousness AVPU; 72514-3, pain 0 to
# 10; 3151-8, inhaled oxygen flow; 8327-9, where body temperature was measured: each in public mappings, the last
# in FHIR's own page on vital signs.
ITEM_LOINC: dict[str, str] = {
    "acvpu": "80288-4",
    "pain": "72514-3",
    "urine": "9187-6",
    "oxygen-flow": "3151-8",
    "temperature-route": "8327-9",
    "weight": "29463-7",
    "height": "8302-2",
}
_UCUM = {unit.reference_id: unit.ucum for unit in UNITS}
_METRIC_ITEMS: dict[str, Item] = {
    metric.reference_id: Item(
        key=metric.reference_id, form=ItemForm.NUMBER, en=metric.en, zh=metric.zh, unit=_UCUM[metric.unit],
        low=metric.low, high=metric.high,
    )
    for metric in METRICS
}  # fmt: skip
