from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from emr_store import registry
from schemas.errors import VitalwireError
from schemas.report import device_id
from tests.making import Key, report
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
        registry.add_edge(conn, FIRST, "box", store.edge_key.public_der)
        assert all(k.revoked for k in registry.edge_keys(conn) if k.edge == FIRST)


def test_the_platforms_key_is_noted_once(store: Store) -> None:
    with store.open() as conn:
        registry.note_platform_key(conn, store.platform.public_der)
        assert conn.execute("SELECT key_id, public_der FROM platform_key").fetchall() == [
            (store.platform.key_id, store.platform.public_der)
        ]


def claimed(store: Store, *claims: str) -> list[str]:
    """Devices that told their claims; their ids."""
    store.say(*(event(claim, "connected", "") for claim in claims))
    return [str(device_id(claim)) for claim in claims]


def test_a_device_is_adopted_by_its_id_its_beginning_or_its_claim(store: Store) -> None:
    one, two, three = claimed(store, "a/1", "a/2", "a/3")
    with store.open() as conn:
        assert registry.adopt(conn, one, "ICU-01", "监护仪1").bed == "ICU-01"
        assert str(registry.adopt(conn, two[:8].upper(), "ICU-02", "").uuid) == two
        assert registry.adopt(conn, "a/3", "ICU-03", "x").claim == "a/3"
        found = registry.devices(conn)
    assert [(str(d.uuid), d.bed, d.name) for d in found] == [
        (one, "ICU-01", "监护仪1"), (two, "ICU-02", None), (three, "ICU-03", "x")
    ]  # fmt: skip
    assert all(d.adopted_at for d in found)


def test_who_moves_to_another_bed_keeps_the_name(store: Store) -> None:
    claimed(store, "a/1")
    with store.open() as conn:
        registry.adopt(conn, "a/1", "ICU-01", "监护仪1")
        assert registry.adopt(conn, "a/1", "ICU-02", "")[2:4] == ("监护仪1", "ICU-02")
        assert registry.adopt(conn, "a/1", "ICU-02", "新")[2] == "新"


@pytest.mark.parametrize("argument", ["%", "_", "________-%", "", "nobody", "a/%", "a/", "A/1", "\\", "'; --"])
def test_what_names_no_device_adopts_none(store: Store, argument: str) -> None:
    claimed(store, "a/1")
    with store.open() as conn:
        with pytest.raises(VitalwireError, match=r"^no device named .*vitalwire devices list"):
            registry.adopt(conn, argument, "ICU-01", "")
        assert [d.bed for d in registry.devices(conn)] == [None]


def test_three_characters_of_an_id_name_no_device(store: Store) -> None:
    (one,) = claimed(store, "a/1")
    with store.open() as conn:
        with pytest.raises(VitalwireError, match="no device named"):
            registry.adopt(conn, one[:3], "ICU-01", "")
        assert registry.adopt(conn, one[:4], "ICU-01", "").bed == "ICU-01"


def test_what_fits_several_adopts_none(store: Store) -> None:
    one, _ = claimed(store, "a/1", "a/2")
    claimed(store, one[:6])  # whose claim is the beginning of another's id
    with store.open() as conn:
        with pytest.raises(VitalwireError, match=r"^several devices named"):
            registry.adopt(conn, one[:6], "ICU-01", "")
        assert [d.bed for d in registry.devices(conn)] == [None] * 3


def test_who_is_not_adopted_comes_first(store: Store) -> None:
    claimed(store, "c", "b", "a")
    store.say(report("silent"))  # no event has told its claim yet
    with store.open() as conn:
        registry.adopt(conn, "b", "ICU-01", "")
        assert [d.claim for d in registry.devices(conn)] == ["a", "c", None, "b"]
