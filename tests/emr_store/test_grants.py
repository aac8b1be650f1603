"""Grants, broken glass, shifts, supervision and restricted records: their limits, their acts, what they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from emr_store import acts, grants, restricted, roles, staff
from emr_store.acts import Author
from emr_store.connect import open_store, with_role
from emr_store.grants import GrantRefusedError, Refusal
from emr_store.instants import us_of
from emr_store.staff import StaffRow
from gateway.access.targets import stay_target
from gateway.access.words import DataClass, Relation
from gateway.people.viewers import viewer_of_staff
from tests.adt import patient_of, visit_of
from tests.gateway.hospital import admit, open_hospital

STAY, PATIENT = visit_of("V2"), patient_of("P2")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """A stay, and people; as the pages have it."""
    admit(open_hospital(database))
    with open_store(with_role(database, roles.CLERK)) as conn:
        rows = [
            StaffRow("N1", "李娜", "nurse", "here", None, ("hosp^3a",), pool=("hosp^icu", "hosp^3b")),
            StaffRow("D1", "王伟", "physician", "here", None, ("hosp^icu",)),
            StaffRow("T1", "赵敏", "trainee", "none", None, ("hosp^icu",)),
            StaffRow("X1", "old", "nurse", "here"),
        ]
        staff.import_file(conn, rows, b"f" * 32)
        staff.end(conn, "X1", Author("os:a@b", "left"))
        yield conn


def refusal(deed: Callable[[], object]) -> Refusal:
    with pytest.raises(GrantRefusedError) as error:
        deed()
    return error.value.refusal


def in_(conn: psycopg.Connection, span: timedelta) -> datetime:
    return acts.now(conn) + span


def relations(conn: psycopg.Connection, number: str, at: datetime | None = None) -> list[Relation]:
    at = at or acts.now(conn)
    viewer = viewer_of_staff(conn, number, at)
    assert viewer is not None
    return [
        grant.relation for grant in viewer.grants.get(STAY, ()) if grant.from_us <= us_of(at) < grant.until_us
    ]  # fmt: skip


def newest_act(conn: psycopg.Connection) -> tuple[str, str, str, dict[str, object]]:
    act = acts.acts(conn)[-1]
    return act.kind, act.by, act.why, act.details


def test_a_grant_is_a_relation_with_an_end_and_an_act(conn: psycopg.Connection) -> None:
    until = in_(conn, DAY)
    grant = grants.give(conn, "consulted", "N1", STAY, until=until, by="D1", reason=" wound care ")
    assert newest_act(conn) == ("grant.give", "staff:D1", "wound care", {
        "grant": str(grant), "relation": "consulted", "staff": "N1", "encounter": STAY, "until": until.isoformat(),
    })  # fmt: skip
    assert relations(conn, "N1") == [Relation.CONSULTED]
    assert relations(conn, "N1", until) == []
    (row,) = grants.of_encounter(conn, STAY)
    assert (row.grant, row.name, row.by, row.reason, row.until, row.ended_at) == (
        grant, "李娜", "D1", "wound care", until, None,
    )  # fmt: skip
    assert grants.of_staff(conn, "N1", acts.now(conn)) == [row]
    grants.end(conn, grant, by="D1", reason="done")
    assert newest_act(conn) == ("grant.end", "staff:D1", "done", {"grant": str(grant)})
    assert relations(conn, "N1") == []
    assert grants.of_staff(conn, "N1", acts.now(conn)) == []
    assert grants.of_encounter(conn, STAY)[0].ended_at is not None
    assert refusal(lambda: grants.end(conn, grant, by="D1", reason="again")) is Refusal.ENDED_ALREADY
    assert refusal(lambda: grants.end(conn, uuid4(), by="D1", reason="x")) is Refusal.NOT_THERE


@pytest.mark.parametrize(("changed", "expected"), [
    ({"relation": "break_glass"}, Refusal.NO_RELATION),
    ({"relation": "own_ward"}, Refusal.NO_RELATION),
    ({"staff": "D1"}, Refusal.TO_ONESELF),
    ({"staff": "X1"}, Refusal.NO_STAFF),
    ({"staff": "9"}, Refusal.NO_STAFF),
    ({"encounter": "V9"}, Refusal.NOT_THERE),
    ({"reason": " "}, Refusal.NO_REASON),
    ({"reason": "x" * 501}, Refusal.REASON_TOO_LONG),
    ({"span": timedelta(0)}, Refusal.ENDS_TOO_EARLY),
    ({"span": timedelta(days=31, minutes=1)}, Refusal.ENDS_TOO_LATE),
])  # fmt: skip
def test_a_grant_beyond_its_limits_is_none(
    conn: psycopg.Connection, changed: dict[str, object], expected: Refusal
) -> None:
    given: dict[str, object] = {
        "relation": "team", "staff": "N1", "encounter": STAY, "reason": "x" * 500, "span": timedelta(days=31)
    }  # fmt: skip

    def give(relation: str, staff: str, encounter: str, reason: str, span: timedelta) -> UUID:
        return grants.give(conn, relation, staff, encounter, until=in_(conn, span), by="D1", reason=reason)

    before = len(acts.acts(conn))
    assert refusal(lambda: give(**(given | changed))) is expected  # type: ignore[arg-type]
    assert len(acts.acts(conn)) == before
    give(**given)  # type: ignore[arg-type]


def test_broken_glass_is_the_auditor_s_review_at_once(conn: psycopg.Connection) -> None:
    until = in_(conn, 8 * HOUR)
    grant = grants.break_glass(conn, "N1", STAY, until=until, reason="resuscitation next door")
    assert newest_act(conn) == ("glass.break", "staff:N1", "resuscitation next door", {
        "grant": str(grant), "relation": "break_glass", "staff": "N1", "encounter": STAY, "until": until.isoformat(),
    })  # fmt: skip
    assert relations(conn, "N1") == [Relation.BREAK_GLASS]
    reviews = conn.execute("SELECT kind, person, role, patient, encounter, look, detail FROM review").fetchall()
    assert reviews == [("break_glass", "N1", "nurse", PATIENT, STAY, None, "resuscitation next door")]

    def refused(span: timedelta, reason: str) -> Refusal:
        ends = in_(conn, span)
        return refusal(lambda: grants.break_glass(conn, "N1", STAY, until=ends, reason=reason))

    assert refused(8 * HOUR + timedelta(minutes=1), "x") is Refusal.ENDS_TOO_LATE
    assert refused(-HOUR, "x") is Refusal.ENDS_TOO_EARLY
    assert refused(HOUR, "") is Refusal.NO_REASON
    assert refused(HOUR, "x" * 501) is Refusal.REASON_TOO_LONG
    assert conn.execute("SELECT count(*) FROM review").fetchone() == (1,)


def test_a_floating_nurse_declares_her_ward_within_her_pool(conn: psycopg.Connection) -> None:
    def wards() -> frozenset[str]:
        viewer = viewer_of_staff(conn, "N1", acts.now(conn))
        assert viewer is not None
        return viewer.wards

    assert wards() == {"hosp^3a"}
    until = in_(conn, 16 * HOUR)
    assert refusal(lambda: grants.declare_ward(conn, "N1", "hosp^4c", until=until)) is Refusal.NOT_IN_POOL
    assert refusal(lambda: grants.declare_ward(conn, "D1", "hosp^3a", until=until)) is Refusal.NOT_IN_POOL
    late = until + timedelta(minutes=1)
    assert refusal(lambda: grants.declare_ward(conn, "N1", "hosp^icu", until=late)) is Refusal.ENDS_TOO_LATE
    assert refusal(lambda: grants.declare_ward(conn, "X1", "hosp^icu", until=until)) is Refusal.NO_STAFF
    grants.declare_ward(conn, "N1", "hosp^icu", until=until)
    assert newest_act(conn) == (
        "ward.declare", "staff:N1", "", {"staff": "N1", "ward": "hosp^icu", "until": until.isoformat()}
    )  # fmt: skip
    assert wards() == {"hosp^icu"}
    assert [(shift.ward, shift.until) for shift in grants.shifts_of(conn, "N1", acts.now(conn))] == [
        ("hosp^icu", until)
    ]  # fmt: skip
    assert grants.pool_of(conn, "N1") == ["hosp^3a", "hosp^3b", "hosp^icu"]


def test_a_licensed_person_answers_for_a_trainee(conn: psycopg.Connection) -> None:
    until = in_(conn, DAY)
    grants.supervise(conn, "D1", "T1", until=until, author=Author("os:a@b"))
    assert newest_act(conn) == (
        "supervision.give", "os:a@b", "", {"supervisor": "D1", "trainee": "T1", "until": until.isoformat()}
    )  # fmt: skip
    viewer = viewer_of_staff(conn, "D1", acts.now(conn))
    assert viewer is not None
    assert viewer.trainees == {"T1"}
    assert [(each.staff, each.name, each.until) for each in grants.trainees_of(conn, "D1", acts.now(conn))] == [
        ("T1", "赵敏", until)
    ]  # fmt: skip

    def refused(supervisor: str, trainee: str) -> Refusal:
        author = Author("os:a@b")
        return refusal(lambda: grants.supervise(conn, supervisor, trainee, until=until, author=author))

    assert refused("D1", "N1") is Refusal.NO_TRAINEE
    assert refused("T1", "N1") is Refusal.NO_LICENCE
    assert refused("D1", "D1") is Refusal.TO_ONESELF
    assert refused("D1", "X1") is Refusal.NO_STAFF


def test_a_restricted_record_is_one_until_it_is_lifted(conn: psycopg.Connection) -> None:
    def is_restricted() -> bool:
        target = stay_target(conn, DataClass.IDENTITY, STAY, us_of(acts.now(conn)))
        assert target is not None
        return target.restricted

    assert not is_restricted()
    assert refusal(lambda: restricted.lift(conn, PATIENT, by="R1", reason="x")) is Refusal.NOT_RESTRICTED
    restricted.restrict(conn, PATIENT, by="R1", reason="staff")
    assert newest_act(conn) == ("record.restrict", "staff:R1", "staff", {"patient": PATIENT})
    assert is_restricted()
    assert refusal(lambda: restricted.restrict(conn, PATIENT, by="R1", reason="x")) is Refusal.RESTRICTED_ALREADY
    restricted.lift(conn, PATIENT, by="R1", reason="left")
    assert newest_act(conn) == ("record.lift", "staff:R1", "left", {"patient": PATIENT})
    assert not is_restricted()
    restricted.restrict(conn, PATIENT, by="R1", reason="back")
    assert is_restricted()
    assert refusal(lambda: restricted.restrict(conn, "P9^HOSP", by="R1", reason="x")) is Refusal.NOT_THERE
    assert refusal(lambda: restricted.restrict(conn, PATIENT, by="R1", reason="")) is Refusal.NO_REASON
