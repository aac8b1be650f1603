"""Who works in the demo, and the links that sign them in, once each."""

from __future__ import annotations

from dataclasses import dataclass

from clinical.beds import bed_key
from clinical.wards import ward_of_bed
from emr_store import acts, staff
from emr_store.connect import open_store
from emr_store.staff import StaffRow
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.sign_in_links import SignInLinks

_ICU = ward_of_bed(bed_key(facility="ICU", ward="ICU"))  # of the beds in vitalwire/ward_site.py
_SURGERY = ward_of_bed(bed_key(facility="ICU", ward="SURGERY"))


@dataclass(frozen=True)
class _Entry:
    called: str  # on the terminal
    member: StaffRow


def _entry(called: str, number: str, name: str, role: Role, licence: Licence, *wards: str) -> _Entry:
    return _Entry(called, StaffRow(number, name, role, licence, wards=wards))


_PEOPLE = (
    _entry("nurse", "demo-n1", "王护士", Role.NURSE, Licence.HERE, _ICU),
    _entry("physician", "demo-d1", "李医生", Role.PHYSICIAN, Licence.HERE, _ICU),
    _entry("nurse of another ward", "demo-n2", "赵护士", Role.NURSE, Licence.HERE, _SURGERY),
    _entry("auditor", "demo-a1", "陈审计", Role.AUDITOR, Licence.NONE),
    _entry("administrator", "demo-m1", "周管理", Role.ADMINISTRATOR, Licence.NONE),
)


def hire(database: str) -> None:
    """They work here."""
    with open_store(database) as conn:
        staff.add(conn, [entry.member for entry in _PEOPLE], acts.this_user("the demo's staff"))


class DemoLinks:
    """A link for each, which is a new one when it was used or its time is over."""

    def __init__(self, links: SignInLinks, origin: str) -> None:
        self._links, self._origin = links, origin
        self._secrets: dict[str, str] = {}

    def renewed(self) -> list[str]:
        """Lines for the terminal, of those that are new since the last call."""
        lines = list[str]()
        for entry in _PEOPLE:
            number = entry.member.staff
            if number in self._secrets and self._links.lasts(self._secrets[number]):
                continue
            self._secrets[number] = self._links.new(number)
            lines.append(f"sign in as {entry.called:<22} {self._origin}/sign-in/link/{self._secrets[number]}")
        return lines
