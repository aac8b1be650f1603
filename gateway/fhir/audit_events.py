"""AuditEvent (http://hl7.org/fhir/R4/auditevent.html): looks, for auditors alone. No value is in one."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from uuid import UUID

import msgspec

from adapters.emr.fhir_json import instant
from clinical.charted import resource_id
from emr_store import fhir_search, looks
from emr_store.audit_trail import AUDIT_PAGE
from emr_store.instants import moment, us_of
from emr_store.looks import Asked, LookRow
from emr_store.visible_stays import EVERY_STAY
from gateway.access.viewer import Target, Viewer
from gateway.access.words import Action, DataClass, Relation, Role
from gateway.asking import Asking
from gateway.fhir.cursor import Position, decode_cursor
from gateway.fhir.observations import not_found
from gateway.fhir.parameters import Search
from gateway.fhir.refusals import bad_parameter
from gateway.fhir.resource import Found, Resource

STAFF = "urn:vitalwire:staff"
ROLE = "urn:vitalwire:role"
RELATION = "urn:vitalwire:relation:"  # before the relation that a look was allowed by
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_QUERY = {"system": _DCM, "code": "110112", "display": "Query"}
_RECORD = {"system": _DCM, "code": "110110", "display": "Patient Record"}
_EXPORT = {"system": _DCM, "code": "110106", "display": "Export"}
_AUDIT_USED = {"system": _DCM, "code": "110101", "display": "Audit Log Used"}
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_RESTRICTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "code": "R",
    "display": "restricted",
}
_NETWORK_IP = "2"  # http://hl7.org/fhir/network-type


def audit_event(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError: 404 for whoever is no auditor, too."""
    ids = _uuids([identity])
    if not _may_see(asking) or not ids:
        raise not_found()
    found = looks.find(conn, Asked(ids=ids, hide_audit=_hides_audit(asking.viewer)), 1)
    if not found:
        raise not_found()
    return _resource(found[0])


def search_audit_events(conn: Any, asking: Asking, asked: Search) -> Found:
    """The newest first; nothing for whoever is no auditor. Raises RequestError."""
    after = None
    if asked.cursor:
        try:
            position = decode_cursor(asked.cursor, asked.digest)
            after = (moment(position.at_us), UUID(position.key))
        except ValueError as error:
            raise bad_parameter("_cursor", str(error)) from None
    if not _may_see(asking):
        return Found(resources=())
    ids, patients, date = asked.ids("_id"), asked.ids("patient"), asked.span("date")
    wished = Asked(
        persons=asked.ids("agent"),
        patients=None if patients is None else fhir_search.patients_by_ids(conn, patients, EVERY_STAY),
        begun_from=moment(date.from_us), until=moment(date.until_us),
        ids=None if ids is None else _uuids(ids), after=after, hide_audit=_hides_audit(asking.viewer),
    )  # fmt: skip
    found = looks.find(conn, wished, asked.count + 1)
    page = found[: asked.count]
    last = Position(us_of(page[-1].from_at), str(page[-1].look)) if page and len(found) > len(page) else None
    return Found(resources=[_resource(row) for row in page], next=last)


def _may_see(asking: Asking) -> bool:
    return asking.may(Action.SEE, Target(DataClass.AUDIT)).is_allowed


def _hides_audit(viewer: Viewer) -> bool:
    return viewer.role is not Role.SECOND_AUDITOR


def _uuids(texts: Any) -> list[UUID]:
    """Of those that are written as ids of ours are."""
    found = []
    for text in texts:
        try:
            parsed = UUID(text)
        except ValueError:
            continue
        if str(parsed) == text:
            found.append(parsed)
    return found


def _resource(row: LookRow) -> Resource:
    return Resource(kind="AuditEvent", id=str(row.look), body=audit_event_json(row))


def audit_event_json(row: LookRow) -> bytes:
    """The resource of a look."""
    began, ended = instant(us_of(row.from_at)), instant(us_of(row.until_at))
    said: dict[str, Any] = {
        "resourceType": "AuditEvent", "id": str(row.look), "type": _type(row),
        "subtype": [{"system": "urn:vitalwire:page", "code": row.page}],
        "action": "E" if row.detail else "R", "period": {"start": began, "end": ended}, "recorded": began,
        "outcome": "0", "agent": [_agent(row)],
        "source": {
            "observer": {"display": "vitalwire"},
            "type": [{"system": _SOURCE, "code": "4", "display": "Application Server"}],
        },
    }  # fmt: skip
    if entities := _entities(row):
        said["entity"] = entities
    return msgspec.json.encode(said)


def _type(row: LookRow) -> dict[str, str]:
    if row.page == AUDIT_PAGE:
        return _AUDIT_USED
    if row.action in (Action.EXPORT, Action.PRINT):
        return _EXPORT
    return _QUERY if row.detail else _RECORD


def _agent(row: LookRow) -> dict[str, Any]:
    who: dict[str, Any] = {"identifier": {"system": STAFF, "value": row.person}}
    if row.name:
        who["display"] = row.name
    broke_glass = row.relation == Relation.BREAK_GLASS
    purpose: dict[str, Any] = {
        "coding": [{"system": _REASON, "code": "BTG", "display": "break the glass"} if broke_glass
                   else {"system": _REASON, "code": "HOPERAT", "display": "healthcare operations"}],
    }  # fmt: skip
    if row.reason:
        purpose["text"] = row.reason
    agent: dict[str, Any] = {
        "role": [{"coding": [{"system": ROLE, "code": row.role}]}], "who": who, "requestor": True,
        "policy": [RELATION + row.relation], "purposeOfUse": [purpose],
    }  # fmt: skip
    if row.address:
        agent["network"] = {"address": row.address, "type": _NETWORK_IP}
    return agent


def _entities(row: LookRow) -> list[dict[str, Any]]:
    """Patients, stays, and of a search what was asked."""
    found: list[dict[str, Any]] = []
    for kind, keys, of, role in (
        ("Patient", row.patients, ("1", "Person"), ("1", "Patient")),
        ("Encounter", row.encounters, ("2", "System Object"), ("4", "Domain Resource")),
    ):
        for key in keys:
            entity: dict[str, Any] = {
                "what": {"reference": f"{kind}/{resource_id(kind, key)}"},
                "type": {"system": _ENTITY, "code": of[0], "display": of[1]},
                "role": {"system": _OBJECT_ROLE, "code": role[0], "display": role[1]},
            }
            if row.restricted:
                entity["securityLabel"] = [_RESTRICTED]
            found.append(entity)
    if row.detail:
        query = {"system": _OBJECT_ROLE, "code": "24", "display": "Query"}
        found.append({"type": {"system": _ENTITY, "code": "2", "display": "System Object"}, "role": query,
                      "query": b64encode(row.detail.encode()).decode()})  # fmt: skip
    return found
