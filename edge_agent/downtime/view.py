"""What the downtime view shows, out of the agent's file: for the page, and for scripts."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from typing import Any

from edge_agent.downtime.ring_file import BUCKET_S, DAY_S, HistoryReader, HistoryState, Series
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import Mark, Validity

STOPPED_AFTER_S = 30.0  # the agent writes each five seconds
NO_RECEIPT_AFTER_S = 120.0  # the agent's own counts go each ten seconds, and have their receipts
STRETCH_S = 900  # of the page's bands: three of the file's
PLAIN_EXPONENT_MAX = 20  # beyond it a number is written with its power of ten
_DAY_US = DAY_S * 1_000_000
_IN_CLAIM = re.compile(r"/PV1-3=(.+)")  # where the place itself names the device
_ANNOTATION = re.compile(r"\{[^}]*\}")  # UCUM: what is no unit
_PLACE_BY_CODE = {code: place for place, code in enumerate(METRIC_BY_CODE)}  # as the nomenclature has them
_COMPARATORS = {
    Mark.LESS: "<", Mark.GREATER: ">", Mark.LESS | Mark.OR_EQUAL: "≤", Mark.GREATER | Mark.OR_EQUAL: "≥",
}  # fmt: skip


def view(reader: HistoryReader, now_us: int) -> dict[str, Any]:
    """Every channel that spoke within 24 hours, by bed and device; moments in milliseconds. Raises VitalwireError."""
    state = reader.state()
    devices = defaultdict[tuple[str, str], list[tuple[int, Series]]](list)
    for slot, series in reader.series():
        if now_us - series.at_us < _DAY_US:
            devices[_bed(series), series.claim].append((slot, series))
    return {
        "now": now_us // 1000,
        "written": state.written_at_us // 1000,
        "edge": state.edge,
        "hospital": hospital(state, now_us),
        "omitted": state.omitted,
        "troubled": [{"name": each.name, "why": each.why} for each in state.troubled],
        "devices": [
            {
                "bed": bed,
                "claim": claim,
                "source": max((series for _, series in found), key=lambda series: series.received_at_us).source,
                "channels": sorted((_channel(*each) for each in found), key=lambda channel: channel["order"]),
            }
            for (bed, claim), found in sorted(devices.items(), key=lambda item: (not item[0][0], item[0]))
        ],
    }


def hospital(state: HistoryState, now_us: int) -> dict[str, Any]:
    """How the hospital's side stands: `state` is one of stopped, away, no-receipt, reached; `since` is null or in ms.

    stopped: the agent writes no more, and nobody knows; away: no broker; no-receipt: a broker, and no answer.
    """
    last_us = state.last_receipt_at_us
    since_us: int | None = None
    if now_us - state.written_at_us > STOPPED_AFTER_S * 1e6:
        name, since_us = "stopped", state.written_at_us
    elif state.broker_away_since_us is not None:
        name = "away"
        since_us = min(state.broker_away_since_us, last_us or state.broker_away_since_us)
    elif last_us is None or now_us - last_us > NO_RECEIPT_AFTER_S * 1e6:
        name, since_us = "no-receipt", last_us
    else:
        name = "reached"
    return {"state": name, "since": None if since_us is None else since_us // 1000}


def bands(reader: HistoryReader, now_us: int) -> dict[str, Any]:
    """Lowest and highest of each quarter of an hour: by slot, [how many quarters ago, lowest, highest]."""
    last = now_us // 1_000_000 // STRETCH_S
    found: dict[str, list[list[float]]] = {}
    for slot, series in reader.series():
        if now_us - series.at_us >= _DAY_US:
            continue
        stretches: dict[int, tuple[float, float]] = {}
        for number, (low, high) in reader.bands(slot).items():
            ago = last - number * BUCKET_S // STRETCH_S
            if 0 <= ago < DAY_S // STRETCH_S:
                kept_low, kept_high = stretches.get(ago, (low, high))
                stretches[ago] = (min(low, kept_low), max(high, kept_high))
        found[str(slot)] = [[ago, _rounded(low), _rounded(high)] for ago, (low, high) in sorted(stretches.items())]
    return {"now": now_us // 1000, "stretch_s": STRETCH_S, "bands": found}


def _bed(series: Series) -> str:
    if series.bed:
        return series.bed
    match = _IN_CLAIM.search(series.claim)
    return match[1] if match else ""


def _channel(slot: int, series: Series) -> dict[str, Any]:
    metric = METRIC_BY_CODE.get(series.code)
    unit = UNIT_BY_CODE.get(series.unit)
    marks = Mark(series.marks)
    short = metric.short if metric else series.name or f"MDC {series.code}"
    return {
        "slot": slot,
        "order": [_PLACE_BY_CODE.get(series.code, len(_PLACE_BY_CODE)), short, series.channel],
        "short": short,
        "en": metric.en if metric else "",
        "zh": metric.zh if metric else "",
        "label": series.label,
        "unit": _unit_text(unit.ucum) if unit else series.unit_as_sent,
        "value": None if series.validity == Validity.NOT_AVAILABLE else _number(series, marks),
        "validity": Validity(series.validity).name.lower().replace("_", "-"),
        "training": bool(marks & Mark.TRAINING),
        "ambiguous": bool(marks & Mark.AMBIGUOUS),
        "at": series.at_us // 1000,
    }


def _unit_text(ucum: str) -> str:
    return _ANNOTATION.sub("", ucum).replace("Cel", "℃").replace("[", "").replace("]", "")


def _number(series: Series, marks: Mark) -> str:
    number = Decimal(series.mantissa).scaleb(series.exponent)
    digits = f"{number:f}" if abs(series.exponent) <= PLAIN_EXPONENT_MAX else str(number)
    return _COMPARATORS.get(marks & (Mark.LESS | Mark.GREATER | Mark.OR_EQUAL), "") + digits


def _rounded(value: float) -> float:
    """Of four bytes: what is behind the sixth digit is no part of the value."""
    return float(f"{value:.6g}")
