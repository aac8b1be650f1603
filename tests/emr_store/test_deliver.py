"""What is new of charts becomes messages, each goes in its order, and what became of it is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from emr_store import acts, deliver, patient_acts
from emr_store.deliver import Message, Parked, Retry, Skipped
from tests.delivering import Said, accepted, admit, made, say, take_all, uuid_of, words
from tests.storing import Store

OLD_S = 3600.0


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with Store(database).open() as found:
        yield found


def begin(conn: psycopg.Connection, *, preliminary: bool = False) -> int:
    """A destination of all that was charted."""
    number = deliver.open_destination(conn, "emr", acts.now(conn) - timedelta(days=365))
    take_all(conn, number, preliminary=preliminary)
    return number


def ahead(conn: psycopg.Connection, destination: int, *, taken: tuple[int, ...] = (), limit: int = 99) -> list[Message]:
    return deliver.next_messages(conn, destination, taken, limit)


def states(conn: psycopg.Connection) -> list[str]:
    return [row[0] for row in conn.execute("SELECT state FROM delivery ORDER BY delivery").fetchall()]


def test_one_message_for_an_encounter_and_slot(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, item="MDC_TEMP"), Said(3, slot=1), Said(4, visit="V2"))
    assert words(ahead(conn, begin(conn))) == ["1.1 2.1", "4.1"]  # of V1 the second waits for the first


def test_an_entry_with_two_new_versions_has_two_messages_in_their_order(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, item="MDC_TEMP"))
    say(conn, Said(1, 2, "amended"))
    destination = begin(conn)
    (first,) = ahead(conn, destination)
    assert words([first]) == ["1.1 2.1"]
    deliver.settle(conn, destination, [accepted(first)])
    assert words(ahead(conn, destination)) == ["1.2"]


def test_preliminary_entries_go_where_they_are_wanted(conn: psycopg.Connection) -> None:
    say(conn, Said(1, 1, "preliminary"))
    with conn.transaction(force_rollback=True):
        assert words(ahead(conn, begin(conn, preliminary=True))) == ["1.1"]
    destination = begin(conn)
    assert ahead(conn, destination) == []
    say(conn, Said(1, 2))
    take_all(conn, destination)
    assert words(ahead(conn, destination)) == ["1.2"]


def test_what_waits_for_a_licensed_person_goes_nowhere(conn: psycopg.Connection) -> None:
    say(conn, Said(1, 1, "preliminary"))
    with conn.transaction():
        act = acts.act("chart.enter", acts.Author("staff:T1"), acts.now(conn), pending=True)
        act_id = acts.record(conn, act)
        conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER ALL")
        conn.execute("UPDATE chart_entry SET act_id = %s", (act_id,))
        conn.execute("ALTER TABLE chart_entry ENABLE TRIGGER ALL")
    emr = begin(conn, preliminary=True)
    assert ahead(conn, emr) == []
    say(conn, Said(1, 2, "final"))
    take_all(conn, emr, preliminary=True)
    assert words(ahead(conn, emr)) == ["1.2"]


def test_what_was_never_taken_needs_no_withdrawal(conn: psycopg.Connection) -> None:
    say(conn, Said(1, 1, "preliminary"), Said(2, 1, item="MDC_TEMP"))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    say(conn, Said(1, 2, "entered-in-error"), Said(2, 2, "entered-in-error", item="MDC_TEMP"))
    take_all(conn, destination)  # 2 is under way
    deliver.settle(conn, destination, [accepted(message)])
    assert words(ahead(conn, destination)) == ["2.2"]
    deliver.settle(conn, destination, [accepted(*ahead(conn, destination))])
    assert states(conn) == ["accepted", "accepted"]


def test_a_new_destination_begins_now_or_at_a_moment(conn: psycopg.Connection) -> None:
    say(conn, Said(1, age_s=OLD_S), Said(2, slot=1, age_s=30))
    now = acts.now(conn)
    present, past = (
        deliver.open_destination(conn, "present", None),
        deliver.open_destination(conn, "past", now - timedelta(seconds=OLD_S / 2)),
    )
    say(conn, Said(3, visit="V2"))
    for number, expected in ((present, ["3.1"]), (past, ["2.1", "3.1"])):
        take_all(conn, number)
        assert words(ahead(conn, number)) == expected
        assert deliver.open_destination(conn, "present" if number == present else "past", now) == number


def test_what_is_new_goes_before_what_has_waited_and_never_before_its_own_slot(conn: psycopg.Connection) -> None:
    say(conn, Said(1, age_s=OLD_S), Said(2, visit="V2", age_s=OLD_S))
    say(conn, Said(3, slot=9), Said(1, 2, "amended"))
    destination = begin(conn)
    assert words(ahead(conn, destination)) == ["3.1", "2.1"]
    first = ahead(conn, destination, limit=1)
    assert words(first) == ["3.1"]
    deliver.settle(conn, destination, [accepted(*first)])
    assert words(ahead(conn, destination)) == ["1.1", "2.1"]  # 1.2 is new, and waits for 1.1


def test_what_is_taken_holds_its_patient_and_nobody_else(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, slot=1), Said(3, visit="V2"))
    destination = begin(conn)
    first, other = ahead(conn, destination)
    assert words(ahead(conn, destination, taken=(first.delivery,))) == words([other])
    assert ahead(conn, destination, taken=(first.delivery, other.delivery)) == []


def test_bytes_are_made_once_and_gone_when_accepted(conn: psycopg.Connection) -> None:
    say(conn, Said(1))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    assert message.body is None
    deliver.keep_bodies(conn, [made(message)])
    (resent,) = ahead(conn, destination)
    assert (resent.body, resent.control_id, resent.said) == (b"1.1", "1.1", [uuid_of(1)])
    deliver.settle(conn, destination, [accepted(resent)])
    assert conn.execute("SELECT state, body, attempts, code FROM delivery").fetchone() == ("accepted", None, 1, "AA")
    assert deliver.delivered(conn, destination, [uuid_of(1), uuid_of(2)])[uuid_of(1)].version == 1


def test_what_the_receiver_could_not_take_waits_with_its_patient(conn: psycopg.Connection) -> None:
    say(conn, Said(1, age_s=OLD_S), Said(2, slot=1, age_s=OLD_S), Said(3, visit="V2", age_s=OLD_S))
    destination = begin(conn)
    (message, _) = ahead(conn, destination)
    later = acts.now(conn) + timedelta(hours=1)
    deliver.settle(conn, destination, [Retry(message.delivery, 1, "AR", "busy", later)])
    assert words(ahead(conn, destination)) == ["3.1"]
    say(conn, Said(4, slot=7))
    take_all(conn, destination)
    assert words(ahead(conn, destination)) == ["4.1", "3.1"]  # what is new does not wait
    conn.execute("UPDATE delivery SET next_at = now() - interval '1 s' WHERE next_at IS NOT NULL")
    assert words(ahead(conn, destination, taken=(4,))) == ["3.1"]  # of a patient one at a time
    (row,) = conn.execute("SELECT attempts, code, reason FROM delivery WHERE attempts > 0").fetchall()
    assert row == (1, "AR", "busy")


def test_behind_a_parked_message_its_own_entries_wait_and_nobody_else(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, item="MDC_TEMP"))
    say(conn, Said(1, 2, "amended"))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    deliver.settle(conn, destination, [Parked(message.delivery, 1, "AE", "AE: at OBX-5", b"MSA|AE")])
    assert states(conn) == ["parked", "parked"]
    say(conn, Said(1, 3, "amended"), Said(3, slot=1))
    take_all(conn, destination)
    say(conn, Said(4, item="MDC_ECG_HEART_RATE"))
    take_all(conn, destination)
    (behind,) = conn.execute("SELECT array_agg(behind ORDER BY delivery) FROM delivery").fetchone() or ()
    assert behind == [None, 1, 1, None, None]
    assert words(ahead(conn, destination)) == ["3.1"]
    deliver.settle(conn, destination, [accepted(*ahead(conn, destination))])
    assert words(ahead(conn, destination)) == ["4.1"]  # of the same slot, another entry


def test_what_is_released_goes_in_its_order(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(2, item="MDC_TEMP"))
    say(conn, Said(1, 2, "amended"))
    say(conn, Said(1, 3, "amended"))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    deliver.settle(conn, destination, [Parked(message.delivery, 1, "AE", "no", b"")])
    with conn.transaction():
        assert deliver.release(conn, destination, [message.delivery]) == 3
    sent = []
    while messages := ahead(conn, destination):
        sent += words(messages)
        deliver.settle(conn, destination, [accepted(each) for each in messages])
    assert sent == ["1.1 2.1", "1.2", "1.3"]


def test_what_people_decided_meanwhile_stands(conn: psycopg.Connection) -> None:
    say(conn, Said(1))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    deliver.settle(conn, destination, [Skipped(message.delivery, "nothing to say")])
    late = acts.now(conn)
    deliver.settle(conn, destination, [
        Retry(message.delivery, 1, "AR", "busy", late), Parked(message.delivery, 1, "AE", "no", b""),
        accepted(message),
    ])  # fmt: skip
    assert states(conn) == ["skipped"]


def test_what_must_not_be_kept_is_forgotten(conn: psycopg.Connection) -> None:
    say(conn, Said(1))
    destination = begin(conn)
    (message,) = ahead(conn, destination)
    deliver.keep_bodies(conn, [made(message)])
    deliver.settle(conn, destination, [Parked(message.delivery, 0, "", "erased", b"", forget=True)])
    assert conn.execute("SELECT state, body FROM delivery").fetchone() == ("parked", None)


def test_messages_of_who_is_erased_are_forgotten(database: str) -> None:
    store = Store(database)
    admit(store, "V1", "V2")
    with store.open() as conn:
        say(conn, Said(1), Said(2, visit="V2"), Said(3, slot=1))
        destination = begin(conn)
        messages = ahead(conn, destination)
        deliver.keep_bodies(conn, [made(each) for each in messages])
        deliver.settle(conn, destination, [Parked(messages[0].delivery, 1, "AE", "no", b"PID|P1")])
        patient_acts.erase(conn, "P1^HOSP^MR")
        rows = conn.execute("SELECT patient, body, answer FROM delivery ORDER BY delivery").fetchall()
    assert rows == [("P1^HOSP^MR", None, None), ("P2^HOSP^MR", b"2.1", None), ("P1^HOSP^MR", None, None)]


def test_an_older_version_never_replaces_what_the_destination_is_known_to_have(conn: psycopg.Connection) -> None:
    say(conn, Said(1), Said(1, 2, "amended"))
    destination = begin(conn)
    (first,) = ahead(conn, destination)
    deliver.settle(conn, destination, [accepted(first)])
    (second,) = ahead(conn, destination)
    deliver.settle(conn, destination, [accepted(second)])
    deliver.settle(conn, destination, [accepted(first)])
    assert deliver.delivered(conn, destination, [uuid_of(1)])[uuid_of(1)].version == 2


def test_one_process_serves_a_destination(database: str) -> None:
    store = Store(database)
    with store.open() as mine, store.open() as other:
        one, two = deliver.open_destination(mine, "one", None), deliver.open_destination(mine, "two", None)
        with deliver.served_alone(mine, one) as held, deliver.served_alone(other, one) as refused:
            assert (held, refused) == (True, False)
            with deliver.served_alone(other, two) as held_too:
                assert held_too


def test_a_destination_that_does_not_answer_is_noted_once(conn: psycopg.Connection) -> None:
    destination = begin(conn)
    deliver.note_away(conn, destination, "it refuses connections")
    since = conn.execute("SELECT away_since FROM destination").fetchone()
    deliver.note_away(conn, destination, "no answer within 10 s")
    assert conn.execute("SELECT away_since FROM destination").fetchone() == since
    assert conn.execute("SELECT away_reason FROM destination").fetchone() == ("no answer within 10 s",)
    deliver.note_away(conn, destination, "")
    assert conn.execute("SELECT away_since, away_reason FROM destination").fetchone() == (None, "")
