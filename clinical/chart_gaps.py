"""Why a slot is empty, with what shows it: what was heard of device, edge and patient meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from clinical.chart import Gap, GapReason, Window
from clinical.chart_choice import choose
from clinical.chart_policy import Policy


class HeardKind(Enum):
    """What can keep a value away, the strongest explanation first."""

    ABSENT = GapReason.ABSENT
    EDGE_SILENT = GapReason.BOX_AWAY
    NOT_SENT_YET = GapReason.NETWORK  # the edge has said that it holds unsent batches, or reports are known lost
    DISCONNECTED = GapReason.UNPLUGGED
    REJECTED = GapReason.REJECTED
    NO_READING = GapReason.LEAD_OFF


@dataclass(frozen=True, kw_only=True)
class Heard:
    """During [from, until) this was so; `device` None: of all devices of the patient.

    `evidence` is what shows it, by kind and reference (event, batch id and leaf, fact), for people to look at.
    """

    kind: HeardKind
    device: str | None
    from_us: int
    until_us: int | None
    evidence: tuple[tuple[str, str], ...] = ()


_ORDER = list(HeardKind)


def explain(window: Window, policy: Policy | None, heard: Iterable[Heard], now_us: int) -> tuple[Gap, ...]:
    """Each reason why nothing stands for this slot, the strongest first; none where a value does.

    `policy` None: nobody asked for a value.
    """
    if policy is None:
        return (_gap(window, GapReason.NO_POLICY),)
    if now_us < window.until_us:
        return (_gap(window, GapReason.NOT_YET),)
    found = choose(policy, window)
    if not isinstance(found, tuple):
        return ()
    reasons: list[Gap] = []
    for gap in found:
        if gap.reason is not GapReason.NOT_MEASURED:
            reasons.append(gap)
            continue
        shown = _shown(window, gap.device, heard)
        reasons += shown or [gap]
    return tuple(reasons)


def _shown(window: Window, device: str | None, heard: Iterable[Heard]) -> list[Gap]:
    """What was heard in the window, cut to it; the strongest first."""
    found = []
    for each in sorted(heard, key=lambda each: (_ORDER.index(each.kind), each.from_us)):
        until_us = window.until_us if each.until_us is None else min(each.until_us, window.until_us)
        from_us = max(each.from_us, window.from_us)
        if from_us < until_us and each.device in (None, device):
            gap = _gap(window, each.kind.value)
            found.append(replace(gap, from_us=from_us, until_us=until_us, device=device, evidence=each.evidence))
    return found


def _gap(window: Window, reason: GapReason) -> Gap:
    return Gap(reason=reason, from_us=window.from_us, until_us=window.until_us, device=None)
