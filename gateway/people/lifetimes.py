"""How long a session lasts, by the role of whom it stands for: without a touch, and at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.access.words import Role

IDLE_MIN = 30
ABSOLUTE_H = 12  # a shift
# Who sees all of a house, and sits at no bedside.
IDLE_MIN_BY_ROLE = {Role.ADMINISTRATOR: 15, Role.AUDITOR: 15, Role.SECOND_AUDITOR: 15, Role.RECORD_OFFICE: 15}
ABSOLUTE_H_BY_ROLE = {Role.ADMINISTRATOR: 8, Role.AUDITOR: 8, Role.SECOND_AUDITOR: 8, Role.RECORD_OFFICE: 8}
EMERGENCY_IDLE_MIN, EMERGENCY_ABSOLUTE_H = 15, 4


@dataclass(frozen=True)
class Lifetimes:
    """What a site's file says of roles; of the others it is the default."""

    idle_min: Mapping[Role, int] = field(default_factory=lambda: IDLE_MIN_BY_ROLE)
    absolute_h: Mapping[Role, int] = field(default_factory=lambda: ABSOLUTE_H_BY_ROLE)

    def idle_s(self, role: Role) -> int:
        """After so long without a touch it ends."""
        return self.idle_min.get(role, IDLE_MIN) * 60

    def ends_at(self, role: Role, began_at: datetime) -> datetime:
        """At the latest."""
        return began_at + timedelta(hours=self.absolute_h.get(role, ABSOLUTE_H))
