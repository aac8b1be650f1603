"""A simulated hospital through one port: each vital sign is who a naive reader of the same messages says."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.simhospital import SIMHOSPITAL, Message, Naive, read_messages
from emr_store import places, proof
from emr_store.attributed_values import attributed_values, balances
from emr_store.connect import open_store
from schemas.report import Kind, device_id
from tests.wire import MllpSender, Wire, eventually

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout"),
]
SOURCES = """
[[source]]
name = "ward"
driver = "hl7_oru"
drivers_by_msh9 = {{ ADT = "hl7_adt" }}
time_zone = "UTC"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
settings.processing_ids_live = ["P", "T"]
"""
SITE = """
[[adt_source]]
name = "ward"
authority = "SIM"
patient_type = "MRN"
pid = "trusted"
processing_ids_live = ["P", "T"]
"""


@dataclass(frozen=True)
class SentBed:
    """A PL as a message has it, the naive reader's name of it, and its place for a configuration."""

    sent: str
    name: str
    location: str


def beds_of(path: Path) -> list[SentBed]:
    found = {}
    for message in read_messages(path):
        for group in message.groups:
            for sent in (group.pv1[3], group.pv1[6]):
                parts = [*sent.split("^"), "", "", ""]
                if parts[2]:
                    facility = parts[3] or message.msh[3].split("^")[0]
                    found[sent] = SentBed(sent, f"{parts[0]}/{parts[2]}", "^".join([*parts[:3], facility]))
    return list(found.values())


def in_order(messages: list[Message]) -> list[bytes]:
    return [message.text.strip().encode() for message in messages]


def shuffled(messages: list[Message], seed: int) -> list[bytes]:
    """Each ADT message comes up to 60 s after its time, and one in ten a second time; observations do not wait."""
    chance = random.Random(seed)
    arrivals = [
        ((message.sent or 0) + (chance.uniform(0, 60) if message.event.startswith("A") else 0), message)
        for message in messages
    ]
    arrivals += [
        (at + chance.uniform(0, 60), message)
        for at, message in arrivals
        if message.event.startswith("A") and chance.random() < 0.1
    ]
    return in_order([message for _, message in sorted(arrivals, key=lambda arrival: arrival[0])])


@pytest.mark.parametrize(
    ("parts", "seed"),
    # In the order in which they were sent all come again to the real parts.
    [("embedded", 1), pytest.param("real", None, marks=pytest.mark.integration)],
)
def test_each_vital_sign_has_the_patient_of_the_naive_reader(
    parts: str, seed: int | None, tmp_path: Path, kafka: str, database: str
) -> None:
    path = SIMHOSPITAL / "ward.hl7"
    messages = read_messages(path)
    sent = in_order(messages) if seed is None else shuffled(messages, seed)
    beds = beds_of(path)
    site = SITE + "".join(
        f'[[bed]]\nname = "{name}"\nlocation = "{location}"\n'
        for name, location in sorted({bed.name: bed.location for bed in beds}.items())
    )
    with Wire(tmp_path, kafka, database, SOURCES, limits=site) as wire:
        sender = MllpSender(wire.mllp)
        for message in sent:
            assert re.search(rb"MSA.[AC]A.", sender.ask(message))
        eventually(wire.released, 100, "every batch has its receipt")
        with open_store(database) as conn:
            known = {row[0] for row in conn.execute("SELECT uuid FROM device")}
            for bed in beds:
                device = device_id(f"ward/PV1-3={bed.sent}")
                if device in known:
                    places.assign(conn, str(device), bed.name, since=datetime(2000, 1, 1, tzinfo=UTC))
        eventually(lambda: _idle(wire), 60, "all is attributed")
        _check(wire, messages)
        eventually(lambda: wire.rows("SELECT FROM unlogged") == [], 20, "the log has everything")
        with open_store(database) as conn:
            assert balances(attributed_values(conn))
            assert proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC)).findings == []


def _idle(wire: Wire) -> bool:
    waiting = wire.rows("SELECT (SELECT count(*) FROM attribution_batch) + (SELECT count(*) FROM attribution_device)")
    return waiting == [(0,)]


def _check(wire: Wire, messages: list[Message]) -> None:
    naive = Naive(messages)
    rows = wire.rows(
        "SELECT d.claim, extract(epoch FROM r.observed_at)::int8, w.state, w.basis, w.encounter"
        " FROM report r JOIN device d USING (device)"
        " LEFT JOIN whose w ON w.device = d.uuid AND w.valid @> r.observed_at AND upper_inf(w.recorded)"
        " WHERE r.kind = %s",
        Kind.METRIC,
    )
    found = Counter(
        (str(claim).partition("PV1-3=")[2].rstrip("^"), second, str(basis or state), _visit(encounter))
        for claim, second, state, basis, encounter in rows
    )
    at_one_instant: dict[tuple[str, int | None], set[str]] = defaultdict(set)
    observations = [message for message in messages if message.event == "ORU^R01"]
    for message in observations:
        at_one_instant[message.groups[0].pv1[3], message.observed].add(message.groups[0].patient)
    wanted: Counter[tuple[str, int, str, str | None]] = Counter()
    for message in observations:
        group, second = message.groups[0], message.observed or 0
        basis, visit = naive.owner(group.bed, group.patient, second)
        if len(at_one_instant[group.pv1[3], second]) > 1:
            # Without a bed the device is the connection: of two patients in one second it is nobody's.
            assert (group.bed, basis) == ("", "pid")
            basis, visit = "nobody", None
        wanted[group.pv1[3].rstrip("^"), second, basis, visit] += 1
    assert found == wanted
    bases = Counter(basis for _, _, basis, _ in found.elements())
    assert bases == {"bed+pid": 514, "pid": 79, "nobody": 14}
    assert wire.rows("SELECT count(*) FROM adt_fact") == [(460,)]
    assert wire.rows("SELECT count(*) FROM patient_link") == [(11,)]
    assert wire.rows("SELECT count(*) FROM encounter_bed WHERE upper_inf(recorded) AND upper_inf(valid)") == [(11,)]
    no_visit = wire.rows("SELECT kind, count(*) FROM worklist_item WHERE scope = 'fact' GROUP BY kind")
    assert no_visit == [("no_visit", 11)]


def _visit(encounter: object) -> str | None:
    return str(encounter).split(":")[1].split("^")[0] if encounter else None
