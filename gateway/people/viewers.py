"""A member of staff as the viewer that decisions are made about."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any
from uuid import UUID

from emr_store import station_displays, viewers
from emr_store.instants import us_of
from emr_store.viewers import GrantRow, StaffFacts
from gateway.access.viewer import Grant, Licence, Viewer
from gateway.access.words import Relation, Role


def viewer_of_staff(
    conn: Any, staff: str, at: datetime, *, locked: bool = False, session: str = ""
) -> Viewer | None:  # fmt: skip
    """None: nobody of this number works here at that moment. Raises StoreError."""
    facts = viewers.staff_facts(conn, staff, at)
    if facts is None or not facts.works:
        return None
    return Viewer(
        id=facts.staff, name=facts.name, role=Role(facts.role), licence=_licence(facts, at),
        wards=frozenset(facts.wards), grants=_grants(viewers.grants_of(conn, staff, at)),
        trainees=frozenset(facts.trainees), locked=locked, session=session,
    )  # fmt: skip


def viewer_of_display(conn: Any, principal: str, *, session: str = "") -> Viewer | None:
    """The screen of one ward; None: it is revoked, or was never enrolled. Raises StoreError."""
    row = station_displays.find(conn, UUID(principal.removeprefix(station_displays.PRINCIPAL)))
    if row is None or row.revoked_at is not None or row.enrolled_at is None:
        return None
    return Viewer(
        id=principal, name=row.label, role=Role.STATION_DISPLAY, wards=frozenset({row.ward}), session=session
    )  # fmt: skip


def _licence(facts: StaffFacts, at: datetime) -> Licence:
    """A recognised licence is none after its last day."""
    licence = Licence(facts.licence)
    if licence is Licence.RECOGNISED and (facts.licence_until is None or facts.licence_until < at.date()):
        return Licence.NONE
    return licence


def _grants(rows: list[GrantRow]) -> dict[str, tuple[Grant, ...]]:
    found = defaultdict[str, list[Grant]](list)
    for row in rows:
        found[row.encounter].append(Grant(Relation(row.relation), us_of(row.since), us_of(row.until)))
    return {encounter: tuple(grants) for encounter, grants in found.items()}
