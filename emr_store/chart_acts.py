"""What people do to charts: enter, take, confirm, correct, accept, withdraw. Each is an act beside its version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from msgspec import structs

from clinical import chart_versions
from clinical.chart import Chosen, EntryKey, Status, Version
from clinical.chart_choice import choose
from clinical.chart_policy import Each, Policies
from emr_store import acts, chart_entries, chart_persons, chart_proposals
from emr_store.acts import Author
from emr_store.chart_entries import Kept, NewVersion
from emr_store.chart_windows import Asked, ValueReader, ward_during, wards_of
from emr_store.instants import us_of
from emr_store.patients import find_encounter
from emr_store.rows import MINUTE_US
from schemas.errors import VitalwireError

NO_ACT = bytes(32)  # in place of an act's id while it is not known whether there will be one


@dataclass(frozen=True)
class Person:
    """Who does it, and by which name they are known.

    What somebody does who has no licence is preliminary, and waits for a licensed person.
    """

    author: Author
    name: str
    is_licensed: bool = True


def enter(
    conn: psycopg.Connection, encounter: str, item: str, value: float | None, text: str, at: datetime, person: Person
) -> Kept:
    """Write a value by hand. `encounter`: its key or visit number; `item`: of clinical/chart_items.py, or a metric.

    Raises VitalwireError for an encounter that never was, a value that is not possible, a time ahead, and a slot that
    has an entry.
    """
    with conn.transaction():
        now = acts.now(conn)
        key = EntryKey(find_encounter(conn, encounter), item, us_of(at))
        if at > now:
            raise VitalwireError(f"{at.isoformat()} lies ahead: write it when it has happened")
        _must_be_since_admission(conn, key, at)
        version = chart_versions.entered(
            item, value, text, observed_at_us=key.at_us, act_id=NO_ACT, at_us=us_of(now)
        )  # fmt: skip
        there = chart_entries.entries_at(conn, [key]).get(key)
        if there is not None and there.entry.now.status is not Status.ENTERED_IN_ERROR:
            raise VitalwireError(
                f"{item} has an entry at this time already: `vitalwire chart correct {there.entry.entry[:13]}`"
            )
        new = NewVersion(chart_entries.new_entry_id(), key, there.ordinal + 1 if there else 1, version)
        return _write(conn, "chart.enter", person, now, new)


def _must_be_since_admission(conn: psycopg.Connection, key: EntryKey, at: datetime) -> None:
    row = conn.execute(
        "SELECT least(lower(open), admitted_at) FROM encounter WHERE encounter = %s AND upper_inf(recorded)",
        (key.encounter,),
    ).fetchone()
    if row is not None and row[0] is not None and at < row[0]:
        raise VitalwireError(
            f"{at.isoformat()} lies before this encounter began ({row[0].isoformat(timespec='minutes')}): write the"
            " time at which it was measured"
        )


def take(
    conn: psycopg.Connection, policies: Policies, encounter: str, metric: str, at: datetime, person: Person
) -> Kept:
    """Chart what a device measures now, or measured at a time, where the policy of its ward says which value counts.

    Raises VitalwireError likewise, and where no policy has this metric, or nothing may stand there, with why.
    """
    with conn.transaction():
        now = acts.now(conn)
        key = EntryKey(find_encounter(conn, encounter), metric, us_of(at))
        if at > now:
            raise VitalwireError(f"{at.isoformat()} lies ahead: take it when it has happened")
        stays = wards_of(conn, [key.encounter])[key.encounter]
        policy = policies.of(ward_during(stays, key.at_us - 1, key.at_us), metric)
        if policy is None or isinstance(policy.when, Each):
            raise VitalwireError(
                f"{metric} is not taken on demand here: give it a [[policy]] in chart.toml that says so"
            )
        asked = Asked(key, key.at_us - policy.window_min * MINUTE_US, key.at_us)
        (window,) = ValueReader(conn).windows([asked])
        chosen = choose(policy, window)
        if not isinstance(chosen, Chosen):
            raise VitalwireError(f"nothing can be taken: {', '.join(dict.fromkeys(gap.reason for gap in chosen))}")
        there = chart_entries.entries_at(conn, [key]).get(key)
        if there is not None and there.entry.now.status is not Status.ENTERED_IN_ERROR:
            raise VitalwireError(f"{metric} has an entry at this time already: {there.entry.entry[:13]}")
        version = chart_versions.next_version(None, chosen, us_of(now))
        assert isinstance(version, Version)
        new = NewVersion(chart_entries.new_entry_id(), key, there.ordinal + 1 if there else 1, version)
        return _write(conn, "chart.take", person, now, new)


def confirm(conn: psycopg.Connection, entry: str, person: Person) -> Kept:
    """Stand behind what an entry says. Raises VitalwireError where there is none, or it is confirmed or withdrawn."""
    with conn.transaction():
        kept, now = chart_entries.find_entry(conn, entry), acts.now(conn)
        version = chart_versions.confirm(kept.entry, NO_ACT, us_of(now))
        new = _of(kept, version)
        return _write(conn, "chart.confirm", person, now, new)


def correct(conn: psycopg.Connection, entry: str, value: float | None, text: str, person: Person) -> Kept:
    """Say that it was otherwise. Raises VitalwireError likewise, for what is not possible, and for no reason."""
    with conn.transaction():
        kept, now = chart_entries.find_entry(conn, entry), acts.now(conn)
        _must_say_why(person)
        version = chart_versions.correct(kept.entry, value, text, person.author.why, NO_ACT, us_of(now))
        new = _of(kept, version)
        return _write(conn, "chart.correct", person, now, new)


def accept(conn: psycopg.Connection, entry: str, person: Person) -> Kept:
    """Put in place of what a person stood behind what is proposed: the device's value, with its sources.

    It is a correction: the act says so. Raises VitalwireError where there is no such entry, or nothing is proposed.
    """
    with conn.transaction():
        kept, now = chart_entries.find_entry(conn, entry), acts.now(conn)
        proposal = chart_proposals.proposals_of(conn, [kept.entry.entry]).get(kept.entry.entry)
        if proposal is None:
            raise VitalwireError("no other value is proposed for it: `vitalwire chart correct` says what it should say")
        if proposal.chosen is None:
            raise VitalwireError("no value of a device stands for it any more: confirm, correct or withdraw it")
        version = chart_versions.accept(kept.entry, proposal.chosen, person.author.why, NO_ACT, us_of(now))
        new = _of(kept, version)
        return _write(conn, "chart.correct", person, now, new)


def withdraw(conn: psycopg.Connection, entry: str, person: Person) -> Kept:
    """It should never have stood there. Raises VitalwireError where there is none, and for no reason."""
    with conn.transaction():
        kept, now = chart_entries.find_entry(conn, entry), acts.now(conn)
        _must_say_why(person)
        version = chart_versions.withdraw(kept.entry, person.author.why, NO_ACT, us_of(now))
        new = _of(kept, version)
        return _write(conn, "chart.withdraw", person, now, new)


def _must_say_why(person: Person) -> None:
    if not person.author.why.strip():
        raise VitalwireError("say why: --why 'cuff too small'")


def _of(kept: Kept, version: Version) -> NewVersion:
    return NewVersion(kept.entry.entry, kept.entry.key, kept.ordinal, version)


def _said(new: NewVersion, person: Person) -> dict[str, Any]:
    """What the act says of the version: `verify` holds the row against it."""
    said = new.version
    details: dict[str, Any] = {} if person.is_licensed else {chart_persons.PENDING: True}
    details |= {
        "entry": new.entry,
        "version": said.number,
        "encounter": new.key.encounter,
        "item": new.key.item,
        "slot_us": new.key.at_us,
        "status": said.status.value,
        "unit": said.unit,
        "by_name": person.name,
    }
    return details | ({"text": said.text} if said.value is None else {"value": said.value})


def _write(conn: psycopg.Connection, kind: str, person: Person, at: datetime, new: NewVersion) -> Kept:
    if not person.is_licensed and new.version.status is not Status.ENTERED_IN_ERROR:
        new = replace(new, version=structs.replace(new.version, status=Status.PRELIMINARY))
    act_id = acts.record(conn, acts.act(kind, person.author, at, **_said(new, person)))
    signed = replace(new, version=structs.replace(new.version, act_id=act_id))
    try:
        chart_entries.append(conn, [signed])
    except (psycopg.errors.UniqueViolation, psycopg.errors.IntegrityConstraintViolation):
        raise VitalwireError("it was changed a moment ago: look at it again, then decide") from None
    return chart_entries.entry_with_id(conn, UUID(new.entry))
