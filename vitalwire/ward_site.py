"""The demo's site: what its devices call things, its beds, its configuration files."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Sequence

from emr_store import acts, places
from emr_store.connect import StoreError, open_store
from emr_store.registry import devices_that_measure
from runtime.process import stops_within
from simulators.ward import SerialLink
from vitalwire.embedded import Addresses

# metric, unit, name over MQTT, plain HL7 code, Mindray code
_CHANNELS = (
    ("MDC_ECG_HEART_RATE", "MDC_DIM_BEAT_PER_MIN", "hr", "HR", "101"),
    ("MDC_PULS_OXIM_PULS_RATE", "MDC_DIM_BEAT_PER_MIN", "pr", "PR", "161"),
    ("MDC_PULS_OXIM_SAT_O2", "MDC_DIM_PERCENT", "spo2", "SPO2", "160"),
    ("MDC_RESP_RATE", "MDC_DIM_RESP_PER_MIN", "rr", "RR", "151"),
    ("MDC_TEMP", "MDC_DIM_DEGC", "temp_c", "TEMP", "200"),
    ("MDC_PRESS_BLD_ART_SYS", "MDC_DIM_MMHG", "abp_sys", "ABPS", "500"),
    ("MDC_PRESS_BLD_ART_DIA", "MDC_DIM_MMHG", "abp_dia", "ABPD", "502"),
    ("MDC_PRESS_BLD_ART_MEAN", "MDC_DIM_MMHG", "abp_mean", "ABPM", "501"),
    ("MDC_AWAY_CO2_ET", "MDC_DIM_MMHG", "etco2", "ETCO2", "250"),
    ("MDC_PULS_OXIM_PERF_REL", "MDC_DIM_PERCENT", "pi", "PI", "162"),
    ("MDC_PRESS_BLD_VEN_CENT_MEAN", "MDC_DIM_MMHG", "cvp", "CVP", "605"),
    ("MDC_PRESS_BLD_NONINV_SYS", "MDC_DIM_MMHG", "nibp_sys", "NIBPS", "170"),
    ("MDC_PRESS_BLD_NONINV_DIA", "MDC_DIM_MMHG", "nibp_dia", "NIBPD", "171"),
    ("MDC_PRESS_BLD_NONINV_MEAN", "MDC_DIM_MMHG", "nibp_mean", "NIBPM", "172"),
)
_BED = re.compile(r"bed-(\d+)")

LIMITS = """
[[limits]]
metric = "MDC_PULS_OXIM_SAT_O2"
low = 90
priority = "high"
[[limits]]
metric = "MDC_ECG_HEART_RATE"
low = 50
high = 120
[[limits]]
metric = "MDC_PULS_OXIM_PULS_RATE"
low = 50
high = 120
[[limits]]
metric = "MDC_RESP_RATE"
low = 8
high = 30
"""


def site_toml() -> str:
    """The mapping file: two channels are left out on purpose, so that `mapping unmapped` has something to show."""
    rows = ["# What this ward's devices call things. `vitalwire mapping unmapped` prints what is missing here.\n"]
    for metric, unit, mqtt, plain, mindray in _CHANNELS:
        for sender, code, extra in (
            ("mqtt", mqtt, ""),
            ("mllp", plain, ""),
            ("mindray", mindray, 'missing = ["-100"]\n'),
        ):
            names = f'sender = "{sender}"\ncode = "{code}"\nmetric = "{metric}"\nunit = "{unit}"\n'
            rows.append(f"[[mapping]]\n{names}{extra}")
    return "".join(rows)


CHART = """\
# What this ward charts, and when: docs/chart.md. It is read again when it changes.
zone = "Asia/Shanghai"

[[policy]]  # each time that the cuff measured
metrics = ["MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA", "MDC_PRESS_BLD_NONINV_MEAN"]
when = "each"
value = "each"

[[policy]]
metrics = ["MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_OXIM_SAT_O2", "MDC_RESP_RATE"]
when = "every 5 min"
value = "median of the last minute"

[[policy]]
metrics = ["MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_ART_MEAN", "MDC_TEMP"]
when = "every 5 min"
value = "last valid"

[[policy]]  # behind the "?" of its cells is a button that takes it
metrics = ["MDC_PRESS_BLD_VEN_CENT_MEAN"]
when = "on demand"
value = "last valid"
stands_min = 10
"""


def processors_toml(at: Addresses, metrics_port: int, beds: Iterable[str], *, emr_fhir: int, emr_mllp: int) -> str:
    """The processors' file: alarm limits, the admission office, its beds ("bed-01"), the EMR in both protocols."""
    places = "".join(
        f'[[bed]]\nname = "{bed_name(int(bed.removeprefix("bed-")))}"\nlocation = "ICU^^{bed}^ICU"\n' for bed in beds
    )
    return (
        f'kafka = "{at.kafka}"\ndatabase = "{at.database}"\nkey_file = "platform.key"\ndemo = true\n'
        f'metrics_port = {metrics_port}\n{LIMITS}[[adt_source]]\nname = "his"\nauthority = "SIM"\n{places}'
        '[chart]\npolicies = "chart.toml"\n'
        + _destination("fhir", "fhir", f"http://127.0.0.1:{emr_fhir}")
        + _destination("hl7", "hl7v2", f"127.0.0.1:{emr_mllp}")
    )


def _destination(name: str, protocol: str, address: str) -> str:
    """Of what nobody confirmed too, so that something arrives though no nurse is at the page."""
    return f'[[destination]]\nname = "{name}"\nprotocol = "{protocol}"\naddress = "{address}"\npreliminary = true\n'


def bed_name(number: int) -> str:
    """As people call the bed, and assign devices to it."""
    return f"ICU-{number:02}"


def edge_toml(
    edge: str, at: Addresses, ports: Sequence[SerialLink], *, mllp: int, mindray: int, adt: int, metrics: int
) -> str:  # fmt: skip
    """The edge's file: every serial port, an MLLP listener a dialect, the admission office, the MQTT broker."""
    host, port = at.mqtt5
    sources = [
        _source(bed.bed, bed.driver, f'type = "serial"\nport = "{bed.path}"', f'device = "demo:nonin:{bed.bed}"')
        for bed in ports
    ]
    sources.append(_source("mllp", "hl7_oru", f'type = "tcp"\nlisten = "127.0.0.1:{mllp}"'))
    sources.append(
        _source("mindray", "hl7_oru", f'type = "tcp"\nlisten = "127.0.0.1:{mindray}"', 'dialect = "mindray-pds"')
    )
    sources.append(_source("his", "hl7_adt", f'type = "tcp"\nlisten = "127.0.0.1:{adt}"'))
    sources.append(_source("mqtt", "mqtt_json", f'type = "mqtt"\nbroker = "{host}:{port}"'))
    scans = f'type = "mqtt"\nbroker = "{host}:{port}"\ntopics = ["scans/#"]'
    sources.append(_source("scans", "scan_json", scans))
    return (
        f'edge = "{edge}"\nkafka = "{at.kafka}"\ndemo = true\nmapping = "site.toml"\nmetrics_port = {metrics}\n'
        + "".join(sources)
    )


def _source(name: str, driver: str, link: str, settings: str = "") -> str:
    table = f"[source.settings]\n{settings}\n" if settings else ""
    routes = 'drivers_by_msh9 = { ADT = "hl7_adt" }\n' if driver == "hl7_oru" else ""
    head = f'name = "{name}"\ndriver = "{driver}"\ntime_zone = "Asia/Shanghai"\n{routes}'
    return f"[[source]]\n{head}[source.link]\n{link}\n{table}"


async def assign_beds(database: str, ending: asyncio.Event) -> None:
    """What a nurse does by hand on a real ward: give each new device its bed. The last bed's is left to be assigned."""
    while not await stops_within(ending, 1.0):
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(_assign, database)


def _assign(database: str) -> None:
    with open_store(database) as conn:
        for device in devices_that_measure(conn):
            claim = device.claim or ""
            found = _BED.search(claim)
            is_monitor = (found or claim.startswith("eui64:")) and not claim.endswith("/rejected")
            if device.registered_at or not is_monitor:
                continue
            number = int(found[1]) if found else int(claim[-6:], 16)
            if number != 12:
                kind = {"demo": "血氧仪", "mqtt": "传感器"}.get(claim[:4], "监护仪")
                places.assign(
                    conn, str(device.uuid), bed_name(number), name=f"{kind}{number}", since=device.first_seen_at,
                    edge=device.edge, author=acts.this_user("the demo's nurse"),
                )  # fmt: skip
