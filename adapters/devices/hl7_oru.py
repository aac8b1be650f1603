r"""HL7 v2 observations, ORU^R01 and R40 of 2.1 to 2.8, in the dialects of `hl7_dialects`.

One OBR group is one report; an OBX with a time of its own (OBX-14: cuff pressures) is a report of its own; so is what a
person set on the device (OBX-17), a wave, and what is said of another device or patient. The identifiers of PID and PV1
are a `context` report, once and when they change; a channel's words a `description`. What is no observation (ADT, MDM)
is kept whole as a `context` report with its first patient, and one for each further patient (A17), not used yet.
What a value means: docs/adr/0007-what-an-hl7-value-means.md.

    MSH|^~\&|VSP^080019FFFE134535^EUI-64|GE|||20260921141319-0700||ORU^R01^ORU_R01|0800|P|2.6|||NE|AL
    PID|||HED12^^^PID^MR                                                   a patient, to whom the lines below belong
    PV1||I|ICU^^79874                                                      the bed; also the device, where no OBX-18 is
    OBR|1|a^VSP|a^VSP|182777000^monitoring of patient^SCT|||20260921141318 a report, its time, its containment tree
    OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X    a node of the tree, OBX-4 its path
    OBX|2|NM|150033^MDC_PRESS_BLD_ART_SYS^MDC|1.13.1.1|120|266016^MDC_DIM_MMHG^MDC|||||R|||||||080019FFFE134535^B1X5_GE
    NTE|1||transducer re-zeroed                                            a note on the value before it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.hl7_charset import codec_of
from adapters.formats.hl7_clock import Clock
from adapters.formats.hl7_dialects import DIALECTS
from adapters.formats.hl7_head import message_type
from adapters.formats.hl7_observation import reading_of
from adapters.formats.hl7_parts import LAST_MATCH, PartsReader, SourceMemory, learn_shape, parts_of_match
from adapters.formats.hl7_patients import field_rule
from adapters.formats.hl7_redaction import redact_hl7
from adapters.formats.hl7_reports import Emitter
from adapters.formats.hl7_shapes import Match
from adapters.formats.hl7v2 import Hl7Message
from adapters.quality import Quality, done, todo
from adapters.session import Session
from adapters.sessions.mindray_pds import REQUESTS, MindrayPdsSession
from adapters.sessions.mllp import MllpSession
from schemas.errors import FrameError
from schemas.report import Lane, Mark, Report

TYPES = ("ORU", "ADT", "MDM")
_EQUIPMENT, _PLACE = "OBX-18", "PV1-3"
_MEMORY = "hl7_oru"  # in what is remembered of the source


class Hl7Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one sender writes HL7 v2."""

    device: Annotated[
        str | None,
        Meta(
            description="field that names a device: OBX-18, else PV1-3 (when left out), or connection, ...",
            examples=["PV1-3"],
        ),
    ] = None
    charset: Annotated[
        str | None, Meta(description="as in MSH-18, which it overrides: GB 18030, 8859/1, ...", examples=["GB 18030"])
    ] = None
    dialect: Annotated[str, Meta(description=f"one of {', '.join(DIALECTS)}")] = "plain"
    answers: Annotated[
        Literal["accept", "application", "both"],
        Meta(description="which acknowledgement is sent where MSH-15 and MSH-16 ask for both"),
    ] = "accept"
    processing_ids_live: Annotated[
        tuple[str, ...], Meta(description="MSH-11 of messages that are no training and no test")
    ] = ("P",)
    decimal_comma: Annotated[bool, Meta(description='"36,5" is 36.5')] = False
    query: Annotated[
        bool,
        Meta(description="mindray-pds, where the monitor is dialled: ask it for its values, and tell it we are there"),
    ] = False

    def __post_init__(self) -> None:
        """Refuse what no message could be read by."""
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect = {self.dialect!r} is none of {', '.join(DIALECTS)}")
        if self.query and self.dialect != "mindray-pds":
            raise ValueError('query = true is of dialect = "mindray-pds" alone')
        field_rule(_PLACE if self.device in (None, _EQUIPMENT) else self.device)
        if self.charset is not None:
            try:
                codec_of(self.charset)
            except FrameError as error:
                raise ValueError(f"charset = {self.charset!r}: {error.detail}") from None


def read(frame: bytes, source: Source[Hl7Settings]) -> Sequence[Report]:
    """One message: what it says of patients and channels, where that is new, then its observations."""
    return fitting(_reports(frame, source), frame, source)


def _reports(frame: bytes, source: Source[Hl7Settings]) -> Sequence[Report]:
    memory = _memory(source)
    match = memory.shapes.match(frame, source.memory.get(LAST_MATCH))
    if match is not None:
        source.memory[LAST_MATCH] = match
        reports = _reports_of_match(match, source, memory)
        if reports is not None:
            return reports
    return _reports_of_message(frame, source, memory)


def _reports_of_match(match: Match, source: Source[Hl7Settings], memory: SourceMemory) -> Sequence[Report] | None:
    shape = match.shape
    clock = Clock(
        match.msh_7, shape.syntax, source.time_zone, source.received_at_us, clockless=memory.dialect.clockless
    )
    found = parts_of_match(match, clock, source.claim())
    if found is None:
        return None
    emitter = Emitter(source, memory, shape.syntax, clock, shape.marks)
    emitter.count(shape.unread)
    return emitter.reports(*found)


def _reports_of_message(frame: bytes, source: Source[Hl7Settings], memory: SourceMemory) -> Sequence[Report]:
    settings = source.settings
    message = Hl7Message(frame, settings.charset)
    msh = [*message.msh, *[""] * 13]
    of = message_type(msh[9], msh[11], msh[12], message.syntax, TYPES, settings.processing_ids_live)
    clock = Clock(msh[7], message.syntax, source.time_zone, source.received_at_us, clockless=memory.dialect.clockless)
    emitter = Emitter(source, memory, message.syntax, clock, 0 if of.is_live else int(Mark.TRAINING))
    reader = PartsReader(message, source, memory, clock, of.event)
    if of.code != "ORU":
        walk = reader.walk()
        emitter.count(walk.unread)
        return emitter.whole(msh[9], frame, Lane.ADT if of.code == "ADT" else Lane.LIVE, walk.patients)
    content = reader.read()
    emitter.count(content.walk.unread)
    emitter.remember_patient([patient for patient, _ in content.walk.patients])
    learn_shape(frame, message, content, emitter.marks, memory, source.claim())
    return emitter.reports(content.parts, content.claims)


def _memory(source: Source[Hl7Settings]) -> SourceMemory:
    found = source.lasting.get(_MEMORY)
    if isinstance(found, SourceMemory):
        return found
    settings, dialect = source.settings, DIALECTS[source.settings.dialect]
    by_equipment = settings.device in (None, _EQUIPMENT)
    made = source.lasting[_MEMORY] = SourceMemory(
        dialect=dialect,
        rule=field_rule(_PLACE if by_equipment else settings.device or _PLACE),
        by_equipment=source.name if by_equipment else "",
        reading=reading_of(dialect, source.site, settings.decimal_comma),
        rows=source.rows,
    )
    return made


def _session(settings: Hl7Settings) -> Session:
    """One that asks where the source says so; else senders speak first."""
    return MindrayPdsSession(settings.answers) if settings.query else MllpSession(settings.answers)


QUALITY = Quality(
    numerics=done(
        "MDC, LOINC and the site's codes; tables of Mindray PDS, Nihon Kohden and Philips MDIL; the site says units"
        " that a monitor lets people choose"
    ),
    waves=done("OBX of type NA with rate and resolution, also Mindray eGateway's; the ZMW segments of PDS are counted"),
    alarms=todo(
        "PCD-04 is done, start and end; Efficia tells no end, what 54 and 56 of Mindray PDS carry and Nihon Kohden's"
        " alarms are in no public document"
    ),
    settings=todo(
        "OBX-17 MSET, ASET, RSET, OBX-13 and limits of Philips, alarm levels of Mindray are; elsewhere limits (OBX-7)"
        " are kept with an alarm alone"
    ),
    clock=done("OBX-14, OBR-7, MSH-7; the zone is the message's or the source's"),
    no_reading=done("empty with X, words, the dialect's sentinels (-100, 8388607); what a wave announces"),
    disconnect=done("MLLP: the sender dials again, or is dialled; what was not acknowledged comes again"),
)
DRIVER = DeviceDriver(
    name="hl7_oru",
    title="HL7 v2 ORU^R01 and R40: plain, IHE PCD-01 and PCD-04, GE, Mindray, Nihon Kohden, Philips",
    manual="HL7 2.5.1 chapter 7; IHE PCD TF-2 3.1 and appendix B; IHE PCD ACM; what each of `hl7_dialects` names",
    redact=redact_hl7,
    settings=Hl7Settings,
    read=read,
    session=_session,
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=QUALITY,
)
