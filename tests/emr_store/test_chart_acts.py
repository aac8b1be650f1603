"""What people do to charts, and what of it the charter heeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clinical import chart_versions
from clinical.chart import Origin, Status
from clinical.chart_policy import read_policies
from clinical.worklist import ItemKind
from emr_store import acts, chart_acts, chart_entries, chart_persons, chart_proposals, proof
from emr_store.acts import Author
from emr_store.chart_acts import Person
from emr_store.chart_entries import Kept
from emr_store.instants import moment
from schemas.errors import VitalwireError
from tests.adt import group, us
from tests.charting import POLICIES, PULSE_ID, SLOT, SPO2_ID, V1, V2, Ward, spo2
from tests.conftest import Databases
from tests.verifying import revalidate

NURSE = Person(Author("os:nurse@ward"), "Li")
WHY = Person(Author("os:nurse@ward", "probe was off"), "Li")


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    made = Ward(module_database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    made.emit(spo2(50, 97))
    made.chart()
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: Ward) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def ward(made_once: Ward, database: str) -> Ward:
    return made_once.in_copy(database)


def only(ward: Ward, encounter: str = V1) -> str:
    (entry,) = ward.entries(encounter)
    return entry.entry


def proposed(ward: Ward, entry: str) -> float | None:
    with ward.store.open() as conn:
        chosen = chart_proposals.proposals_of(conn, [entry])[entry].chosen
    return None if chosen is None else chosen.value


def do(ward: Ward, deed: object, *arguments: object) -> Kept:
    with ward.store.open() as conn:
        return deed(conn, *arguments)  # type: ignore[operator, no-any-return]


def test_what_nobody_licensed_stands_behind_waits_and_both_names_stand(ward: Ward) -> None:
    trainee = Person(Author("staff:T1"), "Sun", is_licensed=False)
    kept = do(ward, chart_acts.enter, "V1", "pain", 3, "", moment(us(60)), trainee)
    assert kept.entry.now.status is Status.PRELIMINARY
    confirmed = do(ward, chart_acts.confirm, only_of(ward, SPO2_ID), trainee).entry
    assert (confirmed.now.status, confirmed.now.confirmed) == (Status.PRELIMINARY, False)
    assert chart_versions.by_time(confirmed, us(90_000)) is None  # however long it waits
    kept = do(ward, chart_acts.confirm, kept.entry.entry, NURSE)
    assert kept.entry.now.status is Status.FINAL
    with ward.store.open() as conn:
        acted = chart_persons.persons(conn, [v.act_id for v in kept.entry.versions if v.act_id])
    names = [(acted[v.act_id].name, acted[v.act_id].pending) for v in kept.entry.versions if v.act_id]
    assert names == [("Sun", True), ("Li", False)]


def only_of(ward: Ward, item: str) -> str:
    (entry,) = (entry for entry in ward.entries() if entry.key.item == item)
    return entry.entry


def test_a_value_by_hand_stands_beside_those_of_devices(ward: Ward) -> None:
    kept = do(ward, chart_acts.enter, "V1", "pain", 3, "", moment(us(60)), NURSE)
    version = kept.entry.now
    assert (version.status, version.origin, version.value, version.unit) == (Status.FINAL, Origin.HAND, 3, "{score}")
    assert [entry.key.item for entry in ward.entries()] == ["pain", SPO2_ID]
    with ward.store.open() as conn:
        act = acts.acts(conn)[-1]
    assert (act.kind, act.by, act.details["by_name"]) == ("chart.enter", "os:nurse@ward", "Li")
    assert bytes.fromhex(act.act_id) == version.act_id
    text = do(ward, chart_acts.enter, "V1", "acvpu", None, "A", moment(us(60)), NURSE)
    assert (text.entry.now.value, text.entry.now.text) == (None, "A")


@pytest.mark.parametrize(
    ("encounter", "item", "value", "text", "at", "refused"),
    [
        ("V9", "pain", 3, "", 60, "no encounter has the number 'V9'"),
        ("V1", "pain", 11, "", 60, "11 is not possible"),
        ("V1", "acvpu", None, "X", 60, "write one of A, C, V, P, U"),
        ("V1", "mood", 1, "", 60, "'mood' is nothing that can be charted"),
        ("V1", "pain", 3, "", 10**9, "lies ahead"),
        ("V1", "pain", 3, "", -60, "lies before this encounter began"),
        ("V1", SPO2_ID, 97, "", SLOT, "has an entry at this time already"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_leaves_nothing(
    ward: Ward, encounter: str, item: str, value: float | None, text: str, at: float, refused: str
) -> None:
    before = ward.store.rows("SELECT count(*) FROM act")
    with pytest.raises(VitalwireError, match=refused):
        do(ward, chart_acts.enter, encounter, item, value, text, moment(us(at)), NURSE)
    assert ward.store.rows("SELECT count(*) FROM act") == before
    assert len(ward.entries()) == 1


def test_after_a_confirmation_a_late_value_is_proposed_alone(ward: Ward) -> None:
    entry = only(ward)
    do(ward, chart_acts.confirm, entry[:20], NURSE)
    assert ward.said() == [(SLOT, "final", 97, 2)]
    ward.emit(spo2(60, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "final", 97, 2)]
    assert proposed(ward, entry) == 91
    do(ward, chart_acts.correct, entry, 91, "", WHY)
    ward.chart()
    assert ward.said() == [(SLOT, "amended", 91, 3)]
    assert ward.store.rows("SELECT version FROM chart_proposal") == [(2,)]  # nothing against the correction


def test_a_proposal_is_accepted_with_the_device_s_sources(ward: Ward) -> None:
    entry = only(ward)
    do(ward, chart_acts.confirm, entry, NURSE)
    with pytest.raises(VitalwireError, match="no other value is proposed"):
        do(ward, chart_acts.accept, entry, NURSE)
    ward.emit(spo2(60, 91))
    ward.chart()
    before = ward.entries()[0].now
    accepted = do(ward, chart_acts.accept, entry, NURSE).entry.now
    assert (accepted.status, accepted.origin, accepted.value, accepted.confirmed) == (
        Status.AMENDED, Origin.DEVICE, 91, True,
    )  # fmt: skip
    assert accepted.sources not in ((), before.sources)
    assert accepted.observed_at_us == us(60)
    with ward.store.open() as conn:
        assert acts.acts(conn)[-1].kind == "chart.correct"
        assert chart_proposals.proposals_of(conn, [entry]) == {}
    ward.chart()
    assert ward.said() == [(SLOT, "amended", 91, 3)]
    ward.store.seal_log()
    with ward.store.open() as conn:
        assert proof.verify(conn, revalidate=revalidate).findings == []
        with conn.transaction(force_rollback=True):
            conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER ALL")
            conn.execute("UPDATE chart_entry SET value = 92 WHERE version = 3")
            found = [finding.what for finding in proof.verify(conn, revalidate=revalidate).findings]
    assert "it is not what the act in the log says" in found
    assert "it does not say what the value that it names as its source says" in found


def test_what_a_person_withdrew_does_not_come_back(ward: Ward) -> None:
    entry = only(ward)
    with pytest.raises(VitalwireError, match="say why"):
        do(ward, chart_acts.withdraw, entry, NURSE)
    do(ward, chart_acts.withdraw, entry, WHY)
    ward.emit(spo2(40, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "entered-in-error", 97, 2)]
    ward.emit(spo2(60, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "entered-in-error", 97, 2)]
    assert proposed(ward, entry) == 91
    again = do(ward, chart_acts.enter, "V1", SPO2_ID, 93, "", moment(us(SLOT)), NURSE)
    assert again.ordinal == 2
    assert [e.now.value for e in ward.entries()] == [97, 93]


def test_a_confirmed_entry_of_a_wrong_patient_is_disputed_until_a_person_acts(ward: Ward) -> None:
    entry = only(ward)
    do(ward, chart_acts.confirm, entry, NURSE)
    ward.hospital.emit_records(
        [group("A03", 500, happened=20), group("A01", 510, visit="V2", patient="P2", happened=30)]
    )
    ward.chart()
    assert ward.said(V1) == [(SLOT, "final", 97, 2)]
    assert ward.said(V2) == [(SLOT, "preliminary", 97, 1)]
    assert ward.items() == [(ItemKind.CHART_ATTRIBUTION_DISPUTED, V1)]
    do(ward, chart_acts.withdraw, entry, WHY)
    ward.chart()
    assert ward.said(V1) == [(SLOT, "entered-in-error", 97, 3)]
    assert ward.items() == []


def test_what_a_device_measured_is_taken_when_a_person_asks(ward: Ward) -> None:
    on_demand = POLICIES.replace('when = "every 5 min"', 'when = "on demand"\nstands_min = 10')
    policies = read_policies(on_demand)
    kept = do(ward, chart_acts.take, policies, "V1", SPO2_ID, moment(us(90)), NURSE)
    version = kept.entry.now
    assert (version.status, version.origin, version.value) == (Status.PRELIMINARY, Origin.DEVICE, 97)
    assert version.act_id is not None
    assert len(version.sources) == 1
    for metric, at, refused in (
        (SPO2_ID, 90, "has an entry at this time already"),
        (SPO2_ID, 2000, "nothing can be taken: not measured"),
        (SPO2_ID, 10**9, "lies ahead"),
        (PULSE_ID, 90, "is not taken on demand here"),
    ):
        with pytest.raises(VitalwireError, match=refused):
            do(ward, chart_acts.take, policies, "V1", metric, moment(us(at)), NURSE)
    ward.store.seal_log()
    with ward.store.open() as conn:
        assert proof.verify(conn, revalidate=revalidate).findings == []


def test_an_entry_that_is_not_there_is_refused(ward: Ward) -> None:
    with pytest.raises(VitalwireError, match="no entry has the id"):
        do(ward, chart_acts.confirm, "ffff", NURSE)
    with ward.store.open() as conn, pytest.raises(VitalwireError, match="no entry has the id"):
        chart_entries.find_entry(conn, "")
