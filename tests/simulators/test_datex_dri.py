"""The S/5 monitor against the worked frames of the documents' rules, and each of its records taken apart by hand."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from random import Random

import numpy as np
import pytest
import serial

from simulators import datex_dri
from simulators.datex_dri import Monitor, Spoiler, bad_checksum, framed, unframed
from simulators.patient import Patient
from simulators.ward import run_device

LIST_END = b"\x00\x00\xff"
ALL_CLASSES, BASIC_AND_EXT1 = 0x0E, 0x02


def request(main: int, data: bytes) -> bytes:
    """A host's record: the header's 40 bytes as C Appendix A has them, then the data."""
    length = 40 + len(data)
    return struct.pack("<h12xh", length, main) + b"\x00\x00\x00" + LIST_END + bytes(18) + data


def phdb(interval_s: int, classes: int = ALL_CLASSES, kind: int = 1) -> bytes:
    return request(0, struct.pack("<BhIh", kind, interval_s, classes, 0))


def waves(*types: int, stop: bool = False) -> bytes:
    listed = bytes(types) + (b"\xff" if len(types) < 8 else b"")
    return request(1, struct.pack("<hh", stop, 0) + listed.ljust(24, b"\0") + bytes(4))


def alarm(command: int) -> bytes:
    return request(4, struct.pack("<h10x", command))


def records(monitor: Monitor, until_s: float, step_s: float = 0.25) -> list[bytes]:
    """What it sends from now on, record by record."""
    found = []
    for n in range(round(until_s / step_s) + 1):
        for frame in monitor.speak(n * step_s):
            record = unframed(frame[1:-1])
            assert record is not None
            assert struct.unpack_from("<h", record) == (len(record),)
            found.append(record)
    return found


def subrecords(record: bytes) -> list[tuple[int, bytes]]:
    listed = []
    for n in range(8):
        offset, kind = struct.unpack_from("<hB", record, 16 + 3 * n)
        if kind == 0xFF:
            break
        listed.append((kind, offset))
    ends = [offset for _, offset in listed[1:]] + [len(record) - 40]
    return [(kind, record[40 + offset : 40 + end]) for (kind, offset), end in zip(listed, ends, strict=True)]


@pytest.mark.parametrize(
    ("record", "sum_"),
    [(phdb(-1), b"\x3d"), (phdb(63), b"\x7d\x5e"), (alarm(2), b"\x39"), (waves(8, 9), b"\x58")],
    ids=["single shot", "63 s, sum is a flag", "alarms", "waves"],
)
def test_frames_are_those_of_the_worked_examples(record: bytes, sum_: bytes) -> None:
    frame = framed(record)
    assert frame == b"\x7e" + record.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e") + sum_ + b"\x7e"
    assert unframed(frame[1:-1]) == record
    assert len(record) == {0: 49, 1: 72, 4: 52}[record[14]]


def test_a_single_shot_is_one_record_of_four_classes_and_not_again_within_5_s() -> None:
    monitor = Monitor(Patient(1), level=10)
    monitor.hear(framed(phdb(-1)), 0.0)
    monitor.hear(framed(phdb(-1)), 4.9)
    (record,) = records(monitor, 20)
    assert len(record) == 1152
    assert (record[3], struct.unpack_from("<h", record, 14)) == (10, (0,))
    parts = subrecords(record)
    assert [(kind, len(data)) for kind, data in parts] == [(1, 278)] * 4
    assert [struct.unpack_from("<H", data, 276)[0] >> 8 & 0xF for _, data in parts] == [0, 1, 2, 3]
    monitor.hear(framed(phdb(-1)), 5.0)
    assert len(monitor.speak(5.0)) == 1


def test_an_interval_goes_on_until_it_is_stopped() -> None:
    monitor = Monitor(Patient(1))
    monitor.hear(framed(phdb(5, BASIC_AND_EXT1)), 0.0)
    found = records(monitor, 20)
    assert [len(record) for record in found] == [40 + 2 * 278] * 5
    assert [struct.unpack_from("<I", r, 6)[0] - monitor.began_s for r in found] == [0, 5, 10, 15, 20]
    assert [record[2] for record in found] == [0, 1, 2, 3, 4]
    monitor.hear(framed(phdb(0)), 21.0)
    assert monitor.speak(60.0) == []
    monitor.hear(framed(phdb(4)), 61.0)
    assert monitor.speak(90.0) == []


def test_trends_are_sent_beside_displayed_values_and_with_a_case_alone() -> None:
    monitor = Monitor(Patient(1))
    monitor.hear(framed(phdb(10, kind=2)), 0.0)
    assert records(monitor, 30) == []
    monitor.hear(framed(phdb(30)), 30.0)
    kinds = [subrecords(unframed(f[1:-1]) or b"")[0][0] for t in range(30, 61) for f in monitor.speak(t)]
    assert kinds == [1, 2, 2, 1, 2]
    without_case = Monitor(Patient(1), is_case_started=False)
    without_case.hear(framed(phdb(30)) + framed(phdb(10, kind=2)), 0.0)
    assert len(records(without_case, 29)) == 1


def test_the_basic_class_holds_the_patient_in_the_documented_units() -> None:
    patient = Patient(1)
    monitor, found = Monitor(patient), patient.numbers(30.0)
    monitor.hear(framed(phdb(-1, 0)), 30.0)
    (frame,) = monitor.speak(30.0)
    ((_, data),) = subrecords(unframed(frame[1:-1]) or b"")
    basic = data[4:274]
    at = {n: struct.unpack_from("<IH", basic, n) for n in (0, 16, 30, 72, 86, 118, 132, 156, 166, 214)}
    hr, *_, imp_rr = struct.unpack_from("<5h", basic, 6)
    assert (hr, imp_rr) == (round(found["hr"] or 0), round(found["rr"] or 0))
    assert at[0] == (0x0B, 0x271)  # exists, active, rate from the ECG; leads II, V, I
    sys, dia, mean, _ = struct.unpack_from("<4h", basic, 22)
    assert at[16] == (3, 1)
    assert [sys, dia, mean] == [round(100 * (found[f"abp_{n}"] or 0)) for n in ("sys", "dia", "mean")]
    assert at[30] == (3, 2)
    assert struct.unpack_from("<4h", basic, 36)[:2] == (-32767, -32767)
    assert struct.unpack_from("<h", basic, 92)[0] == round(100 * (found["temp_c"] or 0))
    spo2, pr, _, svo2 = struct.unpack_from("<4h", basic, 124)
    assert (spo2, pr, svo2) == (round(100 * (found["spo2"] or 0)), round(found["pr"] or 0), -32767)
    et, _, _, ambient = struct.unpack_from("<4h", basic, 138)
    assert et * ambient * 1e-5 == pytest.approx(found["etco2"], abs=0.05)
    assert struct.unpack_from("<2h", basic, 162) == (0, 0)  # N2O: a zero that is one
    assert at[214] == (1, 0)  # NMT: there, and not active
    assert struct.unpack_from("<3h", basic, 220) == (-32767,) * 3
    assert struct.unpack_from("<IH", basic, 254) == (0, 0)  # P6: no module


def test_before_the_first_cuff_it_is_not_updated_and_without_a_finger_there_is_no_reading() -> None:
    monitor = Monitor(Patient(1, "finger_off"))
    monitor.hear(framed(phdb(5, 0)), 0.0)
    by_second = {n * 5: subrecords(r)[0][1][4:274] for n, r in enumerate(records(monitor, 60))}
    assert struct.unpack_from("<4h", by_second[0], 78) == (-32766,) * 4
    assert struct.unpack_from("<4h", by_second[55], 78)[0] > 9000
    assert struct.unpack_from("<3h", by_second[25], 124) == (-32767,) * 3
    assert struct.unpack_from("<3h", by_second[40], 124)[0] > 9000


def test_ext1_has_its_groups_at_the_documented_places() -> None:
    monitor = Monitor(Patient(1))
    monitor.hear(framed(phdb(-1, 0x0003)), 0.0)  # without the basic class
    (record,) = records(monitor, 1)
    ((_, data),) = subrecords(record)
    ext1 = data[4:274]
    status, _, hr, rr_ms, pvc, bits = struct.unpack_from("<IHhhhI", ext1)
    assert (status & 3, status >> 15 & 0x1F, bits) == (3, 2, 0)
    assert rr_ms == round(60_000 / hr)
    assert pvc >= 0
    assert struct.unpack_from("<I", ext1, 48) == (3,)
    assert [struct.unpack_from("<I", ext1, n) for n in (78, 92, 106, 120, 128)] == [(0,)] * 5
    assert struct.unpack_from("<4h", ext1, 84) == (-32767,) * 4


def test_waves_come_at_their_rates_and_a_start_shows_its_gap() -> None:
    monitor = Monitor(Patient(1))
    monitor.hear(framed(waves(1, 4, 8, 9)), 0.0)
    found = [subrecords(record) for record in records(monitor, 4)]
    assert [[kind for kind, _ in parts] for parts in found] == [[1, 4, 8, 9]] * 4
    for n, parts in enumerate(found):
        heads = [struct.unpack_from("<hHH", data) for _, data in parts]
        assert [head[0] for head in heads] == [300, 100, 100, 25]
        assert all(len(data) == 6 + 2 * head[0] for (_, data), head in zip(parts, heads, strict=True))
        assert all(head[1] & 1 == (n == 0) for head in heads)
    pressure = np.concatenate([np.frombuffer(parts[1][1][6:], "<i2") for parts in found])
    numbers = Patient(1).numbers(2)
    assert pressure.max() == pytest.approx(100 * (numbers["abp_sys"] or 0), abs=300)
    assert pressure.min() == pytest.approx(100 * (numbers["abp_dia"] or 0), abs=300)


def test_a_list_is_cut_where_it_is_too_much_replaced_by_the_next_and_stopped() -> None:
    monitor = Monitor(Patient(1))
    monitor.hear(framed(waves(1, 2, 3)), 0.0)
    assert [kind for kind, _ in subrecords(records(monitor, 1)[0])] == [1, 2]
    monitor.hear(framed(waves(8)), 1.0)
    assert [kind for kind, _ in subrecords(unframed(monitor.speak(2.0)[0][1:-1]) or b"")] == [8]
    monitor.hear(framed(waves(stop=True)), 2.0)
    assert monitor.speak(9.0) == []
    carescape = Monitor(Patient(1), samples_max=None)
    carescape.hear(framed(waves(1, 2, 3, 4, 5, 8, 9, 13)), 0.0)
    found = records(carescape, 3)
    assert len(subrecords(found[0])) == 8
    assert all(len(record) <= 1490 for record in found)
    ecg = b"".join(subrecords(record)[0][1][6:] for record in found)
    assert len(ecg) == 2 * 3 * 300


def test_alarms_are_stated_once_or_as_they_change() -> None:
    monitor = Monitor(Patient(1, "finger_off"))
    monitor.hear(framed(alarm(2)), 0.0)
    found = records(monitor, 60)
    assert [len(record) for record in found] == [550] * 3  # all, then off and on the finger
    shown = [record[50:148].split(b"\0")[0] for record in found]
    assert shown == [b"", b"SpO2 probe off", b""]
    assert [struct.unpack_from("<hhh", record, 130) for record in found] == [(0, 0, 0), (1, 1, 1), (1, 0, 1)]
    monitor.hear(framed(alarm(3)), 60.0)
    assert monitor.speak(85.0) == []
    monitor.hear(framed(alarm(0)), 85.0)
    assert len(monitor.speak(85.0)) == 1
    older = Monitor(Patient(1), level=9)
    older.hear(framed(alarm(0)), 0.0)
    assert older.speak(1.0) == []


def test_the_gravest_alarm_comes_first() -> None:
    monitor = Monitor(Patient(3, "desaturation"))
    monitor.hear(framed(alarm(0)), 120.0)
    (frame,) = monitor.speak(120.0)
    data = (unframed(frame[1:-1]) or b"")[40:]
    colours = [struct.unpack_from("<h", data, 10 + 98 * n + 82)[0] for n in range(5)]
    assert colours[0] == 3
    assert colours == sorted(colours, reverse=True)
    assert data[2] == 1  # sound
    assert len(data) == 510


def test_what_is_no_request_is_not_answered() -> None:
    monitor = Monitor(Patient(1))
    good = framed(phdb(-1))
    monitor.hear(b"noise" + bad_checksum(good, Random(1)) + good[:20] + b"\x7e\x7e", 0.0)
    monitor.hear(framed(phdb(-1)[:-4]) + framed(bytes(41)) + framed(request(9, bytes(9))), 0.0)
    assert monitor.speak(1.0) == []
    for n in range(len(good)):  # byte by byte
        monitor.hear(good[n : n + 1], 1.0)
    assert len(monitor.speak(1.0)) == 1


def test_the_same_seed_says_the_same_and_faults_do_too() -> None:
    def said(seed: int) -> list[bytes]:
        monitor = Monitor(Patient(seed))
        monitor.hear(framed(phdb(5)) + framed(waves(1, 8)), 0.0)
        spoiler = Spoiler(sorted(datex_dri.FAULTS), 0.5, seed)
        return [spoiler.sent(frame) for t in range(30) for frame in monitor.speak(t)]

    assert said(4) == said(4) != said(5)
    assert b"" in said(4)
    assert any(unframed(frame[1:-1]) is None for frame in said(4) if frame)


def test_silence_is_silent() -> None:
    monitor = Monitor(Patient(1, "silence"))
    monitor.hear(framed(phdb(5, 0)), 0.0)
    at = [struct.unpack_from("<I", record, 6)[0] - monitor.began_s for record in records(monitor, 60)]
    assert at == [0, 5, 10, 15, 40, 45, 50, 55, 60]


def test_one_monitor_at_a_line(tmp_path: Path) -> None:
    def ask(link: Path) -> bytes:
        with serial.Serial(str(link), 19200, timeout=5) as line:
            line.write(framed(phdb(-1, 0)))
            return bytes(line.read(40))

    async def run() -> bytes:
        stop, link = asyncio.Event(), tmp_path / "monitor"
        device = asyncio.create_task(run_device("datex_dri", str(link), "healthy", 1, 1.0, stop))
        while not link.exists():
            await asyncio.sleep(0.01)
        answer = await asyncio.to_thread(ask, link)
        stop.set()
        await asyncio.wait_for(device, 10)
        return answer

    assert asyncio.run(run()).startswith(b"\x7e\x3e\x01")  # 318 bytes: header and one subrecord
