"""The Dräger devices against bytes and sums worked out from the protocol's rules, and their dialogue by hand."""

from __future__ import annotations

import asyncio
import itertools
import re
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest
import serial

from simulators import faults, medibus
from simulators.medibus import Spoiler, Ventilator
from simulators.medibus_curves import value_bytes
from simulators.medibus_frames import Frames, alarm_text, clock_text, command, curve_field, response, text_field
from simulators.medibus_values import (
    EVITA_XL,
    MODELS,
    PAW,
    PRIMUS,
    SAVINA,
    V500,
    Datum,
    Model,
    Setting,
    ShownAlarm,
    filled,
    measured,
)
from simulators.patient import Patient
from simulators.ward import run_device

HOST_ID = response(0x52, b"0161'LAB PC'01.00:04.03")


class Host:
    """Answers what the device asks, and keeps the frames that are not questions."""

    def __init__(self, device: Ventilator, *, identifies: bool = True) -> None:
        self.device, self.identifies = device, identifies
        self.now_s = 0.0
        self.asked: list[tuple[float, int]] = []
        self.answers: list[bytes] = []
        self.realtime = bytearray()
        self._frames = Frames()

    def turn(self, sent: bytes = b"") -> None:
        self.device.hear(sent, self.now_s)
        heard = self.device.speak(self.now_s)
        for byte in heard:
            if byte & 0x80:
                self.realtime.append(byte)
                continue
            frame = self._frames.take(byte)
            if frame is None:
                continue
            assert frame[-2:] == b"%02X" % (sum(frame[:-2]) % 256)
            if frame[0] == 0x1B:
                self.asked.append((round(self.now_s, 3), frame[1]))
                if frame[1] != 0x52 or self.identifies:
                    self.device.hear(HOST_ID if frame[1] == 0x52 else response(frame[1]), self.now_s)
            else:
                self.answers.append(frame[1:-2])

    def run(self, until_s: float, step_s: float = 0.1) -> None:
        while self.now_s < until_s - 1e-9:
            self.now_s = round(self.now_s + step_s, 6)
            self.turn()

    def ask(self, code: int, argument: bytes = b"") -> bytes:
        self.answers.clear()
        self.turn(command(code, argument))
        (answer,) = self.answers
        assert answer[0] == code
        return answer[1:]


def linked(model: Model = EVITA_XL, scenario: str = "healthy") -> Host:
    host = Host(Ventilator(Patient(5, scenario), model))
    host.run(1.0)
    assert [code for _, code in host.asked] == [0x51, 0x52]
    return host


def fields(data: bytes, width: int) -> dict[str, str]:
    text = data.decode("ascii")
    assert len(text) % (2 + width) == 0
    return {text[at : at + 2]: text[at + 2 : at + 2 + width] for at in range(0, len(text), 2 + width)}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (command(0x27), b"\x1b\x2742\r"),
        (command(0x30), b"\x1b\x304B\r"),
        (response(0x30), b"\x01\x3031\r"),
        (command(0x55)[2:], b"70\r"),
        (response(0x55)[2:], b"56\r"),
        (command(0x51)[2:], b"6C\r"),
        (response(0x51)[2:], b"52\r"),
        (command(0x52)[2:], b"6D\r"),
        (response(0x15), b"\x01\x1516\r"),
        (response(0x24, b"7D 24 D6 12 ")[-3:], b"63\r"),
        (response(0x27, alarm_text(ShownAlarm(30, "10", "PAW HIGH"))), b"\x01\x27N10PAW HIGH    7F\r"),
        (response(0x29, b"0B  8.0")[-3:], b"72\r"),
        (response(0x2A, text_field("0E", "Mode BIPAP")), b"\x01\x2a0E:Mode BIPAP\x03EE\r"),
        (response(0x28, clock_text(datetime(2026, 10, 9, 7, 5, 9, tzinfo=UTC))), b"\x01\x2807:05:0909-OKT-26EB\r"),
        (HOST_ID[-3:], b"09\r"),
        (command(0x4A, b"$7DD6")[-3:], b"7E\r"),
        (response(0x53, curve_field(PAW)), b"\x01\x5300    8000  -20  1003C042\r"),
    ],
)
def test_bytes_and_sums_are_those_worked_out(frame: bytes, expected: bytes) -> None:
    assert frame == expected


@pytest.mark.parametrize(
    ("mask", "value", "field"),
    [
        ("*XXX_", 24, " 24 "), ("XXX_", 12, " 12 "), ("XX.X", 8.04, " 8.0"), ("X.XX", 0.448, "0.45"),
        ("_XXX", 5, "   5"), ("*XXX_", -3, "- 3 "), ("*XXX", -31, "- 31"), ("*_XX_", 8, "  8 "), ("*X.X", -1.4, "-1.4"),
    ],
)  # fmt: skip
def test_a_value_fills_its_mask(mask: str, value: float, field: str) -> None:
    assert filled(mask, value, 4) == field


def test_a_value_that_does_not_fit_is_none() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        filled("X.XX", 12.5, 4)


def test_15_mbar_is_the_worked_value_of_the_curve() -> None:
    assert round((15 - PAW.low) / (PAW.high - PAW.low) * PAW.bins) == 280
    assert value_bytes(280) == b"\x98\x84"


def test_it_asks_for_a_link_every_3_s_and_every_10_s_where_bytes_come() -> None:
    device = Ventilator(Patient(5))
    icc = command(0x51)
    sent_at_s = [t for t in range(30) if icc in device.speak(float(t))]
    assert sent_at_s == list(range(0, 30, 3))
    device = Ventilator(Patient(5))
    sent_at_s = []
    for t in range(30):
        if icc in device.speak(float(t)):
            sent_at_s.append(t)
        device.hear(b"x", float(t))
    assert sent_at_s == [0, 10, 20]


def test_an_icc_of_the_host_makes_the_link_too() -> None:
    device = Ventilator(Patient(5))
    device.hear(command(0x51), 0.5)
    assert response(0x51) in device.speak(0.5)
    device.hear(command(0x27), 0.6)
    assert response(0x27) in device.speak(0.6)


def test_it_wants_to_know_the_host_and_repeats_that_three_times() -> None:
    host = Host(Ventilator(Patient(5)), identifies=False)
    while host.now_s < 60:
        host.run(host.now_s + 1)
        host.turn(command(0x30))
    codes = [(t, code) for t, code in host.asked if code in (0x51, 0x52)]
    assert [code for _, code in codes[:6]] == [0x51, 0x52, 0x52, 0x52, 0x52, 0x51]
    times = [t for t, code in codes[1:5]]
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([10, 10, 10], abs=0.2)


def test_a_host_of_another_number_is_not_known() -> None:
    device = Ventilator(Patient(5))
    device.hear(command(0x51), 0.0)
    assert command(0x52) in device.speak(0.0)
    heard = b""
    for second in range(1, 12):
        device.hear(response(0x52, b"8260'EvitaXL'01.00:04.00"), float(second))
        heard += device.speak(float(second))
    assert heard.count(command(0x52)) == 1


def test_an_idle_line_has_a_nop_every_2_s() -> None:
    host = linked()
    host.run(20)
    nops = [t for t, code in host.asked if code == 0x30]
    assert len(nops) == 9
    assert all(1.9 < b - a < 2.3 for a, b in itertools.pairwise(nops))


def test_3_s_without_the_host_end_the_link_and_all_that_was_configured() -> None:
    host = linked()
    assert host.ask(0x4A, b"$7D") == b""
    assert list(fields(host.ask(0x24), 4)) == ["7D"]
    device, t = host.device, host.now_s
    assert b"".join(device.speak(t + n / 10) for n in range(31)).count(command(0x51)) == 0
    assert command(0x51) in device.speak(t + 3.2)
    host.now_s = t + 3.3
    host.turn(command(0x51))
    assert len(fields(host.ask(0x24), 4)) > 10


def test_measured_data_have_their_masks_and_only_what_is_measured() -> None:
    host = linked()
    found = fields(host.ask(0x24), 4)
    values = measured(host.device.patient, host.now_s)
    assert found["7D"] == " 22 "
    assert found["D6"] == f"{round(values['rr'] or 0):3} "
    assert float(found["B9"]) == pytest.approx(values["mv"], abs=0.06)
    assert "B8" not in found  # the code for less than 1 L/min
    off = linked(EVITA_XL, "finger_off")
    off.now_s = 24.0
    off.device.hear(command(0x51), 24.0)
    off.turn()
    assert {"E1", "EB"} <= found.keys()
    assert not {"E1", "EB"} & fields(off.ask(0x24), 4).keys()


def test_limits_settings_and_texts() -> None:
    host = linked()
    assert fields(host.ask(0x25), 4)["EB"] == " 90 "
    assert fields(host.ask(0x26), 4)["7D"] == " 40 "
    assert fields(host.ask(0x29), 5)["0B"] == "  8.0"
    assert host.ask(0x2A).startswith(b"0E:Mode BIPAP\x03")


def test_what_a_model_does_not_know_is_a_bare_echo() -> None:
    host = linked()
    for code in (0x28, 0x2B, 0x2C, 0x2D, 0x30, 0x7F):
        assert host.ask(code) == b""
    assert b"'EvitaXL'02.00:04.00" in host.ask(0x52)
    assert linked(SAVINA).ask(0x28) == b"14:13:2121-SEP-26"
    assert fields(linked(V500).ask(0x2B), 4)["21"] == " 473"
    assert "B1" in fields(linked(PRIMUS).ask(0x24), 4)


def test_a_wrong_sum_is_answered_nak() -> None:
    host = linked()
    host.answers.clear()
    host.turn(b"\x1b\x2443\r")
    assert host.answers == [b"\x15"]


def test_alarms_of_both_code_pages_come_and_go() -> None:
    host = linked(EVITA_XL, "finger_off")
    shown: dict[int, set[bytes]] = {0x27: set(), 0x2E: set()}
    seen = []
    for second in range(2, 60):
        host.run(float(second), 0.5)
        for code, texts in shown.items():
            texts.add(host.ask(code))
        seen.append(host.ask(0x27) != b"")
    assert shown[0x27] == {b"", b"L35SPO2SEN DISC"}
    assert shown[0x2E] == {b"", b"398NEBULIZER ON"}
    assert seen.count(True) == 15


def test_the_configuration_is_dropped_until_the_device_has_digested_the_identity() -> None:
    device = Ventilator(Patient(5))
    device.hear(command(0x51) + HOST_ID, 0.0)
    device.speak(0.0)
    device.hear(HOST_ID + command(0x4A, b"$7D"), 0.05)
    device.speak(0.05)
    device.hear(command(0x24), 0.3)
    assert len(device.speak(0.3)) > 40
    device.hear(command(0x4A, b"$7D"), 0.4)
    device.speak(0.4)
    device.hear(command(0x24), 0.5)
    assert device.speak(0.5) == response(0x24, b"7D 22 ")


def test_an_answer_that_is_awaited_no_more_does_not_come() -> None:
    device = Ventilator(Patient(5), answer_s=0.5)
    device.hear(command(0x51), 0.0)
    device.speak(0.0)
    device.hear(HOST_ID, 0.1)
    device.hear(command(0x24), 0.2)
    device.hear(command(0x27), 0.4)
    heard = b"".join(device.speak(t / 10) for t in range(4, 12))
    assert heard == response(0x27)


def test_flow_is_suspended_and_resumed() -> None:
    host = linked()
    host.answers.clear()
    host.turn(b"\x11" + command(0x27))
    assert host.answers == []
    host.now_s += 1
    host.turn(b"\x13")
    assert host.answers == [b"\x27"]
    host.asked.clear()
    host.turn(b"\x11")
    host.now_s += 3.5
    host.turn(b"\x13")
    assert [code for _, code in host.asked][:1] == [0x51]


def test_after_stop_it_is_quiet_until_an_icc() -> None:
    host = linked()
    assert host.ask(0x55) == b""
    assert all(host.device.speak(host.now_s + t) == b"" for t in range(30))
    host.now_s += 30
    host.answers.clear()
    host.turn(command(0x51))
    assert host.answers == [b"\x51"]


def test_an_id_request_may_stand_within_the_answer_to_icc() -> None:
    device = Ventilator(Patient(5), embeds=True)
    device.speak(0.0)
    device.hear(command(0x51), 0.1)
    assert device.speak(0.1) == b"\x01\x51\x1b\x526D\r52\r"


def test_a_changed_clock_is_told() -> None:
    host = linked(SAVINA, "clock_jump")
    host.run(40)
    assert [code for _, code in host.asked].count(0x49) == 1
    assert host.ask(0x28) == b"14:19:0021-SEP-26"


def test_device_specific_answers() -> None:
    host = linked()
    assert host.ask(0x6A, b"3") == b"302.00"
    assert host.ask(0x6A, b"4") == b"4Adult"


# --- real-time data ---------------------------------------------------------------------------------------------------


def enabled(host: Host, curves: bytes, commands: bytes) -> None:
    host.ask(0x54, curves)
    host.turn(b"\xd0" + commands + b"\xc0\xc0")


def test_curves_are_told_configured_and_enabled() -> None:
    host = linked()
    told = host.ask(0x53)
    assert [told[at : at + 2] for at in range(0, len(told), 23)] == [b"00", b"01", b"03", b"06", b"02"]
    enabled(host, b"00010101", b"\xc1\xc3")
    begin_s, begin = host.now_s, len(host.realtime)
    host.run(begin_s + 2, 0.05)
    stream = bytes(host.realtime[begin:])
    records = re.findall(rb"([\xd0-\xdf])([\x80-\xbf]*)", stream)
    assert b"".join(a + b for a, b in records) == stream
    assert len(records) == pytest.approx(250, abs=2)
    assert {a for a, _ in records} == {b"\xd3"}
    assert {len(b) for _, b in records} == {4}
    pressure = np.array([b[0] & 0x3F | (b[1] & 0x3F) << 6 for _, b in records])
    mbar = PAW.low + pressure * (PAW.high - PAW.low) / PAW.bins
    assert mbar.min() == pytest.approx(8, abs=0.3)
    assert mbar.max() == pytest.approx(22, abs=0.3)
    host.turn(b"\xd0\xc1\xc0\xc0\xc0")
    begin = len(host.realtime)
    host.run(host.now_s + 1)
    assert len(host.realtime) == begin


def test_slower_curves_are_in_every_second_record() -> None:
    host = linked()
    enabled(host, b"00010601", b"\xc1\xc3")
    begin = len(host.realtime)
    host.run(host.now_s + 1)
    syncs = [byte for byte in host.realtime[begin:] if byte & 0xF0 == 0xD0]
    assert syncs.count(0xD3) == pytest.approx(62, abs=1)
    assert syncs.count(0xD1) == pytest.approx(62, abs=1)


def test_a_fifth_stream_is_announced_by_a_sync_command() -> None:
    host = linked()
    enabled(host, b"0001010103010001" + b"0101", b"\xc1\xcf\xc2\xc1")
    begin = len(host.realtime)
    host.run(host.now_s + 0.2)
    stream = bytes(host.realtime[begin:])
    assert stream.count(b"\xdf") == pytest.approx(25, abs=1)
    whole = b"\xdf\xc4\xc1"
    assert whole in bytes(host.realtime)
    assert {len(part) for part in stream.split(b"\xdf")[2:-1]} == {10}


def test_breaths_and_corrupt_records_are_told() -> None:
    host = linked(PRIMUS)
    enabled(host, b"0001", b"\xc1\xc1")
    host.device.realtime.corrupt_records = 3
    begin = len(host.realtime)
    host.run(host.now_s + 10, 0.05)
    stream = bytes(host.realtime[begin:])
    breaths = (host.device.patient.numbers(5)["rr"] or 0) / 6
    assert stream.count(b"\xc6\xc0") == pytest.approx(breaths, abs=1)
    assert stream.count(b"\xc6\xc1") == pytest.approx(breaths, abs=1)
    assert stream.count(b"\xcf\xc0") == 3


def test_real_time_data_stand_within_frames() -> None:
    host = linked()
    enabled(host, b"0001", b"\xc1\xc1")
    host.now_s += 0.2
    host.device.hear(command(0x24), host.now_s)
    heard = host.device.speak(host.now_s)
    slow = bytes(byte for byte in heard if not byte & 0x80)
    assert slow.startswith(b"\x01\x24")
    assert heard != slow
    assert not heard.startswith(slow)


def test_changed_curves_are_told_and_configured_no_more() -> None:
    host = linked()
    enabled(host, b"0001", b"\xc1\xc1")
    host.device.change_curves(host.now_s)
    host.run(host.now_s + 0.5)
    begin = len(host.realtime)
    host.run(host.now_s + 1)
    assert len(host.realtime) == begin
    assert [code for _, code in host.asked].count(0x56) == 1


# --- faults, tables, the line -----------------------------------------------------------------------------------------


def test_faults_spoil_a_share() -> None:
    frame = response(0x24, b"7D 24 ")
    wrong = medibus.bad_checksum(frame, Random(1))
    assert wrong[:-2] == frame[:-2]
    assert wrong != frame
    assert wrong[-2:-1] in b"0123456789ABCDEF"
    assert faults.silent(frame, Random(1)) == b""
    spoiler = Spoiler(["bad_checksum"], share=0.5, seed=3)
    sent = [spoiler.sent(frame) for _ in range(100)]
    assert 30 < sent.count(frame) < 70
    assert sent == [again.sent(frame) for again in [Spoiler(["bad_checksum"], share=0.5, seed=3)] for _ in range(100)]


@pytest.mark.parametrize("name", MODELS)
def test_every_row_of_a_model_can_be_said(name: str) -> None:
    model = MODELS[name]
    for t in range(0, 600, 7):
        values = measured(Patient(5, "desaturation"), float(t))
        for datum in (*model.data, *model.data_2):
            value = values[datum.name]
            if value is not None and datum.least <= value < datum.below:
                assert len(filled(datum.mask, value, 4)) == 4
    for row in (*model.data, *model.data_2):
        assert isinstance(row, Datum)
        assert all(filled(row.mask, limit, 4) for limit in (row.low, row.high) if limit is not None)
    for setting in model.settings:
        assert isinstance(setting, Setting)
        assert len(filled(setting.mask, setting.value, 5)) == 5
    assert len({row.code for row in model.data}) == len(model.data)


def test_it_speaks_on_a_line(tmp_path: Path) -> None:
    link = tmp_path / "evita"

    def converse() -> bytes:
        with serial.Serial(str(link), timeout=5) as port:
            port.write(command(0x51))
            assert response(0x51) in port.read_until(response(0x51))
            port.write(command(0x29))
            return bytes(port.read_until(b"\r"))

    async def run() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run_device("medibus", str(link), "healthy", 5, 1.0, stop))
        while not link.is_symlink():
            await asyncio.sleep(0.01)
        heard = await asyncio.to_thread(converse)
        stop.set()
        await task
        return heard

    assert b"\r" in asyncio.run(run())
