"""Reports as leaves."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from edge_agent.events import event
from edge_agent.spool import Kept, Spool
from edge_agent.spool.chunks import split
from edge_agent.spool.encoded_reports import SALTS, ReportEncoder
from evidence.seal import open_sealed
from schemas import layout
from schemas.batch import TailKind
from schemas.report import Kind, Lane, Record, RecordKind
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, put
from tests.making import T0_US, report


def test_what_does_not_fit_the_layout_is_kept_as_rejected(make: Callable[..., Spool]) -> None:
    spool = make()
    bad = [
        report("good"),
        report("many", records=[Record()] * 10_001),
        report("wide", records=[Record(code=2**40)]),
        report("\ud800", records=[Record(mantissa=2**70)]),
    ]
    assert put(spool, *bad, frame=b"the bytes") is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    _, table = open_sealed(spool.unreceipted(Lane.LIVE, 0, MIB)[0][1])
    assert table.kind.tolist() == [Kind.METRIC, Kind.REJECTED]
    tail = table.tail(1)
    assert (layout.REPORT_LEVEL, TailKind.FRAME, b"the bytes") in tail
    assert (0, TailKind.AS_SENT, b"vitalwire\x1ftoo-many-records\x1f") in tail


def test_encoded_reports_that_were_joined_are_split_again() -> None:
    texts = Record(kind=RecordKind.TEXT, text="text", note="note")
    reports = [
        report(),
        report(records=[texts, texts]),
        event("edge", "counts", "{}", T0_US),
        report(records=[Record()]),
    ]
    encoder = ReportEncoder()
    contents = [bytes(encoded.content) for encoded in encoder.encode(reports, b"frame")]
    assert split(b"".join(contents)) == contents


def test_every_leaf_has_a_salt_of_its_own_and_the_hash_of_it_and_the_frame() -> None:
    encoder = ReportEncoder()
    salts = set()
    for encoded in encoder.encode([report()] * (2 * SALTS + 1), b"the frame"):
        salt = bytes(encoded.content[16:32])
        assert encoded.content[32:64] == sha256(salt + b"the frame").digest()
        salts.add(salt)
    assert len(salts) == 2 * SALTS + 1
