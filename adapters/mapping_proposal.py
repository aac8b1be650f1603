"""What a parameter without a code may be: proposals out of the nomenclature, by its name and its unit, with reasons.

A proposal is for a person, who knows the device. Nothing is mapped by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from schemas.nomenclature import (
    METRIC_BY_CODE,
    METRIC_BY_LOINC,
    METRIC_BY_REFERENCE_ID,
    METRICS,
    UNIT_BY_REFERENCE_ID,
    Metric,
    Unit,
    canonical_unit,
    unit_from_text,
)

PROPOSALS_MAX = 3
SAMPLES_MIN = 1
# How much each thing says; a name alone is no more than likely, a code of a standard is as good as sure.
_OF_CODE, _OF_SHORT, _OF_ALIAS, _OF_WORDS_MAX = 0.9, 0.6, 0.55, 0.5
_UNIT_FITS, _SAMPLES_FIT, _SAMPLES_DO_NOT = 0.3, 0.05, 0.4
_WORDS_MIN = 0.5  # of the words of a title, that are there
_LOINC_SYSTEMS = {"LN", "LOINC", "http://loinc.org"}
# What monitors, ventilators and gateways write, folded, beside the short names of the nomenclature.
_ALIASES: dict[str, str] = {
    "heartrate": "MDC_ECG_HEART_RATE", "ecghr": "MDC_ECG_HEART_RATE", "pulserate": "MDC_PULS_OXIM_PULS_RATE",
    "spo2pr": "MDC_PULS_OXIM_PULS_RATE", "pulse": "MDC_PULS_OXIM_PULS_RATE",
    "sao2": "MDC_PULS_OXIM_SAT_O2", "o2sat": "MDC_PULS_OXIM_SAT_O2", "oxygensaturation": "MDC_PULS_OXIM_SAT_O2",
    "resp": "MDC_RESP_RATE", "resprate": "MDC_RESP_RATE", "respiratoryrate": "MDC_RESP_RATE",
    "nibpsys": "MDC_PRESS_BLD_NONINV_SYS", "nibps": "MDC_PRESS_BLD_NONINV_SYS", "nbps": "MDC_PRESS_BLD_NONINV_SYS",
    "nibpdia": "MDC_PRESS_BLD_NONINV_DIA", "nibpd": "MDC_PRESS_BLD_NONINV_DIA", "nbpd": "MDC_PRESS_BLD_NONINV_DIA",
    "nibpmean": "MDC_PRESS_BLD_NONINV_MEAN", "nibpmap": "MDC_PRESS_BLD_NONINV_MEAN",
    "nibpm": "MDC_PRESS_BLD_NONINV_MEAN", "nbpm": "MDC_PRESS_BLD_NONINV_MEAN",
    "artsys": "MDC_PRESS_BLD_ART_SYS", "artdia": "MDC_PRESS_BLD_ART_DIA", "artmean": "MDC_PRESS_BLD_ART_MEAN",
    "abpsys": "MDC_PRESS_BLD_ART_ABP_SYS", "abpdia": "MDC_PRESS_BLD_ART_ABP_DIA",
    "abpmean": "MDC_PRESS_BLD_ART_ABP_MEAN", "map": "MDC_PRESS_BLD_ART_MEAN",
    "temp": "MDC_TEMP", "temperature": "MDC_TEMP", "t1": "MDC_TEMP", "t2": "MDC_TEMP", "bodytemp": "MDC_TEMP_BODY",
    "etco2": "MDC_CONC_AWAY_CO2_ET", "co2et": "MDC_CONC_AWAY_CO2_ET", "fio2": "MDC_CONC_AWAY_O2_INSP",
}  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """For people, in the languages of the pages."""

    en: str
    zh: str


@dataclass(frozen=True)
class Proposal:
    """A metric that a parameter may be; `score` from 0 to 1.

    `unit` is what its row needs, "" where the unit that the sender states counts.
    """

    metric: str
    short: str
    unit: str
    score: float
    reasons: tuple[Reason, ...]


def proposals(system: str, code: str, text: str, unit: str, samples: Sequence[float] = ()) -> list[Proposal]:
    """The likeliest metrics of what a sender calls so, the best first; none where no name says anything.

    A metric whose dimension is another than that of a unit that the sender states is none.
    """
    stated = unit_from_text(unit) if unit else None
    found = [
        _scored(metric, score, reason, unit, stated, samples)
        for metric, (score, reason) in _named(system, code, text).items()
    ]
    kept = [proposal for proposal in found if proposal is not None]
    kept.sort(key=lambda proposal: (-proposal.score, len(proposal.metric), proposal.metric))
    return kept[:PROPOSALS_MAX]


def _scored(
    metric: Metric, score: float, reason: Reason, unit: str, stated: Unit | None, samples: Sequence[float]
) -> Proposal | None:
    reasons = [reason]
    row_unit = ""
    if stated is not None:
        if canonical_unit(metric.code, stated.code) is None:
            return None
        score += _UNIT_FITS
        reasons.append(
            Reason(f"its unit {stated.ucum} is one of {metric.short}", f"单位 {stated.ucum} 适用于 {metric.short}")
        )
    elif unit:
        row_unit = metric.unit
        reasons.append(
            Reason(
                f"its unit {unit!r} is not known: say which it is, here {metric.unit}",
                f"单位 {unit!r} 无法识别：请指明，此处为 {metric.unit}",
            )
        )
    else:
        row_unit = metric.unit
        reasons.append(
            Reason(
                f"no unit is stated: say which it is, here {metric.unit}", f"未给出单位：请指明，此处为 {metric.unit}"
            )
        )
    # In the metric's own unit alone: another one has another range.
    if len(samples) >= SAMPLES_MIN and (stated is None or stated is UNIT_BY_REFERENCE_ID.get(metric.unit)):
        if all(metric.low <= sample <= metric.high for sample in samples):
            score += _SAMPLES_FIT
            reasons.append(
                Reason(f"{_listed(samples)} can be {metric.short}", f"数值 {_listed(samples)} 符合 {metric.short}")
            )
        else:
            score -= _SAMPLES_DO_NOT
            reasons.append(
                Reason(
                    f"but {_listed(samples)} cannot all be {metric.short} in {metric.unit}",
                    f"但数值 {_listed(samples)} 不可能都是以 {metric.unit} 计的 {metric.short}",
                )
            )
    if score <= 0:
        return None
    return Proposal(metric.reference_id, metric.short, row_unit, min(round(score, 2), 1.0), tuple(reasons))


def _listed(samples: Sequence[float]) -> str:
    return ", ".join(f"{sample:g}" for sample in samples)


def _named(system: str, code: str, text: str) -> dict[Metric, tuple[float, Reason]]:
    """The metrics that a name says something of, each with how much and why."""
    found: dict[Metric, tuple[float, Reason]] = {}

    def add(metric: Metric | None, score: float, en: str, zh: str) -> None:
        if metric is not None and (metric not in found or score > found[metric][0]):
            found[metric] = (score, Reason(en, zh))

    if system in _LOINC_SYSTEMS:
        add(METRIC_BY_LOINC.get(code), _OF_CODE, f"{code} is its LOINC code", f"{code} 是其 LOINC 代码")
    if code.isdecimal() and len(code) == 6:  # a CF_CODE10 of this partition has six digits
        add(
            METRIC_BY_CODE.get(int(code)),
            _OF_CODE - 0.1,
            f"{code} is its code in IEEE 11073",
            f"{code} 是其 IEEE 11073 代码",
        )
    for name in dict.fromkeys(filter(None, (text, code))):
        add(
            METRIC_BY_REFERENCE_ID.get(name.strip().upper()),
            _OF_CODE,
            f"{name!r} is its name in IEEE 11073",
            f"{name!r} 是其 IEEE 11073 名称",
        )
        for form in _forms(name):
            for metric in _by_short().get(form, ()):
                add(metric, _OF_SHORT, f"{name!r} is what screens call it", f"监护仪屏幕上称为 {name!r}")
            alias = METRIC_BY_REFERENCE_ID.get(_ALIASES.get(form, ""))
            is_both = alias in found  # of several with that short name, the usual one
            add(
                alias,
                _OF_SHORT + 0.05 if is_both else _OF_ALIAS,
                f"{name!r} is often written for it",
                f"常写作 {name!r}",
            )
        words = _words(name)
        for metric in METRICS if len(words) > 1 else ():
            title = _words(metric.en)
            share = len(words & title) / len(words | title)
            if share >= _WORDS_MIN:
                add(metric, _OF_WORDS_MAX * share, f"{name!r} is like {metric.en!r}", f"{name!r} 与 {metric.en!r} 相近")
    return found


def _forms(name: str) -> list[str]:
    """A name folded, whole and, of a path or a name with a number behind it, without what is around it."""
    last = re.split(r"[./]", name)[-1]
    whole = [_folded(name), _folded(last)]
    return list(dict.fromkeys([*whole, *(re.sub(r"[0-9]+$", "", form) for form in whole if len(form) > 3)]))


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _words(name: str) -> frozenset[str]:
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return frozenset(re.findall(r"[a-z]+[0-9]*", spread.casefold()))


@lru_cache(1)
def _by_short() -> dict[str, list[Metric]]:
    found: dict[str, list[Metric]] = {}
    for metric in METRICS:
        found.setdefault(_folded(metric.short), []).append(metric)
    return found
