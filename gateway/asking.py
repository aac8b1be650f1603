"""One request's question: who asks, from where, and what may be answered. Every endpoint begins with it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from emr_store.visible_stays import Sight
from gateway.access.decision import Decision, may
from gateway.access.sight import sight_of
from gateway.access.viewer import Target, Viewer
from gateway.access.words import Action, DataClass
from gateway.looks import Looks, Seen

# Of what is denied, of what is not there, and where nobody is signed in: who asks learns nothing from it.
REFUSED_BODY = b'{"refused":"no_access"}'


@dataclass(frozen=True)
class Asking:
    """By whom and when; the same moment for all of one request."""

    viewer: Viewer
    address: str
    at_us: int
    looks: Looks

    def may(self, action: Action, target: Target) -> Decision:
        """Whether this may be done with that."""
        return may(self.viewer, action, target, self.at_us)

    def sight(self, action: Action, data_class: DataClass) -> Sight:
        """The stays with which this may be done."""
        return sight_of(self.viewer, action, data_class, self.at_us)

    def note(self, action: Action, decision: Decision, seen: Seen) -> None:
        """Must return before what was seen is sent. Raises StoreError where it cannot be kept."""
        self.looks.note(self.viewer, self.address, action, decision, seen, self.at_us)


def asking_of(connection: HTTPConnection) -> Asking:
    """Of who is signed in (gateway/people/sign_in_required.py puts it there)."""
    asking: Asking = connection.state.asking
    return asking
