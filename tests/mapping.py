"""A ward that sends things without a standard code, and mapping acts over what is stored of them."""

from __future__ import annotations

import json

from emr_store import mapping_acts
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.revalidation import Revalidation
from schemas.report import AsSent, Kind, Record, RecordKind, Report
from stream_processors.mapping import remap
from stream_processors.validation import validate_stored
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import NOW_US
from tests.verifying import FIRST, SECOND_US, Ward

HR, TEMP = "MDC_ECG_HEART_RATE", "MDC_TEMP"
HR_CODE, BPM, TEMP_CODE, CELSIUS = 147842, 264864, 150344, 268192
HR_ROW = {"metric": HR, "code": "101", "unit": "MDC_DIM_BEAT_PER_MIN"}
TEMP_ROW = {"metric": TEMP, "code": "t1", "text": "Temp", "decimal_comma": True}
MINUTE_US = 60 * SECOND_US


def unmapped(claim: str = FIRST, at_us: int = T0_US, hr: int = 72, temp: str = "36,5") -> Report:
    """A number that has a code, one that has none, and a text that is a number for who knows the sender."""
    records = (
        Record(SPO2, PERCENT, mantissa=97),
        Record(mantissa=hr, as_sent=AsSent("99X", "101^HR")),
        Record(kind=RecordKind.TEXT, text=temp, as_sent=AsSent("99X", "t1^Temp", "Cel")),
    )
    return report(claim, at_us, records)


def event_of_the_same_words(at_us: int = T0_US) -> Report:
    """What no mapping act is about: an event under the same words."""
    return report(FIRST, at_us, [Record(kind=RecordKind.TEXT, text="72", as_sent=AsSent("99X", "101^HR"))], Kind.EVENT)


def minute_of(ward: Ward, minute: int, *claims: str) -> None:
    """Six reports of each device in a batch."""
    first_us = (T0_US // MINUTE_US + minute) * MINUTE_US
    ward.emit(*(unmapped(claim, first_us + at * 10 * SECOND_US, 70 + at) for at in range(6) for claim in claims))


def act(ward: Ward, *rows: dict[str, object], why: str = "not listed", **scope: object) -> str:
    """Record a mapping act."""
    details = {"rows": list(rows), "since_us": None, "until_us": None, "device": None} | scope
    with open_store(ward.address) as conn:
        return mapping_acts.record(conn, json.loads(json.dumps(details)), Author("os:ann@ward", why))


def work(ward: Ward) -> int:
    """What the processors do; how many acts were done."""
    with open_store(ward.address) as conn:
        working = Revalidation(
            conn, key=ward.platform, remap=remap, revalidate=validate_stored, clock_us=lambda: NOW_US + SECOND_US
        )
        done = 0
        while working.work():
            done += 1
        return done
