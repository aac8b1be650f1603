"""What the agent keeps for the downtime view: last values, beds, bands, in bounded space."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.values import text_record
from edge_agent.config import DowntimeConfig
from edge_agent.downtime import keeping
from edge_agent.downtime.keeping import CLAIM_BYTES_MAX, DowntimeKeeper, fitted
from edge_agent.downtime.ring_file import BUCKET_S, FILE_NAME, HistoryReader, HistoryState, RingFile, Series
from schemas.errors import VitalwireError
from schemas.report import LATE_CONTEXT, AsSent, ChannelWords, Kind, Lane, Mark, Record, RecordKind, Report, Validity
from tests.making import PERCENT, PULSE, SPO2, T0_US, report

MINUTE_US = 60_000_000


class Scene:
    """A keeper with a clock of its own, and what it emits."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.config, self.now_us = folder, DowntimeConfig(**config), T0_US
        self.emitted: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.keeper = DowntimeKeeper(
            self.folder, self.config, lambda code, text: self.emitted.append(f"{code} {text}"), lambda: self.now_us
        )

    def take(self, *reports: Report) -> None:
        self.now_us = max([self.now_us, *(each.received_at_us for each in reports)])
        self.keeper.take("bed 7", reports)

    def write(self) -> None:
        asyncio.run(self.keeper._write_changes(HistoryState(written_at_us=self.now_us, edge="e")))

    def end(self) -> None:
        asyncio.run(self.keeper.end(HistoryState(written_at_us=self.now_us)))

    def read(self) -> list[tuple[Series, dict[int, tuple[float, float]]]]:
        with HistoryReader(self.folder / FILE_NAME) as reader:
            return [(series, reader.bands(slot)) for slot, series in reader.series()]

    def state(self) -> HistoryState:
        with HistoryReader(self.folder / FILE_NAME) as reader:
            return reader.state()

    def one(self, code: int = SPO2) -> Series:
        (found,) = [series for series, _ in self.read() if series.code == code]
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def spo2(value: int, at_us: int = T0_US, claim: str = "demo:nonin:1", **more: Any) -> Report:
    return report(claim, at_us, [Record(SPO2, PERCENT, mantissa=value, **more)])


def context(bed: str | None, *more: Record) -> Report:
    places = () if bed is None else (text_record("HL7", "PV1-3", bed),)
    return report(records=(text_record("HL7", "PID-3", "4711"), *places, *more), kind=Kind.CONTEXT)


def test_the_last_value_and_the_band_of_each_five_minutes(scene: Scene) -> None:
    for minute, value in enumerate((97, 93, 99, 96, 95, 91)):
        scene.take(spo2(value, T0_US + minute * MINUTE_US))
        scene.write()
    ((series, bands),) = scene.read()
    assert (series.mantissa, series.exponent, series.at_us) == (91, 0, T0_US + 5 * MINUTE_US)
    assert (series.claim, series.source) == ("demo:nonin:1", "bed 7")
    first = T0_US // 1_000_000 // BUCKET_S
    assert min(bands) == first
    assert (min(low for low, _ in bands.values()), max(high for _, high in bands.values())) == (91, 99)
    assert scene.state().edge == "e"


def test_a_late_value_goes_into_its_own_five_minutes_and_is_not_the_last(scene: Scene) -> None:
    scene.take(spo2(97, T0_US))
    scene.write()
    late = msgspec.structs.replace(spo2(60, T0_US - 3600_000_000), received_at_us=T0_US + 1)
    scene.take(late)
    scene.write()
    ((series, bands),) = scene.read()
    assert series.mantissa == 97
    assert bands[(T0_US - 3600_000_000) // 1_000_000 // BUCKET_S] == (60, 60)


def test_a_clock_ahead_of_ours_is_not_believed(scene: Scene) -> None:
    ahead = msgspec.structs.replace(spo2(97, T0_US + 3600_000_000), received_at_us=T0_US)
    scene.take(ahead)
    scene.write()
    assert scene.one().at_us == T0_US


def test_after_our_clock_was_set_back_the_new_value_is_the_last(scene: Scene) -> None:
    scene.take(spo2(97, T0_US))
    scene.take(spo2(91, T0_US - 7200_000_000))
    scene.write()
    assert scene.one().mantissa == 91


def test_no_reading_is_the_last_word_and_in_no_band(scene: Scene) -> None:
    scene.take(spo2(97))
    scene.take(spo2(0, T0_US + 1, validity=Validity.NOT_AVAILABLE))
    scene.write()
    ((series, bands),) = scene.read()
    assert series.validity == Validity.NOT_AVAILABLE
    assert list(bands.values()) == [(97, 97)]


@pytest.mark.parametrize("more", [{"marks": Mark.WITHDRAWAL}, {"validity": Validity.INVALID}])
def test_what_is_no_measurement_is_in_no_band(scene: Scene, more: dict[str, Any]) -> None:
    scene.take(spo2(12, **more))
    scene.write()
    assert [bands for _, bands in scene.read()] == [{}]


def test_a_value_that_was_taken_back_is_not_shown(scene: Scene) -> None:
    scene.take(spo2(97))
    scene.take(spo2(97, marks=Mark.WITHDRAWAL))
    scene.write()
    assert scene.one().validity == Validity.NOT_AVAILABLE


def test_the_bed_that_the_sender_claims_also_for_channels_before_it_and_after(scene: Scene) -> None:
    scene.take(spo2(97), context("ICU^^07"))
    scene.take(report(records=[Record(PULSE, mantissa=70)]))
    scene.write()
    assert {series.bed for series, _ in scene.read()} == {"ICU^^07"}
    assert b"4711" not in (scene.folder / FILE_NAME).read_bytes()  # nobody needs the patient's number here
    scene.take(context(None))
    scene.write()
    assert {series.bed for series, _ in scene.read()} == {""}


def test_the_bed_that_was_claimed_long_before_the_first_value(scene: Scene) -> None:
    scene.take(context("ICU^^07"))
    for _ in range(3):
        scene.now_us += 120_000_000
        scene.write()
    scene.take(spo2(97, scene.now_us))
    scene.write()
    assert scene.one().bed == "ICU^^07"


def test_a_late_context_changes_no_bed(scene: Scene) -> None:
    scene.take(spo2(97), context("ICU^^07"))
    scene.take(context("ICU^^09", text_record("vitalwire", LATE_CONTEXT, "")))
    scene.write()
    assert scene.one().bed == "ICU^^07"


def test_the_senders_words_for_a_channel(scene: Scene) -> None:
    words = msgspec.json.encode(ChannelWords(label="left arm")).decode()
    scene.take(report(records=[Record(SPO2, channel=7, kind=RecordKind.TEXT, text=words)], kind=Kind.DESCRIPTION))
    scene.take(spo2(97, channel=7), spo2(96, channel=8))
    scene.write()
    assert {(series.channel, series.label) for series, _ in scene.read()} == {(7, "left arm"), (8, "")}


def test_what_has_no_code_stands_under_the_senders_word(scene: Scene) -> None:
    scene.take(
        report(
            records=[Record(mantissa=5, as_sent=AsSent("x", "a", "u")), Record(mantissa=6, as_sent=AsSent("x", "b"))]
        )
    )
    scene.write()
    assert {(s.name, s.unit_as_sent, s.mantissa) for s, _ in scene.read()} == {("a", "u", 5), ("b", "", 6)}


@pytest.mark.parametrize("kind", [Kind.ALARM, Kind.EVENT, Kind.REJECTED, Kind.WAVEFORM, Kind.SETTING])
def test_nothing_else_is_kept(scene: Scene, kind: Kind) -> None:
    scene.take(report(kind=kind))
    scene.take(msgspec.structs.replace(report(), lane=Lane.ADT))
    scene.write()
    assert scene.read() == []


def test_it_goes_on_after_a_restart(scene: Scene) -> None:
    scene.take(spo2(97), context("ICU^^07"))
    scene.keeper.note_receipts(1)
    scene.end()
    scene.begin()
    scene.take(spo2(93, T0_US + 1))
    scene.write()
    ((series, bands),) = scene.read()
    assert (series.mantissa, series.bed, list(bands.values())) == (93, "ICU^^07", [(93, 97)])
    assert scene.state().last_receipt_at_us == T0_US + 5_000


def test_its_space_is_bounded_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, channels_max=3)
    scene.take(*(spo2(n, claim=f"n:{n}") for n in range(10)))
    scene.write()
    assert len(scene.read()) == 3
    assert scene.state().omitted == 7
    assert (tmp_path / FILE_NAME).stat().st_size == 4 * 4096


def test_what_was_silent_for_a_day_gives_its_place_away_with_all_that_was_of_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, channels_max=1)
    scene.take(spo2(97, claim="old"))
    scene.write()
    scene.take(spo2(91, T0_US + 25 * 3600_000_000, claim="new"))
    scene.write()
    ((series, bands),) = scene.read()
    assert (series.claim, list(bands.values())) == ("new", [(91, 91)])


def test_what_was_silent_for_a_day_is_erased_from_the_disk(scene: Scene) -> None:
    scene.take(spo2(97, claim="left-the-ward"), context("ICU^^07"))
    scene.write()
    assert b"left-the-ward" in (scene.folder / FILE_NAME).read_bytes()
    scene.end()
    scene.begin()
    scene.now_us += 25 * 3600_000_000
    scene.write()
    content = (scene.folder / FILE_NAME).read_bytes()
    assert b"left-the-ward" not in content
    assert b"ICU" not in content
    assert not any(content[4096:])


def test_a_disk_that_hangs_holds_up_no_value(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = Event()
    write = RingFile.write

    def hang(*of: Any) -> None:
        assert hangs.wait(10)
        write(*of)

    monkeypatch.setattr(RingFile, "write", hang)

    async def run() -> None:
        scene.take(spo2(97))
        writing = asyncio.create_task(scene.keeper._write_changes(HistoryState(written_at_us=1)))
        await asyncio.sleep(0)
        for value in range(90, 96):
            scene.take(spo2(value, T0_US + value))
        assert not writing.done()
        hangs.set()
        await writing
        await scene.keeper._write_changes(HistoryState(written_at_us=2))

    asyncio.run(run())
    ((series, bands),) = scene.read()
    assert (series.mantissa, list(bands.values())) == (95, [(90, 97)])


def test_made_up_devices_that_never_have_a_value_take_no_memory(tmp_path: Path) -> None:
    scene = Scene(tmp_path, channels_max=5)
    for n in range(100):
        scene.take(msgspec.structs.replace(context("ICU^^07"), claim=f"n:{n}"))
    assert len(scene.keeper._devices) == 5


def test_a_full_disk_is_said_once_and_nothing_is_lost_by_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = RingFile.write
    monkeypatch.setattr(RingFile, "write", full)
    for value in (97, 93):
        scene.take(spo2(value))
        scene.write()
    (said,) = scene.emitted
    assert said.startswith("downtime-trouble")
    assert "No space left" in said
    monkeypatch.setattr(RingFile, "write", write)
    scene.take(spo2(95, T0_US + 1))
    scene.write()
    ((series, bands),) = scene.read()
    assert (series.mantissa, list(bands.values())) == (95, [(93, 97)])


def test_a_bug_costs_this_view_alone(scene: Scene) -> None:
    broken: Any = [object()]
    scene.keeper.take("bed 7", broken)
    scene.take(spo2(97))
    scene.write()
    assert scene.one().mantissa == 97


def test_where_it_is_not_enabled_there_is_no_file(tmp_path: Path) -> None:
    scene = Scene(tmp_path, enabled=False)
    scene.take(spo2(97))
    asyncio.run(scene.keeper.run(HistoryState))
    scene.end()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_hinders_no_start(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    scene = Scene(tmp_path)
    scene.take(spo2(97))
    scene.write()
    scene.end()


@pytest.mark.parametrize("damage", [b"", b"garbage" * 2000, b"VWDOWN01" + b"\xff" * 9000])
def test_a_damaged_file_begins_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    with pytest.raises(VitalwireError, match="damaged"), HistoryReader(tmp_path / FILE_NAME) as reader:
        reader.state()
    scene = Scene(tmp_path)
    scene.take(spo2(97))
    scene.write()
    assert scene.one().mantissa == 97


def test_there_is_no_file() -> None:
    with pytest.raises(VitalwireError, match="enabled"):
        HistoryReader(Path("nowhere"))


@given(st.text(max_size=400), st.integers(20, 220))
def test_a_word_fits_its_place(text: str, bytes_max: int) -> None:
    found = fitted(text, bytes_max)
    assert len(msgspec.json.encode(found)) <= bytes_max
    assert found == text or "…" in found or "\\ud" in found


def test_two_long_claims_are_not_taken_for_one() -> None:
    assert fitted("x" * 300 + "a", CLAIM_BYTES_MAX) != fitted("x" * 300 + "b", CLAIM_BYTES_MAX)


@pytest.mark.parametrize("letter", ["x", "重", "\x01", "\ud800", '"'])
def test_the_longest_words_fit_a_slot(scene: Scene, letter: str) -> None:
    long = letter * 1000
    sent = AsSent(long[:5], long, long)
    scene.keeper.take(long, [
        msgspec.structs.replace(context(long), claim=long),
        report(long, T0_US, [Record(mantissa=-(2**63) + 1, exponent=-128, channel=2**32 - 1, as_sent=sent)]),
    ])  # fmt: skip
    scene.write()
    assert len(scene.read()) == 1


def test_the_edge_of_numbers(scene: Scene) -> None:
    scene.take(spo2(2**63 - 1, exponent=127))
    scene.write()
    ((series, bands),) = scene.read()
    assert (series.exponent, bands) == (127, {})
    assert keeping.NUMBER_MAX < 3.4e38  # of a float of four bytes
