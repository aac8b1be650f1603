"""What is known of one device: where it stood, what was scanned, whom its sender named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from clinical.association import Association
from clinical.identity import PidTrust


class DeviceBed(msgspec.Struct, frozen=True, kw_only=True):
    """Where the device stood."""

    bed: str
    from_us: int
    until_us: int | None
    act: bytes
    recorded_at_us: int = 0  # when it was first said that it came there


class PidClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The patient numbers that the sender put beside the device's values."""

    patients: tuple[str, ...]  # keys; () is silence
    from_us: int
    until_us: int | None
    fact: bytes


class PidMute(msgspec.Struct, frozen=True, kw_only=True):
    """A person's act: ADT is right until the monitor's number changes."""

    from_us: int
    act: bytes


@dataclass(frozen=True)
class Device:
    """All that is known of one device. `beds` do not overlap."""

    id: str
    beds: Sequence[DeviceBed] = ()
    associations: Sequence[Association] = ()
    claims: Sequence[PidClaim] = ()
    mutes: Sequence[PidMute] = ()
    scan_ends_us: Sequence[int] = ()  # when a scan said that it was taken off its patient
    pid: PidTrust = PidTrust.CONFIRMS

    def changes_us(self) -> set[int]:
        """When it came to a bed or left one."""
        changes = {change for placed in self.beds for change in (placed.from_us, placed.until_us)}
        return {change for change in changes if change is not None}

    def claims_that_count(self) -> list[PidClaim]:
        """Without those that a person muted."""
        claims = sorted(self.claims, key=lambda claim: claim.from_us)
        for mute in self.mutes:
            claims = _without_muted(claims, mute)
        return claims


def _without_muted(claims: list[PidClaim], mute: PidMute) -> list[PidClaim]:
    """The number that the monitor showed at that moment is silent from then on, until it shows another."""
    shown = [claim.patients for claim in claims if claim.from_us <= mute.from_us and claim.patients]
    if not shown:
        return claims
    kept = []
    muted = True
    for claim in claims:
        if claim.from_us > mute.from_us and claim.patients not in ((), shown[-1]):
            muted = False
        ended_before = claim.until_us is not None and claim.until_us <= mute.from_us
        if ended_before or not muted:
            kept.append(claim)
        elif claim.from_us < mute.from_us:
            kept.append(msgspec.structs.replace(claim, until_us=mute.from_us))
    return kept
