"""The demo's configuration reads what the demo's ward says: every monitor at its bed, with values that are known."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.devices.hl7_adt import AdtSettings
from adapters.devices.hl7_adt import read as read_adt
from adapters.driver import Source
from adapters.site import read_site
from clinical.beds import BedState
from clinical.chart_policy import OnDemand, read_policies
from clinical.facts import make_fact
from edge_agent.sources import SourcePlan, load_edge, message_type, plan_source
from runtime import config as configuration
from schemas.adt import decode_group
from schemas.report import Kind, Lane
from simulators import hl7_oru
from simulators.hospital import HospitalPlan, Office, beds_of
from simulators.patient import Patient
from stream_processors.attribute import site_of
from stream_processors.config import ProcessorsConfig
from vitalwire import ward_site
from vitalwire.embedded import Addresses

PORTS = {"plain": 2001, "pcd01": 2001, "mindray": 2002}
AT_US = 1_790_000_000_123_000


def plan_at(port: int, folder: Path) -> SourcePlan:
    addresses = Addresses("127.0.0.1:9092", "postgresql:///demo", ("127.0.0.1", 1883), ("127.0.0.1", 1884))
    text = ward_site.edge_toml("0" * 32, addresses, (), mllp=2001, mindray=2002, adt=2003, metrics=9463)
    (folder / "edge.toml").write_text(text)
    (found,) = [each for each in load_edge(folder / "edge.toml").source if each.link.address.endswith(f":{port}")]
    return plan_source(found, read_site(ward_site.site_toml(), "site.toml"))


@pytest.mark.parametrize("dialect", hl7_oru.DIALECTS)
def test_a_monitor_is_known_by_its_bed_and_its_values_have_codes(dialect: str, tmp_path: Path) -> None:
    plan = plan_at(PORTS[dialect], tmp_path)
    source = plan.source("127.0.0.1")
    source.received_at_us = AT_US
    monitor = hl7_oru.Monitor(dialect, "bed-06", Patient(1006, "healthy"), 12)
    reports = [
        report
        for message in [*monitor.greeting(), *monitor.messages(1.0, AT_US), *monitor.heartbeat()]
        for report in plan.driver.read(message.payload, source)
    ]
    measured = [report for report in reports if report.kind is Kind.METRIC]
    assert {report.claim for report in measured} == {
        f"eui64:{monitor.device}" if dialect == "pcd01" else f"{plan.name}/PV1-3={monitor.device}"
    }
    records = [record for report in measured for record in report.records]
    assert len(records) >= 11
    assert sum(record.code == 0 for record in records) <= 2  # left out of the mapping on purpose


def test_the_admission_office_has_a_source_of_its_own_and_adt_among_values_its_driver(tmp_path: Path) -> None:
    office = Office(HospitalPlan(beds=beds_of(12)))
    letters = office.begin(AT_US)
    for port in (2001, 2002, 2003):
        plan = plan_at(port, tmp_path)
        for letter in letters:
            driver, source = plan.routed(plan.source("127.0.0.1"), message_type(letter.message.payload))
            (report,) = driver.read(letter.message.payload, source)
            assert (report.claim, report.lane) == (f"adt:{plan.name}", Lane.ADT)


def test_who_lies_at_a_bed_is_entered_on_its_monitor(tmp_path: Path) -> None:
    office = Office(HospitalPlan(beds=beds_of(12), empty=0))
    office.begin(AT_US)
    plan = plan_at(PORTS["pcd01"], tmp_path)
    source = plan.source("127.0.0.1")
    (message,) = hl7_oru.Monitor("pcd01", "bed-06", Patient(1006, "healthy"), 3, office.whose).messages(1.0, AT_US)
    contexts = [r for r in plan.driver.read(message.payload, source) if r.kind is Kind.CONTEXT]
    assert [x.text for r in contexts for x in r.records if x.as_sent and x.as_sent.code == "PID-3"] == [
        f"{office.lies['bed-06'].number}^^^SIM^MR"
    ]


def test_the_processors_know_each_bed_and_number_of_the_admission_office() -> None:
    beds = beds_of(12)
    addresses = Addresses("127.0.0.1:9092", "postgresql:///demo", ("127.0.0.1", 1883), ("127.0.0.1", 1884))
    text = ward_site.processors_toml(addresses, 9464, beds, emr_fhir=8440, emr_mllp=12635)
    site = site_of(configuration.decode(text, ProcessorsConfig, "processors.toml"))
    driver = Source("his", AdtSettings(), time_zone=ZoneInfo("Asia/Shanghai"))
    facts = []
    for letter in Office(HospitalPlan(beds=beds)).begin(AT_US):
        for report in read_adt(letter.message.payload, driver):
            group = decode_group(report.records[0].text or "")
            source = site.source_of(report.device, None)
            facts.append(make_fact(group, source, site.beds, AT_US))
    assert len(facts) > 5
    assert {fact.bed.state for fact in facts} == {BedState.KNOWN}
    assert {fact.bed.key for fact in facts} <= {site.bed_of(ward_site.bed_name(n)) for n in range(1, 13)}
    assert all(fact.live and fact.encounter for fact in facts)


def test_the_ward_charts_by_policies_that_can_be_read() -> None:
    policies = read_policies(ward_site.CHART)
    assert "MDC_PRESS_BLD_NONINV_SYS" in policies.each_metrics()
    venous = policies.of("ICU", "MDC_PRESS_BLD_VEN_CENT_MEAN")
    assert venous is not None
    assert venous.when == OnDemand()
    addresses = Addresses("127.0.0.1:9092", "postgresql:///demo", ("127.0.0.1", 1883), ("127.0.0.1", 1884))
    text = ward_site.processors_toml(addresses, 9464, beds_of(3), emr_fhir=8440, emr_mllp=12635)
    assert configuration.decode(text, ProcessorsConfig, "processors.toml").chart.policies == Path("chart.toml")


def test_what_is_charted_goes_to_the_emr_in_both_protocols_unconfirmed_too() -> None:
    addresses = Addresses("127.0.0.1:9092", "postgresql:///demo", ("127.0.0.1", 1883), ("127.0.0.1", 1884))
    text = ward_site.processors_toml(addresses, 9464, beds_of(3), emr_fhir=8440, emr_mllp=12635)
    found = configuration.decode(text, ProcessorsConfig, "processors.toml").destination
    assert [(each.protocol, each.address, each.preliminary) for each in found] == [
        ("fhir", "http://127.0.0.1:8440", True), ("hl7v2", "127.0.0.1:12635", True),
    ]  # fmt: skip
