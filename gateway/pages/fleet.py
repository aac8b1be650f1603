"""The fleet: every box with what the hospital knows of it. Green means that data flows, never that a process lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from clinical.wards import ward_of_bed
from emr_store.bed_names import bed_names
from emr_store.fleet import Box, fleet, sentence_of, state_of
from emr_store.instants import moment
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.answers import Answers
from gateway.asking import Asking, asking_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds_or_none
from gateway.permission import require

PAGE = Page("fleet", "/fleet")


def fleet_routes(answers: Answers) -> list[Route]:
    """What the page asks for."""
    return [Route("/fleet-list", answers.json(_boxes_asked))]


def _boxes_asked(conn: Any, request: Request) -> dict[str, Any]:
    return boxes(conn, asking_of(request))


def boxes(conn: Any, asking: Asking) -> dict[str, Any]:
    """Every box, by label. Raises StoreError, AccessRefusedError."""
    require(asking, Action.SEE, Target(DataClass.FLEET))
    wards = defaultdict[str, set[str]](set)
    for key, label in bed_names(conn).items():
        wards[label].add(ward_of_bed(key))
    now = moment(asking.at_us)
    return {
        "now": asking.at_us // 1000,
        "version": version("vitalwire"),
        "boxes": [_box(box, wards, now) for box in fleet(conn)],
    }


def _box(box: Box, wards: Mapping[str, set[str]], now: datetime) -> dict[str, Any]:
    """What a box does not say is null: the page says that it is not known."""
    status, sentence = box.status, sentence_of(box, now)
    of_devices = [wards.get(device.bed or "", set()) for device in box.devices]
    certificate_s = status.certificate_ends_at_s
    return {
        "edge": str(box.edge), "label": box.label, "state": state_of(box, now),
        "en": sentence.en if sentence else "", "zh": sentence.zh if sentence else "",
        "wards": sorted(set[str]().union(*of_devices)), "version": status.version or None,
        "key_ends": milliseconds_or_none(box.key_ends_at),
        "certificate_ends": None if certificate_s is None else certificate_s * 1000,
        "clock_ms": box.clock_offset_ms, "disk_free": status.disk_free_bytes, "spool": status.spool_bytes,
        "quota": status.spool_quota_bytes, "room_s": status.room_s, "waiting": status.waiting_reports,
        "unreceipted": status.unreceipted_batches, "refused": status.refused_batches,
        "oldest_s": status.oldest_waiting_s, "heard": milliseconds_or_none(box.heard_at),
        "said": milliseconds_or_none(box.status_at), "newest": milliseconds_or_none(box.newest_value_at),
        "devices": [
            {
                "name": device.name, "bed": device.bed, "heard": milliseconds_or_none(device.heard_at),
            } for device in box.devices
        ],
    }  # fmt: skip
