from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emr_store import acts, security_keys
from emr_store.acts import Author
from emr_store.connect import open_store, with_role
from emr_store.login_sessions import NewSession
from emr_store.migrate import migrate
from emr_store.roles import CLERK
from gateway.access.words import Role
from gateway.people.key_ring import KeyRing
from gateway.people.security_keys import KeyRefusedError, KeySite, Refusal
from gateway.people.sessions import Factor, Sessions
from tests.gateway.authenticator import HONEST, ORIGIN, Lie, SoftKey
from tests.gateway.signing_in import hire

SITE = KeySite(ORIGIN)
NURSE, ADMINISTRATOR = Author("staff:N1"), Author("staff:A1", "first key")
BROWSER = "browser"


class People:
    """N1 is a nurse, A1 and A2 are administrators; `later` moves the clock of the ring."""

    def __init__(self, database: str) -> None:
        migrate(database)
        self.database = database
        hire(database, "N1", name="Zhang")
        hire(database, "A1", Role.ADMINISTRATOR)
        hire(database, "A2", Role.ADMINISTRATOR)
        self.later = timedelta()
        self.ring = KeyRing(with_role(database, CLERK), lambda: datetime.now(UTC) + self.later)

    def enrol(self, key: SoftKey, staff: str = "N1") -> None:
        options = self.ring.begin_enrolment(SITE, staff, "Zhang")
        self.ring.enrol(SITE, staff, "blue", key.create(options), Author(f"staff:{staff}"))

    def sign_in(self, key: SoftKey, lie: Lie = HONEST) -> str:
        return self.ring.sign_in(SITE, BROWSER, key.get(self.ring.begin_sign_in(SITE, BROWSER), lie)).staff

    def refused(self, key: SoftKey, lie: Lie = HONEST) -> Refusal:
        with pytest.raises(KeyRefusedError) as refused:
            self.sign_in(key, lie)
        return refused.value.refusal


@pytest.fixture
def people(database: str) -> People:
    return People(database)


def kinds(database: str) -> list[str]:
    with open_store(database) as conn:
        return [act.kind for act in acts.acts(conn) if act.kind.startswith("key.")]


def test_a_key_opens_for_its_owner_with_its_act(people: People) -> None:
    key = SoftKey()
    assert people.refused(key) is Refusal.UNKNOWN_KEY
    people.enrol(key)
    assert people.sign_in(key) == "N1"
    assert people.sign_in(key) == "N1"
    with open_store(people.database) as conn:
        (kept,) = security_keys.keys_of(conn, "N1")
        assert (kept.label, kept.sign_count, kept.untold) == ("blue", key.count, False)
    assert kinds(people.database) == ["key.enrol"]


def test_a_challenge_is_answered_once_in_time_in_its_browser_and_for_its_purpose(people: People) -> None:
    key, ring = SoftKey(), people.ring
    people.enrol(key)
    answer = key.get(ring.begin_sign_in(SITE, BROWSER))
    assert ring.sign_in(SITE, BROWSER, answer).staff == "N1"
    late = key.get(ring.begin_sign_in(SITE, BROWSER))
    strange = key.get(ring.begin_sign_in(SITE, BROWSER))
    enrolling = key.get(ring.begin_enrolment(SITE, BROWSER, ""))
    for browser, each, after in (
        (BROWSER, answer, timedelta()),
        ("another browser", strange, timedelta()),
        (BROWSER, late, timedelta(seconds=121)),
    ):
        people.later = after
        with pytest.raises(KeyRefusedError) as refused:
            ring.sign_in(SITE, browser, each)
        assert refused.value.refusal is Refusal.CHALLENGE
    people.later = timedelta()
    with pytest.raises(KeyRefusedError) as refused:
        ring.sign_in(SITE, BROWSER, enrolling)
    assert refused.value.refusal is Refusal.CHALLENGE


def test_a_refused_answer_uses_the_challenge_up(people: People) -> None:
    key = SoftKey()
    people.enrol(key)
    options = people.ring.begin_sign_in(SITE, BROWSER)
    for lie, why in ((Lie(flags=1), Refusal.VERIFICATION), (HONEST, Refusal.CHALLENGE)):
        with pytest.raises(KeyRefusedError) as refused:
            people.ring.sign_in(SITE, BROWSER, key.get(options, lie))
        assert refused.value.refusal is why


def test_challenges_that_are_out_of_date_give_their_place_to_new_ones(people: People) -> None:
    for minutes in (0, 0, 3, 3, 6):
        people.later = timedelta(minutes=minutes)
        people.ring.begin_sign_in(SITE, BROWSER)
    with open_store(people.database) as conn:
        assert conn.execute("SELECT count(*) FROM key_challenge").fetchone() == (2,)


def test_a_count_that_goes_back_is_refused_and_reviewed(people: People) -> None:
    key = SoftKey()
    people.enrol(key)
    key.count = 10
    people.sign_in(key)
    assert people.refused(key, Lie(count=11)) is Refusal.COUNT
    assert people.refused(key, Lie(count=0)) is Refusal.COUNT
    assert people.refused(key, Lie(count=3, signature=b"0")) is Refusal.SIGNATURE  # a stranger makes no review
    with open_store(people.database) as conn:
        found = conn.execute("SELECT kind, person, role FROM review").fetchall()
    assert found == [("key_count", "N1", "nurse")] * 2


def test_a_key_that_does_not_count_opens(people: People) -> None:
    key = SoftKey()
    people.enrol(key)
    assert [people.sign_in(key, Lie(count=0)) for _ in range(2)] == ["N1", "N1"]


def test_a_revoked_key_opens_nothing_and_its_sessions_end(people: People) -> None:
    key, other = SoftKey(), SoftKey()
    people.enrol(key)
    people.enrol(other)
    sessions = Sessions(people.database, people.database)
    now = datetime.now(UTC)
    by_key = sessions.begin(
        NewSession("N1", Factor.SECURITY_KEY, BROWSER, "a", "t", None, now + timedelta(hours=1), key.id)
    )
    by_other = sessions.begin(
        NewSession("N1", Factor.SECURITY_KEY, BROWSER, "a", "t", None, now + timedelta(hours=1), other.id)
    )
    with open_store(people.database) as conn:
        assert security_keys.revoke(conn, key.id, NURSE, untold=False) is not None
        assert security_keys.revoke(conn, key.id, NURSE, untold=False) is None
    assert sessions.current(by_key) is None
    assert sessions.current(by_other) is not None
    assert people.refused(key) is Refusal.UNKNOWN_KEY
    assert people.sign_in(other) == "N1"
    assert kinds(people.database)[-1] == "key.revoke"


def test_the_first_key_by_an_administrators_code_once_and_within_a_quarter_of_an_hour(people: People) -> None:
    ring, key, second = people.ring, SoftKey(), SoftKey()
    opened = ring.open_enrolment("N1", "A1", ADMINISTRATOR)
    assert not opened.row.replaces
    assert opened.row.open_until - opened.row.opened_at == timedelta(minutes=15)
    ring.enrol(SITE, "N1", "", key.create(ring.begin_enrolment(SITE, "N1", "")), NURSE, opened.code)
    for code in (opened.code, "guessed"):
        with pytest.raises(KeyRefusedError):
            ring.enrol(SITE, "N1", "", second.create(ring.begin_enrolment(SITE, "N1", "")), NURSE, code)
    with open_store(people.database) as conn:
        (kept,) = security_keys.keys_of(conn, "N1")
        assert kept.untold
        security_keys.told(conn, "N1")
        assert not security_keys.keys_of(conn, "N1")[0].untold
    assert kinds(people.database) == ["key.open_enrolment", "key.enrol"]


def test_a_lost_key_is_replaced_by_two_administrators_and_the_person_is_told(people: People) -> None:
    ring, lost, new = people.ring, SoftKey(), SoftKey()
    people.enrol(lost)
    opened = ring.open_enrolment("N1", "A1", Author("staff:A1", "lost on the bus"))
    assert opened.row.replaces
    assert opened.code == ""
    assert ring.agree(opened.row.enrolment, "A1", ADMINISTRATOR) is None  # nobody agrees with himself
    assert ring.agree(opened.row.enrolment, "N1", NURSE) is None  # nor to a key of his own
    assert people.sign_in(lost) == "N1"
    agreed = ring.agree(opened.row.enrolment, "A2", Author("staff:A2"))
    assert agreed is not None
    assert people.refused(lost) is Refusal.UNKNOWN_KEY
    ring.enrol(SITE, "N1", "", new.create(ring.begin_enrolment(SITE, "N1", "")), NURSE, agreed.code)
    assert people.sign_in(new) == "N1"
    with open_store(people.database) as conn:
        kept = security_keys.keys_of(conn, "N1")
    assert [(key.revoke_reason, key.untold) for key in kept] == [("lost on the bus", True), (None, True)]
    assert kinds(people.database)[1:] == ["key.open_enrolment", "key.agree_enrolment", "key.revoke", "key.enrol"]
