"""Devices: where each stands, when it was heard last and through which edge; put on a bed, moved, released, named.

No patient is on this page. Whose the values of a bed are follows from who lies in it (docs/patients.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from clinical.wards import ward_of_bed
from emr_store import acts, latest, places, registry
from emr_store.acts import Author
from emr_store.bed_names import bed_names
from emr_store.instants import moment
from emr_store.places import Stay
from emr_store.registry import DeviceRow
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.answers import Answers
from gateway.asking import Asking, asking_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.permission import AccessRefusedError, require
from gateway.posting import OF_A_REASON, RefusedError, by_clerk, posting
from schemas.errors import VitalwireError

PAGE = Page("devices", "/devices")
LABEL_CHARS_MAX = 100  # of a bed, of a name
WHY_CHARS_MAX = 500
Answer = dict[str, Any] | None  # None: not found
Wards = Mapping[str, frozenset[str]]  # by the label of a bed


class Refusal(StrEnum):
    """Why nothing was done; the page has the words."""

    UNREADABLE = "unreadable"
    NO_BED = "no_bed"  # that it is to go to
    NO_NAME = "no_name"
    TOO_LONG = "too_long"
    REASON_TOO_LONG = "reason_too_long"
    AHEAD = "ahead"  # its moment has not come
    ON_A_BED = "on_a_bed"  # at that moment, so that it is moved and not assigned
    ON_NO_BED = "on_no_bed"
    SAME_BED = "same_bed"
    WHICH_EDGE = "which_edge"  # several speak of it, and it is new
    CHANGED = "changed"  # it is not any more what the page showed


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends. `since_us` None: from now on. `shown_bed`: where the page had it now, "" for nowhere.

    `edge`: the one that a new device is connected to, where several speak of it.
    """

    act: Literal["assign", "move", "release", "rename"]
    device: UUID
    shown_bed: str
    bed: str = ""
    name: str = ""
    since_us: int | None = None
    edge: UUID | None = None
    why: str = ""

    def stripped(self) -> Wish:
        """Without the blanks that a keyboard or a scanner adds."""
        return msgspec.structs.replace(
            self, bed=self.bed.strip(), name=self.name.strip(), why=" ".join(self.why.split())
        )  # fmt: skip


@dataclass(frozen=True)
class _Beds:
    """The site's beds, and the ward of each; a label that the site does not have is on no ward that is known."""

    wards: Wards

    def target(self, label: str | None) -> Target:
        """What is asked about a device that stands there; None: nowhere."""
        return Target(DataClass.DEVICES, wards=self.wards.get(label or "", frozenset()))


def device_routes(answers: Answers, clerk_conninfo: str) -> list[Route]:
    """What the page asks for, and what people do on it."""

    def places_of(conn: Any, request: Request) -> Answer:
        return places_of_device(conn, asking_of(request), request.path_params["uuid"])

    def do(conn: Any, request: Request, wish: Wish) -> None:
        act(conn, asking_of(request), wish)

    return [
        Route("/device-list", answers.json(lambda conn, request: devices(conn, asking_of(request)))),
        Route("/device-places/{uuid:uuid}", answers.json(places_of)),
        Route("/device-act", posting(by_clerk(clerk_conninfo, do), Wish, limit=OF_A_REASON), methods=["POST"]),
    ]


def devices(conn: Any, asking: Asking) -> Answer:
    """Every device that may be seen, those first that nobody registered. Raises StoreError, AccessRefusedError."""
    _require_any(asking)
    beds = _beds(conn)
    heard = latest.last_received(conn)
    rows_by_device: defaultdict[UUID, list[DeviceRow]] = defaultdict(list)
    for row in registry.devices_that_measure(conn):
        rows_by_device[row.uuid].append(row)
    shown = [
        rows for rows in rows_by_device.values() if asking.may(Action.SEE, beds.target(rows[0].bed)).is_allowed
    ]  # fmt: skip
    return {"now": asking.at_us // 1000, "devices": [_device(asking, beds, rows, heard) for rows in shown]}


def places_of_device(conn: Any, asking: Asking, device: UUID) -> Answer:
    """Where it stood, as believed now, oldest first, and the beds that it may be put on.

    Raises StoreError, AccessRefusedError.
    """
    _require_any(asking)
    if not any(row.uuid == device for row in registry.devices_that_measure(conn)):
        return None
    beds = _beds(conn)
    stood = [stay for stay in places.stays(conn, device) if asking.may(Action.SEE, beds.target(stay.bed)).is_allowed]
    free = [label for label in sorted(beds.wards) if asking.may(Action.PLACE, beds.target(label)).is_allowed]
    return {
        "stays": [
            {
                "bed": stay.bed, "since": milliseconds_or_none(stay.since), "until": milliseconds_or_none(stay.until),
            } for stay in stood
        ],
        "beds": [{"label": label, "wards": sorted(beds.wards[label])} for label in free],
    }  # fmt: skip


def act(conn: Any, asking: Asking, sent: Wish) -> None:
    """Do as a page wishes.

    Raises RefusedError, StoreError, also where the login lacks the right, and AccessRefusedError.
    """
    wish = sent.stripped()
    try:
        since = moment(wish.since_us)
    except (ValueError, OverflowError):
        raise RefusedError(Refusal.UNREADABLE) from None
    _require_any(asking)
    _check_fits(wish)
    try:
        with conn.transaction():
            _act(conn, asking, wish, since)
    except VitalwireError:
        raise RefusedError(Refusal.CHANGED) from None


def _check_fits(wish: Wish) -> None:
    if not all(text.isprintable() for text in (wish.bed, wish.name, wish.why)):
        raise RefusedError(Refusal.UNREADABLE)
    if wish.act in ("assign", "move") and not wish.bed:
        raise RefusedError(Refusal.NO_BED)
    if wish.act == "rename" and not wish.name:
        raise RefusedError(Refusal.NO_NAME)
    if max(len(wish.bed), len(wish.name)) > LABEL_CHARS_MAX:
        raise RefusedError(Refusal.TOO_LONG)
    if len(wish.why) > WHY_CHARS_MAX:
        raise RefusedError(Refusal.REASON_TOO_LONG)


def _act(conn: Any, asking: Asking, wish: Wish, since: datetime | None) -> None:
    """In a transaction in which nobody else moves the device: what was asked about is what is changed."""
    beds = _beds(conn)
    stays = places.lock_stays(conn, wish.device)
    now = acts.now(conn)  # of the clock by which acts are dated
    at = since or now
    for bed in _touched(wish, stays, now if wish.act == "rename" else at):
        require(asking, Action.PLACE, beds.target(bed))
    device, author = str(wish.device), Author(f"staff:{asking.viewer.id}", wish.why)
    if wish.act == "rename":
        places.rename(conn, device, wish.name, author=author)
        return
    _check_place(conn, wish, stays, at, now)
    if wish.act == "assign":
        places.assign(conn, device, wish.bed, name=wish.name, since=since, edge=wish.edge, author=author)
    elif wish.act == "move":
        places.move(conn, device, wish.bed, since=since, author=author)
    else:
        places.release(conn, device, since=since, author=author)


def _touched(wish: Wish, stays: Sequence[Stay], at: datetime) -> set[str | None]:
    """The beds of which something changes: the new one, and each where it is believed to stand at that time or later.

    None: no bed, of a device that stands on none.
    """
    touched: set[str | None] = {stay.bed for stay in stays if stay.until is None or stay.until > at}
    if wish.act in ("assign", "move"):
        touched.add(wish.bed)
    return touched or {None}


def _check_place(conn: Any, wish: Wish, stays: Sequence[Stay], at: datetime, now: datetime) -> None:
    """Raises RefusedError where it cannot be so, in a word that says what helps."""
    if (_bed_at(stays, now) or "") != wish.shown_bed:
        raise RefusedError(Refusal.CHANGED)
    if at > now:
        raise RefusedError(Refusal.AHEAD)
    bed = _bed_at(stays, at)
    if wish.act == "assign":
        if bed is not None:
            raise RefusedError(Refusal.ON_A_BED)
        if _needs_edge(conn, wish):
            raise RefusedError(Refusal.WHICH_EDGE)
    elif bed is None:
        raise RefusedError(Refusal.ON_NO_BED)
    elif wish.act == "move" and bed == wish.bed:
        raise RefusedError(Refusal.SAME_BED)


def _bed_at(stays: Sequence[Stay], at: datetime) -> str | None:
    for stay in stays:
        if (stay.since is None or stay.since <= at) and (stay.until is None or at < stay.until):
            return stay.bed
    return None


def _needs_edge(conn: Any, wish: Wish) -> bool:
    rows = [row for row in registry.devices_that_measure(conn) if row.uuid == wish.device]
    return len(rows) > 1 and rows[0].registered_at is None and wish.edge is None


def _require_any(asking: Asking) -> None:
    """That devices are this viewer's business at all; raises AccessRefusedError."""
    for wards in (frozenset[str](), asking.viewer.wards):
        if asking.may(Action.SEE, Target(DataClass.DEVICES, wards=wards)).is_allowed:
            return
    raise AccessRefusedError


def _beds(conn: Any) -> _Beds:
    wards: defaultdict[str, set[str]] = defaultdict(set)
    for key, label in bed_names(conn).items():
        wards[label].add(ward_of_bed(key))
    return _Beds({label: frozenset(found) for label, found in wards.items()})


def _device(asking: Asking, beds: _Beds, rows: Sequence[DeviceRow], heard: Mapping[UUID, datetime]) -> dict[str, Any]:
    """Of the rows of one device, one an edge that speaks of it; `heard` is None where no value ever came."""
    device = rows[0]
    own = [row for row in rows if not row.foreign_edge]
    target = beds.target(device.bed)
    return {
        "device": device.uuid, "name": device.name or "", "bed": device.bed or "",
        "claim": next((row.claim for row in rows if row.claim), ""),
        "wards": sorted(target.wards), "since": milliseconds_or_none(device.since),
        "registered": milliseconds_or_none(device.registered_at),
        "first": milliseconds(min(row.first_seen_at for row in rows)),
        "heard": _newest(own, heard), "may_place": asking.may(Action.PLACE, target).is_allowed,
        "edges": [
            {
                "edge": row.edge, "label": row.edge_label or str(row.edge), "foreign": row.foreign_edge,
                "heard": milliseconds_or_none(heard.get(row.shown_as)),
            } for row in rows
        ],
    }  # fmt: skip


def _newest(rows: Collection[DeviceRow], heard: Mapping[UUID, datetime]) -> int | None:
    """Through the edges that it belongs to: what another one claims to be this device is no sign of life."""
    known = [heard[row.shown_as] for row in rows if row.shown_as in heard]
    return milliseconds(max(known)) if known else None
