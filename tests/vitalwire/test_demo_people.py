from __future__ import annotations

from datetime import UTC, datetime

from clinical.beds import bed_key
from clinical.wards import ward_of_bed
from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.people.sessions import viewer_of
from gateway.people.sign_in_links import SignInLinks
from vitalwire import demo_people
from vitalwire.demo_people import DemoLinks


def test_the_demos_people_work_on_its_ward_and_are_hired_once(database: str) -> None:
    migrate(database)
    demo_people.hire(database)
    demo_people.hire(database)
    ward = ward_of_bed(bed_key(facility="ICU", ward="ICU", bed="bed-01"))
    with open_store(database) as conn:
        nurse = viewer_of(conn, "demo-n1", datetime.now(UTC))
        assert conn.execute("SELECT count(*) FROM act WHERE kind = 'staff.import'").fetchone() == (1,)
        assert conn.execute("SELECT count(*) FROM staff").fetchone() == (5,)
    assert nurse is not None
    assert nurse.wards == {ward}


def test_a_link_that_was_used_or_is_too_old_is_shown_anew() -> None:
    now = [0.0]
    links = SignInLinks(lambda: now[0])
    shown = DemoLinks(links, "http://localhost:8420")
    first = shown.renewed()
    assert len(first) == 5
    assert first[0].startswith("sign in as nurse  ")
    assert shown.renewed() == []
    assert links.use(first[1].rpartition("/")[2]) == "demo-d1"
    (again,) = shown.renewed()
    assert again.startswith("sign in as physician")
    now[0] = 601.0
    assert len(shown.renewed()) == 5
