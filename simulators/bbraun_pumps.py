"""Infusion pumps of a B. Braun Space rack and how their infusions go: the values behind `bbraun_bcc`.

Document: "Technical Interface Specification BCC" I0022_000030, version 4.0 (B): parameters B 16-26, unit codes B 28-31,
bits of the alarm and status words B 19-20, 31-35. Each pump runs at one rate but for a stop that comes again and again:
its syringe is empty and is changed, or its line is occluded and is freed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

HOUR_S = 3600.0
NO_VALUE = "_NV"
PREALARM_S = 60.0  # so long before its syringe is empty a pump warns
PRESSURE_PERCENT, OCCLUDED_PERCENT = 23, 100
# Bits (B 19-20, 31-35).
ALARM_SYRINGE_EMPTY, ALARM_PRESSURE = 9, 10
PREALARM_VOLUME = 2
STATUS_ON, STATUS_MAINS, STATUS_STANDBY, STATUS_READY, STATUS_RUNNING, STATUS_STARTED = 0, 1, 2, 6, 7, 8
STATUS_DOSE_MODE, STATUS_PRIMARY = 15, 23
RUN_STOP, RUN_RUNNING, RUN_ALARM, RUN_PREALARM = 0, 1, 2, 5
INA_SYRINGE_EMPTY, INA_PRESSURE, INA_SYRINGE_PREALARM = 2, 3, 12
INA_NO_VALUE, INM_NO_VALUE = (10, 13), (9,)
INM_READY, INM_PUMPING, INM_STANDBY, INM_MAINS = 1, 3, 6, 8
# Those whose change sends a pump's package at once (cyclic mode).
TRIGGERS = frozenset((
    "GNNEW", "GNMODEL", "INRT", "INSOL", "INDORT", "INBOVAL", "INBOCNT", "OPMODE", "ALARM1", "ALARM2", "STATUS1",
    "PREALARM", "RUNSTATE", "ACTCHAN", "PATID", "DORT", "BOCNT",
    *(f"INA{n}" for n in range(1, 17) if n not in (4, 10, 13)), *(f"INM{n}" for n in (2, 3, 6, 7, 10, 12, 13, 14)),
))  # fmt: skip


@dataclass(frozen=True)
class Drug:
    """What is infused. `unit` of the concentration and `dose_unit` of the rate are unit codes."""

    name: str
    short_name: str
    concentration: str
    unit: int
    dose_rate: str
    dose_unit: int


@dataclass(frozen=True)
class Stop:
    """From `after_s` to `until_s` of every `until_s` seconds the pump stands still with this alarm."""

    after_s: float
    until_s: float
    is_empty: bool  # else its line is occluded


@dataclass(frozen=True)
class Pump:
    """One pump at its address (B 10: 501, pillar, slot). `volume_ml` is what a new syringe or bag holds."""

    address: str
    model: str
    number: str
    rate_ml_h: float
    volume_ml: float
    drug: Drug | None = None
    syringe_ml: int | None = None
    stop: Stop | None = None
    is_standby: bool = False

    def state(self, t_s: float) -> State:
        """How it stands; `t_s` is since it was started."""
        if self.is_standby:
            return State(self, 0.0, 0.0, self.volume_ml, None)
        stop = self.stop
        if stop is None:
            ran_s = of_volume_s = t_s
            stopped_by = None
        else:
            turns, within_s = divmod(t_s, stop.until_s)
            ran_s = turns * stop.after_s + min(within_s, stop.after_s)
            of_volume_s = min(within_s, stop.after_s) if stop.is_empty else ran_s
            stopped_by = stop if within_s >= stop.after_s else None
        left_ml = max(0.0, self.volume_ml - self.rate_ml_h * of_volume_s / HOUR_S)
        rate_ml_h = 0.0 if stopped_by else self.rate_ml_h
        return State(self, rate_ml_h, self.rate_ml_h * ran_s / HOUR_S, left_ml, stopped_by)


@dataclass(frozen=True)
class State:
    """A pump at one time: mL/h, mL; `stop` is None while nothing stopped it."""

    pump: Pump
    rate_ml_h: float
    infused_ml: float
    left_ml: float
    stop: Stop | None

    @property
    def remaining_s(self) -> float | None:
        """Until all is infused; None while it does not run."""
        return self.left_ml / self.rate_ml_h * HOUR_S if self.rate_ml_h else None

    @property
    def warns(self) -> bool:
        """Whether it will soon be empty."""
        return self.remaining_s is not None and self.remaining_s <= PREALARM_S

    def both(self) -> dict[str, str]:
        """What the parameter sets have in common."""
        pump, drug = self.pump, self.pump.drug
        remaining_s = self.remaining_s
        is_syringe = pump.syringe_ml is not None
        occluded = self.stop is not None and not self.stop.is_empty
        return {
            "INRT": f"{self.rate_ml_h:.2f}",
            "INVTB": NO_VALUE if is_syringe else f"{self.left_ml:.1f}",
            "INVI": f"{self.infused_ml:.1f}",
            "INVOLACT": f"{self.left_ml:.1f}" if is_syringe else NO_VALUE,
            "INSYR": f"{pump.syringe_ml}" if is_syringe else NO_VALUE,
            "INRMT": NO_VALUE if remaining_s is None else f"{min(remaining_s, 65535):.0f}",
            "INAKKU": "240",
            "INSTBY": "30" if pump.is_standby else NO_VALUE,
            "INSOL": drug.name if drug else NO_VALUE,
            "INSOLSN": drug.short_name if drug else NO_VALUE,
            "INDOCAL": "1" if drug else "0",
            "INDCON": drug.concentration if drug else "0",
            "INDCONU": f"{drug.unit}" if drug else "31",
            "INDORT": (drug.dose_rate if self.rate_ml_h else "0.00") if drug else "0",
            "INDORTU": f"{drug.dose_unit}" if drug else "68",
            "INPSOLL": "5",
            "INP2": f"{OCCLUDED_PERCENT if occluded else PRESSURE_PERCENT}",
            "DSSTATUS": "00051",
            "INNR": pump.number,
            "INPATW": "72.5" if drug else NO_VALUE,
        }

    def older(self) -> dict[str, str]:
        """The 3.2x set: each alarm and mode a parameter."""
        stop, runs = self.stop, self.rate_ml_h > 0
        alarms = {
            INA_SYRINGE_EMPTY: stop is not None and stop.is_empty,
            INA_PRESSURE: stop is not None and not stop.is_empty,
            INA_SYRINGE_PREALARM: self.warns,
        }
        modes = {
            INM_READY: not self.pump.is_standby, INM_PUMPING: runs, INM_STANDBY: self.pump.is_standby, INM_MAINS: True,
        }  # fmt: skip
        values = self.both()
        for n in range(1, 17):
            values[f"INA{n}"] = NO_VALUE if n in INA_NO_VALUE else f"{alarms.get(n, False):d}"
        for n in range(1, 14):
            values[f"INM{n}"] = NO_VALUE if n in INM_NO_VALUE else f"{modes.get(n, False):d}"
        return values

    def newer(self, clock: datetime, *, hexadecimal: bool) -> dict[str, str]:
        """The 3.3x set: words of bits in place of INA and INM, and the pump's clock."""
        stop, runs = self.stop, self.rate_ml_h > 0
        remaining_s = self.remaining_s
        minutes = None if remaining_s is None else round(remaining_s / 60)
        alarm = () if stop is None else (ALARM_SYRINGE_EMPTY,) if stop.is_empty else (ALARM_PRESSURE,)
        prealarm = (PREALARM_VOLUME,) if self.warns else ()
        status = {STATUS_ON, STATUS_MAINS, STATUS_PRIMARY}
        status |= {STATUS_STANDBY} if self.pump.is_standby else {STATUS_READY, STATUS_STARTED}
        status |= ({STATUS_RUNNING} if runs else set()) | ({STATUS_DOSE_MODE} if self.pump.drug else set())
        running = {RUN_RUNNING if runs else RUN_STOP}
        running |= ({RUN_ALARM} if alarm else set()) | ({RUN_PREALARM} if prealarm else set())
        values = self.both()
        values |= {
            "OPMODE": "0",
            "DATE": f"{clock:%Y%m%d}",
            "TIME": f"{clock:%H%M%S}",
            "TIMEOFINF": NO_VALUE if minutes is None or minutes > 65535 else f"{minutes}",
            "ALARM1": word(alarm, hexadecimal=hexadecimal),
            "ALARM2": word((), hexadecimal=hexadecimal),
            "STATUS1": word(status, hexadecimal=hexadecimal),
            "STATUS2": NO_VALUE,
            "PREALARM": word(prealarm, hexadecimal=hexadecimal),
            "RUNSTATE": word(running, hexadecimal=hexadecimal),
            "ACTCHAN": "1",
            "INSOLPRIO": "1" if self.pump.drug else NO_VALUE,
            "DGDSTATUS": "5" if self.pump.drug else "6",
            "VOLREMAIN": f"{self.left_ml:.1f}",
        }
        return values


def word(bits: tuple[int, ...] | set[int], *, hexadecimal: bool) -> str:
    """A word with these bits; bit 0 of an alarm word is said where no other is (B 31)."""
    number = sum(1 << bit for bit in bits)
    return f"0x{number:08X}" if hexadecimal else f"{number}"


PUMPS = (
    Pump(
        "50111", "688 Perfusor Space V688L030007", "48213", 6.0, 50.0, syringe_ml=50,
        drug=Drug("Noradrenaline", "NOR", "0.1", 31, "0.14", 71),
    ),
    Pump("50112", "686 Infusomat Space V686L030007", "51877", 83.3, 500.0),
    Pump(
        "50113", "688 Perfusor Space V688L030007", "48219", 30.0, 1.5, syringe_ml=50, stop=Stop(180.0, 210.0, True),
        drug=Drug("Propofol 2%, forte", "PROP", "20", 31, "8.28", 69),
    ),
    Pump("50121", "686 Infusomat Space V686L030007", "51902", 42.0, 250.0, stop=Stop(60.0, 75.0, False)),
    Pump("50122", "688 Perfusor Space V688L030007", "48230", 0.0, 20.0, syringe_ml=20, is_standby=True),
)  # fmt: skip
