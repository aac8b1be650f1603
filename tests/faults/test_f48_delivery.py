"""F48: delivery is killed at any line, and the EMR answers late, twice, for another, badly, or not at all."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from threading import Event, Thread

import pytest

from emr_store import deliver_acts, deliver_status
from emr_store.acts import Author
from emr_store.connect import open_store
from tests.delivering import Said, admit, say
from tests.faults.conftest import by_length
from tests.faults.emr import Emrs
from tests.faults.oracles import Outcome, until
from tests.storing import Store

KILLS = by_length(80, quick=10, long=300)
TIMEOUT_S = 0.5
ROUND_S = 3.0  # a task that comes to fewer lines is killed then
LINES_MIN, LINES_MAX = 50, 50_000  # a few come to nothing but its first lines, a few to many messages
WRITE_EVERY_S = 0.3
SETTLE_S = 180
# One after the other: what a round has its receivers do.
FAULTS = ("none", "lost=2", "doubled=3", f"late={2 * TIMEOUT_S}", "ar=2", "ae=1", "other=1", "error_inside=1", "down")
ITEMS = ("MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE", "MDC_RESP_RATE", "MDC_TEMP")
VISITS = 6
OPERATOR = Author("os:operator@ward", "the EMR was mended")

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


class Ward(Thread):
    """Charts a few entries a second, corrects some, and withdraws a few; the value says entry and version."""

    def __init__(self, database: str) -> None:
        super().__init__(daemon=True)
        self.database, self.ended = database, Event()
        self.newest: dict[int, int] = {}
        self.withdrawn: set[int] = set()

    def run(self) -> None:
        rng = random.Random(48)
        with open_store(self.database) as conn:
            while not self.ended.wait(WRITE_EVERY_S):
                say(conn, *self._some(rng))

    def stop(self) -> None:
        self.ended.set()
        self.join()

    def _some(self, rng: random.Random) -> list[Said]:
        standing = [entry for entry in self.newest if entry not in self.withdrawn]
        if standing and rng.random() < 0.4:
            entry = rng.choice(standing)
            status = "entered-in-error" if rng.random() < 0.2 else "amended"
            return [self._said(entry, status)]
        first = len(self.newest) + 1
        return [self._said(entry, "final") for entry in range(first, first + 3)]

    def _said(self, entry: int, status: str) -> Said:
        version = self.newest[entry] = self.newest.get(entry, 0) + 1
        if status == "entered-in-error":
            self.withdrawn.add(entry)
        return Said(
            entry, version, status, visit=f"V{entry % VISITS}", item=ITEMS[entry // VISITS % len(ITEMS)],
            slot=entry // (VISITS * len(ITEMS)), value=100 * entry + version,
        )  # fmt: skip


def test_f48_delivery_killed_at_any_line(tmp_path: Path, database: str, outcome: Outcome) -> None:
    """At 80 lines by chance (10 in the quick run), the receivers doing in turn all that they can do wrong."""
    admit(Store(database), *(f"V{number}" for number in range(VISITS)))
    rng = random.Random(0)
    ward = Ward(database)
    with Emrs(tmp_path, database, TIMEOUT_S) as emrs:
        ward.start()
        killed = 0
        for number in range(KILLS):
            fault = FAULTS[number % len(FAULTS)]
            emrs.set_faults(fault, fault)
            emrs.start(round(LINES_MIN * (LINES_MAX / LINES_MIN) ** rng.random()))
            killed += emrs.ended(ROUND_S)
            emrs.kill()
        ward.stop()
        assert killed > KILLS // 4
        emrs.set_faults("none", "none")
        began = time.monotonic()
        emrs.start()
        until(lambda: _waiting(database) == 0, SETTLE_S, "nothing waits but what is parked")
        outcome.recovered_s = time.monotonic() - began
        parked = _retry_parked(database)
        until(lambda: _waiting(database) == 0 and _retry_parked(database) == 0, SETTLE_S, "nothing is parked")
        emrs.kill()
        happened = Counter(emrs.happened(emrs.hl7_page)) + Counter(emrs.happened(emrs.fhir_page))
        if 4 * len(FAULTS) <= KILLS:  # a quick run has fewer messages than faults
            assert parked
            assert all(happened[name] for name in ("lost", "doubled", "late", "ar", "ae", "other"))
        _check(emrs, ward, outcome)


def _waiting(database: str) -> int:
    with open_store(database) as conn:
        found = deliver_status.destinations(conn)
    assert len(found) == 2
    return sum(each.waiting + each.behind for each in found)


def _retry_parked(database: str) -> int:
    with open_store(database) as conn:
        return deliver_acts.retry_all(conn, author=OPERATOR)


def _check(emrs: Emrs, ward: Ward, outcome: Outcome) -> None:
    """HL7 v2: every version once, one after the other. FHIR: one row, which ends with the newest version."""
    told: dict[int, list[tuple[int, str]]] = defaultdict(list)
    rows: Counter[int] = Counter()
    for row in emrs.results(emrs.hl7_page):
        for version in row["versions"]:
            entry, number = divmod(int(version["value"]), 100)
            told[entry].append((number, version["status"]))
        rows[int(row["versions"][0]["value"]) // 100] += 1
    outcome.acked = sum(ward.newest.values())
    outcome.stored = sum(map(len, told.values()))
    outcome.duplicated = sum(rows[entry] - 1 for entry in rows)
    for entry, newest in ward.newest.items():
        withdrawn = entry in ward.withdrawn
        expected = [(number, "F" if number == 1 else "C") for number in range(1, newest + 1)]
        if withdrawn:
            expected[-1] = (newest, "W")
        found = told[entry]
        if withdrawn and not found:
            continue  # it was withdrawn before anything of it was sent
        outcome.lost += len(set(expected) - set(found))
        assert found == expected, entry
    assert (outcome.lost, outcome.duplicated) == (0, 0)
    _check_fhir(emrs, ward)


def _check_fhir(emrs: Emrs, ward: Ward) -> None:
    newest: dict[int, tuple[int, str]] = {}
    for row in emrs.results(emrs.fhir_page):
        numbers = [int(version["value"]) for version in row["versions"] if version["value"]]
        entry, number = divmod(numbers[-1], 100)
        assert entry not in newest, "two rows of one entry"
        assert numbers == sorted(numbers), entry
        newest[entry] = number, row["status"]
    for entry, version in ward.newest.items():
        if entry in ward.withdrawn:
            assert entry not in newest or newest[entry][1] == "entered-in-error", entry
        else:
            assert newest[entry] == (version, "final" if version == 1 else "amended"), entry
