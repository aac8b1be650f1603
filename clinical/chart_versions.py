"""How an entry goes on: computed anew until a person stands behind it, then proposed to.

Each function gives the next version, or nothing where nothing changed; nothing that was written is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from clinical.chart import Chosen, Entry, Origin, Status, Version
from clinical.chart_items import item_of
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class Proposal:
    """What would stand there if no person had confirmed something else; None: nothing would."""

    chosen: Chosen | None


def next_version(entry: Entry | None, chosen: Chosen | None, at_us: int) -> Version | Proposal | None:
    """What a policy's choice makes of an entry (None: there is none, or only one that was entered in error)."""
    if entry is None or entry.now.status is Status.ENTERED_IN_ERROR:
        return None if chosen is None else _of_device(chosen, Status.PRELIMINARY, number=1, at_us=at_us)
    newest = entry.now
    if newest.confirmed or newest.origin is Origin.HAND:
        by_device = next((each for each in reversed(entry.versions) if each.origin is Origin.DEVICE), None)
        return None if by_device is None or _says(by_device, chosen) else Proposal(chosen)
    if chosen is None:
        return replace(
            newest,
            number=newest.number + 1,
            status=Status.ENTERED_IN_ERROR,
            reason="no value stands for this slot any more",
            act_id=None,
            recorded_at_us=at_us,
        )
    if _says(newest, chosen) and newest.reason == chosen.reason:
        return None
    status = Status.AMENDED if newest.by_time else Status.PRELIMINARY
    changed = _of_device(chosen, status, number=newest.number + 1, at_us=at_us)
    return replace(changed, by_time=newest.by_time)


def by_time(entry: Entry, at_us: int) -> Version | None:
    """Final because nobody said otherwise in time: marked, and not confirmed."""
    # What somebody without a licence stands behind waits for a licensed person, however long.
    if entry.now.status is not Status.PRELIMINARY or entry.now.act_id is not None:
        return None
    return replace(
        entry.now, number=entry.now.number + 1, status=Status.FINAL, by_time=True, act_id=None, recorded_at_us=at_us
    )


def entered(item: str, value: float | None, text: str, *, observed_at_us: int, act_id: bytes, at_us: int) -> Version:
    """The first version of what a person wrote. Raises VitalwireError for what is not possible of this item."""
    kind = item_of(item)
    kind.check(value, text)
    return Version(
        number=1,
        status=Status.FINAL,
        origin=Origin.HAND,
        value=value,
        text=text,
        unit=kind.unit,
        decimals=kind.decimals_of(value),
        observed_at_us=observed_at_us,
        sources=(),
        reason="by hand",
        act_id=act_id,
        by_time=False,
        recorded_at_us=at_us,
    )


def confirm(entry: Entry, act_id: bytes, at_us: int) -> Version:
    """A person stands behind what it says. Raises VitalwireError where one does already, or it was withdrawn."""
    _refuse_in_error(entry)
    if entry.now.confirmed:
        raise VitalwireError("it is confirmed already: correct it, or withdraw it")
    status = Status.AMENDED if entry.now.status is Status.AMENDED else Status.FINAL
    return replace(
        entry.now, number=entry.now.number + 1, status=status, by_time=False, act_id=act_id, recorded_at_us=at_us
    )


def correct(entry: Entry, value: float | None, text: str, why: str, act_id: bytes, at_us: int) -> Version:
    """A person says that it was otherwise. Raises VitalwireError for what is not possible, or says the same."""
    _refuse_in_error(entry)
    kind = item_of(entry.key.item)
    kind.check(value, text)
    newest = entry.now
    if (newest.value, newest.text) == (value, text):
        raise VitalwireError("it says that already: confirm it")
    return replace(
        newest,
        number=newest.number + 1,
        status=_status_of_change(entry),
        origin=Origin.HAND,
        value=value,
        text=text,
        unit=kind.unit,
        decimals=kind.decimals_of(value),
        sources=(),
        reason=why,
        act_id=act_id,
        by_time=False,
        recorded_at_us=at_us,
    )


def accept(entry: Entry, chosen: Chosen, why: str, act_id: bytes, at_us: int) -> Version:
    """A person takes what a device said in place of what stands: value, sources and origin are the device's.

    `why` "": by the rule that chose it. Raises VitalwireError where it was withdrawn, or says that value of it already.
    """
    _refuse_in_error(entry)
    if entry.now.origin is Origin.DEVICE and _says(entry.now, chosen):
        raise VitalwireError("it says that already: confirm it")
    accepted = _of_device(chosen, _status_of_change(entry), number=entry.now.number + 1, at_us=at_us)
    return replace(accepted, reason=why or chosen.reason, act_id=act_id)


def withdraw(entry: Entry, why: str, act_id: bytes | None, at_us: int) -> Version:
    """It should never have stood there: it stays readable, as entered in error."""
    _refuse_in_error(entry)
    return replace(
        entry.now,
        number=entry.now.number + 1,
        status=Status.ENTERED_IN_ERROR,
        reason=why,
        act_id=act_id,
        by_time=False,
        recorded_at_us=at_us,
    )


def _status_of_change(entry: Entry) -> Status:
    was_final = any(version.status in (Status.FINAL, Status.AMENDED) for version in entry.versions)
    return Status.AMENDED if was_final else Status.FINAL


def _refuse_in_error(entry: Entry) -> None:
    if entry.now.status is Status.ENTERED_IN_ERROR:
        raise VitalwireError("it was entered in error: enter it anew")


def _of_device(chosen: Chosen, status: Status, *, number: int, at_us: int) -> Version:
    return Version(
        number=number,
        status=status,
        origin=Origin.DEVICE,
        value=chosen.value,
        text=chosen.text,
        unit=chosen.unit,
        decimals=chosen.decimals,
        observed_at_us=chosen.observed_at_us,
        sources=chosen.sources,
        reason=chosen.reason,
        act_id=None,
        by_time=False,
        recorded_at_us=at_us,
    )


def _says(version: Version, chosen: Chosen | None) -> bool:
    """Whether value and sources are the same."""
    if chosen is None:
        return False
    return (version.value, version.text, version.unit, version.sources) == (
        chosen.value, chosen.text, chosen.unit, chosen.sources,
    )  # fmt: skip
