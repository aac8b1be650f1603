"""What a site says of its admission offices and beds: how what they sent is read as keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from clinical.beds import BedRegistry, bed_key
from clinical.census import SOURCE_PREFIX, census_source
from clinical.facts import AdtFact
from clinical.identity import AdtSource, PidTrust
from schemas.adt import Identifier
from schemas.report import device_id

ADT_CLAIM = "adt:"  # and the name of the source, as its driver claims


@dataclass(frozen=True)
class AttributionSite:
    """By the configuration. A source that is not in it is read as one that says nothing of itself."""

    read_identifiers: Callable[[str], tuple[Identifier, ...]]  # of a PID-3 as sent
    sources: Mapping[str, AdtSource] = field(default_factory=dict)
    pid_trust: Mapping[str, PidTrust] = field(default_factory=dict)  # by source
    beds: BedRegistry = field(default_factory=lambda: BedRegistry(()))
    bed_by_label: Mapping[str, str] = field(default_factory=dict)  # as devices are assigned to it -> its key
    digest: bytes = b""  # of all that
    # What was read so, by fact: of this store alone.
    read_facts: dict[bytes, AdtFact] = field(default_factory=dict, init=False, compare=False, repr=False)

    def source_of(self, device: UUID, claim: str | None) -> AdtSource:
        """Whose facts these are; the claim may come later than they do, the id is always there."""
        for name, source in self.sources.items():
            if device == device_id(f"{ADT_CLAIM}{name}"):
                return source
        return self.source_named((claim or str(device)).removeprefix(ADT_CLAIM))

    def source_named(self, name: str) -> AdtSource:
        """One that was named in a fact; its own defaults where nothing is configured of it."""
        if name in self.sources:
            return self.sources[name]
        if name.startswith(SOURCE_PREFIX):
            return census_source(self.source_named(name.removeprefix(SOURCE_PREFIX)))
        for source in self.sources.values():
            # Facts that came before it was configured and before it had said its claim; their ids hold this name.
            if name == str(device_id(f"{ADT_CLAIM}{source.name}")):
                return msgspec.structs.replace(source, name=name)
        return AdtSource(name=name)

    def source_of_claims(self, device_claim: str | None) -> tuple[AdtSource, PidTrust]:
        """Of the patient numbers beside a device's values: by the source's name, with which most claims begin.

        A device that claims an identity of its own (EUI-64) is read by the one source that there is; its patient
        numbers confirm alone.
        """
        name = (device_claim or "").partition("/")[0]
        if name in self.sources:
            return self.sources[name], self.pid_trust.get(name, PidTrust.CONFIRMS)
        only = next(iter(self.sources.values())) if len(self.sources) == 1 else AdtSource(name="")
        return only, PidTrust.CONFIRMS

    def bed_of(self, label: str) -> str:
        """The key of the bed that a device was assigned to; of a label that is not registered, one of no ADT bed."""
        return self.bed_by_label.get(label) or bed_key(bed=f"label:{label}")

    @property
    def bed_names(self) -> dict[str, str]:
        """What people call each bed, by its key."""
        return {key: label for label, key in self.bed_by_label.items()}

    def labels_of(self, beds: set[str]) -> list[str]:
        """The labels under which devices stand at these beds."""
        return [label for label, key in self.bed_by_label.items() if key in beds]
