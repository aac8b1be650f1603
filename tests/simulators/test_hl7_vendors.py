"""What monitors of other makers write: what is peculiar of each, by the facts and without the driver."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

import pytest

from simulators.bed_alarms import AlarmCourse, present_alarms
from simulators.hl7_mindray import NO_SAMPLE, PatientDataShare
from simulators.hl7_vendors import VENDORS, VendorMonitor
from simulators.patient import Patient
from simulators.ward import run_device

AT_US = 1_790_000_000_123_000  # 2026-09-21 22:13:20.123 in the monitors' zone
each_vendor = pytest.mark.parametrize("name", VENDORS)


def written(name: str, scenario: str, *seconds: float) -> Iterator[list[list[str]]]:
    """Messages as segments and fields; MSH-3 is at 2, as the first field is the separator."""
    monitor = VendorMonitor(name, "bed-07", Patient(1007, scenario))
    for t in seconds:
        for message in monitor.messages(t, AT_US + round(t * 1e6)):
            codec = "latin-1" if name.startswith("philips") else "utf-8"
            assert message.payload.endswith(b"\r")
            assert b"\n" not in message.payload
            yield [segment.split("|") for segment in message.payload.decode(codec).split("\r")[:-1]]


def rows(message: list[list[str]], code: str) -> list[list[str]]:
    return [[*segment, *[""] * 20] for segment in message if segment[0] == "OBX" and segment[3].startswith(code)]


@each_vendor
def test_the_same_patient_says_the_same(name: str) -> None:
    first, second = (VendorMonitor(name, "bed-07", Patient(4)).messages(25.0, AT_US) for _ in range(2))
    assert first == second


def test_an_unknown_maker_is_refused() -> None:
    with pytest.raises(ValueError, match="ge-b40"):
        VendorMonitor("acme", "bed-07", Patient(1))


def test_ge_has_no_row_for_what_is_not_valid() -> None:
    on, off = written("ge-b40", "finger_off", 10, 25)
    assert on[0][2:10] == ["VSP^02A037FFFE0003EF^EUI-64", "", "", "", "20260921221330+0800", "", *on[0][8:10]]
    assert on[0][14:16] == ["NE", "AL"]
    assert on[0][20].startswith("PCD_DEC_001^")
    assert len(rows(on, "150456")) == 1
    assert rows(off, "150456") == []
    assert [row[4] for row in rows(off, "151562")] == ["1.6.1.3", "1.20.1.3"]  # breaths of the ECG and of the airway
    assert [row[4][:7] for row in rows(off, "150344")] == ["1.26.1.", "1.26.2."]
    assert all(segment[-1] for message in (on, off) for segment in message)
    assert {row[18] for row in rows(on, "147842")} == {"02A037FFFE0003EF^B40_GE"}


def test_nihon_kohden_counts_within_a_day_and_gives_the_cuff_an_obr() -> None:
    messages = list(written("nihon-kohden", "finger_off", 25, 30))
    assert [message[0][9] for message in messages] == ["20260921000001", "20260921000002"]
    assert messages[0][0][14:] == ["NE", "AL", "", "ASCII", "", "ASCII"]
    assert [segment[4] for segment in messages[1] if segment[0] == "OBR"] == ["VITAL", "NIBP"]
    assert messages[1][2] == ["PV1", "", "I", "^^bed-07^192.168.1.7:7998"]
    assert rows(messages[0], "007000^VITAL SpO2") == []
    (spo2,) = rows(next(written("nihon-kohden", "healthy", 25)), "007000^VITAL SpO2")
    assert (spo2[4], spo2[6], spo2[11]) == ("1", "%", "F")
    monitor = VendorMonitor("nihon-kohden", "bed-07", Patient(1))
    midnight_us = AT_US + 7200 * 1_000_000
    assert [monitor.messages(t, at_us)[0].id for t, at_us in ((0.0, AT_US), (1.0, midnight_us))] == [
        "20260921000001",
        "20260922000001",
    ]


def test_philips_rows_have_the_form_of_the_worked_one() -> None:
    """`OBX||NM|0002-4bb8^SpO2^MDIL|0|93|0004-0220^%^MDIL|90-100||||F`."""
    (center,) = written("philips-pic", "healthy", 1)
    (spo2,) = [segment for segment in center if "0002-4bb8^SpO2^MDIL" in segment]
    assert spo2[5].isdecimal()
    assert "|".join([*spo2[:5], "93", *spo2[6:]]) == "OBX||NM|0002-4bb8^SpO2^MDIL|0|93|0004-0220^%^MDIL|90-100||||F"
    assert center[0][2:8] == [""] * 6
    assert (center[0][9][:2], center[0][11], center[0][17]) == ("HP", "2.3", "8859/1")
    off = [segment for message in written("philips-efficia", "finger_off", 25) for segment in message]
    (no_reading,) = [segment for segment in off if segment[3:4] == ["0002-4bb8^SpO2^MDIL"]]
    assert (no_reading[4], no_reading[5], no_reading[11]) == ("", "", "X")
    (pulse,) = [segment for segment in off if segment[3:4] == ["0002-4822^Pulse^MDIL"]]
    assert pulse[17] == "0002-4bb8^SpO2^MDIL"


def test_philips_alarms_are_texts_with_their_class() -> None:
    vitals, alarm = written("philips-efficia", "finger_off", 25)
    assert [segment[4] for segment in (vitals[3], alarm[3])] == ["MONITOR", "ALARM"]
    assert alarm[4] == ["OBX", "", "TX", "6^SpO2 SENSOR OFF^MDIL-ALERT", "", "SpO2 SENSOR OFF", *[""] * 5, "F"]
    first, second, third = written("philips-pic", "finger_off", 25, 26, 40)
    assert [len(rows(message, "6^")) for message in (first, second, third)] == [1, 1, 0]


def test_an_egateway_alarm_has_the_form_of_the_worked_one() -> None:
    """`OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.3.1.150456.1|196670^MDC_EVT_LO^MDC|||L~PM~SP|||R|||2026…`, `OBX|3|ST|…`."""
    messages = written("mindray-egateway", "desaturation", *range(0, 240, 4))
    alarms = [message for message in messages if message[0][8] == "ORU^R40^ORU_R40"]
    (first, *_) = [message for message in alarms if rows(message, "150456")]
    event, source, phase, *_ = [segment for segment in first if segment[0] == "OBX"]
    assert event[:9] == ["OBX", "1", "CWE", "196616^MDC_EVT_ALARM^MDC", "1.22.1.150456.1", "196670^MDC_EVT_LO^MDC",
                         "", "", "L~PM~SP"]  # fmt: skip
    assert re.fullmatch(r"\d{14}", event[14])
    assert source[7] == "90-100"
    assert phase == ["OBX", "3", "ST", "68481^MDC_ATTR_EVENT_PHASE^MDC", "1.22.1.150456.3", "start", *[""] * 5, "R"]
    assert [len(segment) > 18 for segment in first if segment[0] == "OBX"] == [True, *[False] * 7]
    assert re.fullmatch(r"\d{17}", first[0][6])
    phases = [row[5] for message in alarms if rows(message, "150456") for row in rows(message, "68481")]
    assert (phases[0], phases[-1]) == ("start", "end")
    assert {"escalate", "de-escalate", "continue", "update"} <= set(phases)
    sounds = [row[5] for message in alarms if rows(message, "150456") for row in rows(message, "68483")]
    assert [sound for phase, sound in zip(phases, sounds, strict=True) if phase in ("start", "escalate", "update")] == [
        "enabled",
        "enabled",
        "audio-paused",
    ]


def test_egateway_waves_name_what_is_no_sample() -> None:
    on, off = [message for message in written("mindray-egateway", "finger_off", 10.0, 25.5) if len(message) == 13]
    assert on[3][4] == "100001^CONTINUOUS WAVEFORM^99MNDRY"
    children = [segment[3:6] for segment in on if segment[0] == "OBX" and segment[4].startswith("1.22.1.150452.")]
    assert children == [
        ["0^MDC_ATTR_SAMP_RATE^MDC", "1.22.1.150452.1", "60"],
        ["2327^MDC_ATTR_NU_MSMT_RES^MDC", "1.22.1.150452.2", "1"],
        ["196660^MDC_EVT_INOP^MDC", "1.22.1.150452.3", "32767"],
    ]
    (pleth,) = rows(off, "150452")
    samples = [int(sample) for sample in pleth[5].split("^")]
    assert len(samples) == 930  # 15.5 s since the message before
    assert samples.count(NO_SAMPLE) == round(5.5 * 60)


def test_a_monitor_that_shares_its_data_says_them_when_it_is_asked() -> None:
    monitor = PatientDataShare("bed-07", Patient(1007, "finger_off"))
    assert [message.count(b"\r") for message in monitor.greeting()] == [5, 2, 2]
    assert [b"|ORU^R01|106|P|2.3.1" in message for message in monitor.speak(0.0)] == [True]
    monitor.hear(b"\x0bMSH|^~\\&|||||||QRY^R02|12")
    assert not monitor.is_asked
    monitor.hear(b"03|P|2.3.1\rQRD|20260921141319|R|I|Q1|||||RES\rQRF|MON||||0&0^1^1^1^\r\x1c\r")
    assert (monitor.is_asked, monitor.heard) == (True, ["1203"])
    values, levels, alarm, wave_alone = monitor.speak(25.0)[1:]
    assert b"\rOBX||NM|160^SpO2|2103|-100||||||F\r" in values
    assert b"\rOBX||NM|162^PI|2103|-100.00||||||F\r" in values
    wave = values.partition(b"ZMW|")[2].removesuffix(b"\r\x1c\r")
    assert len(wave) == 64
    assert wave_alone == b"\x0bMSH|^~\\&|||||||ORU^R01|204|P|2.3.1\rZMW|" + wave + b"\r\x1c\r"
    assert min(wave) >= 0x80
    assert b"\rOBX||CE|2037^|160|3^||||||F\r" in levels
    assert b"|ORU^R01|54|" in alarm


def test_an_alarm_is_told_on_each_change_and_every_20_s() -> None:
    course = AlarmCourse(Patient(1007, "finger_off"))
    told = [(t, change.phase, change.alarm.name, change.instance) for t in range(120) for change in course.step(t)]
    assert told == [
        (20, "start", "spo2 sensor", 1),
        (35, "end", "spo2 sensor", 1),
        (80, "start", "spo2 sensor", 2),
        (95, "end", "spo2 sensor", 2),
    ]
    low = present_alarms(Patient(1007, "desaturation"), 120.0)["spo2 low"]
    assert (low.priority, low.low, low.high) == ("high", 90, 100)


def test_a_monitor_that_is_dialled_speaks_once_it_is_asked_each_time() -> None:
    query = b"\x0bMSH|^~\\&|||||||QRY^R02|1203|P|2.3.1\rQRD|20260921141319|R|I|Q1|||||RES\r\x1c\r"

    async def dial(port: int) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(query)
        kinds: list[bytes] = []
        while b"205" not in kinds:
            kinds.append((await reader.readuntil(b"\x1c\r")).split(b"|")[9])
        writer.close()
        return kinds

    async def run() -> list[list[bytes]]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        stop = asyncio.Event()
        task = asyncio.create_task(run_device("mindray-pds", f"127.0.0.1:{port}", "healthy", 5, 1.0, stop))
        while not task.done():
            try:
                found = [await dial(port), await dial(port)]
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        stop.set()
        await task
        return found

    assert asyncio.run(run()) == [[b"103", b"54", b"56", b"106", b"204", b"205"]] * 2
