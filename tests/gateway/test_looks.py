from __future__ import annotations

import stat
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.connect import StoreError, open_store
from emr_store.looks import AuditAwayError
from gateway.access.decision import Decision
from gateway.access.words import Action, Answer, Relation
from gateway.look_journal import LookJournal
from gateway.looks import LOOK_S, Intervals, Looks, _Key
from runtime.errors import UserError
from tests.gateway.looking import AT_US, NURSE, kept, see
from tests.gateway.ward import Ward

PATIENCE_S = 15.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "looks.journal"


@pytest.fixture
def looks(ward: Ward, journal: Path) -> Iterator[Looks]:
    made = Looks(ward.database, LookJournal(journal))
    yield made
    made.close()


def home(looks: Looks) -> None:
    """The store answers again; a moment later all of it is there."""
    give_up = time.monotonic() + PATIENCE_S
    while not looks.bring_home():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_look_goes_on_for_a_quarter_of_an_hour_and_is_then_another(looks: Looks, ward: Ward) -> None:
    for at_s in (0, 1, LOOK_S - 1, LOOK_S, LOOK_S + 1):
        see(looks, "V1", at_s=at_s)
    assert kept(ward.database, "SELECT extract(epoch FROM until_at - from_at)::int FROM look") == [LOOK_S, LOOK_S]


def test_each_search_is_a_row_and_each_page_and_relation_another_look(looks: Looks, ward: Ward) -> None:
    see(looks, page="fhir", detail="code", stays=7)
    see(looks, page="fhir", detail="code", stays=7)
    see(looks, "V1")
    see(looks, "V1", page="chart")
    see(looks, "V1", decision=Decision(Answer.ALLOWED, Relation.TEAM))
    assert kept(ward.database, "SELECT stays FROM look ORDER BY stays") == [1, 1, 1, 7, 7]


def test_a_page_that_closes_ends_its_looks_and_the_next_one_is_another(looks: Looks, ward: Ward) -> None:
    see(looks, "V1")
    see(looks, "V2")
    looks.ended(NURSE, "patient", ["V1"], AT_US + 60_000_000)
    looks.ended(NURSE, "patient", ["V1"], AT_US + 61_000_000)  # nothing lasts any more
    see(looks, "V1", at_s=62)
    assert kept(ward.database, "SELECT extract(epoch FROM e.until_at - from_at)::int FROM look JOIN look_end e"
                " USING (look)") == [60]  # fmt: skip
    assert kept(ward.database) == ["V1", "V2", "V1"]


def test_of_one_page_that_is_asked_for_by_many_requests_at_once_there_is_one_look(looks: Looks, ward: Ward) -> None:
    threads = [threading.Thread(target=see, args=(looks, "V1")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(ward.database) == ["V1"]


def test_a_connection_that_was_lost_is_opened_anew(looks: Looks, ward: Ward, journal: Path) -> None:
    see(looks, "V1")
    with ward.away():
        pass
    see(looks, "V2")
    assert kept(ward.database, "SELECT count(*) FROM look")[0] + len(journal.read_bytes().splitlines()) == 2
    home(looks)
    assert sorted(kept(ward.database)) == ["V1", "V2"]


def test_reading_for_care_goes_on_without_the_store_and_comes_home_in_order(
    looks: Looks, ward: Ward, journal: Path
) -> None:
    see(looks, "V0")
    with ward.away():
        for at_s in range(1, 6):
            see(looks, f"V{at_s}", at_s=at_s)
        looks.ended(NURSE, "patient", ["V3"], AT_US + 9_000_000)
        assert len(journal.read_bytes().splitlines()) == 6
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    home(looks)
    see(looks, "V6", at_s=10)
    assert kept(ward.database) == [f"V{n}" for n in range(7)]
    assert kept(ward.database, "SELECT encounters[1] FROM look_end JOIN look USING (look)") == ["V3"]
    written = "SELECT encounters[1] FROM look ORDER BY xmin::text::int8, ctid"
    assert kept(ward.database, written) == [f"V{n}" for n in range(7)]
    assert journal.read_bytes() == b""


def test_a_journal_that_a_process_left_behind_comes_home_once(ward: Ward, journal: Path) -> None:
    left = Looks(ward.database, LookJournal(journal))
    with ward.away():
        see(left, "V1")
        see(left, "V2", at_s=1)
        left.close()
    text = journal.read_bytes()
    first = Looks(ward.database, LookJournal(journal))
    home(first)
    first.close()
    journal.write_bytes(text + b'{"look": {"look"')  # as if it had died before it could empty it, and in a write
    second = Looks(ward.database, LookJournal(journal))
    home(second)
    second.close()
    assert kept(ward.database) == ["V1", "V2"]


def test_the_store_comes_back_and_nobody_has_to_look_for_the_journal_to_come_home(
    looks: Looks, ward: Ward, journal: Path
) -> None:
    with ward.away():
        see(looks, "V1")
    give_up = time.monotonic() + PATIENCE_S
    while kept(ward.database) != ["V1"]:
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.parametrize("action", [Action.EXPORT, Action.PRINT])
def test_what_leaves_the_house_waits_for_the_store(looks: Looks, ward: Ward, action: Action, journal: Path) -> None:
    with ward.away():
        with pytest.raises(AuditAwayError):
            see(looks, "V1", action=action)
        see(looks, "V2")  # in the journal: what leaves waits until that is home
        with pytest.raises(AuditAwayError):
            see(looks, "V1", action=action)
    home(looks)
    see(looks, "V1", action=action, at_s=1)
    assert kept(ward.database) == ["V2", "V1"]
    assert issubclass(AuditAwayError, StoreError)  # an answering layer that knows the one refuses with 503


def test_without_a_journal_nothing_is_seen_while_the_store_is_away(ward: Ward) -> None:
    looks = Looks(ward.database)
    with ward.away(), pytest.raises(AuditAwayError):
        see(looks, "V1")
    looks.close()


def test_a_journal_at_its_limit_stops_what_it_cannot_keep(ward: Ward, journal: Path) -> None:
    looks = Looks(ward.database, LookJournal(journal, bytes_max=1000))
    with ward.away():
        see(looks, "V1")
        before = journal.read_bytes()
        with pytest.raises(AuditAwayError):
            see(looks, *(f"V{n}" for n in range(200)))
        assert journal.read_bytes() == before
    home(looks)
    looks.close()
    assert kept(ward.database) == ["V1"]


def test_a_line_that_cannot_be_read_is_kept_aside_and_stops_nothing(ward: Ward, journal: Path) -> None:
    left = Looks(ward.database, LookJournal(journal))
    with ward.away():
        see(left, "V1")
        left.close()
    journal.write_bytes(b"nonsense\n" + journal.read_bytes())
    made = Looks(ward.database, LookJournal(journal))
    home(made)
    made.close()
    assert kept(ward.database) == ["V1"]
    assert journal.with_name("looks.journal.unreadable").read_bytes() == b"nonsense\n"
    assert journal.read_bytes() == b""


def test_two_processes_do_not_share_a_journal(journal: Path, tmp_path: Path) -> None:
    first = LookJournal(journal)
    with pytest.raises(UserError, match="another process"):
        LookJournal(journal)
    first.close()
    LookJournal(journal).close()
    with pytest.raises(UserError, match="cannot be written"):
        LookJournal(tmp_path / "nowhere" / "looks.journal")


def test_what_postgresql_cannot_keep_is_kept_without_it(looks: Looks, ward: Ward) -> None:
    see(looks, "V\0001", page="fhir", detail="a\0b\udc80")
    assert kept(ward.database, "SELECT detail FROM look") == ["ab?"]


def test_the_clerk_may_write_looks_and_change_none(looks: Looks, ward: Ward) -> None:
    see(looks, "V1")
    looks.ended(NURSE, "patient", ["V1"], AT_US + 1)
    with open_store(ward.database) as conn:
        conn.execute("SET ROLE vitalwire_clerk")
        for table in ("look", "look_end", "look_unsealed"):
            with pytest.raises(StoreError):
                conn.execute(f"DELETE FROM {table}".encode())


STEPS = st.lists(st.tuples(st.sampled_from(["see", "end"]), st.sampled_from("AB"), st.integers(0, 700)), max_size=60)


@given(STEPS)
def test_every_moment_at_which_somebody_saw_something_lies_in_a_look_of_it(steps: list[tuple[str, str, int]]) -> None:
    intervals = Intervals()
    at_us, began, ends, moments = AT_US, list[tuple[UUID, str, int]](), dict[UUID, int](), list[tuple[str, int]]()
    for do, stay, after_s in steps:
        at_us += after_s * 1_000_000
        key = _Key("s", "N1", Action.SEE, "patient", (stay,), (), "own_ward", "")
        if do == "see":
            if not intervals.lasts(key, at_us):
                look = UUID(int=len(began))
                intervals.begin(key, look, at_us)
                began.append((look, stay, at_us))
            moments.append((stay, at_us))
        else:
            for look in intervals.end("s", "N1", "patient", (stay,), at_us):
                assert look not in ends
                ends[look] = at_us
    spans = [(stay, since, ends.get(look, since + LOOK_S * 1_000_000), look in ends) for look, stay, since in began]
    for stay, at in moments:
        assert any(s == stay and since <= at and (at < until or (ended and at == until))
                   for s, since, until, ended in spans)  # fmt: skip
    for stay in "AB":
        own = [(since, until) for s, since, until, _ in spans if s == stay]
        assert all(until - since <= LOOK_S * 1_000_000 for since, until in own)
        assert all(until <= since for (_, until), (since, _) in pairwise(own))
