from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from emr_store import acts, places, registry
from emr_store.acts import Author
from schemas.block import ReportFlag
from schemas.errors import VitalwireError
from schemas.report import device_id
from stream_processors.validation import Admission, EdgeKey, admit
from tests.making import Key, report, sealed
from tests.storing import EDGE, Store, event

FIRST, OTHER = UUID(bytes=EDGE), UUID(bytes=b"O" * 16)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def test_an_edge_may_have_several_keys_and_another_label(store: Store) -> None:
    second, until = Key(), datetime(2030, 1, 1, tzinfo=UTC)
    with store.open() as conn:
        registry.add_edge(conn, FIRST, "box 2", second.public_der, until)
        registry.add_edge(conn, FIRST, "box 2", second.public_der)  # again: nothing changes
        found = registry.edges(conn)
        assert [(e.edge, e.label, e.revoked_at) for e in found] == [(FIRST, "box 2", None)] * 2
        assert [e.key_id for e in found] == [store.edge_key.key_id, second.key_id]
        by_id = {k.key_id: k for k in registry.edge_keys(conn)}
    assert by_id[store.edge_key.key_id].valid_until_us == 2**63 - 1
    assert by_id[second.key_id] == registry.KeyRow(
        second.key_id,
        FIRST,
        second.public_der,
        by_id[second.key_id].valid_from_us,
        int(until.timestamp()) * 10**6,
        False,
    )
    age = datetime.now(UTC) - datetime.fromtimestamp(by_id[second.key_id].valid_from_us / 1e6, UTC)
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_the_key_of_another_edge_is_refused_and_registers_nothing(store: Store) -> None:
    with store.open() as conn:
        with pytest.raises(VitalwireError, match=r"registered for another edge: .*vitalwire edge keygen"):
            registry.add_edge(conn, OTHER, "thief", store.edge_key.public_der)
        assert [e.label for e in registry.edges(conn)] == ["box"]
        assert conn.execute("SELECT count(*) FROM edge").fetchone() == (1,)


def test_revoking_takes_all_keys_once(store: Store) -> None:
    with store.open() as conn:
        registry.add_edge(conn, FIRST, "box", Key().public_der)
        registry.add_edge(conn, OTHER, "other", Key().public_der)
        assert registry.revoke_edge(conn, FIRST) == 2
        assert registry.revoke_edge(conn, FIRST) == 0
        assert {k.edge: k.revoked for k in registry.edge_keys(conn)} == {FIRST: True, OTHER: False}
        # A revoked key does not come back by being added again.
        with pytest.raises(VitalwireError, match="was revoked: make a new one with `vitalwire edge keygen`"):
            registry.add_edge(conn, FIRST, "box", store.edge_key.public_der)
        assert all(k.revoked for k in registry.edge_keys(conn) if k.edge == FIRST)


def test_a_key_that_expired_is_not_said_to_be_registered(store: Store) -> None:
    with store.open() as conn:
        expired = Key()
        registry.add_edge(conn, FIRST, "box", expired.public_der, datetime.now(UTC) - DAY)
        with pytest.raises(VitalwireError, match="has expired: `vitalwire registry edge renew`"):
            registry.add_edge(conn, FIRST, "another label", expired.public_der)
        assert [e.label for e in registry.edges(conn)] == ["box"] * 2


def test_a_new_key_takes_over_without_a_gap(store: Store) -> None:
    second, third = Key(), Key()
    with store.open() as conn:
        before = datetime.now(UTC)
        renewal = registry.renew_edge(
            conn, FIRST, second.public_der, timedelta(days=14), author=Author("os:a@b", "yearly")
        )
        ends = renewal.older_valid_until
        assert renewal.expired_key is None
        assert timedelta(days=14) <= ends - before < timedelta(days=14, minutes=1)
        by_id = {k.key_id: k for k in registry.edge_keys(conn)}
        old, new = by_id[store.edge_key.key_id], by_id[second.key_id]
        assert (new.edge, new.revoked, new.valid_until_us) == (FIRST, False, 2**63 - 1)
        assert abs(old.valid_until_us - int(ends.timestamp() * 1e6)) <= 1
        assert new.valid_from_us < old.valid_until_us
        # A key that ends sooner keeps its end.
        registry.renew_edge(conn, FIRST, third.public_der, timedelta(days=30), datetime(2040, 1, 1, tzinfo=UTC))
        by_id = {k.key_id: k for k in registry.edge_keys(conn)}
        assert by_id[store.edge_key.key_id].valid_until_us == old.valid_until_us
        assert by_id[second.key_id].valid_until_us < 2**63 - 1
        renewed = [a for a in acts.acts(conn) if a.kind == "key.renew"]
    assert (renewed[0].by, renewed[0].why) == ("os:a@b", "yearly")
    assert renewed[0].details == {
        "edge": str(FIRST), "key_id": second.key_id.hex(), "valid_until": None,
        "older_keys": [store.edge_key.key_id.hex()], "older_valid_until": ends.isoformat(),
        "expired_key": None, "expired_valid_until": None,
    }  # fmt: skip


DAY = timedelta(days=1)


def _in_us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _valid_until_us(conn: psycopg.Connection) -> dict[bytes, int]:
    return {key.key_id: key.valid_until_us for key in registry.edge_keys(conn)}


def test_the_renewal_of_an_expired_key_lets_in_what_it_sealed_until_then(store: Store) -> None:
    started = datetime.now(UTC)
    expired, new = Key(), Key()

    def admit_batch(conn: psycopg.Connection, created_at: datetime) -> Admission:
        keys = {k.key_id: EdgeKey(k.edge.bytes, *k[2:]) for k in registry.edge_keys(conn)}
        message = sealed([report()], expired, edge=OTHER.bytes, created_at_us=_in_us(created_at))
        return admit(message, keys, _in_us(datetime.now(UTC)))

    with store.open() as conn:
        registry.add_edge(conn, OTHER, "box 2", expired.public_der, started - 40 * DAY)
        for days in (39, 1):
            assert admit_batch(conn, started - days * DAY).reason == "expired-key"
        renewal = registry.renew_edge(conn, OTHER, new.public_der, 14 * DAY)
        (act,) = [a for a in acts.acts(conn) if a.kind == "key.renew"]
        renewed_at = datetime.fromisoformat(act.details["expired_valid_until"])
        assert started <= renewed_at <= datetime.now(UTC)
        assert renewed_at == act.at
        assert _valid_until_us(conn)[expired.key_id] == _in_us(renewed_at)
        assert renewal == registry.Renewal(renewed_at + 14 * DAY, expired.key_id)
        assert (act.details["expired_key"], act.details["older_keys"]) == (expired.key_id.hex(), [])
        for days in (39, 1):
            assert admit_batch(conn, started - days * DAY) == Admission(None, None, ReportFlag.EXPIRED_KEY)
        assert admit_batch(conn, renewed_at).reason == "expired-key"


def test_a_key_that_another_took_the_place_of_stays_expired(store: Store) -> None:
    """Of the keys that are not revoked only the newest is taken up again, and that only where it has expired."""
    now = datetime.now(UTC)
    first, second, third, fourth = (Key() for _ in range(4))
    with store.open() as conn:
        registry.add_edge(conn, OTHER, "box 2", first.public_der, now - 400 * DAY)
        registry.add_edge(conn, OTHER, "box 2", second.public_der)
        assert registry.renew_edge(conn, OTHER, third.public_der, DAY, now - DAY).expired_key is None
        ends = _valid_until_us(conn)
        assert ends[first.key_id] == _in_us(now - 400 * DAY)
        # The newest one expired while an older one is still valid: that one keeps its end, and so does the first.
        assert registry.renew_edge(conn, OTHER, fourth.public_der, DAY).expired_key == third.key_id
        after = _valid_until_us(conn)
        assert [after[key.key_id] - ends[key.key_id] for key in (first, second)] == [0, 0]
        assert after[third.key_id] > _in_us(now)


def test_a_revoked_key_is_not_taken_up_again(store: Store) -> None:
    expired = Key()
    with store.open() as conn:
        registry.add_edge(conn, OTHER, "box 2", expired.public_der, datetime.now(UTC) - DAY)
        registry.revoke_edge(conn, OTHER)
        before = _valid_until_us(conn)[expired.key_id]
        assert registry.renew_edge(conn, OTHER, Key().public_der, DAY).expired_key is None
        assert _valid_until_us(conn)[expired.key_id] == before


def test_what_cannot_be_renewed_is_refused_and_changes_no_key(store: Store) -> None:
    with store.open() as conn:
        registry.add_edge(conn, OTHER, "other", (others := Key()).public_der)
        before = registry.edge_keys(conn)
        days = timedelta(days=1)
        with pytest.raises(VitalwireError, match=r"no edge .* is registered: `vitalwire registry edge add`"):
            registry.renew_edge(conn, UUID(bytes=b"N" * 16), Key().public_der, days)
        with pytest.raises(VitalwireError, match=r"has this key already: .*vitalwire edge keygen"):
            registry.renew_edge(conn, FIRST, store.edge_key.public_der, days)
        with pytest.raises(VitalwireError, match=r"registered for another edge"):
            registry.renew_edge(conn, FIRST, others.public_der, days)
        assert registry.edge_keys(conn) == before
        assert "key.renew" not in [a.kind for a in acts.acts(conn)]


def test_each_change_of_the_registry_is_an_act_and_nothing_else_is(store: Store) -> None:
    key, author = store.edge_key.key_id.hex(), Author("os:chief@house", "stolen")
    with store.open() as conn:
        registry.add_edge(conn, FIRST, "box", store.edge_key.public_der)  # as it is already
        registry.add_edge(conn, FIRST, "box 2", store.edge_key.public_der, author=author)
        registry.revoke_edge(conn, FIRST, author=author)
        registry.revoke_edge(conn, FIRST, author=author)  # none left
        recorded = acts.acts(conn)
    registered = {"edge": str(FIRST), "key_id": key, "valid_until": None}
    assert [(a.kind, a.details) for a in recorded] == [
        ("edge.register", registered | {"label": "box"}), ("edge.register", registered | {"label": "box 2"}),
        ("key.revoke", {"edge": str(FIRST), "keys": [key]}),
    ]  # fmt: skip
    assert [(a.by, a.why) for a in recorded[1:]] == [("os:chief@house", "stolen")] * 2
    assert recorded[0].by.startswith("os:")


def test_the_platforms_key_is_noted_once(store: Store) -> None:
    with store.open() as conn:
        registry.note_platform_key(conn, store.platform.public_der)
        assert conn.execute("SELECT key_id, public_der FROM platform_key").fetchall() == [
            (store.platform.key_id, store.platform.public_der)
        ]


def claimed(store: Store, *claims: str) -> list[str]:
    """Devices that told their claims; their ids."""
    store.emit(*(event(claim, "connected", "") for claim in claims))
    return [str(device_id(claim)) for claim in claims]


def test_a_device_is_found_by_its_id_its_beginning_or_its_claim(store: Store) -> None:
    one, two, _ = claimed(store, "a/1", "a/2", "a/3")
    with store.open() as conn:
        assert places.assign(conn, one, "ICU-01", name="监护仪1").bed == "ICU-01"
        assert str(places.assign(conn, two[:8].upper(), "ICU-02").uuid) == two
        assert places.assign(conn, "a/3", "ICU-03", name="x").claim == "a/3"
        found = registry.devices(conn)
    assert [(d.claim, d.bed, d.name, d.edge_label, d.foreign_edge) for d in found] == [
        ("a/1", "ICU-01", "监护仪1", "box", False), ("a/2", "ICU-02", None, "box", False),
        ("a/3", "ICU-03", "x", "box", False),
    ]  # fmt: skip
    assert all(d.registered_at and d.since for d in found)


@pytest.mark.parametrize("argument", ["%", "_", "________-%", "", "nobody", "a/%", "a/", "A/1", "\\", "'; --"])
def test_what_names_no_device_assigns_none(store: Store, argument: str) -> None:
    claimed(store, "a/1")
    with store.open() as conn:
        with pytest.raises(VitalwireError, match=r"^no device named .*vitalwire devices list"):
            places.assign(conn, argument, "ICU-01")
        assert [d.bed for d in registry.devices(conn)] == [None]


def test_three_characters_of_an_id_name_no_device(store: Store) -> None:
    (one,) = claimed(store, "a/1")
    with store.open() as conn:
        with pytest.raises(VitalwireError, match="no device named"):
            places.assign(conn, one[:3], "ICU-01")
        assert places.assign(conn, one[:4], "ICU-01").bed == "ICU-01"


def test_what_fits_several_assigns_none(store: Store) -> None:
    one, _ = claimed(store, "a/1", "a/2")
    claimed(store, one[:6])  # whose claim is the beginning of another's id
    with store.open() as conn:
        with pytest.raises(VitalwireError, match=r"^several devices named"):
            places.assign(conn, one[:6], "ICU-01")
        assert [d.bed for d in registry.devices(conn)] == [None] * 3


def test_who_is_not_registered_comes_first(store: Store) -> None:
    claimed(store, "c", "b", "a")
    store.emit(report("silent"))  # no event has told its claim yet
    with store.open() as conn:
        places.assign(conn, "b", "ICU-01")
        assert [d.claim for d in registry.devices(conn)] == ["a", "c", None, "b"]
