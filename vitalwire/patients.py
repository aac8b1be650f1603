"""`vitalwire patients`: who is in which bed, where a patient was, and the erasure of a name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from clinical.person_names import masked_name, whole_name
from emr_store import evidence_words, patient_acts, patients
from emr_store.acts import this_user
from emr_store.patients import ClassRow, InBed
from vitalwire.census import patients_census
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
    with connect(database) as conn:
        found = patients.beds_now(conn, moment, then)
    columns = ("bed", "patient", "name", "encounter", "since", "last ADT")
    listed(json, "Patients", columns, found, lambda p: (
        p.bed, p.patient or "(two patients)", masked(p), p.encounter, p.since, f"{age(p.last_adt_at)} ago"
    ), "nobody is in a bed")  # fmt: skip


def masked(person: InBed) -> str:
    """Of the name, what may be shown on a screen that others see."""
    return masked_name(family=person.family, given=person.given, name=person.name)


@app.command("show")
def patients_show(patient: Patient, believed_at: BelievedAt = "", database: Database = "", json: Json = False) -> None:
    """A patient's encounters and beds, each with the message behind it: vitalwire patients show 0000123."""
    then = instant(believed_at) if believed_at else None
    with connect(database) as conn:
        key = patients.find_patient(conn, patient)
        person = patients.name_of(conn, key)
        encounters = patients.encounters_of(conn, key, then)
        stays = patients.patient_stays(conn, key, then)
        facts = [bytes.fromhex(fact) for stay in stays for fact in (stay.from_fact, stay.until_fact) if fact]
        words = {behind.fact: behind.words for behind in evidence_words.facts_behind(conn, facts)}
    if json:
        as_json({
            "patient": key,
            "person": dict(zip(PERSON, person, strict=True)) if person else None,
            "encounters": [
                each._asdict() | {"classes": [of._asdict() for of in each.classes]} for each in encounters
            ],
            "stays": [each._asdict() | {"because": words[each.from_fact]} for each in stays],
        })  # fmt: skip
        return
    family, given, name, birth_date, sex = person or ("", "", "", "", "")
    shown = whole_name(family=family, given=given, name=name) or "(no name is kept)"
    console.print(cell(f"{key}  {shown}  {birth_date} {sex}".rstrip()), markup=False)
    rows = [(e.encounter, _class_words(e.classes), e.periods, e.absences) for e in encounters]
    table("Encounters", ("encounter", "class", "open", "away"), rows)
    table("Beds", ("bed", "since", "until", "because"), [(s.bed, s.since, s.until, words[s.from_fact]) for s in stays])


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

    Numbers, stays and values stay; a name that comes again is not kept. Sealed batches cannot forget: their bytes go
    with retention, whole.
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
    console.print(cell(sealed_words(erased)), markup=False)


def sealed_words(erased: patient_acts.Erased) -> str:
    """What still holds the name, and until when."""
    if not erased.sealed_batches:
        return "no sealed bytes that hold it are left"
    first, last = erased.sealed_until_dropped_from, erased.sealed_until_dropped_to
    return (
        f"sealed still: {erased.sealed_batches} batches, stored {_day(first)} to {_day(last)}. No command shows what is"
        " in them; their bytes are dropped whole, keep_batches_days after the last of their range was stored (0 in"
        " processors.toml: never)"
    )


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d")
