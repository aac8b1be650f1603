r"""HL7 v2 ADT, 2.1 to 2.8: who is where, as an admission office says it.

Each patient group of a message is a report of kind `context` on the lane ADT, all of a source by one claim, with the
group as a text (schemas/adt.py) and, where the message names the person, the person as a second one. What an event
means is decided at the hospital: any event is kept. Fields: docs/hl7-adt.md.

    MSH|^~\&|HIS|HOSP|||20261129102000+0800||ADT^A02^ADT_A02|0815|P|2.5    the message, its number, its charset
    EVN||20261129102000|||||20261129100200                                 entered at 10:20, happened at 10:02
    PID|||0000123^^^HOSP^PI||Zhang^San||19560214|M||||||||||Z77^^^HOSP     the patient, and the account
    PV1||I|ICU^^07^HOSP|||NEURO^3^12^HOSP|||||||||||||V9^^^HOSP^VN         the bed, the bed before, the visit
    ZBE|M1^HIS|20261129100200||INSERT|N||ICU                               a movement, where IHE PAM is spoken
    MRG|0000077^^^HOSP^PI                                                  who is retired in favour of the patient
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.hl7_adt import FieldReader, Group, Groups, groups_of
from adapters.formats.hl7_charset import codec_of
from adapters.formats.hl7_clock import stated_time
from adapters.formats.hl7_head import MessageType, message_type
from adapters.formats.hl7_redaction import redact_hl7
from adapters.formats.hl7v2 import Hl7Message
from adapters.formats.values import printable, text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.mllp import MllpSession
from schemas.adt import GROUP_CODE, PERSON_CODE, AdtGroup, encode_group, encode_person
from schemas.errors import FrameError
from schemas.report import Kind, Lane, Mark, Report

TYPES = ("ADT",)
CLAIM_PREFIX = "adt:"  # and the source's name: it is no device that could stand at a bed
COUNTED_NAMES_MAX = 100
_EVENT = re.compile(r"[A-Z0-9]{1,10}", re.ASCII)


class AdtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one admission office writes ADT."""

    charset: Annotated[
        str | None, Meta(description="as in MSH-18, which it overrides: GB 18030, 8859/1, ...", examples=["GB 18030"])
    ] = None
    answers: Annotated[
        Literal["accept", "application", "both"],
        Meta(description="which acknowledgement is sent where MSH-15 and MSH-16 ask for both"),
    ] = "accept"
    processing_ids_live: Annotated[
        tuple[str, ...], Meta(description="MSH-11 of messages that are no training and no test")
    ] = ("P",)
    authority: Annotated[
        str | None,
        Meta(description="whose the identifiers are that name no authority in CX-4", examples=["HOSPITAL"]),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what no message could be read by."""
        if self.charset is not None:
            try:
                codec_of(self.charset)
            except FrameError as error:
                raise ValueError(f"charset = {self.charset!r}: {error.detail}") from None
        if not self.processing_ids_live:
            raise ValueError('processing_ids_live = [] takes every message for a test: name one, as in ["P"]')
        if self.authority is not None and not self.authority.strip():
            raise ValueError("authority = '' names nobody: leave it out, or write it as in CX-4")


def read(frame: bytes, source: Source[AdtSettings]) -> Sequence[Report]:
    """One message: a report for each of its patient groups."""
    settings = source.settings
    message = Hl7Message(frame, settings.charset)
    msh = [*message.msh, *[""] * 13]
    of = message_type(msh[9], msh[11], msh[12], message.syntax, TYPES, settings.processing_ids_live)
    of = of._replace(event=_event(of.event, message))
    groups = groups_of(message, of.event)
    plain = FieldReader(message.syntax, source.time_zone, source.received_at_us)
    fields = FieldReader(
        message.syntax,
        source.time_zone,
        source.received_at_us,
        authority=(settings.authority or "").strip(),
        msh_7=stated_time(msh[7], message.syntax),
        evn_2=plain.time(groups.evn, 2),
    )
    whole = _of_message(frame, msh, of, groups, fields)
    reports = [
        _report(_of_group(replace(whole, group=number), group, fields), group, groups, of, fields, source.name)
        for number, group in enumerate(groups.found)
    ]
    fitting(reports, frame, source, outgrows_frame=True)  # JSON may be many times as long as the message
    for name, count in groups.unread.items():
        counts = source.counts
        counts[name if name in counts or len(counts) < COUNTED_NAMES_MAX else "segment:?"] += count
    return reports


def _event(stated: str, message: Hl7Message) -> str:
    """MSH-9.2, else EVN-1, which it beats; MSH-9.3 says nothing, for it is often wrong. Raises FrameError."""
    event = stated or message.field("EVN", 1, 1).strip().upper()
    if not _EVENT.fullmatch(event):
        raise FrameError("no-event", "neither MSH-9.2 nor EVN-1 names an event such as A01")
    return event


def _of_message(frame: bytes, msh: list[str], of: MessageType, groups: Groups, fields: FieldReader) -> AdtGroup:
    """What all groups of a message have in common."""
    evn, syntax = groups.evn, fields.syntax
    sender = [fields.text(msh[3]), fields.text(msh[4])]
    return AdtGroup(
        event=of.event,
        control=fields.text(msh[10]),
        digest=sha256(frame).digest(),
        group=0,
        groups=len(groups.found),
        sender="|".join(sender) if any(sender) else "",
        facility=fields.text(msh[4].partition(syntax.repetition)[0].partition(syntax.component)[0]),
        processing_id=printable(of.processing_id),
        sent_at_us=fields.sent_at_us,
        recorded_at_us=fields.instant_us(evn, 2),
        happened_at_us=fields.instant_us(evn, 6),
        planned_at_us=fields.instant_us(evn, 3),
    )


def _of_group(of_message: AdtGroup, group: Group, fields: FieldReader) -> AdtGroup:
    return replace(
        of_message,
        patients=fields.patients(group.pid),
        account=fields.identifier(group.pid, 18),
        visit=fields.visit(group.pv1),
        movements=tuple(map(fields.movement, group.zbe)),
        merges=tuple(map(fields.merge, group.mrg)),
        linked=tuple(dict.fromkeys(each for pid in group.linked for each in fields.patients(pid))),
    )


def _report(
    group_sent: AdtGroup, group: Group, groups: Groups, of: MessageType, fields: FieldReader, source: str
) -> Report:
    marks = 0 if of.is_live else int(Mark.TRAINING)
    records = [text_record("vitalwire", GROUP_CODE, encode_group(group_sent), marks=marks)]
    person = fields.person(group.pid)
    if person is not None:
        records.append(text_record("vitalwire", PERSON_CODE, encode_person(person), marks=marks))
    # The same bytes are the same fact, whether their time can be read or not.
    moment = fields.happened(group, groups.evn)._replace(own_time=True)
    return moment.report(Kind.CONTEXT, f"{CLAIM_PREFIX}{source}", moment.noted(records), Lane.ADT)


_NO_DEVICE = "it says who is where; nothing is measured"
QUALITY = Quality(
    numerics=exempt(_NO_DEVICE),
    waves=exempt(_NO_DEVICE),
    alarms=exempt(_NO_DEVICE),
    settings=exempt(_NO_DEVICE),
    clock=done("when it was entered and when it happened; the zone is the message's or the source's"),
    no_reading=done('an empty field says nothing, "" deletes'),
    disconnect=done("MLLP: the sender dials again; what was not acknowledged comes again"),
)
DRIVER = DeviceDriver(
    name="hl7_adt",
    title="HL7 v2 ADT: who is where, as an admission office says it",
    manual="HL7 2.5.1 chapter 3; IHE ITI TF-2 3.31 (ZBE)",
    redact=redact_hl7,
    settings=AdtSettings,
    read=read,
    session=lambda settings: MllpSession(settings.answers),
    has_local_times=lambda _: True,
    speaks_regularly=False,
    quality=QUALITY,
    rejected_lane=Lane.ADT,  # whatever they are, names may be in them
)
