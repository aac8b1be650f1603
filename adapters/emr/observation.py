"""What leaves as one observation: an entry, or the pressures of one encounter, slot and site as a panel."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import msgspec

from clinical.chart import Status
from clinical.charted import ChartedVersion


class PanelMember(NamedTuple):
    """Which panel a metric belongs to, and its LOINC codes there: the general one first, where there is one."""

    panel: str
    loinc: tuple[str, ...]


class Panel(NamedTuple):
    """A panel's own codes. `required`: metrics that its profile demands; `mdc`: the reference id and its code."""

    en: str
    loinc: tuple[str, ...]
    mdc: tuple[str, int]
    required: tuple[str, ...] = ()


# 85354-9 with 8480-6 and 8462-4: FHIR R4, vital signs, profile "bp": each pressure of the body's circulation. Beside
# them the codes of an arterial line: 76212-0 (public mapping of MIMIC-III's ART), 76215-3, 76213-8, 76214-6
# (docs/nomenclature.md). Components with MDC 150017 to 150019, pulmonary artery 76284-9: HL7 Germany, MII module ICU
# and gematik ISiK.
PANELS: dict[str, PanelMember] = {
    "MDC_PRESS_BLD_NONINV_SYS": PanelMember("non-invasive", ("8480-6",)),
    "MDC_PRESS_BLD_NONINV_DIA": PanelMember("non-invasive", ("8462-4",)),
    "MDC_PRESS_BLD_NONINV_MEAN": PanelMember("non-invasive", ("8478-0",)),
    "MDC_PRESS_CUFF_SYS": PanelMember("cuff", ("8480-6",)),
    "MDC_PRESS_CUFF_DIA": PanelMember("cuff", ("8462-4",)),
    "MDC_PRESS_CUFF_MEAN": PanelMember("cuff", ("8478-0",)),
    "MDC_PRESS_BLD_SYS": PanelMember("unspecified", ("8480-6",)),
    "MDC_PRESS_BLD_DIA": PanelMember("unspecified", ("8462-4",)),
    "MDC_PRESS_BLD_MEAN": PanelMember("unspecified", ("8478-0",)),
    "MDC_PRESS_BLD_ART_SYS": PanelMember("arterial", ("8480-6", "76215-3")),
    "MDC_PRESS_BLD_ART_DIA": PanelMember("arterial", ("8462-4", "76213-8")),
    "MDC_PRESS_BLD_ART_MEAN": PanelMember("arterial", ("8478-0", "76214-6")),
    "MDC_PRESS_BLD_ART_ABP_SYS": PanelMember("arterial-abp", ("8480-6", "76215-3")),
    "MDC_PRESS_BLD_ART_ABP_DIA": PanelMember("arterial-abp", ("8462-4", "76213-8")),
    "MDC_PRESS_BLD_ART_ABP_MEAN": PanelMember("arterial-abp", ("8478-0", "76214-6")),
    "MDC_PRESS_BLD_ART_PULM_SYS": PanelMember("pulmonary", ("8440-0",)),
    "MDC_PRESS_BLD_ART_PULM_DIA": PanelMember("pulmonary", ("8385-7",)),
    "MDC_PRESS_BLD_ART_PULM_MEAN": PanelMember("pulmonary", ("8414-5",)),
}
PANEL_CODES: dict[str, Panel] = {
    "non-invasive": Panel(
        "Blood pressure, non-invasive", ("85354-9",), ("MDC_PRESS_BLD_NONINV", 150020),
        ("MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"),
    ),
    "cuff": Panel(
        "Blood pressure, cuff", ("85354-9",), ("MDC_PRESS_CUFF", 150300),
        ("MDC_PRESS_CUFF_SYS", "MDC_PRESS_CUFF_DIA"),
    ),
    "unspecified": Panel(
        "Blood pressure", ("85354-9",), ("MDC_PRESS_BLD", 150016), ("MDC_PRESS_BLD_SYS", "MDC_PRESS_BLD_DIA"),
    ),
    "arterial": Panel(
        "Arterial blood pressure", ("85354-9", "76212-0"), ("MDC_PRESS_BLD_ART", 150032),
        ("MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_DIA"),
    ),
    "arterial-abp": Panel(
        "Arterial blood pressure (ABP)", ("85354-9", "76212-0"), ("MDC_PRESS_BLD_ART_ABP", 150036),
        ("MDC_PRESS_BLD_ART_ABP_SYS", "MDC_PRESS_BLD_ART_ABP_DIA"),
    ),
    "pulmonary": Panel("Pulmonary artery pressure", ("76284-9",), ("MDC_PRESS_BLD_ART_PULM", 150044)),
}  # fmt: skip
_ORDER = {metric: index for index, metric in enumerate(PANELS)}


class ChartedObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of the chart.

    `id`: the entry's UUID, or the panel's own. `version` grows with each new version of any of its entries, those
    entered in error included. `members`: one, or of a panel one for each item that was charted, in the order of
    `PANELS`. `panel`: its key in `PANEL_CODES`, "" where it is an entry alone.
    """

    id: str
    version: int
    members: tuple[ChartedVersion, ...]
    panel: str = ""

    @property
    def status(self) -> Status:
        """Of a panel: in error where all members are; else as doubtful as its most doubtful member that stands."""
        said = {member.version.status for member in self.members}
        for status in (Status.PRELIMINARY, Status.AMENDED, Status.FINAL):
            if status in said:
                return status
        return Status.ENTERED_IN_ERROR

    @property
    def standing(self) -> tuple[ChartedVersion, ...]:
        """The members that were not entered in error; all, where all were."""
        return tuple(filter(_stands, self.members)) or self.members

    @property
    def newest(self) -> ChartedVersion:
        """The member that was said last."""
        return max(self.members, key=lambda member: (member.version.recorded_at_us, member.entry))


def panel_id(encounter: str, panel: str, slot_us: int) -> str:
    """The UUID of a panel, whatever is charted in it and whenever. Never to be changed: receivers keep it.

    RFC 9562, version 8, of SHA-256: PostgreSQL computes it too, so that a panel is found by it (`chart_panel_id`).
    """
    digest = bytearray(sha256("\0".join(("panel", encounter, panel, str(slot_us))).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))


def observations(versions: Iterable[ChartedVersion]) -> list[ChartedObservation]:
    """In the order in which the first entry of each comes.

    Needs of each panel every entry of its slot, those entered in error included, each in one version (the newest, or
    that of one moment): a panel's version is the sum of theirs. An entry that comes twice counts in its higher version.
    """
    entries: dict[str, ChartedVersion] = {}
    for charted in versions:
        known = entries.get(charted.entry)
        if known is None or known.version.number < charted.version.number:
            entries[charted.entry] = charted
    panels: dict[str, tuple[str, list[ChartedVersion]]] = {}
    made: dict[str, ChartedObservation | None] = {}  # None: a panel, made when all its entries are known
    for charted in entries.values():
        member = PANELS.get(charted.item)
        if member is None:
            made[charted.entry] = ChartedObservation(
                id=charted.entry, version=charted.version.number, members=(charted,)
            )
            continue
        key = panel_id(charted.stay.key, member.panel, charted.slot_us)
        panels.setdefault(key, (member.panel, []))[1].append(charted)
        made.setdefault(key, None)
    return [_panel(key, *panels[key]) if found is None else found for key, found in made.items()]


def _panel(key: str, panel: str, entries: list[ChartedVersion]) -> ChartedObservation:
    """Of each item the entry that stands; where none stands, the one that was entered last."""
    standing: dict[str, ChartedVersion] = {}
    for charted in sorted(entries, key=lambda charted: (_stands(charted), charted.ordinal, charted.entry)):
        standing[charted.item] = charted
    return ChartedObservation(
        id=key,
        version=sum(charted.version.number for charted in entries),
        members=tuple(sorted(standing.values(), key=lambda charted: _ORDER[charted.item])),
        panel=panel,
    )


def _stands(charted: ChartedVersion) -> bool:
    return charted.version.status is not Status.ENTERED_IN_ERROR
