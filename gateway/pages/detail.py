"""The detail: what a device sent, digit by digit, and the batch it came in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from clinical.key_words import visit_words
from emr_store import evidence_words, patients
from emr_store.instants import moment
from emr_store.latest import LatestValue, latest
from emr_store.origin import origin as origin_of
from gateway.access.targets import device_target, stay_targets
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.pages import alarms
from gateway.pages.moments import milliseconds
from gateway.pages.person import fact_shown, whole_person
from gateway.permission import note_stay, require
from schemas.block import ValidationResult
from schemas.identity import BatchId
from schemas.nomenclature import canonical_unit

DECIMALS_MAX = 6  # on a screen
_BATCH_ID = re.compile("[0-9a-f]{64}")
_VALIDATION_RESULTS = {int(v): v.name.lower() for v in ValidationResult}
Answer = dict[str, Any] | None  # None: not found


def values(conn: Any, asking: Asking, device: UUID) -> Answer:
    """The newest value of each channel of a device, as it was sent; raises StoreError, AccessRefusedError."""
    _look(conn, asking, DataClass.VITALS, device)
    return {"values": [_value(v) for v in latest(conn, device)]}


def device_alarms(conn: Any, asking: Asking, device: UUID) -> Answer:
    """What the device itself says of alarms; raises StoreError, AccessRefusedError."""
    _look(conn, asking, DataClass.ALARMS, device)
    return alarms.of_device(conn, device)


def whose(conn: Any, asking: Asking, device: UUID, bed_names: Mapping[str, str]) -> Answer:
    """Whose the values of a device are now, the whole name with it, and the facts behind it.

    `bed_names`: what the site calls its beds, by their keys. Raises StoreError, AccessRefusedError.
    """
    found = patients.whose_at(conn, device, datetime.now(UTC))
    if found is None:  # nothing is known of it: an answer as well
        require(asking, Action.SEE, device_target(conn, DataClass.VITALS, device, asking.at_us))
        return {"state": None, "patient": None, "facts": []}
    _look(conn, asking, DataClass.IDENTITY, device)
    proposed = [found.whose.proposed] if found.whose.proposed else []
    for target in stay_targets(conn, DataClass.IDENTITY, proposed, asking.at_us).values():
        note_stay(conn, asking, Action.SEE, require(asking, Action.SEE, target), "device", target)
    whose, since = found.whose, moment(found.whose.from_us)
    behind = evidence_words.facts_behind(conn, whose.facts, bed_names)
    return {
        "state": whose.state, "basis": whose.basis,
        "visit": _visit(whose.encounter), "proposed": _visit(whose.proposed),
        "since": milliseconds(since), "believed_from": milliseconds(found.believed_from),
        "patient": whole_person(conn, whose.patient) if whose.patient else None,
        "facts": [fact_shown(fact) for fact in behind],
    }  # fmt: skip


def _visit(encounter: str | None) -> dict[str, str] | None:
    if encounter is None:
        return None
    words = visit_words(encounter)
    return {"key": encounter, "en": words.en, "zh": words.zh}


def batch(conn: Any, asking: Asking, batch_id: str) -> Answer:
    """Where the batch of this id, in hexadecimal, came from: it says nothing of a bed.

    Raises StoreError, AccessRefusedError.
    """
    require(asking, Action.SEE, Target(DataClass.VITALS))
    return origin_of(conn, BatchId(bytes.fromhex(batch_id))) if _BATCH_ID.fullmatch(batch_id) else None


def _look(conn: Any, asking: Asking, data_class: DataClass, device: UUID) -> None:
    target = device_target(conn, data_class, device, asking.at_us)
    decision = require(asking, Action.SEE, target)
    if target.encounter:
        note_stay(conn, asking, Action.SEE, decision, "device", target)


def _value(v: LatestValue) -> dict[str, Any]:
    stored = canonical_unit(v.code, v.unit)
    return {
        "code": v.code, "channel": v.channel, "value": v.value, "decimals": min(max(0, -v.decimals), DECIMALS_MAX),
        "bound": v.bound, "text": v.text, "unit": stored and stored.ucum, "ambiguous": v.ambiguous,
        "validity": v.validity, "validation_result": _VALIDATION_RESULTS.get(v.validation_result, "unknown"),
        "flags": v.flags,
        "observed": milliseconds(v.observed_at), "received": milliseconds(v.received_at),
        "stored": milliseconds(v.stored_at), "batch_id": v.batch_id and v.batch_id.hex(), "leaf": v.leaf,
    }  # fmt: skip
