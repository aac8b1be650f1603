"""Whether what a request asks for may be done, and that it is noted: what each endpoint of the pages begins with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from emr_store import patients
from gateway.access.decision import Decision
from gateway.access.viewer import Target
from gateway.access.words import Action, Answer, DataClass, Relation
from gateway.answer_headers import HEADERS
from gateway.asking import REFUSED_BODY, Asking
from gateway.looks import Seen


class AccessRefusedError(Exception):
    """It may not be done. `encounter`: the stay that a reason would open; "": none would."""

    def __init__(self, encounter: str = "") -> None:
        super().__init__(encounter)
        self.encounter = encounter

    @property
    def response(self) -> Response:
        """403, which says nothing of what was asked for but the key that came with the question."""
        body = msgspec.json.encode({"ask": "reason", "encounter": self.encounter}) if self.encounter else REFUSED_BODY
        return Response(body, 403, media_type="application/json", headers=HEADERS)


def require(asking: Asking, action: Action, target: Target) -> Decision:
    """That it is allowed; raises AccessRefusedError."""
    decision = asking.may(action, target)
    if decision.is_allowed:
        return decision
    raise AccessRefusedError(target.encounter if decision.answer is Answer.ASK_REASON else "")


def require_one_of(
    asking: Asking, action: Action, data_class: DataClass, targets: Iterable[Target]
) -> tuple[list[Target], Decision]:
    """Those that are allowed, and by what the first one is; raises AccessRefusedError where none is."""
    # A stay that still is on a ward comes first: a reason is asked for that one.
    known = sorted(targets, key=lambda target: (not target.wards, target.encounter)) or [Target(data_class)]
    decisions = [(target, asking.may(action, target)) for target in known]
    allowed = [(target, decision) for target, decision in decisions if decision.is_allowed]
    if allowed:
        return [target for target, _ in allowed], allowed[0][1]
    asked = [target for target, decision in decisions if decision.answer is Answer.ASK_REASON]
    raise AccessRefusedError(asked[0].encounter if asked else "")


def glass_until_ms(asking: Asking, stays: Iterable[str]) -> int | None:
    """Until when this viewer has these stays open by a glass that he broke; None: by none."""
    ends_us = [
        grant.until_us
        for stay in stays
        for grant in asking.viewer.grants.get(stay, ())
        if grant.relation is Relation.BREAK_GLASS and grant.from_us <= asking.at_us < grant.until_us
    ]
    return max(ends_us) // 1000 if ends_us else None


def note_stay(conn: Any, asking: Asking, action: Action, decision: Decision, page: str, target: Target) -> None:
    """That somebody looks at a stay; returns when it is durable. Raises StoreError."""
    patient = target.patient or patients.patient_of(conn, target.encounter)
    seen = Seen(page, [target.encounter], [patient] if patient else [], restricted=target.restricted)
    asking.note(action, decision, seen)
