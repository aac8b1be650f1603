"""The quota: what may be kept, and what goes first."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge_agent.spool import LEVELS, Kept, Spool
from schemas.batch import encode_report
from schemas.report import Lane, Record, RecordKind, Report, Samples
from tests.edge_agent.spool.keeping import (
    MIB,
    SEAL,
    SECOND_US,
    Clock,
    cut_all,
    emitted,
    in_lane,
    put,
    receipt,
    release_all,
    sequences,
)
from tests.making import T0_US, report


def test_at_quota_batches_with_a_receipt_go_first_and_nothing_else(
    make: Callable[..., Spool], events: list[str]
) -> None:
    spool = make(bytes_max=40_000)
    for i in range(20):
        assert put(spool, report(at_us=T0_US + i)) is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, MIB)[0]
    assert spool.receipted([receipt(spool, Lane.LIVE, number, sealed)]).batches
    assert spool.figures.held_bytes == len(sealed)
    kept = 0
    while put(spool, report(at_us=T0_US + kept)) is Kept.KEPT:
        kept += 1
    assert spool.figures.held_bytes == 0
    assert kept == spool.figures.reports == 40_000 // 156
    assert events == ["spool-level"] * len(LEVELS) + ["spool-full"]
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, MIB)[0]
    assert number == 2  # nothing was overwritten
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    assert put(spool, report()) is Kept.KEPT
    assert events[-1] == "spool-keeps-again"


def wave(claim: str = "monitor", at_us: int = T0_US) -> Report:
    samples = Samples(250, 1, 1, 0, -3, bytes(500))
    records = [Record(131329, 266418, kind=RecordKind.SAMPLES, samples=samples)] * 3
    return in_lane(Lane.WAVEFORM, claim, at_us, records)


WAVE_BYTES = len(encode_report(wave(), bytes(16), bytes(32)))


def test_waves_beyond_their_share_become_a_counted_gap_and_their_frames_are_kept(
    make: Callable[..., Spool], clock: Clock, events: list[str]
) -> None:
    spool = make(bytes_max=100_000, wave_share=0.2)
    frames = 30
    for i in range(frames):
        at_us = T0_US + i * 1000
        assert put(spool, report("monitor", at_us), wave(at_us=at_us)) is Kept.KEPT
    kept = 20_000 // WAVE_BYTES
    assert spool.figures.wave_bytes == kept * WAVE_BYTES
    assert spool.figures.waves_lost == frames - kept
    assert spool.figures.reports == frames + kept
    assert events == ["waves-full"]
    clock.us += 20 * SECOND_US
    put(spool, report("another", T0_US + 40_000))  # the gap is told: an event of the device
    cut_all(spool, T0_US + SECOND_US)
    assert spool.figures.reports == 0
    ((device, text),) = emitted(spool, "waves-lost")
    assert device == report("monitor").device.bytes
    lost_from = wave(at_us=T0_US + kept * 1000).received_at_us
    lost_to = wave(at_us=T0_US + (frames - 1) * 1000).received_at_us
    assert json.loads(text) == {"reports": frames - kept, "from_us": lost_from, "to_us": lost_to}
    numbers = [n for lane in Lane for n in sequences(spool.unreceipted(lane, 0, MIB)).get(device, [])]
    assert sorted(numbers) == list(range(1, frames + kept + 2))  # a wave that was lost has no number
    release_all(spool)
    assert spool.figures.wave_bytes == spool.figures.unreceipted_bytes == 0
    assert put(spool, wave()) is Kept.KEPT
    assert spool.figures.reports == 1
    spool.close()
    assert events == ["waves-full", "waves-keep-again"]


def test_a_gap_that_was_not_told_yet_survives_a_kill(make: Callable[..., Spool], tmp_path: Path, clock: Clock) -> None:
    spool = make(bytes_max=100_000, wave_share=0.01)
    put(spool, report())  # tidies
    assert put(spool, wave(), wave("second"), wave()) is Kept.KEPT
    shutil.copytree(tmp_path / "spool", tmp_path / "killed")
    killed = make("killed", bytes_max=100_000, wave_share=0.01)
    assert killed.figures.waves_lost == 3
    put(killed, wave())
    clock.us += 20 * SECOND_US
    put(killed, report())
    clock.us += 20 * SECOND_US
    put(killed, report())
    cut_all(killed, T0_US + SECOND_US)
    counted = Counter[bytes]()
    for device, text in emitted(killed, "waves-lost"):
        counted[device] += json.loads(text)["reports"]
    assert counted == {wave().device.bytes: 3, wave("second").device.bytes: 1}


def test_waves_never_crowd_out_a_number(make: Callable[..., Spool]) -> None:
    """Nor do waves that are under way, sealed, or held with a receipt."""
    spool = make(bytes_max=60_000, wave_share=0.5)
    for i in range(40):
        assert put(spool, wave(at_us=T0_US + i)) is Kept.KEPT
        cut_all(spool, T0_US + SECOND_US)
    sealed = dict(spool.unreceipted(Lane.WAVEFORM, 0, MIB))
    assert spool.figures.wave_bytes == sum(map(len, sealed.values())) <= 30_000
    numbers = 0
    while put(spool, report(at_us=T0_US + numbers)) is Kept.KEPT:
        numbers += 1
    assert numbers >= 30_000 // len(encode_report(report(), bytes(16), bytes(32)))
    assert put(spool, wave()) is Kept.KEPT  # full: its numbers fit, for it has none
    assert put(spool, report(), wave()) is Kept.FULL
    number, first = next(iter(sealed.items()))
    spool.receipted([receipt(spool, Lane.WAVEFORM, number, first)])
    assert spool.figures.held_bytes == len(first)
    assert put(spool, report()) is Kept.KEPT
    assert spool.figures.held_bytes == 0


def test_of_what_is_held_waves_go_before_numbers(make: Callable[..., Spool]) -> None:
    spool = make(bytes_max=20_000)
    for lane in (Lane.LIVE, Lane.WAVEFORM):
        put(spool, in_lane(lane))
        cut_all(spool, T0_US + SECOND_US)
    wave_bytes = len(spool.unreceipted(Lane.WAVEFORM, 0, MIB)[0][1])
    release_all(spool)
    held = spool.figures.held_bytes
    while spool.figures.held_bytes == held:
        put(spool, report())
    assert spool.figures.held_bytes == held - wave_bytes
