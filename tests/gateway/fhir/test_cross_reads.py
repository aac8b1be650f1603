"""F38: nobody reads of a stay over the API what is not his, by whatever door; each cell from a table written by hand.

Of one stay on the ward h^icu, of each type of resource, for each role in each place. What may not be seen answers byte
by byte as what never was, a search of it as one of nobody, and a cursor that somebody else was given finds nothing. The
cells are asked in this process, over one connection; who is signed in, and as whom, is asked of the whole gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from emr_store import acts
from emr_store.connect import open_store
from gateway.access.decision import Decision
from gateway.access.words import Action, Relation, Role
from gateway.asking import Asking
from gateway.fhir.routes import ANSWERING, fhir_routes
from gateway.looks import Looks, Seen
from gateway.people.viewers import viewer_of_staff
from runtime.clock import now_us
from tests.adt import key
from tests.conftest import Databases, address_of
from tests.gateway.chart_ward import DEVICE, ENCOUNTER, MINUTE_US, NUMBER, ChartWard, a_day, said
from tests.gateway.fhir.asking import Answer, Api, serving
from tests.gateway.fhir.test_observations import HEART_RATE, PATIENT, STAY
from tests.gateway.signing_in import hire, sign_in

PATIENT_KEY = "00012345^HOSP^MR"
HERE, ELSEWHERE = "h^icu", "h^er"


class Place(StrEnum):
    """Where somebody stands to the stay."""

    OWN = "own"  # it is on his ward
    ELSEWHERE = "elsewhere"
    CONSULTED = "consulted"  # elsewhere, with a grant that holds
    ENDED = "ended"  # elsewhere, with a grant that was over a minute ago
    RESTRICTED = "restricted"  # elsewhere, and the record is a restricted one
    OWN_RESTRICTED = "own restricted"


# p: Patient, Encounter, Observation (of the chart and of devices), Provenance; d: the Device; l: the Location.
_CARES = {
    Place.OWN: "pdl", Place.ELSEWHERE: "l", Place.CONSULTED: "pdl", Place.ENDED: "l", Place.RESTRICTED: "l",
    Place.OWN_RESTRICTED: "pdl",
}  # fmt: skip
_SEES_NONE = dict.fromkeys(Place, "l")
TABLE: dict[Role, dict[Place, str]] = {
    Role.NURSE: _CARES,
    Role.PHYSICIAN: _CARES,
    Role.TECHNICIAN: _CARES,
    Role.TRAINEE: _CARES,
    Role.BIOMEDICAL_ENGINEER: dict.fromkeys(Place, "dl"),
    Role.RECORD_OFFICE: {
        Place.OWN: "pl", Place.ELSEWHERE: "pl", Place.CONSULTED: "pl", Place.ENDED: "pl", Place.RESTRICTED: "l",
        Place.OWN_RESTRICTED: "pl",
    },
    Role.AUDITOR: _SEES_NONE,
    Role.SECOND_AUDITOR: _SEES_NONE,
    Role.ADMINISTRATOR: _SEES_NONE,
    Role.STATION_DISPLAY: {place: "dl" if place in (Place.OWN, Place.OWN_RESTRICTED) else "l" for place in Place},
    Role.MACHINE: {
        Place.OWN: "pdl", Place.ELSEWHERE: "pdl", Place.CONSULTED: "pdl", Place.ENDED: "pdl", Place.RESTRICTED: "dl",
        Place.OWN_RESTRICTED: "pdl",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Stay:
    """What there is of it, by the letter of TABLE: addresses that read one resource, and searches that find some."""

    api: Api
    address: str
    reads: dict[str, list[str]]
    searches: dict[str, list[str]]
    cursors: list[str]  # as a physician of the ward was given them


@pytest.fixture(scope="module")
def stay(databases: Databases) -> Iterator[Stay]:
    name = databases.make_migrated()
    address = address_of(databases.server, name)
    day = a_day(address)
    day.emit([said(day.since_us + minute * MINUTE_US, {"MDC_CONC_AWAY_CO2_ET": "38"}) for minute in (6, 7)])
    day.hospital.attribute()
    with open_store(address) as conn:
        conn.execute("INSERT INTO bed_name VALUES (%s, 'ICU-1') ON CONFLICT DO NOTHING", (key("1"),))
    with serving(address) as api:
        yield stay_of(day, api, address)
    databases.end(name)


def stay_of(day: ChartWard, api: Api, address: str) -> Stay:
    entry, panel = day.at(HEART_RATE, 1).entry, None
    (location,) = (e["location"][0]["location"]["reference"] for e in api.search("Encounter", _id=STAY).resources)
    values = api.search("Observation", ("_tag", "device"), patient=PATIENT).resources
    assert values
    for found in api.search("Observation", patient=PATIENT, code="85354-9").resources:
        panel = found["id"]
    value, source = values[0]["id"], values[0]["identifier"][0]
    provenance = api.search("Provenance", target=f"Observation/{entry}").resources[0]["id"]
    reads = {
        "p": [
            f"Patient/{PATIENT}", f"Encounter/{STAY}", f"Observation/{entry}", f"Observation/{entry}/_history/1",
            f"Observation/{panel}", f"Observation/{panel}/_history/2", f"Observation/{value}",
            f"Observation/{value}/_history/1", f"Provenance/{provenance}",
        ],
        "d": [f"Device/{DEVICE}"],
        "l": [location],
    }  # fmt: skip
    searches = {
        "p": [
            f"Patient?_id={PATIENT}", f"Patient?identifier={NUMBER}", f"Encounter?_id={STAY}",
            f"Encounter?patient={PATIENT}", "Encounter?identifier=V1",
            f"Encounter?location={location.partition('/')[2]}",
            f"Observation?patient={PATIENT}&_total=accurate&_count=2",
            f"Observation?encounter={STAY}&_sort=-date&_count=2",
            f"Observation?device={DEVICE}&_count=2", f"Observation?_id={entry},{panel},{value}",
            f"Observation?identifier={entry}", "Observation?_lastUpdated=gt2020-01-01&_count=2",
            f"Observation?_tag=device&patient={PATIENT}&_count=2", f"Observation?_tag=device&device={DEVICE}",
            f"Observation?_tag=device&identifier={source['value']}", f"Provenance?target=Observation/{entry}",
            f"Provenance?_id={provenance}",
        ],
        "d": [f"Device?_id={DEVICE}", f"Device?identifier={DEVICE}"],
        "l": [f"Location?_id={location.partition('/')[2]}"],
    }  # fmt: skip
    cursors = []
    for paged in (f"Observation?patient={PATIENT}&_count=1", "Observation?_lastUpdated=gt2020-01-01&_count=1",
                  f"Observation?_tag=device&patient={PATIENT}&_count=1"):  # fmt: skip
        following = api.get(paged).next
        assert following
        cursors.append(following)
    return Stay(api, address, reads, searches, cursors)


class Unnoted(Asking):
    """Looks are told by the whole gateway, below: here each would be a connection."""

    def note(self, action: Action, decision: Decision, seen: Seen) -> None:
        assert decision.is_allowed
        assert seen.page == "fhir"


class Door:
    """The API as one viewer of this store asks it."""

    def __init__(self, address: str) -> None:
        self.conn, self._looks = open_store(address), Looks(address)
        self.staff = ""

        @contextmanager
        def connect() -> Iterator[Any]:
            yield self.conn

        app = Starlette(routes=list(fhir_routes(connect)))

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            viewer = viewer_of_staff(self.conn, self.staff, datetime.now(UTC))
            assert viewer is not None
            scope.setdefault("state", {})["asking"] = Unnoted(viewer, "127.0.0.1", now_us(), self._looks)
            await app(scope, receive, send)

        self._transport = httpx.ASGITransport(app=asked)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        found = asyncio.run(self._asked(method, f"/fhir/{path}", body, headers))
        return Answer(found.status_code, dict(found.headers), found.content)

    async def _asked(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
            return await client.request(method, path, content=body, headers=headers)


@pytest.fixture(scope="module")
def door(stay: Stay) -> Iterator[Door]:
    made = Door(stay.address)
    yield made
    made.conn.close()


def came_in(stay: Stay, role: Role, place: Place) -> str:
    """The number of somebody of this role in this place."""
    staff = f"{role.value}-{place.name}"
    is_own = place in (Place.OWN, Place.OWN_RESTRICTED)
    hire(stay.address, staff, role, [HERE if is_own else ELSEWHERE])
    if place in (Place.CONSULTED, Place.ENDED):
        with open_store(stay.address) as conn, conn.transaction():
            at = acts.now(conn)
            act_id = acts.record(conn, acts.act("grant.give", None, at, staff=staff))
            until = at + timedelta(minutes=60 if place is Place.CONSULTED else -1)
            conn.execute(
                "INSERT INTO access_grant VALUES (gen_random_uuid(), %s, %s, %s, 'D1', 'asked', tstzrange(%s, %s), %s)",
                (Relation.CONSULTED, staff, ENCOUNTER, at - timedelta(hours=1), until, act_id),
            )
    return staff


@pytest.fixture
def restricted(stay: Stay, place: Place) -> Iterator[None]:
    """The record is a restricted one where the place says so."""
    if place not in (Place.RESTRICTED, Place.OWN_RESTRICTED):
        yield
        return
    with open_store(stay.address) as conn:
        with conn.transaction():
            at = acts.now(conn)
            act_id = acts.record(conn, acts.act("record.restrict", None, at, patient=PATIENT_KEY))
            conn.execute(
                "INSERT INTO restricted_record VALUES (%s, tstzrange(%s, NULL), 'VIP', %s)",
                (PATIENT_KEY, at - timedelta(minutes=1), act_id),
            )
        yield
        conn.execute("DELETE FROM restricted_record")


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("role", Role)
def test_nobody_reads_what_is_not_his(stay: Stay, door: Door, role: Role, place: Place) -> None:
    door.staff, opened = came_in(stay, role, place), TABLE[role][place]

    def get(path: str) -> Answer:
        return door.request("GET", path)

    nothing = get("Observation/00000000-0000-7000-8000-000000000000")
    assert nothing.status == 404
    for letter, paths in stay.reads.items():
        for path in paths:
            answer = get(path)
            assert answer.status == (200 if letter in opened else 404), path
            if letter not in opened:
                assert answer.body == nothing.body, path
    for letter, searches in stay.searches.items():
        for search in searches:
            answer = get(search)
            assert answer.status == 200, (search, answer.body)
            assert bool(answer.resources) == (letter in opened), search
            if "_total" in search:
                assert (answer.json["total"] > 0) == (letter in opened), search
    kind, _, query = stay.searches["p"][6].partition("?")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = door.request("POST", f"{kind}/_search", query.encode(), **form)
    assert (posted.status, bool(posted.resources)) == (200, "p" in opened)
    for cursor in stay.cursors:
        answer = get(cursor)
        assert (answer.status, bool(answer.resources)) == (200, "p" in opened), cursor


def test_each_role_place_and_type_stands_in_the_table(stay: Stay) -> None:
    assert set(TABLE) == set(Role)
    assert all(set(cells) == set(Place) for cells in TABLE.values())
    stated = {path.partition("/")[0] for paths in stay.reads.values() for path in paths}
    assert stated == set(ANSWERING)
    assert {s.partition("?")[0] for searches in stay.searches.values() for s in searches} == set(ANSWERING)


@pytest.mark.parametrize("name", ["_include", "_revinclude", "_has", "_contained", "_query", "_filter"])
def test_no_parameter_brings_along_what_a_search_does_not_find(stay: Stay, name: str) -> None:
    for kind in ANSWERING:
        query = urlencode([("_id", "x"), (name, "*")])
        answer = stay.api.get(f"{kind}?{query}")
        assert (answer.status, answer.parameter) == (400, name)


def test_a_history_of_all_versions_is_not_asked_for(stay: Stay) -> None:
    for path in ("_history", "Observation/_history", f"Patient/{PATIENT}/_history", f"Patient/{PATIENT}/$everything",
                 "$export", f"Encounter/{STAY}/Observation"):  # fmt: skip
        assert stay.api.get(path).status == 404, path


def test_who_is_not_signed_in_gets_one_body(stay: Stay) -> None:
    paths = [path for paths in stay.reads.values() for path in paths] + ["Observation/nothing", "Nothing", ""]
    answers = [stay.api.request("GET", path, Cookie="") for path in paths]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}


def test_what_was_read_is_noted(stay: Stay) -> None:
    cookie = sign_in(stay.address, came_in(stay, Role.NURSE, Place.OWN))
    with open_store(stay.address) as conn:
        sql = "SELECT page, encounters, patients, detail FROM look WHERE person = 'nurse-OWN' AND detail LIKE %s"
        stay.api.request("GET", f"Observation?patient={PATIENT}&code=8867-4&_count=1", Cookie=cookie)
        rows = conn.execute(sql, ("%8867-4%",)).fetchall()
    assert rows == [("fhir", [ENCOUNTER], [PATIENT_KEY], "Observation?patient&code=8867-4&_count")]
