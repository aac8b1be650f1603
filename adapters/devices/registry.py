"""The devices that can be read, one line each: what can run must be readable in a diff."""

from typing import Any

from adapters.devices import (
    alaris,
    astm,
    bbraun_bcc,
    datex_dri,
    hl7_adt,
    hl7_oru,
    intellivue,
    masimo,
    medibus,
    mqtt_json,
    nellcor,
    nonin,
    nonin_bluetooth,
    orchestra,
    poct1a,
    scan_json,
)
from adapters.driver import DeviceDriver

DRIVERS: tuple[DeviceDriver[Any], ...] = (
    nonin.ASCII,
    nonin.DF2,
    hl7_oru.DRIVER,
    hl7_adt.DRIVER,
    mqtt_json.DRIVER,
    astm.DRIVER,
    scan_json.DRIVER,
    datex_dri.DRIVER,
    masimo.DRIVER,
    nellcor.N595,
    nellcor.N200,
    nonin_bluetooth.DF7,
    nonin_bluetooth.DF13,
    medibus.DRIVER,
    intellivue.LAN,
    intellivue.MIB,
    bbraun_bcc.DRIVER,
    poct1a.DRIVER,
    orchestra.DRIVER,
    alaris.DRIVER,
)
DRIVER_BY_NAME = {driver.name: driver for driver in DRIVERS}
