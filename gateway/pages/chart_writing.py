"""What people do on the flowsheet, as `vitalwire chart` does. What is confirmed or accepted is what was shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from clinical.chart import EntryKey, Source, Status
from clinical.chart_items import Item, item_of
from emr_store import acts, chart_acts, chart_entries, patients
from emr_store.acts import Author
from emr_store.chart_acts import Person
from emr_store.chart_entries import Kept
from emr_store.chart_persons import Acted, persons
from emr_store.instants import moment, us_of
from gateway.access.targets import stay_target
from gateway.access.viewer import Licence, Target
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.pages.chart import STAFF, entry_target, is_on_demand, noted_policies, possible
from gateway.permission import AccessRefusedError, require
from gateway.posting import RefusedError
from schemas.errors import VitalwireError

WHY_CHARS_MAX = 500
ENTRIES_MAX = 200  # a column


class Refusal(StrEnum):
    """Why nothing was done; the page has the words."""

    UNREADABLE = "unreadable"
    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    NOT_POSSIBLE = "not_possible"  # the value
    AHEAD = "ahead"
    BEFORE_THE_STAY = "before_the_stay"
    TAKEN = "taken"  # the slot has an entry
    CONFIRMED_ALREADY = "confirmed_already"
    IN_ERROR = "in_error"
    SAYS_SO_ALREADY = "says_so_already"
    CHANGED = "changed"  # it is not any more what the page showed
    NOT_ON_DEMAND = "not_on_demand"  # no policy of the ward says which value would count
    ARCHIVED = "archived"  # medical affairs reopen it
    NOTHING_MEASURED = "nothing_measured"  # that may be taken


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as the page showed it."""

    entry: str
    version: int


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value that the page showed as proposed: its public identity."""

    batch: str  # hex
    leaf: int
    record: int


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends. `entries`: of confirm, correct and accept (one) and withdraw; the rest is of the others."""

    act: Literal["enter", "take", "confirm", "correct", "accept", "withdraw"]
    why: str = ""
    entries: tuple[Seen, ...] = ()
    encounter: str = ""
    item: str = ""
    value: float | None = None
    text: str = ""
    at: int = 0  # milliseconds since 1970; of take 0: now
    source: Shown | None = None  # of accept


_ACTIONS = {
    "confirm": Action.CONFIRM, "correct": Action.CORRECT, "accept": Action.CORRECT, "withdraw": Action.WITHDRAW,
}  # fmt: skip


def act(conn: Any, asking: Asking, wish: Wish) -> None:
    """Do as a page wishes, all or nothing.

    Raises RefusedError, StoreError, also where the login lacks the right, and AccessRefusedError.
    """
    why = wish.why.strip()
    if len(why) > WHY_CHARS_MAX:
        raise RefusedError(Refusal.REASON_TOO_LONG)
    if wish.act in ("correct", "withdraw") and not why:
        raise RefusedError(Refusal.NO_REASON)
    person = Person(
        Author(f"{STAFF}{asking.viewer.id}", why),
        asking.viewer.name,
        is_licensed=asking.viewer.licence is not Licence.NONE,
    )
    with conn.transaction():
        if wish.act == "enter":
            _enter(conn, asking, wish, person)
        elif wish.act == "take":
            _take(conn, asking, wish, person)
        else:
            _change(conn, asking, wish, person)


def _enter(conn: Any, asking: Asking, wish: Wish, person: Person) -> None:
    at = _moment(wish.at)
    encounter, kind = _what(conn, asking, wish)
    if not possible(kind, wish.value, wish.text):
        raise RefusedError(Refusal.NOT_POSSIBLE)
    _must_be_free(conn, EntryKey(encounter, wish.item, us_of(at)), at)
    try:
        chart_acts.enter(conn, encounter, wish.item, wish.value, wish.text, at, person)
    except VitalwireError:
        raise RefusedError(Refusal.BEFORE_THE_STAY) from None


def _take(conn: Any, asking: Asking, wish: Wish, person: Person) -> None:
    at = _moment(wish.at) if wish.at else acts.now(conn)
    encounter, _ = _what(conn, asking, wish)
    policies = noted_policies(conn)
    if policies is None or not is_on_demand(conn, policies, encounter, wish.item, us_of(at)):
        raise RefusedError(Refusal.NOT_ON_DEMAND)
    _must_be_free(conn, EntryKey(encounter, wish.item, us_of(at)), at)
    try:
        chart_acts.take(conn, policies, encounter, wish.item, at, person)
    except VitalwireError:
        raise RefusedError(Refusal.NOTHING_MEASURED) from None


def _what(conn: Any, asking: Asking, wish: Wish) -> tuple[str, Item]:
    """The encounter and item that a wish names."""
    try:
        kind = item_of(wish.item)
    except VitalwireError:
        raise RefusedError(Refusal.UNREADABLE) from None
    try:
        encounter = patients.find_encounter(conn, wish.encounter)
    except VitalwireError:
        raise AccessRefusedError from None  # as of one that may not be written into
    target = stay_target(conn, DataClass.CHART, encounter, asking.at_us)
    if target is None:
        raise AccessRefusedError
    _require(asking, Action.ENTER, target)
    return encounter, kind


def _require(asking: Asking, action: Action, target: Target) -> None:
    """That it is allowed; to who may read the chart of an archived stay it is said why not."""
    if target.archived and asking.may(Action.SEE, target).is_allowed:
        raise RefusedError(Refusal.ARCHIVED)
    require(asking, action, target)


def _must_be_free(conn: Any, key: EntryKey, at: datetime) -> None:
    if at > acts.now(conn):
        raise RefusedError(Refusal.AHEAD)
    there = chart_entries.entries_at(conn, [key]).get(key)
    if there is not None and there.entry.now.status is not Status.ENTERED_IN_ERROR:
        raise RefusedError(Refusal.TAKEN)


def _moment(at_ms: int) -> datetime:
    try:
        return moment(at_ms * 1000)
    except OverflowError:
        raise RefusedError(
            Refusal.AHEAD if at_ms > datetime.now(UTC).timestamp() * 1000 else Refusal.UNREADABLE
        ) from None


def _change(conn: Any, asking: Asking, wish: Wish, person: Person) -> None:
    if not 0 < len(wish.entries) <= (ENTRIES_MAX if wish.act in ("confirm", "withdraw") else 1):
        raise RefusedError(Refusal.UNREADABLE)
    for seen in wish.entries:
        try:
            kept = chart_entries.find_entry(conn, seen.entry)
        except VitalwireError:
            raise RefusedError(Refusal.CHANGED) from None
        acted = persons(conn, {version.act_id for version in kept.entry.versions if version.act_id is not None})
        _require(asking, _ACTIONS[wish.act], entry_target(conn, kept.entry, acted, asking.at_us))
        if not person.is_licensed:
            _must_be_open_to_unlicensed(kept, acted, wish)
        _must_be_as_seen(kept, seen, wish)
        try:
            changed = _changed(conn, wish, seen, person)
        except VitalwireError:
            raise RefusedError(Refusal.CHANGED) from None
        newest = changed.entry.now
        if newest.number != seen.version + 1:
            raise RefusedError(Refusal.CHANGED)
        if wish.act == "accept" and not _is_source(newest.sources[0], wish.source):
            raise RefusedError(Refusal.CHANGED)


def _is_source(source: Source, shown: Shown | None) -> bool:
    return shown == Shown(source.batch_id.hex(), source.leaf, source.record)


def _must_be_open_to_unlicensed(kept: Kept, acted: Mapping[bytes, Acted], wish: Wish) -> None:
    """Not what a licensed person stands behind; nothing twice; and withdrawn is only what was pending always."""
    pending = [
        version.act_id is not None and version.act_id in acted and acted[version.act_id].pending
        for version in kept.entry.versions
    ]
    is_open = kept.entry.now.status is Status.PRELIMINARY
    if wish.act == "confirm":
        is_open = is_open and not pending[-1]
    if wish.act == "withdraw":
        is_open = is_open and all(pending)
    if not is_open:
        raise AccessRefusedError


def _must_be_as_seen(kept: Kept, seen: Seen, wish: Wish) -> None:
    newest = kept.entry.now
    if newest.number != seen.version:
        raise RefusedError(Refusal.CHANGED)
    if newest.status is Status.ENTERED_IN_ERROR:
        raise RefusedError(Refusal.IN_ERROR)
    if wish.act == "confirm" and newest.confirmed:
        raise RefusedError(Refusal.CONFIRMED_ALREADY)
    if wish.act == "correct" and not possible(item_of(kept.entry.key.item), wish.value, wish.text):
        raise RefusedError(Refusal.NOT_POSSIBLE)
    if wish.act == "correct" and (newest.value, newest.text) == (wish.value, wish.text):
        raise RefusedError(Refusal.SAYS_SO_ALREADY)


def _changed(conn: Any, wish: Wish, seen: Seen, person: Person) -> Kept:
    if wish.act == "confirm":
        return chart_acts.confirm(conn, seen.entry, person)
    if wish.act == "withdraw":
        return chart_acts.withdraw(conn, seen.entry, person)
    if wish.act == "accept":
        return chart_acts.accept(conn, seen.entry, person)
    return chart_acts.correct(conn, seen.entry, wish.value, wish.text, person)
