"""Which value of a window is charted, or why none is.

1. Only what was measured while its device's values were the encounter's counts: of a window that a move cuts, its part.
2. What was corrected or taken back counts as it was in the end.
3. What spoils a value (`chart_policy.Spoiler`) keeps it out.
4. One channel of one device gives the value: that with the most values where a median is asked for, that with the
   newest one otherwise; the smaller device and channel where both say as much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from clinical.attribution import State
from clinical.chart import Belonging, Chosen, Gap, GapReason, Measured, Window
from clinical.chart_policy import REASON, Choice, Policy, Spoiler
from schemas.block import ValidationResult

GAP_US = 30_000_000
_NUMBERS = frozenset({ValidationResult.ACCEPTED, ValidationResult.ACCEPTED_TEXT, ValidationResult.ACCEPTED_CODE})
_NOT_SAID = frozenset({ValidationResult.MISSING})
_OF_STATE = {
    State.NOBODY: GapReason.NOBODY,
    State.CONFLICT: GapReason.CONFLICT,
    State.UNDECIDED: GapReason.UNDECIDED,
}
_Channel = tuple[str, int]


def choose(policy: Policy, window: Window) -> Chosen | tuple[Gap, ...]:
    """The value that stands for this slot; else each reason why there is none."""
    ours = [value for value in window.measured if _is_ours(window, value)]
    standing, excluded = [], set()
    for value in settled(ours):
        reason = unusable(policy, value)
        if reason is None:
            standing.append(value)
        else:
            excluded.add((reason, value.device))
    by_channel = _by_channel(standing)
    if policy.choice is Choice.MEDIAN_OF_LAST_MINUTE:
        chosen = _median(policy, window, by_channel, excluded)
    else:
        chosen = _last(by_channel)
    if chosen is not None:
        return chosen
    reasons = sorted(excluded) or _reasons(window, ours)
    return tuple(
        Gap(reason=reason, from_us=window.from_us, until_us=window.until_us, device=device or None)
        for reason, device in reasons
    )


def settled(measured: Iterable[Measured]) -> list[Measured]:
    """Each moment of a channel once, by time: as it was corrected last, or not at all where it was taken back."""
    by_moment: dict[tuple[int, str, int], list[Measured]] = defaultdict(list)
    for value in measured:
        by_moment[value.observed_at_us, value.device, value.channel].append(value)
    found = []
    for _, said in sorted(by_moment.items()):
        said.sort(key=lambda value: (value.received_at_us, value.source))
        newest = next((value for value in reversed(said) if value.correction or value.withdrawal), said[0])
        if not newest.withdrawal and newest.validation_result is not ValidationResult.WITHDRAWN:
            found.append(newest)
    return found


def unusable(policy: Policy, value: Measured) -> GapReason | None:
    """What keeps a value out of the chart; None: nothing."""
    if value.validation_result in _NOT_SAID:
        return GapReason.LEAD_OFF
    if value.foreign_edge:
        return REASON[Spoiler.FOREIGN_EDGE]
    if value.training or value.validation_result is ValidationResult.DOUBTFUL_TRAINING:
        return REASON[Spoiler.TRAINING]
    if value.ambiguous and Spoiler.AMBIGUOUS in policy.spoiled_by:
        return REASON[Spoiler.AMBIGUOUS]
    if value.value is None or value.validation_result not in _NUMBERS:
        is_doubtful = value.value is not None and value.validation_result.name.startswith("DOUBTFUL")
        if not (is_doubtful and Spoiler.DOUBTFUL not in policy.spoiled_by):
            return GapReason.DOUBTFUL
    return None


def _is_ours(window: Window, value: Measured) -> bool:
    if not window.from_us <= value.observed_at_us < window.until_us and window.from_us != window.until_us:
        return False
    return any(
        belonging.device == value.device
        and belonging.encounter == window.key.encounter
        and _holds(belonging, value.observed_at_us)
        for belonging in window.belongings
    )


def _holds(belonging: Belonging, at_us: int) -> bool:
    return belonging.from_us <= at_us and (belonging.until_us is None or at_us < belonging.until_us)


def _by_channel(standing: Iterable[Measured]) -> dict[_Channel, list[Measured]]:
    found: dict[_Channel, list[Measured]] = defaultdict(list)
    for value in standing:
        found[value.device, value.channel].append(value)
    return found


def _last(by_channel: dict[_Channel, list[Measured]]) -> Chosen | None:
    if not by_channel:
        return None
    newest = min(by_channel.items(), key=lambda each: (-each[1][-1].observed_at_us, each[0]))[1][-1]
    return _chosen(newest, "last valid")


def _median(
    policy: Policy, window: Window, by_channel: dict[_Channel, list[Measured]], excluded: set[tuple[GapReason, str]]
) -> Chosen | None:
    for channel, values in sorted(by_channel.items(), key=lambda each: (-len(each[1]), each[0])):
        if Spoiler.GAP in policy.spoiled_by and _has_gap(window, values):
            excluded.add((REASON[Spoiler.GAP], channel[0]))
            continue
        # The lower of two in the middle: a value that was measured, with a source.
        by_size = sorted(values, key=lambda value: (value.value or 0.0, value.observed_at_us, value.source))
        return _chosen(by_size[(len(by_size) - 1) // 2], f"median of {len(values)} values of the last minute")
    return None


def _has_gap(window: Window, values: Sequence[Measured]) -> bool:
    """Between the values, and from the window's begin and end, as far as the window is the encounter's."""
    spans = _own_spans(window, values[0].device)
    for span in spans:
        moments = [value.observed_at_us for value in values if span.from_us <= value.observed_at_us < span.until_us]
        edges = [span.from_us, *moments, span.until_us]
        if any(later - earlier > GAP_US for earlier, later in pairwise(edges)):
            return True
    return False


@dataclass(frozen=True)
class _Span:
    from_us: int
    until_us: int


def _own_spans(window: Window, device: str) -> list[_Span]:
    """The parts of the window in which the device's values are the encounter's; those that touch are one."""
    found: list[_Span] = []
    for belonging in sorted(window.belongings, key=lambda each: each.from_us):
        if belonging.device != device or belonging.encounter != window.key.encounter:
            continue
        ends_us = window.until_us if belonging.until_us is None else min(belonging.until_us, window.until_us)
        begins_us = max(belonging.from_us, window.from_us)
        if begins_us >= ends_us:
            continue
        if found and found[-1].until_us == begins_us:
            begins_us = found.pop().from_us
        found.append(_Span(begins_us, ends_us))
    return found


def _chosen(value: Measured, reason: str) -> Chosen:
    return Chosen(
        value=value.value,
        text="",
        unit=value.unit,
        decimals=value.decimals,
        observed_at_us=value.observed_at_us,
        sources=(value.source,),
        reason=reason,
    )


def _reasons(window: Window, ours: Sequence[Measured]) -> list[tuple[GapReason, str]]:
    """Why nothing of the window counts, where nothing spoiled it."""
    if ours:
        return [(GapReason.WITHDRAWN, ours[0].device)]
    devices = {belonging.device for belonging in window.belongings if belonging.encounter == window.key.encounter}
    elsewhere = [value for value in window.measured if value.device in devices and not _is_ours(window, value)]
    if elsewhere:
        return [(GapReason.CUT_BY_MOVE, elsewhere[0].device)]
    if devices:
        return [(GapReason.NOT_MEASURED, device) for device in sorted(devices)]
    states = {(_OF_STATE[each.state], each.device) for each in window.belongings if each.state is not State.ATTRIBUTED}
    return sorted(states) or [(GapReason.NOBODY_THERE, "")]
