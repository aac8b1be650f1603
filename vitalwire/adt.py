"""`vitalwire adt explain`: what each ADT message of a file would do, in words. Nothing is sent or kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from adapters.devices.hl7_adt import AdtSettings, read
from adapters.driver import Source
from clinical.adt_events import EVENTS, Effect
from clinical.beds import BedRegistry, BedState, bed_key
from clinical.encounter import Stay
from clinical.facts import AdtFact, make_fact
from clinical.identity import AdtSource
from clinical.stays import compute_stays, encounter_links, fact_items, merge_items, patient_links
from clinical.worklist import Item, words
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
FILE_BYTES_MAX = 64 * 1024 * 1024
# A message begins at its MSH, whatever parts it from the one before: MLLP's bytes, blank lines, nothing.
_BEGINS = re.compile(rb"(?:^|(?<=[\r\n\x0b]))(?=MSH[^A-Za-z0-9\s])")
_LEAVES = {
    Effect.PLAN: "a plan: nobody is in a bed by it",
    Effect.NONE: "no effect on any stay",
    Effect.WORKLIST: "only a person can carry it out",
}


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
    language: Annotated[str, typer.Option(help="of questions: en or zh", metavar="en|zh")] = "en",
    json: Json = False,
) -> None:
    """What each message would do, given those before it: vitalwire adt explain ward.hl7 --config processors.toml."""
    try:
        data = file.read_bytes()[: FILE_BYTES_MAX + 1]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise UserError(f"{file} is longer than {FILE_BYTES_MAX} bytes: give it in parts")
    explained = list(Explainer(_reading(config, source, time_zone, charset), language).explain(messages_of(data)))
    if not explained:
        raise UserError(f"{file} has no HL7 message: none begins with MSH")
    if json:
        as_json(explained)
        return
    for message in explained:
        _print(message)


def messages_of(data: bytes) -> list[bytes]:
    """The messages of a file, with the line ends that HL7 has."""
    parts = [part.strip(b"\x0b\x1c\r\n \t") for part in _BEGINS.split(data)]
    return [re.sub(rb"\r?\n", b"\r", part) + b"\r" for part in parts if part.startswith(b"MSH")]


def _print(message: Explained) -> None:
    console.print(cell(f"{message.number}. {message.problem or message.title}"), markup=False)
    for effect in message.effects:
        console.print(cell(f"   {effect}"), markup=False)
    for question in message.questions:
        console.print(cell(f"   asks: {question}"), markup=False)


@dataclass(frozen=True)
class Reading:
    """How messages are read: by the driver at the edge, and at the hospital. `beds` None: every bed is known."""

    driver: Source[AdtSettings]
    source: AdtSource
    beds: BedRegistry | None


def _reading(config: Path | None, name: str, time_zone: str, charset: str) -> Reading:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserError(f"--time-zone {time_zone!r} is no zone: write it as Asia/Shanghai") from None
    beds: BedRegistry | None = None
    source = AdtSource(name=name or "file", processing_ids_live=("P", "T", "D", ""))
    if config is not None:
        site, source = site_and_source(config, name)
        beds = site.beds
    settings = AdtSettings(charset=charset or None, processing_ids_live=source.processing_ids_live)
    return Reading(Source(source.name, settings, time_zone=zone), source, beds)


def site_and_source(config: Path, name: str) -> tuple[AttributionSite, AdtSource]:
    """By the processors' configuration; the only source there is where none is named. Raises UserError."""
    site = site_of(configuration.load(config, ProcessorsConfig))
    known = list(site.sources)
    if not name and len(known) == 1:
        name = known[0]
    if name not in known:
        raise UserError(f"--source {name!r} is no [[adt_source]] of {config}: it has {', '.join(known) or 'none'}")
    return site, site.sources[name]


class Explainer:
    """Takes one message after the other and says what each changes."""

    def __init__(self, reading: Reading, language: str) -> None:
        self._reading, self._language = reading, language
        self._facts: list[AdtFact] = []
        self._ids: set[bytes] = set()

    def explain(self, messages: Sequence[bytes]) -> Iterator[Explained]:
        """Each of them, in the order given."""
        for number, message in enumerate(messages, 1):
            said = Explained(number)
            try:
                groups = self._groups(message)
            except FrameError as error:
                said.problem = f"is not read as ADT: {error}"
            else:
                self._take(groups, said)
            yield said

    def _groups(self, message: bytes) -> list[AdtGroup]:
        texts = [
            record.text
            for report in read(message, self._reading.driver)
            for record in report.records
            if record.as_sent is not None and record.as_sent.code == GROUP_CODE
        ]
        return [decode_group(text) for text in texts if isinstance(text, str)]

    def _take(self, groups: list[AdtGroup], said: Explained) -> None:
        received_us = max((group.sent_at_us or 0 for group in groups), default=0)
        new = [make_fact(group, self._reading.source, self._beds_for(group), received_us) for group in groups]
        said.title = "; ".join(map(title, new))
        if all(fact.id in self._ids for fact in new):
            said.effects.append("the same message again: nothing changes")
            return
        related = self._related(new)
        before, asked_before = _computed(related)
        after, asked_after = _computed([*related, *new])
        self._facts += new
        self._ids |= {fact.id for fact in new}
        said.effects += [f"no longer believed: {stay_words(s)}" for s in before if s not in after]
        said.effects += [stay_words(stay) for stay in after if stay not in before]
        said.effects += [
            f"{link.retired} is {link.survivor} ({link.kind.value})" for fact in new for link in fact.patient_links
        ]
        if not any(fact.live for fact in new):
            said.effects.append("a test or training message (MSH-11): without effect")
        elif not said.effects:
            said.effects.append(next((_LEAVES[f.effect] for f in new if f.effect in _LEAVES), "no stay changes"))
        said.questions += [words(item, self._language) for item in asked_after if item not in asked_before]

    def _beds_for(self, group: AdtGroup) -> BedRegistry:
        """Without a configuration, every bed that is named."""
        if self._reading.beds is not None:
            return self._reading.beds
        visit = group.visit
        named = [bed for bed in (visit.bed, visit.prior_bed) if bed is not None] if visit else []
        return BedRegistry(
            bed_key(facility=bed.facility or group.facility, ward=bed.ward, room=bed.room, bed=bed.bed) for bed in named
        )

    def _related(self, new: list[AdtFact]) -> list[AdtFact]:
        """Those that have an encounter or a patient in common with these, and what these have in common with others."""
        keys = set().union(*map(_keys, new))
        while True:
            related = [fact for fact in self._facts if keys & _keys(fact)]
            wider = keys.union(*map(_keys, related))
            if wider == keys:
                return related
            keys = wider


def _keys(fact: AdtFact) -> set[str]:
    links = {key for link in (*fact.patient_links, *fact.encounter_links) for key in (link.retired, link.survivor)}
    return links | set(fact.patients[:1]) | ({fact.encounter} if fact.encounter else set())


def _computed(facts: list[AdtFact]) -> tuple[list[Stay], list[Item]]:
    patients = patient_links(facts)
    stays = compute_stays(facts, patients, encounter_links(facts))
    items = stays.items + merge_items(patients) + [item for fact in facts for item in fact_items(fact)]
    return stays.stays, items


def title(fact: AdtFact) -> str:
    """What the message says of a patient, in one line."""
    name = EVENTS[fact.event].name if fact.event in EVENTS else "unknown event"
    bed = {BedState.KNOWN: f", bed {fact.bed.as_sent}", BedState.UNKNOWN: f", bed {fact.bed.as_sent} (not registered)"}
    at = f" at {_instant(fact.happened_at_us)}" if fact.happened_at_us is not None else ""
    whose = fact.encounter or next(iter(fact.patients), "nobody")
    plan = ", planned" if fact.plan else ""
    return f"{fact.event} ({name}){at} of {whose}{bed.get(fact.bed.state, '')}{plan}, message {fact.control}"


def stay_words(stay: Stay) -> str:
    """A stay in a bed."""
    until = f" until {_instant(stay.until_us)}" if stay.until_us is not None else " from then on"
    planned = " (by a plan)" if stay.until_planned else ""
    return f"{stay.encounter} in {stay.bed} since {_instant(stay.from_us)}{until}{planned}"


def _instant(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
