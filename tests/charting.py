"""A ward with a charter for tests: what devices and the admission office say goes in, and entries are read."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from clinical.chart import Entry
from clinical.chart_policy import Policies
from emr_store import chart_entries, charting, places
from emr_store.chart_queue import EachMetrics
from emr_store.charting import Charter
from emr_store.instants import moment
from emr_store.transaction import Writer, Written
from schemas.report import Mark, Record, Report, device_id
from tests.adt import us, visit_of
from tests.attributing import Hospital
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, report
from tests.storing import Store, event

NO_MARKS = Mark(0)
CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = device_id(CLAIM)
V1, V2 = visit_of("V1"), visit_of("V2")
SPO2_ID, PULSE_ID = "MDC_PULS_OXIM_SAT_O2", "MDC_PULS_OXIM_PULS_RATE"
# us(0) is 14:13:20 UTC.
SLOT = 100  # 14:15:00
LATER = 5_000  # when all is due
POLICIES = """
zone = "UTC"
[[policy]]
metrics = ["MDC_PULS_OXIM_SAT_O2"]
when = "every 5 min"
value = "last valid"
[[policy]]
metrics = ["MDC_PULS_OXIM_PULS_RATE"]
when = "each"
value = "each"
"""


class Ward:
    """A hospital with a charter, and a clock of its own."""

    def __init__(self, address: str, policies: Policies) -> None:
        self.store = Store(address)
        self.hospital = Hospital(self.store)
        self.policies = policies
        self.charter(lambda charter: charter.begin(us(-10_000)))

    def in_copy(self, address: str) -> Ward:
        """This one in a copy of its database (tests/conftest.py: Databases.copy_of)."""
        copied = copy(self)
        copied.store = self.store.in_copy(address)
        copied.hospital = Hospital(copied.store, self.hospital.site)
        return copied

    def emit(self, *reports: Report) -> Written:
        with self.store.kept() as conn:
            writer = Writer(conn, EachMetrics(self.policies.each_metrics()))
            return writer.store([self.store.validate(self.store.seal(*reports))], [])

    def charter(self, work: Callable[[Charter], object]) -> None:
        with self.store.kept() as conn, charting.alone(conn) as held:
            assert held
            work(Charter(conn, self.policies))

    def place(self, claim: str = CLAIM, bed: str = "ICU-1") -> None:
        self.store.emit(event(claim, "identity", claim, us(-500)))
        with self.store.kept() as conn:
            places.assign(conn, str(device_id(claim)), bed, since=moment(us(-1000)))
        self.hospital.attribute()

    def chart(self, now: float = LATER) -> None:
        self.hospital.attribute()
        self.charter(lambda charter: chart_all(charter, us(now)))

    def entries(self, encounter: str = V1) -> list[Entry]:
        with self.store.kept() as conn:
            return chart_entries.flowsheet(conn, encounter, moment(us(-10_000)), moment(us(LATER)))

    def said(self, encounter: str = V1, item: str = SPO2_ID) -> list[tuple[float, str, float | None, int]]:
        """Slot in seconds, status, value and version number of the newest versions."""
        return [
            ((e.key.at_us - us(0)) / 1e6, e.now.status.value, e.now.value, e.now.number)
            for e in self.entries(encounter) if e.key.item == item
        ]  # fmt: skip

    def items(self) -> list[tuple[object, ...]]:
        return self.store.rows(
            "SELECT kind, subject FROM worklist_item WHERE scope LIKE 'chart%%' AND upper_inf(recorded) ORDER BY item"
        )


def chart_all(charter: Charter, now_us: int) -> None:
    while charter.chart_due(now_us).worked:
        pass
    for take in (charter.chart_acted, lambda: charter.chart_whose(now_us), charter.chart_late, charter.chart_each):
        while take().worked:
            pass
    while charter.chart_corrected().worked or charter.chart_final(now_us).worked:
        pass


def spo2(at: float, value: int, claim: str = CLAIM, marks: Mark = NO_MARKS) -> Report:
    return report(claim, us(at), [Record(SPO2, PERCENT, mantissa=value, marks=marks)])


def pulse(at: float, value: int, claim: str = CLAIM) -> Report:
    return report(claim, us(at), [Record(PULSE, PER_MIN, mantissa=value)])
