"""`vitalwire doctor /dev/ttyUSB0`: listens, and says what it is in a sentence."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.devices.registry import DRIVERS
from adapters.formats.recording import Direction, Entry, text_of
from runtime.errors import UserError
from vitalwire.doctor.port.asked import Asked, finish
from vitalwire.doctor.port.conclusion import Conclusion, conclude
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.line_settings import Sample
from vitalwire.doctor.port.listening import Line, Listened, Progress, listen
from vitalwire.doctor.port.probing import probe
from vitalwire.doctor.port.serial_line import is_beyond_loopback, obeys_settings, opened
from vitalwire.doctor.port.source_table import serial_table
from vitalwire.doctor.port.words import sentences
from vitalwire.output import as_json, cell, console

PROBE_S = 60.0
HEAD_WIDTH = 16
SERIAL_DRIVERS = tuple(driver for driver in DRIVERS if driver.serial is not None and driver.session is not None)


def examine_serial(asked: Asked) -> None:
    """Say what it is; raises typer.Exit where that is not certain, and UserError."""
    with opened(asked.port, insecure=asked.insecure) as line, _shown(asked) as progress:
        conclusion, samples = examine_line(
            line, asked.port, asked.seconds, progress, may_probe=asked.probe, knows_rate=obeys_settings(asked.port)
        )
    if asked.record is not None:
        _record(asked.record, asked.port, samples)
    found = ""
    if conclusion.driver and conclusion.slug != "parity":
        insecure = is_beyond_loopback(asked.port)
        found = serial_table(conclusion, asked.name or conclusion.driver, asked.port, insecure=insecure)
    if asked.json:
        as_json({**_as_built(conclusion), "text": sentences(conclusion, asked.language), "source": found})
    else:
        first, *more = sentences(conclusion, asked.language)
        console.print(cell(first), markup=False, style="bold")
        for reason in more:
            console.print(cell(f"- {reason}"), markup=False)
        for at in range(0, len(conclusion.head), HEAD_WIDTH):
            console.print(dump_line(conclusion.head[at : at + HEAD_WIDTH]), markup=False)
    finish(asked, found, is_certain=conclusion.slug == "certain")


def examine_line(
    line: Line, place: str, seconds: float, progress: Progress, *, may_probe: bool, knows_rate: bool
) -> tuple[Conclusion, list[Sample]]:
    """Listen, then ask where nothing came and that is wanted; Ctrl-C ends it before."""
    examination = Examination(SERIAL_DRIVERS, knows_rate=knows_rate)
    with suppress(KeyboardInterrupt):  # then what was heard so far is judged
        listen(line, examination, time.monotonic, seconds, progress)
        if may_probe and not examination.bytes:
            probe(line, examination, time.monotonic, PROBE_S, progress)
    return conclude(examination, place), examination.samples


@contextmanager
def _shown(asked: Asked) -> Iterator[Progress]:
    """On a terminal, how the port is listened to just now; nothing elsewhere."""
    if asked.json or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:

        def show(listened: Listened) -> None:
            at = str(listened.settings) if listened.settings.baud else asked.port
            words = f"正在监听 {at}：{listened.bytes} 字节" if asked.language == "zh" else (
                f"listening at {at}: {listened.bytes} bytes"
            )  # fmt: skip
            status.update(words)

        yield show


def dump_line(data: bytes) -> str:
    """Bytes in hexadecimal, and as characters where they are some."""
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return f"  {data.hex(' '):{3 * HEAD_WIDTH}} {shown}"


def _as_built(conclusion: Conclusion) -> dict[str, object]:
    return {name: getattr(conclusion, name) for name in conclusion.__struct_fields__} | {"share": conclusion.share}


def _record(path: Path, port: str, samples: list[Sample]) -> None:
    """What came, a connection a setting, in the format of `edge record`."""
    entries, at_s = list[Entry](), 0.0
    for number, sample in enumerate(samples, 1):
        at_us = int(at_s * 1e6)
        entries.append(Entry(at_us, number, Direction.NOTE, note=f"opened {port} {sample.settings}"))
        if sample.data:
            entries.append(Entry(at_us, number, Direction.IN, sample.data))
        at_s += sample.seconds
        entries.append(Entry(int(at_s * 1e6), number, Direction.NOTE, note="closed"))
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text_of(entries))
    except FileExistsError:
        raise UserError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
