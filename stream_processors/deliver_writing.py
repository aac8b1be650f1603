"""The bytes of messages out of what the chart says, many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import structlog

from adapters.emr.control_id import control_id
from adapters.emr.fhir_transaction import transaction
from adapters.emr.observation import PANELS, ChartedObservation, observations, panel_id
from adapters.emr.oru import OruStyle, oru_r01
from clinical.chart import Status
from clinical.charted import ChartedVersion
from emr_store import deliver
from emr_store.charted import charted_slots, charted_versions
from emr_store.connect import StoreError
from emr_store.deliver import Delivered, Made, Message, Parked, Skipped
from emr_store.instants import us_of
from schemas.errors import VitalwireError

ERASED = "the patient has been erased: nothing of it leaves the house"
NOBODY = "nobody knows whose the encounter is: merge its patients, or correct the encounter"
SAID = "an earlier message said it already"
NEVER_SENT = "withdrawn before it was ever sent"
_log = structlog.get_logger("deliver")
Written = Made | Parked | Skipped
Result = TypeVar("Result")


class Writer(Protocol):
    """Writes messages in one protocol."""

    def write(self, conn: Any, destination: int, messages: Sequence[Message], now_us: int) -> list[Written]:
        """Of each message its bytes, or why it is parked or skipped."""


class Hl7Writer:
    """ORU^R01: each message says the very versions that were taken into it."""

    def __init__(self, name: str, style: OruStyle) -> None:
        """`name`: of the destination."""
        self._name, self._style = name, style

    def write(self, conn: Any, destination: int, messages: Sequence[Message], now_us: int) -> list[Written]:
        """Of each message its bytes, or why it is parked or skipped."""
        charted = charted_of(conn, messages)
        had = deliver.delivered(conn, destination, [UUID(v.entry) for of in charted.values() for v in of])
        found: list[Written] = []
        for message in messages:
            versions = [
                each for each in charted[message.delivery]
                if each.version.status is not Status.ENTERED_IN_ERROR or UUID(each.entry) in had
            ]  # fmt: skip
            found.append(written(message, versions, partial(self._made, message, now_us)))
        return found

    def _made(self, message: Message, now_us: int, versions: Sequence[ChartedVersion]) -> Made:
        ids, numbers = [UUID(each.entry) for each in versions], [each.version.number for each in versions]
        known_as = control_id(self._name, [(each.entry, each.version.number) for each in versions])
        body = oru_r01(versions, known_as, self._style, now_us)
        return Made(message.delivery, known_as, body, ids, numbers, ids, numbers)


class FhirWriter:
    """Transactions: each says what its slot says now, as far as the destination does not have it yet.

    A panel of several entries is one resource, and a server holds the newest version alone: where several versions
    waited, the first message says the newest, and those behind it have nothing to say.
    """

    def __init__(self, name: str, *, preliminary: bool, identifier_systems: Mapping[str, str]) -> None:
        """`name`: of the destination; `identifier_systems`: as `transaction` takes them."""
        self._name, self._preliminary, self._systems = name, preliminary, identifier_systems

    def write(self, conn: Any, destination: int, messages: Sequence[Message], now_us: int) -> list[Written]:
        """Of each message its bytes, or why it is parked or skipped."""
        by_slot: dict[tuple[str, int], list[ChartedVersion]] = defaultdict(list)
        for each in charted_slots(conn, [(m.encounter, us_of(m.slot)) for m in messages]):
            is_preliminary = each.version.status is Status.PRELIMINARY
            if not is_preliminary or (self._preliminary and not each.pending):
                by_slot[each.stay.key, each.slot_us].append(each)
        ids = [UUID(_observation_id(each)) for of_slot in by_slot.values() for each in of_slot]
        had = deliver.delivered(conn, destination, ids)
        return [
            written(message, by_slot[message.encounter, us_of(message.slot)], partial(self._made, message, had))
            for message in messages
        ]

    def _made(self, message: Message, had: Mapping[UUID, Delivered], versions: Sequence[ChartedVersion]) -> Written:
        asked = {str(entry) for entry in message.entries}
        ids = {_observation_id(each) for each in versions if each.entry in asked}
        found = [each for each in observations(versions) if each.id in ids]
        new = [each for each in found if self._is_new(each, had.get(UUID(each.id)))]
        if not new:
            return Skipped(message.delivery, SAID if any(UUID(each.id) in had for each in found) else NEVER_SENT)
        known = {str(each.id): each.receiver_version for each in had.values() if each.receiver_version}
        body = transaction(new, known, self._systems)
        new_ids = {each.id for each in new}
        entries = {each.entry: each.version.number for each in versions if _observation_id(each) in new_ids}
        said = {**entries, **{each.id: each.version for each in new}}
        return Made(
            delivery=message.delivery, control_id=control_id(self._name, said.items()), body=body,
            entries=[UUID(each) for each in entries], versions=list(entries.values()),
            said=[UUID(each) for each in said], said_versions=list(said.values()),
        )  # fmt: skip

    def _is_new(self, observation: ChartedObservation, had: Delivered | None) -> bool:
        if had is None:
            return observation.status is not Status.ENTERED_IN_ERROR
        return had.version < observation.version


def _observation_id(charted: ChartedVersion) -> str:
    """Under which a FHIR server has it: its own, or that of its panel."""
    member = PANELS.get(charted.item)
    if member is None:
        return charted.entry
    return panel_id(charted.stay.key, member.panel, charted.slot_us)


def write_all(writer: Writer, conn: Any, destination: int, messages: Sequence[Message], now_us: int) -> list[Written]:
    """As `writer` does; what cannot be read is parked and holds up nobody.

    Raises StoreError: that is nobody's fault among them.
    """

    def park(message: Message, error: Exception) -> Written:
        _log.error("a message cannot be written", delivery=message.delivery, error=type(error).__name__)
        return Parked(message.delivery, 0, "", f"it cannot be written: {type(error).__name__}", b"")

    return _without_damaged(messages, lambda chunk: writer.write(conn, destination, chunk, now_us), park)


def refusals(conn: Any, messages: Sequence[Message]) -> dict[int, str]:
    """Why nothing of each of these messages may leave the house now, by its number; "" where it may.

    Raises StoreError.
    """

    def asked(chunk: Sequence[Message]) -> list[tuple[int, str]]:
        charted = charted_of(conn, chunk)
        return [(message.delivery, why_nobody(charted[message.delivery])) for message in chunk]

    def unreadable(message: Message, error: Exception) -> tuple[int, str]:
        return message.delivery, f"it cannot be read: {type(error).__name__}"

    return dict(_without_damaged(messages, asked, unreadable))


def _without_damaged(
    messages: Sequence[Message],
    do: Callable[[Sequence[Message]], list[Result]],
    damaged: Callable[[Message, Exception], Result],
) -> list[Result]:
    """What `do` makes of all; where that fails, one by one, with what `damaged` makes of those that fail alone."""
    try:
        return do(messages)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  one that is damaged must not hold up all others
        if len(messages) == 1:
            return [damaged(messages[0], error)]
    return [result for message in messages for result in _without_damaged([message], do, damaged)]


def charted_of(conn: Any, messages: Sequence[Message]) -> dict[int, list[ChartedVersion]]:
    """What the versions of each message say, by the message's number."""
    asked = [pair for message in messages for pair in zip(message.entries, message.versions, strict=True)]
    versions = iter(charted_versions(conn, asked))
    return {message.delivery: [next(versions) for _ in message.entries] for message in messages}


def written(
    message: Message, versions: Sequence[ChartedVersion], make: Callable[[Sequence[ChartedVersion]], Written]
) -> Written:
    """What `make` makes of a message, unless nothing may be sent. What it cannot write is parked."""
    if not versions:
        return Skipped(message.delivery, NEVER_SENT)
    if refused := why_nobody(versions):
        return Parked(message.delivery, 0, "", refused, b"")
    try:
        return make(versions)
    except VitalwireError as error:
        return Parked(message.delivery, 0, "", f"it cannot be written: {error}", b"")
    except Exception as error:  # noqa: BLE001  one message that we write wrongly must not hold up all others
        _log.error("a message cannot be written", delivery=message.delivery, error=type(error).__name__)
        return Parked(message.delivery, 0, "", f"it cannot be written: {type(error).__name__}", b"")


def why_nobody(versions: Sequence[ChartedVersion]) -> str:
    """Why nothing of them may leave the house; "" where it may."""
    person = versions[0].person
    if person is None:
        return NOBODY
    return ERASED if person.erased else ""
