"""Sheets to draw in tests and for the documents: one patient whose stay has everything that paper can show.

`python -m tests.paper FOLDER [DPI]` writes them as images: after a change that is meant, into the folder images beside
the tests of the sheet, and into docs.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pypdfium2
from PIL import Image

from clinical.sheet.content import (
    Absence,
    ClockStep,
    DayEntry,
    Event,
    Patient,
    Pressure,
    Reading,
    SheetData,
    Stay,
    Stool,
    Volume,
)
from clinical.sheet.drawing import Drawing
from clinical.sheet.hourly import Fluid, HourlyData, HourlyRow, Totals
from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out
from clinical.sheet.pdf import pdf
from clinical.sheet.style_file import shipped_style

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = (2, 6, 10, 14, 18, 22)
ADMITTED = datetime(2026, 6, 27, 15, 30, tzinfo=ZONE)


def at(day: int, hour: int, minute: int = 0, zone: ZoneInfo = ZONE) -> datetime:
    """On day `day` of the stay, on the wall clock."""
    begin = datetime(2026, 6, 26, hour, minute, tzinfo=zone)
    return begin + timedelta(days=day)


def on(day: int) -> date:
    """The date of day `day` of the stay."""
    return at(day, 12).date()


PATIENT = Patient(
    name="王建国",
    sex="男",
    age="62岁",
    number="20260627015",
    admitted_at=ADMITTED,
    stays=(
        Stay(ward="心内科", bed="12", since=ADMITTED),
        Stay(ward="ICU", bed="03", since=at(3, 9, 40)),
        Stay(ward="心外科", bed="21", since=at(6, 15, 5)),
    ),
)

# Temperature and pulse of each slot from the admission on; "-": nobody measured.
FIRST_WEEK = """
d1 14 36.8/88   d1 18 37.2/92   d1 22 37.4/90
d2 2 -          d2 6 37.1/86    d2 10 37.6/90   d2 14 38.4/98   d2 18 38.9/104  d2 22 38.1/96
d3 2 37.6/90    d3 6 37.2/88    d3 10 37.0/84   d3 14 36.6/102  d3 18 37.9/112  d3 22 38.2/118
d4 2 38.0/116   d4 6 37.8/110   d4 10 37.5/104  d4 14 37.4/100  d4 18 37.3/96   d4 22 37.0/92
d5 2 36.9/90    d5 6 36.8/88    d5 10 36.9/86   d5 14 -         d5 18 -         d5 22 37.0/84
d6 2 36.8/82    d6 6 36.7/80    d6 10 36.8/-    d6 14 -         d6 18 36.5/90   d6 22 37.5/96
d7 2 37.8/98    d7 6 37.6/94    d7 10 37.3/90   d7 14 37.2/88   d7 18 37.1/86   d7 22 36.9/82
"""


def curve_readings(table: str, route: str = "axillary") -> list[Reading]:
    """Of a table like FIRST_WEEK."""
    words = table.split()
    found = []
    for day_word, hour_word, values in zip(words[0::3], words[1::3], words[2::3], strict=True):
        moment = at(int(day_word[1:]), int(hour_word), 4)
        temperature, _, pulse = values.partition("/")
        name = f"{day_word}-{hour_word}"
        if temperature not in ("", "-"):
            found.append(
                Reading(id=f"t-{name}", metric="temperature", observed_at=moment, value=float(temperature), route=route)
            )
        if pulse not in ("", "-"):
            found.append(Reading(id=f"p-{name}", metric="pulse", observed_at=moment, value=float(pulse), by_hand=True))
    return found


def special_readings() -> list[Reading]:
    """Cooling and 复试, a deficit, a pulse upon a temperature, core temperatures, breaths with a ventilator."""
    found = [
        Reading(id="cooled", metric="temperature", observed_at=at(2, 18, 40), value=38.1, route="axillary",
                cooled_from="t-d2-18"),
        Reading(id="h-d4-14", metric="heart_rate", observed_at=at(4, 14, 4), value=118, by_hand=True),
        Reading(id="h-d4-18", metric="heart_rate", observed_at=at(4, 18, 4), value=122, by_hand=True),
        Reading(id="h-d4-22", metric="heart_rate", observed_at=at(4, 22, 4), value=110, by_hand=True),
        Reading(id="h-d6-10", metric="heart_rate", observed_at=at(6, 10, 4), value=84),
    ]  # fmt: skip
    for day in (3, 4):
        for hour, value in ((2, 37.9), (10, 37.8), (18, 38.3)):
            found.append(
                Reading(id=f"core-{day}-{hour}", metric="temperature", observed_at=at(day, hour, 5),
                        value=value + day / 10, route="bladder")
            )  # fmt: skip
    for day in range(1, 8):
        for index, hour in enumerate(HOURS):
            if (day, hour) >= (1, 14) and not (day == 5 and hour in (14, 18)):
                ventilated = (3, 14) <= (day, hour) <= (4, 6)
                value = None if ventilated else 16 + (day * 5 + index * 3) % 8
                found.append(
                    Reading(id=f"b-{day}-{hour}", metric="breaths", observed_at=at(day, hour, 4), value=value,
                            ventilated=ventilated)
                )  # fmt: skip
    return found


def day_entries() -> list[DayEntry]:
    """The rows below the grid, of a week."""
    found = []
    for day in range(1, 8):
        for part, hour in enumerate((8, 16)):
            if day > 1 or part:
                pressure = Pressure(118 + day * 3 - part * 6, 72 + day - part * 2, legs=day == 6 and part == 1)
                found.append(
                    DayEntry(id=f"bp-{day}-{part}", row="pressure", day=on(day), value=pressure, at=at(day, hour))
                )
    for day in range(1, 7):
        incomplete = ("15:30", "07:00") if day == 1 else None
        volumes = {"intake": Volume(1500.0 + 180 * day, incomplete=incomplete),
                   "output": Volume(1300.0 + 150 * day, incomplete=incomplete),
                   "urine": Volume(1100.0 + 120 * day, catheter=3 <= day <= 5, incomplete=incomplete)}  # fmt: skip
        found += [DayEntry(id=f"{row}-{day}", row=row, day=on(day), value=volume) for row, volume in volumes.items()]
    stools = (Stool(own=1), Stool(own=0), Stool(own=1, enemas=1, after_enema=2), Stool(own=0, enemas=2, after_enema=3),
              Stool(incontinent=True), Stool(own=1))  # fmt: skip
    found += [DayEntry(id=f"stool-{day}", row="stool", day=on(day), value=stool) for day, stool in enumerate(stools, 1)]
    texts = {("weight", 1): "68.5", ("weight", 4): "卧床", ("height", 1): "172", ("skin_test", 2): "青霉素(-)",
             ("drainage", 4): "210", ("drainage", 5): "120"}  # fmt: skip
    found += [DayEntry(id=f"{row}-{day}", row=row, day=on(day), value=text) for (row, day), text in texts.items()]
    return found


EVENTS = (
    Event(id="e-admission", kind="admission", at=ADMITTED),
    Event(id="e-operation-1", kind="operation", at=at(3, 11, 0)),
    Event(id="e-transfer-1", kind="transfer_in", at=at(3, 9, 40)),
    Event(id="e-operation-2", kind="operation", at=at(6, 12, 10)),
    Event(id="e-transfer-2", kind="transfer_in", at=at(6, 15, 5)),
)
ABSENCES = (
    Absence(id="a-refused", kind="refused", since=at(2, 2, 4)),
    Absence(id="a-out", kind="out", since=at(5, 12, 30), until=at(5, 20, 0)),
)


def stay_sheet(*, confirmed: bool = True) -> SheetData:
    """A first week with two transfers, an absence and a second operation, and a second week to come."""
    readings = curve_readings(FIRST_WEEK) + special_readings()
    readings = [replace(r, rechecked=True) if r.id == "t-d2-14" else r for r in readings]
    return SheetData(
        patient=PATIENT,
        readings=tuple(replace(reading, confirmed=confirmed) for reading in readings),
        events=tuple(replace(event, confirmed=True) for event in EVENTS),
        absences=tuple(replace(absence, confirmed=True) for absence in ABSENCES),
        entries=tuple(replace(entry, confirmed=True) for entry in day_entries()),
        printed_at=at(8, 7, 30),
        until=at(7, 23),
    )


SECOND_WEEK = """
d8 2 36.9/84    d8 6 36.8/82    d8 10 37.0/-    d8 14 39.5/176  d8 18 40.6/188  d8 22 39.0/-
d9 2 38.2/110   d9 6 37.4/96    d9 10 35.0/60   d9 14 34.6/52   d9 18 35.8/56   d9 22 36.4/-
"""


def hard_sheet() -> SheetData:
    """A second week with what goes beyond: scales, 不升, marks upon each other, no route, a death; printed again."""
    table = curve_readings(SECOND_WEEK, route="rectal")
    more = [
        Reading(id="p-overlap", metric="pulse", observed_at=at(8, 10, 4), value=80, by_hand=True),
        Reading(id="p-rectal", metric="pulse", observed_at=at(8, 22, 4), value=120, by_hand=True),
        Reading(id="h-equal", metric="heart_rate", observed_at=at(9, 2, 4), value=110, by_hand=True),
        Reading(id="h-device", metric="heart_rate", observed_at=at(9, 6, 4), value=104),
        Reading(id="t-nowhere", metric="temperature", observed_at=at(10, 6, 4), value=36.6),
        Reading(id="t-late", metric="temperature", observed_at=at(9, 19, 50), value=35.9, route="rectal"),
        Reading(id="p-low", metric="pulse", observed_at=at(10, 2, 4), value=14, by_hand=True),
        Reading(id="t-oral", metric="temperature", observed_at=at(9, 22, 30), value=36.4, route="oral"),
        Reading(id="p-oral", metric="pulse", observed_at=at(9, 22, 30), value=68, by_hand=True),
    ]
    table = [reading for reading in table if reading.id != "t-d9-22"]
    events = (
        *EVENTS,
        Event(id="e-operation-3", kind="operation", at=at(8, 13, 0)),
        Event(id="e-transfer-3", kind="transfer_in", at=at(8, 13, 30)),
        Event(id="e-death", kind="death", at=at(10, 7, 12)),
    )
    stays = (*PATIENT.stays, Stay(ward="ICU", bed="05", since=at(8, 13, 30)))
    return SheetData(
        patient=replace(PATIENT, stays=stays),
        readings=tuple(replace(reading, confirmed=reading.id != "t-d9-6") for reading in (*table, *more)),
        events=tuple(replace(event, confirmed=True) for event in events),
        absences=(Absence(id="a-leave", kind="leave", since=at(10, 8, 0), until=at(10, 16, 0), confirmed=True),),
        entries=tuple(
            DayEntry(
                id=f"bp-8-{hour}",
                row="pressure",
                day=on(8),
                at=at(8, hour),
                value=Pressure(90 + hour, 50),
                confirmed=True,
            )
            for hour in (8, 14, 20)
        ),
        clock_steps=(ClockStep(at=at(9, 3), step_s=-180.0),),
        until=at(10, 8),
        printed_at=at(10, 9, 0),
        version=3,
    )


COURSES = (
    "术后由手术室返回，全麻未醒，接呼吸机辅助呼吸 SIMV，FiO2 50%。",
    "患者烦躁，遵医嘱予右美托咪定 0.4 μg/kg/h 泵入，约束带固定双上肢，局部皮肤完好。",
    "吸痰一次，痰色白、质稀、量少。",
    "",
    "体温 38.5 ℃，遵医嘱予冰袋物理降温，30 分钟后复测。",
    "引流液增多，报告医生，遵医嘱查凝血功能，继续观察引流液颜色、性质及量；家属已告知。",
)


def hourly_record(*, hours: int = 22, confirmed: bool = False) -> HourlyData:
    """A day after an operation, with a row that was corrected, a late one, and totals that are not complete."""
    rows = []
    for index in range(hours):
        rows.append(
            HourlyRow(
                id=f"row-{index}",
                confirmed=confirmed or index < 10,
                at=at(3, 14) + timedelta(hours=index),
                consciousness="镇静" if index < 6 else "清醒",
                temperature=round(36.6 + (index * 7 % 20) / 10, 1) if index % 4 == 0 else None,
                pulse=None if index == 5 else 88.0 + index * 5 % 23,
                heart_rate=96.0 if index == 5 else 118.0 if index == 9 else None,
                breaths=14.0 + index % 6,
                pressure=Pressure(112 + index * 3 % 25, 62 + index % 12),
                spo2=100.0 - index % 4,
                oxygen="呼吸机 FiO2 50%" if index < 8 else "3 L/min 鼻导管",
                intake=(Fluid(item="0.9% 氯化钠", ml=100), Fluid(item="丙泊酚 泵入", ml=8)) if index % 3 == 0 else (),
                output=(Fluid(item="尿", ml=80.0 + index * 10, colour="淡黄"),)
                + ((Fluid(item="胸腔引流", ml=30, colour="暗红"),) if index % 4 == 1 else ()),
                tubes="气管插管 深 23 cm，胸管，尿管" if index % 6 == 0 else "",
                skin="完好" if index % 6 == 0 else "",
                course=COURSES[index % len(COURSES)],
                signed="李敏" if index < 10 else "",
                late=at(3, 21, 30) if index == 6 else None,
                struck="李敏 06-29 18:20" if index == 3 else "",
            )
        )
    rows.append(
        HourlyRow(id="row-3b", confirmed=True, at=at(3, 17), consciousness="镇静", pulse=92, breaths=16, signed="李敏",
                  pressure=Pressure(118, 66), spo2=98)
    )  # fmt: skip
    totals = (
        Totals(
            id="sum-day", since=at(3, 14), until=at(3, 19), intake_ml=216, output_ml=530, complete=False, confirmed=True
        ),
        Totals(
            id="sum-24", since=at(3, 14), until=at(4, 14), intake_ml=1864, output_ml=2450, complete=True, confirmed=True
        ),
    )
    return HourlyData(
        patient=PATIENT,
        rows=tuple(rows),
        totals=totals[: 1 if hours < 24 else 2],
        diagnosis="冠心病 三支病变",
        printed_at=at(4, 14, 20),
    )


def clock_sheet() -> SheetData:
    """The week of the night in which Berlin sets its clocks back: 02:30 is there twice, in one slot."""
    zone = ZoneInfo("Europe/Berlin")
    admitted = datetime(2026, 10, 23, 9, 0, tzinfo=zone)
    patient = replace(PATIENT, admitted_at=admitted, stays=(Stay(ward="A3", bed="7", since=admitted),))
    begin = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    moments = [begin + timedelta(hours=index) for index in range(8)]  # 00:30, 01:30, 02:30, 02:30, 03:30 ... 06:30
    readings = [
        Reading(
            id=f"t{index}",
            metric="temperature",
            observed_at=moment,
            value=36.6 + index / 10,
            route="oral",
            confirmed=True,
        )
        for index, moment in enumerate(moments)
    ]
    return SheetData(
        patient=patient,
        readings=tuple(readings),
        clock_steps=(ClockStep(at=datetime(2026, 10, 27, 8, 0, tzinfo=UTC), step_s=120.0),),
        until=datetime(2026, 10, 29, 12, 0, tzinfo=zone),
    )


IMAGE_DPI = 90


def drawings() -> dict[str, Drawing]:
    """What is compared as an image, by its name."""
    hospital = {"hospital": "示例市第一人民医院"}
    standard, guizhou, early = (
        msgspec.structs.replace(shipped_style(name), **hospital) for name in ("standard", "guizhou", "early-hours")
    )
    berlin = msgspec.structs.replace(shipped_style("standard"), zone="Europe/Berlin").in_language("en")
    return {
        "sheet": lay_out(stay_sheet(), standard, 1),
        "sheet-guizhou": lay_out(stay_sheet(), guizhou, 1),
        "sheet-beyond": lay_out(hard_sheet(), standard, 2),
        "sheet-early-hours": lay_out(hard_sheet(), early, 2),
        "sheet-clock": lay_out(clock_sheet(), berlin, 1),
        "hourly": lay_out_hourly(hourly_record(), standard)[0],
    }


def render(document: bytes, dpi: int = IMAGE_DPI) -> Image.Image:
    """The first page, as a printer would."""
    with pypdfium2.PdfDocument(document) as opened:
        image: Image.Image = opened[0].render(scale=dpi / 72).to_pil().convert("RGB")
    return image


def write_images(folder: Path, dpi: int) -> None:
    """All of them, with a palette so that they are small."""
    for name, drawing in drawings().items():
        image = render(pdf([drawing]), dpi)
        image.quantize(256, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    write_images(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else IMAGE_DPI)
