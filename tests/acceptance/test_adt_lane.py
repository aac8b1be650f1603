"""ADT beside observations through one MLLP port: the lane of its own, from the spool over Kafka to the store."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.devices.hl7_adt import AdtSettings, read
from adapters.driver import Source
from emr_store import conservation
from emr_store.connect import open_store
from gateway.pages.ward import Ward
from schemas.adt import GROUP_CODE, PERSON_CODE, decode_group, decode_person
from schemas.block import ValidationResult
from schemas.report import Kind, Lane
from tests.gateway.asking import everything
from tests.wire import MllpSender, Wire, eventually
from vitalwire.devices import devices_that_measure

SOURCES = """
[[source]]
name = "his"
driver = "hl7_oru"
drivers_by_msh9 = {{ ADT = "hl7_adt" }}
time_zone = "Asia/Shanghai"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""
pytestmark = pytest.mark.timeout(240)
PATIENTS = 40
SIMHOSPITAL = Path(__file__).parents[2].parent / "shared" / "data" / "simhospital" / "ward.hl7"


def adt(event: str, number: int, *more: str) -> bytes:
    lines = [
        rf"MSH|^~\&|HIS|HOSP|||202609211413{number % 60:02}+0800||ADT^{event}|{event}.{number}|P|2.5",
        f"EVN||202609211413{number % 60:02}",
        f"PID|||{number:07}^^^HOSP^PI||Zhang^San{number}||19560214|M",
        f"PV1||I|ICU^^{number}|||||||||||||||||V{number}^^^HOSP^VN",
        *more,
    ]
    return "".join(f"{line}\r" for line in lines).encode()


def oru(number: int) -> bytes:
    lines = [
        rf"MSH|^~\&|MON|ICU|||202609211413{number % 60:02}+0800||ORU^R01|oru.{number}|P|2.5",
        f"PID|||{number:07}^^^HOSP^PI",
        f"PV1||I|ICU^^{number}",
        "OBR|1",
        "OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|262688^MDC_DIM_PERCENT^MDC|||||F",
    ]
    return "".join(f"{line}\r" for line in lines).encode()


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_every_fact_is_stored_and_is_no_device_at_a_bed(parts: str, tmp_path: Path, kafka: str, database: str) -> None:
    swap = ["PID|||7777777^^^HOSP^PI||Li^Si", "PV1||I|ICU^^77"]
    sent = [
        message for n in range(PATIENTS) for message in (adt("A01", n), oru(n), adt("A17", n, *swap), adt("A01", n))
    ]
    with Wire(tmp_path, kafka, database, SOURCES) as wire:
        sender = MllpSender(wire.mllp)
        for message in sent:
            assert b"MSA|AA|" in sender.ask(message)
        assert b"MSA|AE|" in sender.ask(adt("", 1))  # of no event
        eventually(wire.released, 100, "every batch has its receipt")
        _check(wire)


@pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout")
@pytest.mark.parametrize(
    ("parts", "messages", "adt_messages", "groups"),
    # Each event at least once stands in the first 250; test_whose.py sends all of them to the embedded parts.
    [("embedded", 250, 110, 113), pytest.param("real", 1055, 448, 460, marks=pytest.mark.integration)],
)
def test_a_simulated_hospital(
    parts: str, messages: int, adt_messages: int, groups: int, tmp_path: Path, kafka: str, database: str
) -> None:
    """1,055 messages that nobody here wrote: of the 448 ADT each group is in the record, as its driver reads it."""
    text = SIMHOSPITAL.read_bytes().decode("utf-8")
    sent = [each.strip("\r\n").encode() for each in re.split(r"[\r\n]*\n\s*\n|\r\r+", text) if each.strip()]
    assert len(sent) == 1055
    del sent[messages:]
    live = 'settings.processing_ids_live = ["P", "T"]\n'
    with Wire(tmp_path, kafka, database, SOURCES.replace("Asia/Shanghai", "Europe/London") + live) as wire:
        sender = MllpSender(wire.mllp)
        for message in sent:
            assert re.search(rb"MSA.[AC]A.", sender.ask(message))
        eventually(wire.released, 100, "every batch has its receipt")
        texts = _texts_of_adt(wire)
        driver = Source("his", AdtSettings(processing_ids_live=("P", "T")), time_zone=ZoneInfo("Europe/London"))
        adt_alone = [message for message in sent if b"|ADT^" in message.partition(b"\r")[0]]
        expected = [
            record.text for message in adt_alone for report in read(message, driver) for record in report.records
        ]
        assert len(adt_alone) == adt_messages
        assert Counter(text for each in texts for text in each.values()) == Counter(expected)
        assert len(texts) == groups
        marked = wire.rows(
            "SELECT count(*) FROM observation WHERE validation_result = %s", ValidationResult.DOUBTFUL_TRAINING
        )
        assert marked == [(0,)]


def _texts_of_adt(wire: Wire) -> list[dict[str, str]]:
    """The texts of each report of an admission office, by their code."""
    found = wire.rows(
        "SELECT r.texts FROM report r JOIN device d USING (device) WHERE r.kind = %s AND d.claim = 'adt:his'",
        Kind.CONTEXT,
    )
    return [{t["code"]: t["text"] for t in texts} for (texts,) in found]  # type: ignore[attr-defined]


def _check(wire: Wire) -> None:
    texts = _texts_of_adt(wire)
    groups = [decode_group(each[GROUP_CODE]) for each in texts]
    expected = [(f"A01.{n}", 0) for n in range(PATIENTS)] + [(f"A17.{n}", g) for n in range(PATIENTS) for g in (0, 1)]
    assert sorted((group.control, group.group) for group in groups) == sorted(
        expected
    )  # what was sent twice is there once
    assert {decode_person(each[PERSON_CODE]).family for each in texts} == {"Zhang", "Li"}
    lanes = dict(wire.rows("SELECT lane, sum(reports)::int8 FROM ledger GROUP BY lane"))
    assert lanes[int(Lane.ADT)] == len(expected) + 1  # what was rejected
    with open_store(wire.database) as conn:
        claims = {device.claim for device in devices_that_measure(conn)}
        assert claims == {"his/rejected", *(f"his/PV1-3=ICU^^{n}" for n in range(PATIENTS))}
        picture = Ward(conn).read(1, whole=True)
        shown = picture.message(everything(picture), whole=True)
        assert b"his/PV1-3=ICU^^7" in shown
        assert b"adt:his" not in shown
        emitted = conservation.sequences(conn)
        assert [s.last for s in emitted] == [s.stored for s in emitted]
        assert all(s.gaps == 0 for s in conservation.streams(conn))
    rejected = wire.rows("SELECT count(*) FROM report WHERE kind = %s", Kind.REJECTED)
    assert rejected == [(1,)]
