"""Who may see what, in a hospital of 10,000 people and 5,000 patients: single decisions, and the set of stays.

The set is asked of a store of its own, with all earlier stays of the patients, and read whole: as a page that lists
them has it. Questions that join it read less.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from urllib.parse import urlsplit

import numpy as np
import psycopg

from benchmarks.databases import drop_database
from emr_store import acts
from emr_store.connect import open_store
from emr_store.instants import moment, us_of
from emr_store.migrate import migrate
from emr_store.visible_stays import visible_stays
from gateway.access.decision import may
from gateway.access.sight import sight_of
from gateway.access.viewer import Grant, Licence, Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role

PEOPLE, PATIENTS = 10_000, 5_000
BEDS_A_WARD = 40
EARLIER_STAYS = 4  # of each patient
RESTRICTED_SHARE = 0.02
DECISIONS, DECISIONS_QUICK = 1_000_000, 200_000
SETS, SETS_QUICK = 500, 100
HOUR_US = 3_600_000_000
# Of a hundred people.
STAFF = {
    Role.NURSE: 52, Role.PHYSICIAN: 24, Role.TECHNICIAN: 9, Role.TRAINEE: 9, Role.BIOMEDICAL_ENGINEER: 1,
    Role.RECORD_OFFICE: 1, Role.AUDITOR: 1, Role.ADMINISTRATOR: 1, Role.STATION_DISPLAY: 1, Role.MACHINE: 1,
}  # fmt: skip
ASKED = (
    (Action.SEE, DataClass.VITALS), (Action.SEE, DataClass.IDENTITY), (Action.SEE, DataClass.CHART),
    (Action.CONFIRM, DataClass.CHART), (Action.PRINT, DataClass.CHART), (Action.RESOLVE, DataClass.WORKLIST),
)  # fmt: skip


@dataclass(frozen=True)
class Hospital:
    """Its people, and its patients by number: each lies in a bed of a ward."""

    people: Sequence[Viewer]
    patients: int

    @property
    def wards(self) -> int:
        """Full ones."""
        return max(1, self.patients // BEDS_A_WARD)


def measure(quick: bool) -> dict[str, float]:
    """Both figures, the second one on a database of its own."""
    server = os.environ["VITALWIRE_DATABASE"]
    name = f"bench_{uuid.uuid4().hex[:8]}"
    hospital = make_hospital(PEOPLE, PATIENTS, us_of(_now()))
    figures = {"may_decisions_per_s": decisions_per_s(hospital, DECISIONS_QUICK if quick else DECISIONS)}
    try:
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}".encode())
        database = urlsplit(server)._replace(path=f"/{name}").geturl()
        migrate(database)
        return figures | measure_sets(database, hospital, SETS_QUICK if quick else SETS)
    finally:
        drop_database(server, name)


def make_hospital(people: int, patients: int, at_us: int) -> Hospital:
    """Each of the staff with a ward or two, and with grants to up to three stays elsewhere, one of which has ended."""
    random = Random(1)
    hospital = Hospital([], patients)
    roles = random.choices(list(STAFF), list(STAFF.values()), k=people)
    return Hospital([_person(hospital, role, number, at_us, random) for number, role in enumerate(roles)], patients)


def _person(hospital: Hospital, role: Role, number: int, at_us: int, random: Random) -> Viewer:
    granted = [encounter_key(random.randrange(hospital.patients)) for _ in range(random.randrange(4))]
    return Viewer(
        f"{number:05}",
        "",
        role,
        licence=Licence.NONE if role is Role.TRAINEE else Licence.HERE,
        wards=frozenset(ward_key(random.randrange(hospital.wards)) for _ in range(random.choice((1, 1, 1, 2)))),
        grants={
            key: (Grant(Relation.CONSULTED, at_us - HOUR_US, at_us + HOUR_US * (1 if turn else 0)),)
            for turn, key in enumerate(granted)
        },
    )


def ward_key(ward: int) -> str:
    """As clinical/wards.py has it."""
    return f"H^W{ward}"


def encounter_key(patient: int) -> str:
    """Of the stay that goes on."""
    return f"visit:{patient:08}^H"


def patient_key(patient: int) -> str:
    """Of its number."""
    return f"{patient:08}^H^MR"


def _is_restricted(patient: int) -> bool:
    return patient % round(1 / RESTRICTED_SHARE) == 0


# --- single decisions ------------------------------------------------------------------------------------------------


def decisions_per_s(hospital: Hospital, decisions: int) -> float:
    """On one core; half of them about a patient of the own ward. Raises RuntimeError where some answer never comes."""
    random = Random(2)
    at_us = us_of(_now())
    asked = [(random.choice(hospital.people), *_question(hospital, random)) for _ in range(min(decisions, 100_000))]
    asked = [
        (viewer, action, target if turn % 2 else _on_own_ward(viewer, target))
        for turn, (viewer, action, target) in enumerate(asked)
    ]
    answers = {may(viewer, action, target, at_us).answer for viewer, action, target in asked}
    if answers != set(Answer):
        raise RuntimeError(f"only {sorted(answers)} is ever answered")
    rounds = max(1, decisions // len(asked))
    began_s = time.process_time()
    for _ in range(rounds):
        for viewer, action, target in asked:
            may(viewer, action, target, at_us)
    return rounds * len(asked) / (time.process_time() - began_s)


def _question(hospital: Hospital, random: Random) -> tuple[Action, Target]:
    action, data_class = random.choice(ASKED)
    patient = random.randrange(hospital.patients)
    ward = ward_key(patient % hospital.wards)
    return action, Target(data_class, encounter_key(patient), frozenset({ward}), _is_restricted(patient))


def _on_own_ward(viewer: Viewer, target: Target) -> Target:
    return Target(target.data_class, target.encounter, viewer.wards, target.restricted)


# --- the set of stays ------------------------------------------------------------------------------------------------


def measure_sets(database: str, hospital: Hospital, sets: int) -> dict[str, float]:
    """The 95th percentile for those who have some stays, and for those to whom each one is open.

    Raises RuntimeError where a set is not as large as the wards make it.
    """
    random = Random(3)
    at = _now()
    with open_store(database) as conn:
        put_stays(conn, hospital, at)
        asked = [(viewer, sight_of(viewer, Action.SEE, DataClass.IDENTITY, us_of(at))) for viewer in hospital.people]
        some = [sight for _, sight in asked if not sight.everything and sight.wards]
        every = [sight for _, sight in asked if sight.everything]
        some_ms, everything_ms = [], []
        for _ in range(sets):
            sight = random.choice(some)
            began_s = time.perf_counter()
            found = visible_stays(conn, sight)
            some_ms.append((time.perf_counter() - began_s) * 1000)
            expected = _stays_of(hospital, sight.wards) | sight.encounters
            if found.keys() != expected:
                raise RuntimeError(f"{len(found)} stays of {sight.wards}, not {len(expected)}")
        for _ in range(max(5, sets // 10)):
            began_s = time.perf_counter()
            found = visible_stays(conn, random.choice(every))
            everything_ms.append((time.perf_counter() - began_s) * 1000)
            if len(found) < hospital.patients * (1 - 2 * RESTRICTED_SHARE) * (1 + EARLIER_STAYS):
                raise RuntimeError(f"{len(found)} stays are all that are open")
    return {
        "visible_set_ms": float(np.percentile(some_ms, 95)),
        "visible_set_everything_ms": float(np.percentile(everything_ms, 95)),
    }


def _stays_of(hospital: Hospital, wards: frozenset[str]) -> set[str]:
    return {
        encounter_key(patient)
        for patient in range(hospital.patients)
        if ward_key(patient % hospital.wards) in wards
    }  # fmt: skip


def put_stays(conn: psycopg.Connection, hospital: Hospital, at: datetime) -> None:
    """Each patient in a bed since some day, and in another ward's beds in the years before; some are restricted."""
    with conn.transaction():
        encounters, beds = [], []
        for patient in range(hospital.patients):
            for turn in range(EARLIER_STAYS + 1):
                encounter = f"visit:{patient:08}-{turn}^H" if turn else encounter_key(patient)
                since = at - timedelta(days=3 + 200 * turn)
                until = since + timedelta(days=9) if turn else None
                encounters.append((encounter, patient_key(patient), since))
                ward = (patient + turn * 7) % hospital.wards
                beds.append((encounter, f"{ward_key(ward)}^^{patient}", until, since))
        with conn.cursor() as cursor:
            cursor.executemany(_ENCOUNTER_SQL, encounters)
            cursor.executemany(_BED_SQL, beds)
        restricted = [patient_key(patient) for patient in range(hospital.patients) if _is_restricted(patient)]
        act_id = acts.record(conn, acts.act("record.restrict", None, at, patients=len(restricted)))
        conn.execute(_RESTRICTED_SQL, {"patients": restricted, "since": at - timedelta(days=1), "act_id": act_id})
    conn.execute("ANALYZE encounter, encounter_bed, restricted_record")


_ENCOUNTER_SQL = """
INSERT INTO encounter SELECT %s, p, ARRAY[p], '{}', '{}', NULL, NULL, '', tstzrange(s, NULL)
FROM (VALUES (%s::text, %s::timestamptz)) AS u(p, s)
"""
_BED_SQL = """
INSERT INTO encounter_bed SELECT %s, %s, tstzrange(s, %s::timestamptz), tstzrange(s, NULL), sha256('bench'), NULL, false
FROM (VALUES (%s::timestamptz)) AS u(s)
"""
_RESTRICTED_SQL = """
INSERT INTO restricted_record
SELECT p, tstzrange(%(since)s, NULL), 'staff', %(act_id)s FROM unnest(%(patients)s::text[]) AS u(p)
"""


def _now() -> datetime:
    return moment(time.time_ns() // 1000)
