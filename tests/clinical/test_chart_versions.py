"""How an entry goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clinical.chart import Chosen, Entry, EntryKey, Origin, Source, Status, Version
from clinical.chart_versions import Proposal, accept, by_time, confirm, correct, entered, next_version, withdraw
from schemas.errors import VitalwireError

KEY = EntryKey("E1", "MDC_TEMP", 300)


def chosen(value: float = 36.5, **other: Any) -> Chosen:
    stated: dict[str, Any] = {
        "value": value, "text": "", "unit": "Cel", "decimals": 1, "observed_at_us": 250,
        "sources": (Source(b"batch", 1, 0),), "reason": "last valid",
    }  # fmt: skip
    return Chosen(**(stated | other))


def entry(*versions: Version) -> Entry:
    return Entry(entry="e", key=KEY, versions=versions)


def first(value: float = 36.5) -> Version:
    found = next_version(None, chosen(value), 400)
    assert isinstance(found, Version)
    return found


def test_a_value_begins_preliminary() -> None:
    version = first()
    assert (version.number, version.status, version.origin) == (1, Status.PRELIMINARY, Origin.DEVICE)
    assert not version.confirmed
    assert next_version(None, None, 400) is None


def test_a_late_value_is_a_new_version_until_somebody_confirms() -> None:
    late = next_version(entry(first()), chosen(36.7), 500)
    assert isinstance(late, Version)
    assert (late.number, late.status, late.value) == (2, Status.PRELIMINARY, 36.7)
    assert next_version(entry(first()), chosen(), 500) is None


def test_after_that_it_is_a_proposal() -> None:
    confirmed = entry(first(), confirm(entry(first()), b"act", 450))
    assert confirmed.now.confirmed
    assert next_version(confirmed, chosen(36.7), 500) == Proposal(chosen(36.7))
    assert next_version(confirmed, None, 500) == Proposal(None)
    assert next_version(confirmed, chosen(), 500) is None


def test_what_a_person_amended_keeps_what_the_device_said_apart() -> None:
    version = correct(entry(first()), 37.1, "", "read from the display", b"act", 450)
    corrected = entry(first(), version)
    assert (corrected.now.status, corrected.now.origin, corrected.now.decimals) == (Status.FINAL, Origin.HAND, 1)
    assert next_version(corrected, chosen(), 500) is None
    assert next_version(corrected, chosen(36.9), 500) == Proposal(chosen(36.9))


def test_what_a_person_accepts_is_the_device_s_and_confirmed() -> None:
    confirmed = entry(first(), confirm(entry(first()), b"act", 450))
    late = chosen(36.7, sources=(Source(b"late", 2, 0),), observed_at_us=290)
    version = accept(confirmed, late, "", b"accepted", 500)
    accepted = entry(*confirmed.versions, version)
    assert (version.number, version.status, version.confirmed) == (3, Status.AMENDED, True)
    assert (version.origin, version.value, version.sources) == (Origin.DEVICE, 36.7, late.sources)
    assert (version.observed_at_us, version.reason, version.act_id) == (290, "last valid", b"accepted")
    assert accept(confirmed, late, "read again", b"accepted", 500).reason == "read again"
    assert next_version(accepted, late, 600) is None
    assert next_version(accepted, chosen(), 600) == Proposal(chosen())
    with pytest.raises(VitalwireError, match="says that already"):
        accept(accepted, late, "", b"act", 600)


def test_by_hand_the_same_number_is_not_the_device_s() -> None:
    by_hand = entry(first(), correct(entry(first()), 37.1, "", "read from the display", b"act", 450))
    version = accept(by_hand, chosen(37.1), "", b"act", 500)
    assert (version.origin, version.status) == (Origin.DEVICE, Status.AMENDED)
    with pytest.raises(VitalwireError, match="entered in error"):
        accept(entry(*by_hand.versions, withdraw(by_hand, "the other bed", b"act", 470)), chosen(), "", b"act", 480)


def test_a_value_that_went_away_was_entered_in_error() -> None:
    gone = next_version(entry(first()), None, 500)
    assert isinstance(gone, Version)
    assert (gone.status, gone.value) == (Status.ENTERED_IN_ERROR, 36.5)
    after = next_version(entry(first(), gone), chosen(36.9), 600)
    assert isinstance(after, Version)
    assert (after.number, after.status) == (1, Status.PRELIMINARY)


def test_final_by_time_is_marked_and_not_confirmed() -> None:
    final = by_time(entry(first()), 900)
    assert final is not None
    assert (final.status, final.by_time, final.confirmed) == (Status.FINAL, True, False)
    late = next_version(entry(first(), final), chosen(36.9), 950)
    assert isinstance(late, Version)
    assert (late.status, late.by_time, late.confirmed) == (Status.AMENDED, True, False)
    assert by_time(entry(first(), final), 999) is None
    assert confirm(entry(first(), final), b"act", 999).confirmed


def test_what_a_person_did_cannot_be_done_twice() -> None:
    confirmed = entry(first(), confirm(entry(first()), b"act", 450))
    with pytest.raises(VitalwireError, match="confirmed already"):
        confirm(confirmed, b"act", 460)
    with pytest.raises(VitalwireError, match="says that already"):
        correct(confirmed, 36.5, "", "", b"act", 460)
    gone = entry(*confirmed.versions, withdraw(confirmed, "the other bed", b"act", 470))
    for again in (confirm, lambda *args: correct(args[0], 37.0, "", "", *args[1:])):
        with pytest.raises(VitalwireError, match="entered in error"):
            again(gone, b"act", 480)


@pytest.mark.parametrize(
    ("item", "value", "text"),
    [("MDC_TEMP", 99.0, ""), ("pain", 11, ""), ("acvpu", None, "X"), ("urine", -1, ""), ("stool", None, " "),
     ("MDC_TEMP", None, "warm"), ("MDC_TEMP", float("nan"), ""), ("blood", 1, "")],
)  # fmt: skip
def test_what_is_not_possible_is_refused_in_words(item: str, value: float | None, text: str) -> None:
    with pytest.raises(VitalwireError):
        entered(item, value, text, observed_at_us=1, act_id=b"act", at_us=2)


def test_by_hand_is_final_at_once() -> None:
    version = entered("weight", 71.25, "", observed_at_us=1, act_id=b"act", at_us=2)
    assert (version.status, version.unit, version.decimals, version.sources) == (Status.FINAL, "kg", 2, ())
    assert version.confirmed


@given(st.lists(st.one_of(st.none(), st.sampled_from([36.1, 36.2, 36.3])), max_size=8))
def test_computed_anew_it_ends_at_what_stands_last(values: list[float | None]) -> None:
    """However often a slot is computed, the newest version says what the last choice was; nothing written changes."""
    current: Entry | None = None
    for at_us, value in enumerate(values):
        choice = None if value is None else chosen(value)
        version = next_version(current, choice, at_us)
        assert not isinstance(version, Proposal)
        if version is not None:
            before = () if current is None or version.number == 1 else current.versions
            current = entry(*before, version)
    standing = current is not None and current.now.status is not Status.ENTERED_IN_ERROR
    assert standing == bool(values and values[-1] is not None)
    if standing:
        assert current is not None
        assert current.now.value == values[-1]
        assert [version.number for version in current.versions] == list(range(1, len(current.versions) + 1))
        assert replace(current.now, number=1) == current.now or current.now.number > 1
