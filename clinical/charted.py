"""What an EMR is told of a chart: versions of entries with the patient, the encounter, the place and the device.

Both of the ways out (FHIR, HL7 v2) and the API are made of these; they are put together by emr_store/charted.py. A
version and what it says never change; who the patient is (a merge, a name that is corrected) is as it is known now.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from clinical.chart import Version
from schemas.adt import Identifier

_ID_CHARS = 32  # of a resource's id, in hexadecimal; FHIR R4B allows 64 characters


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A patient. Names are as the admission office sent them, "" where none is known."""

    key: str  # value^authority^type (clinical/identity.py), the survivor of merges
    identifiers: tuple[Identifier, ...]  # the patient's own number first
    family: str
    given: str
    name: str  # as one text
    birth_date: str  # YYYY-MM-DD, or less of it; "" unknown
    sex: str  # PID-8 as sent
    erased: bool = False  # by an act: the names are gone, and nothing of it leaves the house


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A bed: facility^ward^room^bed, each part normalised (clinical/beds.py), and what the site calls it."""

    key: str
    name: str
    as_sent: str = ""  # ward^room^bed^facility as the admission office wrote it; "" where no message of it is kept


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """An encounter. Instants are microseconds since 1970 UTC; None: not known, or not over."""

    key: str  # clinical/identity.py: encounter_key
    patient_class: str  # PV1-2 at the time of the entry; "" unknown
    admitted_at_us: int | None
    discharged_at_us: int | None


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A device: what it claims to be and what people call it; "" where nothing is known."""

    uuid: str
    claim: str  # as its sender names it: an EUI-64, site:vendor:serial, PV1-3=…
    name: str


class ChartedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an entry. `device` and `place`: at the moment of measurement; None: unknown, or by hand."""

    entry: str  # UUID, its public identity
    ordinal: int  # which entry of its slot: those before were entered in error
    item: str  # a metric's reference id, or a key of clinical/chart_items.py
    slot_us: int  # its end; of `each` the value's own moment
    version: Version
    person: Person | None  # None: nobody knows whose the encounter is (two patients whom no merge made one)
    stay: Stay
    place: Place | None
    device: Instrument | None
    by_name: str = ""  # in whose name a person's act was done
    pending: bool = False  # it waits for a licensed person: nothing outside is told


def resource_id(kind: str, key: str) -> str:
    """The id under which a patient, an encounter, a bed leaves the house: a hash, for keys hold what no id may hold.

    `kind` is the FHIR resource's name. An entry's and a device's id are their UUIDs. In SQL: `resource_id(kind, key)`.
    """
    return sha256(f"{kind}\0{key}".encode()).hexdigest()[:_ID_CHARS]
