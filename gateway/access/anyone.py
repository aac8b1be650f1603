"""Until each page asks `decision.may`: everyone on this machine may see and do all of it."""

from __future__ import annotations

from gateway.access.beds import Bed
from gateway.access.viewer import Viewer
from gateway.access.words import Role

ANYONE = Viewer("anyone", "anyone on this machine", Role.PHYSICIAN)


def may_see(viewer: Viewer, bed: Bed) -> bool:
    """Whether this viewer may see this bed: everyone may see all, as long as the page is served on loopback alone."""
    return True


def may_see_worklist(viewer: Viewer) -> bool:
    """Whether this viewer may see what is asked about any patient: as long as the page is served on loopback alone."""
    return True


def may_resolve(viewer: Viewer) -> bool:
    """Whether this viewer may say that a question is dealt with: likewise."""
    return True


def may_see_deliveries(viewer: Viewer) -> bool:
    """Whether this viewer may see what went to other systems, patients in part: likewise."""
    return True


def may_decide_deliveries(viewer: Viewer) -> bool:
    """Whether this viewer may pause a destination, and retry or skip what is parked: likewise."""
    return True


def may_see_patient(viewer: Viewer, patient: str) -> bool:
    """Whether this viewer may see this patient by name, with all that was measured: likewise."""
    return True


def may_see_chart(viewer: Viewer, encounter: str) -> bool:
    """Whether this viewer may read this encounter's chart and print it: likewise."""
    return True


def may_chart(viewer: Viewer, encounter: str) -> bool:
    """Whether this viewer may write into this encounter's chart: likewise."""
    return True


def may_read_fhir(viewer: Viewer, patient: str) -> bool:
    """Whether this viewer may read over the API what is charted of this patient, by key ("": nobody knows whose it is),
    and where and when the patient was here: likewise."""
    return True
