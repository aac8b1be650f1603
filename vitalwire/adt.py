"""`vitalwire adt explain`: what each ADT message of a file would do, in words. Nothing is sent or kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from adapters.devices.hl7_adt import AdtSettings, read
from adapters.driver import Source
from clinical.beds import BedRegistry, bed_key
from clinical.explanation import Explainer
from clinical.facts import make_fact
from clinical.identity import AdtSource
from clinical.key_words import NO_BED_NAMES
from clinical.worklist import Words
from emr_store.attribution_site import AttributionSite
from runtime import config as configuration
from runtime.errors import UserError
from schemas.adt import GROUP_CODE, AdtGroup, decode_group
from schemas.errors import FrameError
from stream_processors.attribute import site_of
from stream_processors.config import ProcessorsConfig
from vitalwire.output import as_json, cell, console
from vitalwire.record import Json

app = typer.Typer(help="ADT messages, before they count.", no_args_is_help=True)
NOT_READ = Words(en="is not read as ADT: {error}", zh="不作为ADT读取：{error}")
FILE_BYTES_MAX = 64 * 1024 * 1024
# A message begins at its MSH, whatever parts it from the one before: MLLP's bytes, blank lines, nothing.
_BEGINS = re.compile(rb"(?:^|(?<=[\r\n\x0b]))(?=MSH[^A-Za-z0-9\s])")


@dataclass
class Explained:
    """One message: what it says, and what it changes after those before it; `problem` where it cannot be read."""

    number: int
    title: str = ""
    effects: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    problem: str = ""


@app.command("explain")
def explain(
    file: Annotated[Path, typer.Argument(help="HL7 messages, one after the other")],
    config: Annotated[
        Path | None, typer.Option(help="processors.toml: its [[adt_source]] and [[bed]]; else every bed is known")
    ] = None,
    source: Annotated[str, typer.Option(help="which [[adt_source]] sends them")] = "",
    time_zone: Annotated[str, typer.Option(help="of times without an offset, e.g. Asia/Shanghai")] = "UTC",
    charset: Annotated[str, typer.Option(help="as in MSH-18, which it overrides")] = "",
    language: Annotated[str, typer.Option(help="en or zh", metavar="en|zh")] = "en",
    json: Json = False,
) -> None:
    """What each message would do, given those before it: vitalwire adt explain ward.hl7 --config processors.toml."""
    try:
        data = file.read_bytes()[: FILE_BYTES_MAX + 1]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise UserError(f"{file} is longer than {FILE_BYTES_MAX} bytes: give it in parts")
    explained = list(_Reader(_reading(config, source, time_zone, charset), language).explain(messages_of(data)))
    if not explained:
        raise UserError(f"{file} has no HL7 message: none begins with MSH")
    if json:
        as_json(explained)
        return
    for message in explained:
        _print(message, language)


def messages_of(data: bytes) -> list[bytes]:
    """The messages of a file, with the line ends that HL7 has."""
    parts = [part.strip(b"\x0b\x1c\r\n \t") for part in _BEGINS.split(data)]
    return [re.sub(rb"\r?\n", b"\r", part) + b"\r" for part in parts if part.startswith(b"MSH")]


def _print(message: Explained, language: str) -> None:
    asks = "待办：" if language == "zh" else "asks: "
    console.print(cell(f"{message.number}. {message.problem or message.title}"), markup=False)
    for effect in message.effects:
        console.print(cell(f"   {effect}"), markup=False)
    for question in message.questions:
        console.print(cell(f"   {asks}{question}"), markup=False)


@dataclass(frozen=True)
class Reading:
    """How messages are read: by the driver at the edge, and at the hospital. `beds` None: every bed is known."""

    driver: Source[AdtSettings]
    source: AdtSource
    beds: BedRegistry | None
    bed_names: Mapping[str, str]


def _reading(config: Path | None, name: str, time_zone: str, charset: str) -> Reading:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserError(f"--time-zone {time_zone!r} is no zone: write it as Asia/Shanghai") from None
    beds: BedRegistry | None = None
    names: Mapping[str, str] = NO_BED_NAMES
    source = AdtSource(name=name or "file", processing_ids_live=("P", "T", "D", ""))
    if config is not None:
        site, source = site_and_source(config, name)
        beds, names = site.beds, site.bed_names
    settings = AdtSettings(charset=charset or None, processing_ids_live=source.processing_ids_live)
    return Reading(Source(source.name, settings, time_zone=zone), source, beds, names)


def site_and_source(config: Path, name: str) -> tuple[AttributionSite, AdtSource]:
    """By the processors' configuration; the only source there is where none is named. Raises UserError."""
    site = site_of(configuration.load(config, ProcessorsConfig))
    known = list(site.sources)
    if not name and len(known) == 1:
        name = known[0]
    if name not in known:
        raise UserError(f"--source {name!r} is no [[adt_source]] of {config}: it has {', '.join(known) or 'none'}")
    return site, site.sources[name]


class _Reader:
    """Takes one message after the other and says what each changes."""

    def __init__(self, reading: Reading, language: str) -> None:
        self._reading, self._language = reading, language
        zone = reading.driver.time_zone
        self._explainer = Explainer(language, reading.bed_names, zone if zone is not None else UTC)

    def explain(self, messages: Sequence[bytes]) -> Iterator[Explained]:
        """Each of them, in the order given."""
        for number, message in enumerate(messages, 1):
            try:
                groups = self._groups(message)
            except FrameError as error:
                yield Explained(
                    number, problem=(NOT_READ.zh if self._language == "zh" else NOT_READ.en).format(error=error)
                )
                continue
            received_us = max((group.sent_at_us or 0 for group in groups), default=0)
            facts = [make_fact(group, self._reading.source, self._beds_for(group), received_us) for group in groups]
            told = self._explainer.explain(facts)
            yield Explained(number, told.title, told.effects, told.questions)

    def _groups(self, message: bytes) -> list[AdtGroup]:
        texts = [
            record.text
            for report in read(message, self._reading.driver)
            for record in report.records
            if record.as_sent is not None and record.as_sent.code == GROUP_CODE
        ]
        return [decode_group(text) for text in texts if isinstance(text, str)]

    def _beds_for(self, group: AdtGroup) -> BedRegistry:
        """Without a configuration, every bed that is named."""
        if self._reading.beds is not None:
            return self._reading.beds
        visit = group.visit
        named = [bed for bed in (visit.bed, visit.prior_bed) if bed is not None] if visit else []
        return BedRegistry(
            bed_key(facility=bed.facility or group.facility, ward=bed.ward, room=bed.room, bed=bed.bed) for bed in named
        )
