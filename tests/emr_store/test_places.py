"""Where devices stand, by the moment of measurement; and through which edges they are believed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from emr_store import acts, places, registry
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.migrate import migrate
from schemas.errors import VitalwireError
from schemas.report import device_id

AUTHOR = Author("os:nurse@ward", "the old one is broken")
EDGE, OTHER = UUID(bytes=b"E" * 16), UUID(bytes=b"O" * 16)
T0 = datetime(2026, 9, 1, 8, tzinfo=UTC)


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    migrate(database)
    with open_store(database) as conn:
        heard(conn, "a/1")
        yield conn


def heard(conn: psycopg.Connection, claim: str, edge: UUID = EDGE) -> int:
    """A device that has spoken through this edge; its number in the store."""
    row = conn.execute(
        "INSERT INTO device (uuid, claim, edge) VALUES (%s, %s, %s) RETURNING device", (device_id(claim), claim, edge)
    ).fetchone()
    assert row is not None
    number: int = row[0]
    return number


def bed_at(conn: psycopg.Connection, device: int, moment: datetime) -> str | None:
    row = conn.execute(
        "SELECT bed FROM device_bed_believed WHERE device = %s AND valid @> %s", (device, moment)
    ).fetchone()
    return row and row[0]


def kinds(conn: psycopg.Connection) -> list[str]:
    return [act.kind for act in acts.acts(conn)]


def test_a_moved_device_leaves_its_past_where_it_was(conn: psycopg.Connection) -> None:
    places.assign(conn, "a/1", "ICU-01", name="监护仪1", since=at(0))
    moved = places.move(conn, "a/1", "ICU-02", since=at(2))
    assert (moved.name, moved.bed, moved.replaced) == ("监护仪1", "ICU-02", ())
    places.release(conn, "a/1", since=at(5))
    places.assign(conn, "a/1", "ICU-03", since=at(6))
    found = [bed_at(conn, 1, at(hours)) for hours in (-0.1, 0, 1.9, 2, 4.9, 5, 5.9, 6, 99)]
    assert found == [None, "ICU-01", "ICU-01", "ICU-02", "ICU-02", None, None, "ICU-03", "ICU-03"]
    assert places.stays(conn, device_id("a/1")) == [
        places.Stay("ICU-01", at(0), at(2)),
        places.Stay("ICU-02", at(2), at(5)),
        places.Stay("ICU-03", at(6), None),
    ]


def test_without_since_it_is_from_now_on(conn: psycopg.Connection) -> None:
    before = acts.now(conn)
    placed = places.assign(conn, "a/1", "ICU-01")
    assert before <= placed.since <= acts.now(conn)
    assert bed_at(conn, 1, before) is None
    assert bed_at(conn, 1, placed.since) == "ICU-01"


def test_a_correction_keeps_what_was_believed_before(conn: psycopg.Connection) -> None:
    places.assign(conn, "a/1", "ICU-01", since=at(0))
    yesterday = acts.now(conn)
    places.move(conn, "a/1", "ICU-02", since=at(3))
    corrected = places.move(conn, "a/1", "ICU-04", since=at(1))
    assert corrected.replaced == (places.Stay("ICU-02", at(3), None),)
    assert [bed_at(conn, 1, at(hours)) for hours in (0.5, 2, 4)] == ["ICU-01", "ICU-04", "ICU-04"]
    believed = conn.execute(
        "SELECT bed FROM device_bed WHERE recorded @> %s AND valid @> %s", (yesterday, at(4))
    ).fetchall()
    assert believed == [("ICU-01",)]
    # Every row names an act that is kept and waits for its place in the log.
    assert conn.execute("SELECT count(*) FROM device_bed LEFT JOIN unlogged ON act = act_id WHERE act IS"
    " NULL").fetchone() == (0,)  # fmt: skip


def test_the_database_itself_refuses_a_device_on_two_beds(conn: psycopg.Connection) -> None:
    places.assign(conn, "a/1", "ICU-01", since=at(0))
    with pytest.raises(psycopg.errors.ExclusionViolation):
        conn.execute(
            "INSERT INTO device_bed SELECT registered_device, 'ICU-09', tstzrange(%s, %s), recorded, act_id"
            " FROM device_bed", (at(1), at(2)),
        )  # fmt: skip


def test_several_devices_stand_at_one_bed(conn: psycopg.Connection) -> None:
    two = heard(conn, "a/2")
    for claim in ("a/1", "a/2"):
        places.assign(conn, claim, "ICU-01", since=at(0))
    assert [bed_at(conn, device, at(1)) for device in (1, two)] == ["ICU-01", "ICU-01"]


@pytest.mark.parametrize(("deed", "words"), [
    (lambda conn: places.assign(conn, "a/1", "ICU-02"), r"on ICU-01 at that time: .*devices move"),
    (lambda conn: places.move(conn, "a/1", "ICU-01"), r"on ICU-01 already"),
    (lambda conn: places.move(conn, "a/1", "ICU-02", since=at(-1)), r"on no bed at 2026-09-01T07:00.*devices assign"),
    (lambda conn: places.move(conn, "a/2", "ICU-02"), r"nobody has registered 'a/2': .*devices assign"),
    (lambda conn: places.release(conn, "a/2"), r"nobody has registered 'a/2'"),
    (lambda conn: places.assign(conn, "a/2", " "), r"--bed is empty"),
    (lambda conn: places.move(conn, "a/1", ""), r"--bed is empty"),
    (lambda conn: places.rename(conn, "a/1", " "), r"the name is empty"),
    (lambda conn: places.assign(conn, "a/2", "x", since=datetime.now(UTC) + timedelta(hours=1)), r"lies ahead"),
    (lambda conn: places.assign(conn, "a/2", "x", edge=OTHER), rf"{OTHER} has never spoken of it: .*devices list"),
    (lambda conn: places.assign(conn, "a/1", "x", since=at(-1), edge=EDGE), r"is registered already.*leave it out"),
    (lambda conn: places.assign(conn, "a/1", "x", since=at(-1), name=" "), r"--name is blank"),
    (lambda conn: places.assign(conn, "a/2", "x", name=" \t"), r"--name is blank"),
    (lambda conn: places.agree(conn, "a/1", OTHER), rf"{OTHER} has never spoken of it"),
    (lambda conn: places.agree(conn, "a/1", EDGE), rf"believed through {EDGE} already"),
    (lambda conn: places.assign(conn, "nobody", "x"), r"no device named 'nobody': see `vitalwire devices list`"),
])  # fmt: skip
def test_what_cannot_be_is_refused_and_leaves_nothing(conn: psycopg.Connection, deed: object, words: str) -> None:
    heard(conn, "a/2")
    places.assign(conn, "a/1", "ICU-01", since=at(0))
    assert callable(deed)
    with pytest.raises(VitalwireError, match=words):
        deed(conn)
    assert kinds(conn) == ["device.assign"]
    assert conn.execute("SELECT count(*) FROM device_bed").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM registered_device").fetchone() == (1,)


def test_an_act_says_who_did_what_since_when_and_why(conn: psycopg.Connection) -> None:
    places.assign(conn, "a/1", "ICU-01", name=" n ", since=at(0), author=AUTHOR)
    places.move(conn, "a/1", "ICU-02", since=at(1), author=AUTHOR)
    places.rename(conn, "a/1", "m", author=AUTHOR)
    places.release(conn, "a/1", since=at(2), author=AUTHOR)
    found = acts.acts(conn)
    device = str(device_id("a/1"))
    assert [(act.kind, act.details) for act in found] == [
        ("device.assign",
         {"device": device, "bed": "ICU-01", "since": at(0).isoformat(), "name": "n", "edge": str(EDGE)}),
        ("device.move", {"device": device, "from": "ICU-01", "bed": "ICU-02", "since": at(1).isoformat()}),
        ("device.rename", {"device": device, "name": "m"}),
        ("device.release", {"device": device, "from": "ICU-02", "since": at(2).isoformat()}),
    ]  # fmt: skip
    assert {(act.by, act.why) for act in found} == {("os:nurse@ward", "the old one is broken")}


def test_a_device_belongs_to_the_edge_that_it_was_assigned_with(conn: psycopg.Connection) -> None:
    foreign = heard(conn, "a/1", OTHER)
    with pytest.raises(VitalwireError, match=rf"several edges speak of it \({EDGE}, {OTHER}\): say with --edge"):
        places.assign(conn, "a/1", "ICU-01")
    places.assign(conn, "a/1", "ICU-01", edge=EDGE, since=at(0))
    assert [(d.edge, d.bed, d.foreign_edge) for d in registry.devices(conn)] == [
        (EDGE, "ICU-01", False), (OTHER, "ICU-01", True)
    ]  # fmt: skip
    assert bed_at(conn, foreign, at(1)) == "ICU-01"


def test_people_agree_to_another_edge_from_a_moment_on_or_for_all_time(conn: psycopg.Connection) -> None:
    foreign = heard(conn, "a/1", OTHER)
    places.assign(conn, "a/1", "ICU-01", edge=EDGE, since=at(0))

    def believed(hours: float) -> bool:
        sql = "SELECT FROM device_edge_believed WHERE device = %s AND valid @> %s"
        return conn.execute(sql, (foreign, at(hours))).rowcount == 1

    places.agree(conn, "a/1", OTHER, since=at(3))
    assert [believed(2.9), believed(3)] == [False, True]
    with pytest.raises(VitalwireError, match="already"):
        places.agree(conn, "a/1", OTHER, since=at(4))
    places.agree(conn, "a/1", OTHER)
    assert [believed(-1000), believed(3)] == [True, True]
    assert [d.foreign_edge for d in registry.devices(conn)] == [False, False]
    assert acts.acts(conn)[-1].details == {"device": str(device_id("a/1")), "edge": str(OTHER), "since": None}


def test_of_two_people_who_assign_one_device_at_once_one_does(conn: psycopg.Connection, database: str) -> None:
    def assign(bed: str) -> str:
        with open_store(database) as own:
            try:
                return places.assign(own, "a/1", bed).bed or ""
            except VitalwireError as error:
                return str(error)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(assign, [f"ICU-{n}" for n in range(4)]))
    (bed,) = [text for text in outcomes if text.startswith("ICU-")]
    assert all(text.startswith(("ICU-", f"it is on {bed}", "somebody else registered it")) for text in outcomes)
    assert kinds(conn) == ["device.assign"]


def test_a_clock_that_was_set_back_makes_no_range_that_ends_before_it_begins(conn: psycopg.Connection) -> None:
    places.assign(conn, "a/1", "ICU-01", since=at(0))
    ahead = acts.now(conn) + timedelta(hours=1)
    conn.execute("UPDATE device_bed SET recorded = tstzrange(%s, NULL)", (ahead,))
    places.move(conn, "a/1", "ICU-02", since=at(1))
    rows = conn.execute("SELECT bed, upper_inf(recorded), lower(recorded) > %s FROM device_bed", (ahead,)).fetchall()
    assert sorted(rows) == [("ICU-01", False, False), ("ICU-01", True, True), ("ICU-02", True, True)]


def test_an_act_is_recorded_in_a_transaction_or_not_at_all(conn: psycopg.Connection) -> None:
    with pytest.raises(RuntimeError, match="in the transaction of what it did"):
        acts.record(conn, acts.act("device.assign", AUTHOR, at(0)))
    with pytest.raises(VitalwireError), conn.transaction():
        acts.record(conn, acts.act("device.assign", AUTHOR, at(0), bed="\ud800"))
    assert kinds(conn) == []


def test_acts_can_be_listed_from_a_moment_on_with_their_place_in_the_log(conn: psycopg.Connection) -> None:
    with conn.transaction():
        first = acts.record(conn, acts.act("edge.register", AUTHOR, at(0), edge=str(uuid4())))
        second = acts.record(conn, acts.act("key.revoke", Author("os:a@b"), at(1)))
    conn.execute("UPDATE act SET statement = 'signed' WHERE act_id = %s", (first,))
    conn.execute("INSERT INTO log_entry VALUES ('i', 7, NULL, %s, 'h')", (first,))
    assert [(a.act_id, a.signed, a.position, a.at) for a in acts.acts(conn)] == [
        (first.hex(), True, 7, at(0)), (second.hex(), False, None, at(1))
    ]  # fmt: skip
    assert [a.kind for a in acts.acts(conn, at(0.5))] == ["key.revoke"]


def test_what_is_configured_is_an_act_only_when_it_changes(conn: psycopg.Connection) -> None:
    changes = [acts.record_change(conn, "limits.change", AUTHOR, digest, count=1) for digest in (b"a", b"a", b"b")]
    assert changes == [True, False, True]
    assert [a.details for a in acts.acts(conn)] == [{"sha256": "61", "count": 1}, {"sha256": "62", "count": 1}]


def test_this_user_is_named_by_the_operating_system() -> None:
    outcomes = acts.this_user("because")
    assert outcomes.by.startswith("os:")
    assert "@" in outcomes.by
    assert outcomes.why == "because"
