"""`vitalwire patients`: who is in which bed, where a patient was, and the erasure of a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from clinical.key_words import bed_words, visit_number
from clinical.person_names import masked_name, whole_name
from emr_store import patient_acts, patients
from emr_store.acts import this_user
from emr_store.patient_acts import Sealed
from emr_store.patients import ClassRow, InBed, Span
from gateway.command_reading import BEDS, PATIENT, BedsShown, PatientShown, read_beds, read_patient
from vitalwire.census import patients_census
from vitalwire.gateway_client import gateway_or_database
from vitalwire.output import age, as_json, cell, console, listed, table
from vitalwire.record import Database, Json, connect
from vitalwire.temporary_patients import patients_link, patients_temporary
from vitalwire.undone import patients_undo, patients_unlink
from vitalwire.whose import BelievedAt, instant

app = typer.Typer(help="Who is where, by the messages of admission offices.", no_args_is_help=True)
app.command("census")(patients_census)
app.command("temporary")(patients_temporary)
app.command("link")(patients_link)
app.command("unlink")(patients_unlink)
app.command("undo")(patients_undo)
Patient = Annotated[str, typer.Argument(help="a number of the patient or of a visit, or its key in `patients list`")]

PERSON = ("family", "given", "name", "birth_date", "sex")


@app.command("list")
def patients_list(
    at: Annotated[str, typer.Option(help="who was there at this instant; else who is there now")] = "",
    believed_at: BelievedAt = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Who is in which bed; names are shown in part: vitalwire patients list."""
    moment, then = (instant(text) if text else None for text in (at, believed_at))
    gateway = gateway_or_database(database)
    if gateway is not None:
        shown = gateway.get(BEDS, BedsShown, {"at": moment, "believed_at": then})
    else:
        with connect(database) as conn:
            shown = read_beds(conn, moment, then)
    found, names = shown.beds, shown.names
    columns = ("bed", "patient", "name", "visit", "since", "last ADT")
    listed(json, "Patients", columns, found, lambda p: (
        bed_words(p.bed, names), p.patient or "(two patients)", masked(p), visit_number(p.encounter), p.since,
        f"{age(p.last_adt_at)} ago",
    ), "nobody is in a bed")  # fmt: skip


def masked(person: InBed) -> str:
    """Of the name, what may be shown on a screen that others see."""
    return masked_name(family=person.family, given=person.given, name=person.name)


@app.command("show")
def patients_show(patient: Patient, believed_at: BelievedAt = "", database: Database = "", json: Json = False) -> None:
    """A patient's encounters and beds, each with the message behind it: vitalwire patients show 0000123."""
    then = instant(believed_at) if believed_at else None
    gateway = gateway_or_database(database)
    if gateway is not None:
        found = gateway.get(PATIENT, PatientShown, {"patient": patient, "believed_at": then})
    else:
        with connect(database) as conn:
            found = read_patient(conn, patients.find_patient(conn, patient), then, None)
    if json:
        as_json(_plain(found))
        return
    family, given, name, birth_date, sex = found.person or ("", "", "", "", "")
    shown = whole_name(family=family, given=given, name=name) or "(no name is kept)"
    console.print(cell(f"{found.patient}  {shown}  {birth_date} {sex}".rstrip()), markup=False)
    rows = [
        (visit_number(e.encounter), _class_words(e.classes), _spans(e.periods), _spans(e.absences))
        for e in found.encounters
    ]
    table("Visits", ("visit", "class", "open", "away"), rows)
    beds = [(bed_words(s.bed, found.names), s.since, s.until, found.words[s.from_fact]) for s in found.stays]
    table("Beds", ("bed", "since", "until", "because"), beds)


def _plain(found: PatientShown) -> dict[str, Any]:
    return {
        "patient": found.patient,
        "person": dict(zip(PERSON, found.person, strict=True)) if found.person else None,
        "encounters": [
            each._asdict()
            | {name: [of._asdict() for of in getattr(each, name)] for name in ("periods", "absences", "classes")}
            for each in found.encounters
        ],
        "stays": [each._asdict() | {"because": found.words[each.from_fact]} for each in found.stays],
    }


def _spans(spans: Sequence[Span]) -> str:
    """As a row of a table has them."""
    return "; ".join(f"{cell(each.since)} to {cell(each.until) if each.until else 'now'}" for each in spans)


def _class_words(classes: list[ClassRow]) -> str:
    """PV1-2 as sent, with the time from which on it held."""
    return "; ".join(f"{each.patient_class} since {cell(each.since)}" for each in classes)


@app.command("erase")
def patients_erase(
    patient: Patient,
    why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    database: Database = "",
    json: Json = False,
) -> None:
    """Take a patient's name out of all that can be read: vitalwire patients erase 0000123 --why 'asked on 24 Nov'.

    Numbers, stays and values stay; a name that comes again is not kept. Sealed bytes cannot forget: they go with
    retention.
    """
    with connect(database) as conn:
        erased = patient_acts.erase(conn, patients.find_patient(conn, patient), author=this_user(why))
    if json:
        as_json(erased)
        return
    console.print(
        cell(f"erased: the name of {', '.join(erased.patients)}, out of {erased.persons} entries"
             f" and {erased.reports} reports"), markup=False,
    )  # fmt: skip
    for line in sealed_words(erased):
        console.print(cell(line), markup=False)


def sealed_words(erased: patient_acts.Erased) -> list[str]:
    """What still holds the name, or may, and until when."""
    lines = [
        f"{words}, stored {_day(kept.stored_from)} to {_day(kept.stored_to)}; {_until(kept, erased.keep_days)}"
        for words, kept in (
            (f"sealed still: {erased.sealed.messages} batches that hold it", erased.sealed),
            (
                f"it may lie in {erased.unread.messages} more batches of admission offices: rejected frames and"
                " messages that were kept whole",
                erased.unread,
            ),
            (
                f"it may lie in {erased.dead_letters.messages} messages that could not be validated (`vitalwire dead"
                " list`)",
                erased.dead_letters,
            ),
        )
        if kept.messages
    ]
    return lines or ["no sealed bytes that hold it are left"]


def _until(kept: Sealed, keep_days: int | None) -> str:
    gone_by = kept.gone_by(keep_days)
    if gone_by is not None:
        return f"their bytes are dropped by {_day(gone_by)} (keep_adt_batches_days = {keep_days})"
    if kept.held:
        return "a legal hold keeps their bytes until it is released (`vitalwire hold list`)"
    if keep_days is None:
        return "for how long no processors have said yet: keep_adt_batches_days of their configuration"
    return "their bytes are kept for ever: set keep_adt_batches_days in processors.toml"


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d")
