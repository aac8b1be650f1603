"""What a walk through the pages needs: two wards with a charted stay on each, the page's own process, a network."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from clinical.beds import BedRegistry, bed_key
from emr_store import bed_names, places
from emr_store.instants import moment
from gateway.access.words import Role
from schemas.adt import Person, SentBed
from schemas.report import device_id
from tests.adt import BEDS, group, key, patient_of, visit_of
from tests.attributing import SITE, Hospital
from tests.gateway.chart_ward import MINUTE_US, USUAL, ChartWard, said
from tests.gateway.signing_in import SITE_WARD, hire
from tests.storing import event

ROOT = Path(__file__).parents[2]
STOP_S = 20.0
OTHER_WARD = "h^w5"
OTHER_BED = bed_key(facility="h", ward="w5", bed="1")
OTHER_CLAIM = "adt/PV1-3=W5^^1"
OTHER_NUMBER, OTHER_VISIT, OTHER_NAME = "00067890", "V2", "赵敏"
OTHER_ENCOUNTER = visit_of(OTHER_VISIT)
OTHER_PATIENT = patient_of(OTHER_NUMBER)
NURSE, PHYSICIAN, AUDITOR = "10001", "20001", "30001"
NAMES = {NURSE: "李娜", PHYSICIAN: "王伟", AUDITOR: "周敏"}
TWO_WARDS = replace(
    SITE,
    beds=BedRegistry([*(key(bed) for bed in BEDS), OTHER_BED]),
    bed_by_label={**SITE.bed_by_label, "W5-1": OTHER_BED},
)


def open_two_wards(database: str) -> ChartWard:
    """张三 in ICU-1 and 赵敏 in W5-1 since an hour ago or two, both charted every five minutes; three people."""
    ward = ChartWard(database, hours=1)
    ward.hospital = Hospital(ward.store, TWO_WARDS)
    other = str(device_id(OTHER_CLAIM))
    ward.store.emit(event(OTHER_CLAIM, "identity", OTHER_CLAIM, ward.since_us - MINUTE_US))
    with ward.store.open() as conn:
        places.assign(conn, other, "W5-1", name="监护仪2", since=moment(ward.since_us - 2 * MINUTE_US))
        bed_names.keep_bed_names(conn, {key(bed): f"ICU-{bed}" for bed in BEDS} | {OTHER_BED: "W5-1"})
    at = ward.second(ward.since_us)
    admitted = group("A01", at, patient=OTHER_NUMBER, visit=OTHER_VISIT, admitted=at)
    assert admitted.visit is not None
    in_w5 = msgspec.structs.replace(admitted.visit, bed=SentBed(ward="W5", bed="1"))
    ward.hospital.emit(
        msgspec.structs.replace(admitted, visit=in_w5, digest=secrets.token_bytes(32)),
        person=Person(name=OTHER_NAME, birth_date="19700502", sex="F"),
    )
    ward.hospital.attribute()
    ward.monitor()
    minutes = range(ward.since_us + 4 * MINUTE_US, ward.now_us, 5 * MINUTE_US)
    ward.emit([said(at_us, USUAL, OTHER_CLAIM) for at_us in minutes])
    ward.chart()
    hire(database, NURSE, Role.NURSE, (SITE_WARD,), name=NAMES[NURSE])
    hire(database, PHYSICIAN, Role.PHYSICIAN, (SITE_WARD, OTHER_WARD), name=NAMES[PHYSICIAN])
    hire(database, AUDITOR, Role.AUDITOR, (), name=NAMES[AUDITOR])
    return ward


@dataclass(frozen=True)
class Network:
    """Two network namespaces with a cable between them: the gateway's and the ward's."""

    gateway: str
    ward: str
    address: str

    def in_gateway(self) -> Sequence[str]:
        """What a command begins with that runs there."""
        return ("nsenter", f"--net=/run/netns/{self.gateway}")

    def in_ward(self) -> Sequence[str]:
        """Likewise."""
        return ("nsenter", f"--net=/run/netns/{self.ward}")


@contextmanager
def network() -> Iterator[Network]:
    """Needs CAP_NET_ADMIN; nothing of it is left, and this machine's own network has no address of it."""
    mark = secrets.token_hex(3)
    made = Network(f"vw-gw-{mark}", f"vw-wd-{mark}", "10.77.0.1")
    try:
        _ip("netns", "add", made.gateway)
        _ip("netns", "add", made.ward)
        _ip("-n", made.gateway, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", made.ward)
        for namespace, address in ((made.gateway, made.address), (made.ward, "10.77.0.2")):
            _ip("-n", namespace, "address", "add", f"{address}/30", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", namespace, "link", "set", link, "up")
        yield made
    finally:
        for namespace in (made.gateway, made.ward):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    found = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"ip {' '.join(arguments)}: {found.stderr.strip()}; it takes root with CAP_NET_ADMIN"


@contextmanager
def page_process(*arguments: str, within: Sequence[str] = ()) -> Iterator[str]:
    """`vitalwire page` with these arguments; yields the origin that it says it listens at."""
    command = [*within, sys.executable, "-m", "vitalwire", "page", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # once it listens
        assert line.startswith("page "), line
        yield line.split()[1].rstrip("/")
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0
