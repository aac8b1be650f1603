"""Who asks, where people themselves are the matter: a person for himself, or an administrator."""

from __future__ import annotations

from starlette.requests import Request

from emr_store.acts import Author
from gateway.access.viewer import Target, Viewer
from gateway.access.words import Action, DataClass, Role
from gateway.asking import Asking, asking_of
from gateway.posting import RefusedError

PEOPLE = Target(DataClass.PEOPLE)
_NO_PERSONS = (Role.STATION_DISPLAY, Role.MACHINE)


def person_of(request: Request) -> Viewer:
    """A person who sits there; raises RefusedError for a display, a client, and a workstation that is locked."""
    viewer = asking_of(request).viewer
    if viewer.locked or viewer.role in _NO_PERSONS:
        raise RefusedError("no_access")
    return viewer


def administrator_of(request: Request) -> Viewer:
    """Who may let people in; raises RefusedError."""
    viewer = person_of(request)
    if not asking_of(request).may(Action.MANAGE, PEOPLE).is_allowed:
        raise RefusedError("no_access")
    return viewer


def manages(asking: Asking) -> bool:
    """Whether this is somebody who lets people in."""
    return asking.may(Action.MANAGE, PEOPLE).is_allowed


def author(viewer: Viewer, why: str = "") -> Author:
    """Of an act on a page."""
    return Author(f"staff:{viewer.id}", why)
