"""506 messages that nobody here wrote, through the MLLP port to the record; counted a second time by a naive reader."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emr_store import conservation, proof
from emr_store.connect import open_store
from schemas.block import ReportFlag, ValidationResult
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from tests.wire import MllpSender, Wire, eventually

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "simhospital"
SOURCES = """
[[source]]
name = "hospital"
driver = "hl7_oru"
time_zone = "Europe/London"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
settings.processing_ids_live = ["P", "T"]  # the simulated hospital says T everywhere
"""
pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not beside this checkout"),
    pytest.mark.timeout(240),
]


class Naive:
    """Splits on bars and carets, and counts; knows nothing of ours but the names of the metrics."""

    def __init__(self, messages: list[str]) -> None:
        self.types: Counter[str] = Counter()
        self.obx: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        for message in messages:
            rows = [line.split("|") for line in message.split("\r") if line]
            kind = rows[0][8]
            self.types[kind] += 1
            for row in rows if kind == "ORU^R01" else ():
                if row[0] == "OBX":
                    self._obx([*row, "", "", ""])

    def _obx(self, row: list[str]) -> None:
        code, value = row[3].split("^")[1], row[5]  # this sender: its own code, then the MDC name, then MDC
        known = code in METRIC_BY_REFERENCE_ID
        typed = row[2] == "NM" or known  # a number without a type is one only where the code says what it is
        number = typed and re.fullmatch(r"[+-]?\d+(\.\d+)?", value) is not None
        self.obx["total"] += 1
        if known and number:
            self.accepted[code] += 1
        # "None" under NM is no number and no text: the sender's way of saying that there is no reading.
        bound = re.fullmatch(r"[<>]=?[0-9.]+", value) is not None and typed
        what = "number" if number or bound else "no reading" if value == "" or row[2] == "NM" else "text"
        self.obx[f"{'known' if known else 'unknown'} {what}"] += 1


def messages() -> list[str]:
    text = (DATA / "messages.hl7").read_bytes().decode("utf-8")
    return [m.strip("\r\n") for m in re.split(r"[\r\n]*\n\s*\n|\r\r+", text) if m.strip()]


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_506_messages(parts: str, tmp_path: Path, kafka: str, database: str) -> None:
    sent = messages()
    naive = Naive(sent)
    assert len(sent) == 506
    assert naive.types["ORU^R01"] == 298
    with Wire(tmp_path, kafka, database, SOURCES) as wire:
        sender = MllpSender(wire.mllp)
        for message in sent:
            answer = sender.ask(message.encode()).decode().split("\r")
            control_id = message.split("\r")[0].split("|")[9]
            assert answer[1].split("|")[:3] == ["MSA", "CA", control_id]
        eventually(wire.released, 100, "every batch has its receipt")
        _check(wire, naive)


def _check(wire: Wire, naive: Naive) -> None:
    accepted = dict(wire.rows("SELECT metric, count(*) FROM observation WHERE validation_result = 0 GROUP BY 1"))
    assert accepted == dict(naive.accepted)
    assert sorted(accepted.values()) == [30] * 5
    validation_results = dict(wire.rows("SELECT validation_result, count(*) FROM observation GROUP BY 1"))
    assert validation_results[ValidationResult.ACCEPTED] == naive.obx["known number"] == 150
    empty = wire.rows(
        "SELECT metric, count(*) FROM observation WHERE validation_result = 10 AND value IS NULL GROUP BY 1"
    )
    assert dict(empty)["MDC_RESP_RATE"] == naive.obx["known no reading"] == 30  # no-readings, not zeros
    assert (
        validation_results[ValidationResult.MISSING] == sum(n for _, n in empty) == 30 + naive.obx["unknown no reading"]
    )
    assert validation_results[ValidationResult.UNMAPPED_CODE] == naive.obx["unknown number"]
    assert validation_results[ValidationResult.UNMAPPED_TEXT] == naive.obx["unknown text"]
    assert sum(validation_results.values()) == naive.obx["total"]
    others = dict(
        wire.rows(
            "SELECT t ->> 'text', count(*) FROM report, jsonb_array_elements(texts) AS t"
            " WHERE kind = 7 AND t ->> 'code' = 'MSH-9' GROUP BY 1"
        )
    )
    assert others == {k: n for k, n in naive.types.items() if k != "ORU^R01"}
    assert sum(others.values()) == 208
    late = wire.rows("SELECT count(*) FROM report WHERE kind = 1 AND flags & %s = 0", int(ReportFlag.LATE))
    assert late == [(0,)]
    with open_store(wire.database) as conn:
        sequences = conservation.sequences(conn)
        assert [s.last for s in sequences] == [s.stored for s in sequences]
        assert all(s.gaps == 0 for s in conservation.streams(conn))
        result = proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC))
        assert result.findings == []
        assert result.reports == wire.rows("SELECT count(*) FROM report")[0][0]
