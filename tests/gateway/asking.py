"""Who asks, for tests that ask a page's reader without HTTP: somebody who is hired, signed in, and noted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.asking import Asking
from gateway.feed_viewer import FeedViewer
from gateway.looks import Looks
from gateway.people.sessions import COOKIE, Sessions
from gateway.people.viewers import viewer_of_staff
from gateway.picture import Picture, Visible
from runtime.clock import now_us
from tests.adt import BEDS, key
from tests.gateway.signing_in import SITE_WARD, hire, sign_in


def asking(
    address: str, staff: str = "D1", role: Role = Role.PHYSICIAN, wards: Collection[str] = (SITE_WARD,),
    licence: Licence = Licence.HERE, *, locked: bool = False,
) -> Asking:  # fmt: skip
    """One question of theirs."""
    hire(address, staff, role, wards, licence)
    with open_store(address) as conn:
        viewer = viewer_of_staff(conn, staff, datetime.now(UTC), locked=locked)
    assert viewer is not None
    return Asking(viewer, "127.0.0.1", now_us(), Looks(address))


def feed_viewer(address: str, staff: str = "D1", role: Role = Role.PHYSICIAN) -> FeedViewer:
    """Somebody who looks on."""
    who = asking(address, staff, role)
    _, _, secret = sign_in(address, staff).partition(f"{COOKIE}=")
    return FeedViewer(who, Sessions(address, address), secret)


def everything(picture: Picture) -> Visible:
    """What somebody sees who sees all of it."""
    beds = frozenset(picture.beds)
    return Visible(beds, beds, beds)


def name_beds(address: str, others: Mapping[str, str] = MappingProxyType({})) -> None:
    """The site's names of the beds in tests/adt.py, and of others by key: by them the ward of a bed is known."""
    with open_store(address) as conn:
        keep_bed_names(conn, {key(bed): f"ICU-{bed}" for bed in BEDS} | dict(others))
