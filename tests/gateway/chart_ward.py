"""A stay whose chart has a bit of everything, for the pages: by a device, by hand, amended, in error, late."""

from __future__ import annotations

import time
from copy import copy
from datetime import UTC, datetime, timedelta

from clinical.chart import Entry
from clinical.chart_policy import read_policies
from emr_store import chart_acts, chart_entries, chart_policies, charting, places
from emr_store.acts import Author
from emr_store.chart_acts import Person as Writer
from emr_store.chart_queue import EachMetrics
from emr_store.charting import Charter
from emr_store.instants import moment
from emr_store.transaction import Writer as Store_Writer
from schemas.adt import Person
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID
from schemas.report import Record, Report, decimal_parts, device_id
from tests.adt import BASE_US, group, visit_of
from tests.attributing import Hospital
from tests.charting import chart_all
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = device_id(CLAIM)
NUMBER, VISIT = "00012345", "V1"
ENCOUNTER = visit_of(VISIT)
MINUTE_US = 60_000_000
NURSE = Writer(Author("os:nurse@ward"), "李娜")
PRESSURES = ("MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA")
USUAL = {"MDC_ECG_HEART_RATE": "84", "MDC_PULS_OXIM_PULS_RATE": "83", "MDC_PULS_OXIM_SAT_O2": "97",
         "MDC_RESP_RATE": "16", "MDC_TEMP": "36.8"}  # fmt: skip
POLICIES = """
zone = "Asia/Shanghai"
[[policy]]
metrics = ["MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_OXIM_SAT_O2", "MDC_RESP_RATE", "MDC_TEMP"]
when = "every 5 min"
value = "last valid"
[[policy]]
metrics = ["MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"]
when = "each"
value = "each"
[[policy]]
metrics = ["MDC_CONC_AWAY_CO2_ET"]
when = "on demand"
value = "last valid"
stands_min = 10
"""


class ChartWard:
    """张三 in ICU-1 since `hours` before now, with a monitor that speaks every five minutes."""

    def __init__(self, database: str, hours: int = 8) -> None:
        self.store = Store(database, b"O" * 16)
        self.policies = read_policies(POLICIES)
        hour_us = 60 * MINUTE_US
        self.now_us = time.time_ns() // 1000
        self.since_us = (self.now_us - hours * hour_us) // hour_us * hour_us
        self.hospital = Hospital(self.store)
        with self.store.kept() as conn:
            chart_policies.note_policies(conn, POLICIES)
        self.charter(lambda charter: charter.begin(self.since_us - hour_us))
        self.store.emit(event(CLAIM, "identity", CLAIM, self.since_us - hour_us))
        with self.store.kept() as conn:
            places.assign(conn, str(DEVICE), "ICU-1", name="监护仪1", since=moment(self.since_us - 2 * hour_us))
        self.hospital.emit(
            group("A01", self.second(self.since_us), patient=NUMBER, admitted=self.second(self.since_us)),
            person=Person(name="张三", birth_date="19570311", sex="M"),
        )
        self.hospital.attribute()

    def second(self, at_us: int) -> float:
        return (at_us - BASE_US) / 1e6

    def charter(self, work: object) -> None:
        with self.store.kept() as conn, charting.alone(conn) as held:
            assert held
            work(Charter(conn, self.policies))  # type: ignore[operator]

    def in_copy(self, address: str) -> ChartWard:
        """This one in a copy of its database (tests/conftest.py: Databases.copy_of)."""
        copied = copy(self)
        copied.store = self.store.in_copy(address)
        copied.hospital = Hospital(copied.store, self.hospital.site)
        return copied

    def emit(self, reports: list[Report]) -> None:
        with self.store.kept() as conn:
            writer = Store_Writer(conn, EachMetrics(self.policies.each_metrics()))
            writer.store([self.store.validate(self.store.seal(*reports))], [])

    def monitor(self, silent: tuple[int, int] = (0, 0)) -> None:
        """All day, but in minutes [silent); a cuff each hour."""
        reports = []
        minutes = int((self.now_us - self.since_us) // MINUTE_US)
        for minute in range(4, minutes, 5):
            if silent[0] <= minute < silent[1]:
                continue
            at_us = self.since_us + minute * MINUTE_US
            wave = (minute // 15) % 7
            values = dict(USUAL)
            values["MDC_ECG_HEART_RATE"] = values["MDC_PULS_OXIM_PULS_RATE"] = str(78 + 2 * wave)
            values["MDC_TEMP"] = f"{36.6 + wave / 10:.1f}"
            reports.append(said(at_us, values))
            if minute % 60 == 4:
                reports.append(said(at_us + 1, dict(zip(PRESSURES, (str(118 + wave), str(72 + wave)), strict=True))))
        self.emit(reports)

    def chart(self) -> None:
        self.hospital.attribute()
        self.charter(lambda charter: chart_all(charter, time.time_ns() // 1000))

    def entries(self) -> list[Entry]:
        with self.store.kept() as conn:
            return chart_entries.flowsheet(conn, ENCOUNTER, moment(0), datetime.now(UTC) + timedelta(days=1))

    def at(self, item: str, hour: int) -> Entry:
        """What is charted of it at that hour of the stay, or first after it."""
        after_us = self.since_us + hour * 60 * MINUTE_US
        return next(e for e in self.entries() if e.key.item == item and e.key.at_us >= after_us)

    def enter(self, item: str, value: float | None, text: str, hour: float) -> None:
        at = moment(self.since_us + int(hour * 60) * MINUTE_US)
        with self.store.kept() as conn:
            chart_acts.enter(conn, ENCOUNTER, item, value, text, at, NURSE)

    def confirm(self, entry: Entry) -> None:
        with self.store.kept() as conn:
            chart_acts.confirm(conn, entry.entry, NURSE)

    def confirm_hour(self, hour: int) -> None:
        """What stands first in each row from this hour on."""
        first: dict[str, Entry] = {}
        for entry in self.entries():
            if entry.key.at_us >= self.since_us + hour * 60 * MINUTE_US:
                first.setdefault(entry.key.item, entry)
        for entry in first.values():
            if not entry.now.confirmed:
                self.confirm(entry)


def said(at_us: int, values: dict[str, str], claim: str = CLAIM) -> Report:
    return report(claim, at_us, [_record(metric, text) for metric, text in values.items()])


def _record(reference_id: str, text: str) -> Record:
    metric = METRIC_BY_REFERENCE_ID[reference_id]
    parts = decimal_parts(text)
    assert parts is not None
    return Record(metric.code, UNIT_BY_REFERENCE_ID[metric.unit].code, mantissa=parts[0], exponent=parts[1])


HAND = ("MDC_TEMP", "MDC_PULS_RATE", "MDC_RESP_RATE", *PRESSURES)


def a_week(database: str) -> ChartWard:
    """Four days on paper: a fever that was cooled, an operation, an absence; all of it by a nurse's hand."""
    ward = ChartWard(database, hours=96)
    ward.enter("event", None, "admitted", 0)
    for number in range(24):
        hour = 4 * number + 0.5
        fever = max(0.0, 2.4 - abs(number - 9) * 0.4)
        if number == 14:
            ward.enter("not-measured", None, "away", hour)
            continue
        values = (
            36.5 + fever + number % 3 / 10,
            74 + 12 * fever + number % 4,
            16 + 3 * fever,
            118 + number,
            70 + number % 5,
        )
        for item, value in zip(HAND, values, strict=True):
            if item in HAND[:3] or number % 3 == 0:
                ward.enter(item, round(value, 1) if item == "MDC_TEMP" else round(value), "", hour)
        ward.enter("temperature-route", None, "axillary", hour)
    ward.enter("MDC_TEMP", 38.0, "", 4 * 9 + 1)
    ward.enter("temperature-mark", None, "cooled", 4 * 9 + 1)
    ward.enter("temperature-route", None, "axillary", 4 * 9 + 1)
    ward.enter("event", None, "operation", 20)
    ward.enter("weight", 62.5, "", 1)
    for day in range(3):
        ward.enter("stool", None, ("1", "0", "1/E")[day], 24 * day + 18)
    for hour in range(1, 96):
        ward.enter("urine", 55 + hour % 7 * 5, "", hour)
    for hour in range(1, 24):
        ward.enter("intake", 80 + hour % 3 * 20, "", hour)
        ward.enter("MDC_PULS_OXIM_SAT_O2", 95 + hour % 4, "", hour)
        ward.enter("oxygen-flow", 3, "", hour)
        ward.enter("oxygen-route", None, "cannula", hour)
        ward.enter("acvpu", None, "A" if hour < 20 else "V", hour)
    ward.enter("tubes", None, "CVC 通畅，尿管通畅", 2)
    ward.enter("skin", None, "骶尾部完好", 2)
    ward.enter("observation", None, "翻身拍背，吸痰一次，痰白黏", 6)
    return ward


def a_day(database: str) -> ChartWard:
    """A stay of eight hours with a bit of everything."""
    ward = ChartWard(database)
    ward.monitor(silent=(180, 245))
    ward.chart()
    ward.enter("event", None, "admitted", 0)
    for hour in range(1, 8):
        ward.enter("urine", 60 + 10 * hour, "", hour)
        ward.enter("intake", 80, "", hour)
    ward.enter("acvpu", None, "A", 1)
    ward.enter("pain", 3, "", 1)
    ward.enter("acvpu", None, "V", 5)
    ward.enter("temperature-route", None, "axillary", 2)
    ward.enter("oxygen-route", None, "cannula", 1)
    ward.enter("oxygen-flow", 3, "", 1)
    ward.enter("weight", 62.5, "", 1)
    ward.enter("observation", None, "翻身拍背，吸痰一次，痰白黏", 2)
    ward.enter("stool", None, "1/E", 2)
    for hour in (1, 2, 5):
        ward.confirm_hour(hour)
    with ward.store.kept() as conn:
        amended = ward.at("MDC_PULS_OXIM_SAT_O2", 2).entry
        chart_acts.correct(conn, amended, 95, "", Writer(Author("os:nurse@ward", "探头松脱"), "李娜"))
        chart_acts.withdraw(conn, ward.at("MDC_RESP_RATE", 6).entry, Writer(Author("os:nurse@ward", "翻身时"), "李娜"))
    ward.emit([said(ward.since_us + 299 * MINUTE_US + 30_000_000, {"MDC_ECG_HEART_RATE": "131"})])
    ward.chart()
    return ward
