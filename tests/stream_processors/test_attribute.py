"""The background task that says whose values are: its configuration, and that it goes on after a failure."""

from __future__ import annotations

import asyncio

import pytest

from clinical.identity import PidTrust
from emr_store import attribution
from runtime import config as configuration
from runtime.errors import UserError
from schemas.adt import SentBed
from schemas.report import Lane, device_id
from stream_processors import attribute, recurring_work, stage
from stream_processors.attribute import Attributor, keep_attributing, site_of
from stream_processors.config import ProcessorsConfig
from tests.adt import group, key, us, visit_of
from tests.attributing import adt_report
from tests.storing import Store

CONFIG = """
[[adt_source]]
name = "adt"
authority = "HOSP"
pid = "trusted"

[[bed]]
name = "ICU-1"
location = "ICU^^1^H"
aliases = ["ICU^^V2"]
"""


def load(text: str) -> ProcessorsConfig:
    return configuration.decode(text, ProcessorsConfig, "processors.toml")


def test_the_site_is_as_configured() -> None:
    site = site_of(load(CONFIG))
    assert site.source_of(device_id("adt:adt"), None).authority == "HOSP"
    assert site.source_of(device_id("adt:other"), "adt:other").name == "other"
    assert site.source_of_claims("adt/PV1-3=ICU^^1")[1] is PidTrust.TRUSTED
    assert site.source_of_claims("eui64:0011")[1] is PidTrust.CONFIRMS
    assert site.source_of_claims("eui64:0011")[0].authority == "HOSP"
    assert site.bed_of("ICU-1") == key("1")
    assert site.bed_of("ICU-7") not in ("", key("1"))
    assert site.labels_of({key("1")}) == ["ICU-1"]
    assert site.beds.find(SentBed(ward="ICU", bed="V2"), "H").key == key("1")
    assert site.digest != site_of(load("")).digest


@pytest.mark.parametrize(
    ("text", "emitted"),
    [
        (CONFIG + CONFIG, "'adt' is there twice"),
        ('[[bed]]\nname = "a"\nlocation = "ICU^^"', "has no bed: write ward"),
        ('[[adt_source]]\nname = "a"\npid = "yes"', "pid"),
        ('[[adt_source]]\nname = "a"\nprocessing_ids_live = []', "processing_ids_live"),
    ],
)
def test_a_slip_in_the_configuration_is_said(text: str, emitted: str) -> None:
    with pytest.raises(UserError, match=emitted):
        load(text)


def test_it_takes_what_is_stored_and_goes_on_after_a_failure(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(database)
    store.emit(adt_report(group("A01", 0)), lane=Lane.ADT)
    failures = [ZeroDivisionError()]
    take = Attributor._take_all

    def failing(self: Attributor) -> int:
        if failures:
            raise failures.pop()
        return take(self)

    monkeypatch.setattr(Attributor, "_take_all", failing)
    monkeypatch.setattr(recurring_work, "RETRY_AFTER_S", 0.01)

    async def until_attributed() -> None:
        task = asyncio.ensure_future(keep_attributing(database, load(CONFIG)))
        while attribute.WAITS not in stage.waits and failures:
            await asyncio.sleep(0.01)
        while not store.rows("SELECT FROM encounter_bed") or attribute.WAITS in stage.waits:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(until_attributed(), 20))
    rows = store.rows("SELECT encounter, bed, extract(epoch FROM lower(valid))::int8 FROM encounter_bed")
    assert rows == [(visit_of("V1"), key("1"), us(0) // 1_000_000)]


def test_while_another_works_it_does_nothing(database: str) -> None:
    store = Store(database)
    store.emit(adt_report(group("A01", 0)), lane=Lane.ADT)
    one, other = Attributor(database, site_of(load(CONFIG))), Attributor(database, site_of(load(CONFIG)))
    with store.open() as conn, attribution.alone(conn) as held:
        assert held
        assert one.attribute() == 0
    assert other.attribute() == 1
    one.close()
    other.close()
