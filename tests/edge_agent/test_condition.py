from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.condition import Condition, Inflow, SpoolState

ENDS = datetime(2027, 3, 1, tzinfo=UTC)


def state(kept_bytes: int, *, unreceipted_bytes: int = 0, reports: int = 0) -> SpoolState:
    return SpoolState(reports, 0, unreceipted_bytes, 0, kept_bytes)


def made(tmp_path: Path, certificate: Path | None = None) -> tuple[Condition, list[tuple[str, str]]]:
    emitted: list[tuple[str, str]] = []
    return Condition(tmp_path, 1_000_000, certificate, lambda code, text: emitted.append((code, text))), emitted


def test_inflow_is_of_the_last_hour() -> None:
    inflow = Inflow()
    for minute in range(121):  # an hour of 100 bytes a second, an hour of 10
        inflow.take(minute * 60.0, min(minute, 60) * 6000 + max(0, minute - 60) * 600)
    assert inflow.bytes_per_s(7200.0, 60 * 6600) == pytest.approx(10)


def test_no_inflow_is_known_before_a_minute_has_passed_or_when_nothing_came() -> None:
    inflow = Inflow()
    inflow.take(0.0, 5)
    assert inflow.bytes_per_s(59.0, 900) is None
    assert inflow.bytes_per_s(60.0, 5) is None
    assert inflow.bytes_per_s(60.0, 65) == 1


def test_room_is_what_the_quota_has_left_by_the_inflow(tmp_path: Path) -> None:
    condition, _ = made(tmp_path)
    assert condition.look(0.0, state(0), is_broker_reached=True).room_s is None
    status = condition.look(100.0, state(1000, unreceipted_bytes=400_000), is_broker_reached=True)
    assert (status.room_s, status.spool_bytes, status.spool_quota_bytes) == (60_000, 400_000, 1_000_000)
    assert status.disk_free_bytes is not None
    assert status.version


def test_a_full_spool_has_no_room(tmp_path: Path) -> None:
    condition, _ = made(tmp_path)
    condition.look(0.0, state(0), is_broker_reached=True)
    assert condition.look(100.0, state(9, unreceipted_bytes=1_000_001), is_broker_reached=True).room_s == 0


def test_a_broker_that_is_away_is_said_after_a_minute_ten_and_each_hour(tmp_path: Path) -> None:
    condition, emitted = made(tmp_path)
    for second in range(0, 7300, 10):
        condition.look(float(second), state(second * 10, reports=second), is_broker_reached=False)
    assert [(code, text.partition(";")[0]) for code, text in emitted] == [
        ("broker-away", f"broker unreachable for {away}") for away in ("1 min", "10 min", "1 h", "2 h")
    ]
    assert emitted[0][1] == "broker unreachable for 1 min; 60 reports wait on this box; room for 27 h"
    assert condition.look(7300.0, state(73_000), is_broker_reached=True).broker_away_s is None
    condition.look(7301.0, state(73_000), is_broker_reached=False)
    condition.look(7361.0, state(73_000), is_broker_reached=False)
    assert len(emitted) == 5  # a new outage


def test_receipts_that_do_not_come_are_said_while_the_broker_is_reached(tmp_path: Path) -> None:
    """The database is away, or its disk is full: batches wait, and nobody answers."""
    condition, emitted = made(tmp_path)
    waits, nothing = SpoolState(3, 2, 0, 0, 0), SpoolState(0, 0, 0, 0, 0)
    for second in range(60):
        condition.look(float(second), waits, is_broker_reached=True, answers=second // 30)
    assert not emitted  # the last came at 30
    for second in range(60, 92):
        condition.look(float(second), waits, is_broker_reached=True, answers=1)
    assert emitted == [(
        "receipts-away",
        "no receipt for 1 min; 3 reports and 2 batches without a receipt wait on this box; the broker is reached: look"
        " at the processors, and at the database and its disk",
    )]  # fmt: skip
    for spool, is_broker_reached in ((nothing, True), (waits, False)):
        condition.look(93.0, waits, is_broker_reached=True, answers=2)
        for second in (94.0, 155.0):
            condition.look(second, spool, is_broker_reached=is_broker_reached, answers=2)
    assert [code for code, _ in emitted] == ["receipts-away", "broker-away"]
    for second in (200.0, 201.0, 300.0):  # what is refused has its answer
        condition.look(second, waits, is_broker_reached=True, answers=3, refused_batches=2)
    assert len(emitted) == 2


def test_a_certificate_that_ends_is_said_in_time_and_each_time_once(tmp_path: Path) -> None:
    path, now = certificate(tmp_path, ENDS), ENDS - timedelta(days=15)
    emitted: list[str] = []
    renewed: list[bool] = []
    condition = Condition(
        tmp_path, 1, path, lambda code, text: emitted.append(f"{code} {text}"), lambda: renewed.append(True),
        lambda: now.timestamp(),
    )  # fmt: skip
    for step in (0, 1, 2, 14, 14.5, 15.5, 15.6):
        now = ENDS - timedelta(days=15) + timedelta(days=step)
        condition.look(step * 86_400, state(0), is_broker_reached=True)
    words = "certificate-ends its certificate for the broker"
    assert emitted == [f"{words} {each} (docs/enrolment.md)" for each in (
        "ends in 14 d: renew it", "ends in 24 h: renew it", "ended 12 h ago and is refused: renew it",
    )]  # fmt: skip
    certificate(tmp_path, ENDS + timedelta(days=90))
    condition.look(16 * 86_400, state(0), is_broker_reached=True)
    assert (len(emitted), renewed) == (3, [True])
    now = ENDS + timedelta(days=80)
    condition.look(96 * 86_400, state(0), is_broker_reached=True)
    assert "ends in 10 d" in emitted[3]


def certificate(folder: Path, ends: datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "box")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 7, datetime(2026, 1, 1, tzinfo=UTC), ends)
    path = folder / "cert.pem"
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_the_end_of_the_certificate_is_read_from_it(tmp_path: Path) -> None:
    path = certificate(tmp_path, ENDS)
    condition, _ = made(tmp_path, path)
    assert condition.look(0.0, state(0), is_broker_reached=True).certificate_ends_at_s == ENDS.timestamp()
    path.write_text("not one")
    found = condition.look(61.0, state(0), is_broker_reached=True)  # half written, maybe: the one before is in use
    assert found.certificate_ends_at_s == ENDS.timestamp()
    assert made(tmp_path, path)[0].look(0.0, state(0), is_broker_reached=True).certificate_ends_at_s is None
