from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from emr_store import acts, deliver
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.report import Record
from tests.delivering import Said, accepted, made, say, take_all
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import Store, event
from vitalwire.flow import (
    arrivals_text,
    arrived,
    balance,
    destinations_without,
    equations,
    flow,
    path_text,
    transports_with_values,
)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def test_of_an_empty_store_there_is_nothing_to_show(store: Store) -> None:
    path, total = flow(store.address)
    assert path is None
    assert "0 said = 0 stored + 0 quarantined + 0 on the way + 0 lost" in equations(total)
    assert balance(store.address)


def test_a_report_is_followed_through_every_stage(store: Store) -> None:
    store.emit(event("demo:nonin:1", "connected", ""))
    store.emit(report())
    path, _ = flow(store.address)
    assert path
    lines = path_text(path).splitlines()
    assert lines[0] == "one report of demo:nonin:1"
    assert [line.split("  ")[1] for line in lines[1:]] == ["measured", "received", "cut and signed",
                                                           "validated, sealed",
                                                           "stored"]  # fmt: skip
    offsets = [int(m[1]) for line in lines if (m := re.search(r"([+-]\d+) ms", line))]
    assert offsets[:4] == [-5, 0, -5, 995]  # as tests.making and tests.storing have it
    assert offsets[4] > 995  # by the database's clock
    assert "batch 2, leaf 0" in lines[3]
    assert "not in the log yet" in lines[4]
    store.seal_log()
    logged, _ = flow(store.address)
    assert logged
    assert "leaf 3 of the log" in path_text(logged).splitlines()[4]


def test_the_ledger_names_every_class(store: Store) -> None:
    store.emit(report(), report(at_us=T0_US + 1, records=[Record(SPO2, PERCENT, mantissa=250), Record(mantissa=1)]))
    store.write([], [DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, store.seal(report()))])
    assert equations(flow(store.address)[1]) == (
        "reports  3 said = 2 stored + 1 quarantined + 0 on the way + 0 lost\n"
        "values   4 = 2 accepted + 1 doubtful + 1 unmapped + 0 missing"
    )
    assert balance(store.address)


def test_what_was_not_heard_is_said_beside_it() -> None:
    total = dict.fromkeys(("said", "stored", "quarantined", "on_the_way", "lost", "unexplained"), 0)
    total |= dict.fromkeys(("accepted", "doubtful", "unmapped", "missing"), 0)
    assert equations(total | {"gaps": 0, "gap_s": 0}).count("\n") == 1
    assert equations(total | {"gaps": 2, "gap_s": 35}).endswith("\nnot heard in 24 h: 35 s in 2 gaps")


def test_what_is_on_the_way_does_not_balance(store: Store) -> None:
    first, second, third = (store.seal(report(at_us=T0_US + i)) for i in range(3))
    store.write([store.validate(m) for m in (first, third)])
    assert "3 said = 2 stored + 0 quarantined + 0 on the way + 0 lost + 1 unexplained" in equations(
        flow(store.address)[1]
    )
    assert not balance(store.address)
    store.write([store.validate(second)])
    assert balance(store.address)


def test_each_transport_is_known_by_what_its_devices_claim(store: Store) -> None:
    claims = ("demo:nonin:1", "mllp:x", "eui64:00-1", "mqtt/ward", "other")
    store.emit(*(event(claim, "connected", "") for claim in claims))
    before = datetime.fromtimestamp(T0_US / 1e6, UTC) - timedelta(hours=1)
    assert transports_with_values(store.address, before) == set()
    store.emit(report("mqtt/ward"), report("other"))
    assert transports_with_values(store.address, before) == {"MQTT"}
    store.emit(report("eui64:00-1"), report("demo:nonin:1"))
    assert transports_with_values(store.address, before) == {"MQTT", "MLLP", "serial"}
    assert transports_with_values(store.address, datetime.now(UTC)) == set()  # an earlier run's prove nothing


def test_a_charted_value_is_followed_into_the_emr(store: Store) -> None:
    with store.open() as conn:
        before = acts.now(conn)
        emr, archive = (deliver.open_destination(conn, name, None) for name in ("emr", "archive"))
        assert arrived(store.address) == []
        assert arrivals_text([]) == ""
        say(conn, Said(7, value=97.0))
        take_all(conn, emr)
        deliver.keep_bodies(conn, [made(each) for each in deliver.next_messages(conn, emr, (), 9)])
        deliver.settle(conn, emr, [accepted(each) for each in deliver.next_messages(conn, emr, (), 9)])
        assert archive != emr
    (found,) = arrived(store.address)
    text = arrivals_text([found])
    assert text.startswith(f"… → chart → EMR: SpO2 97 %, entry {found.entry} version 1, accepted at ")
    assert text.endswith(" by emr as 7.1")
    later = arrivals_text([found._replace(
        bed="ICU-03", received_at=found.recorded_at - timedelta(seconds=1), settled_at=found.recorded_at
    )])  # fmt: skip
    assert "SpO2 97 % of bed ICU-03, " in later
    assert later.endswith("; 1.0 s from the port to the chart, 1.0 s to the EMR")
    assert destinations_without(store.address, before) == ["archive"]
    assert destinations_without(store.address, datetime.now(UTC) + timedelta(hours=1)) == ["archive", "emr"]
