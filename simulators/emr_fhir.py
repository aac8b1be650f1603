"""How a receiver keeps FHIR R4 resources, and files Observations in its table (http.html, bundle.html).

Naive on purpose and of no code but its own: transactions that are filed as a whole or not at all, conditional create
(ifNoneExist) and update, PUT with If-Match, versions with ETag and Location, search by identifier, and an
OperationOutcome for each refusal. Decimals are kept as they came.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from simulators.emr_faults import Faults
from simulators.emr_table import Result, Table, now_text

Resource = dict[str, Any]
STATUSES = frozenset({
    "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
})  # fmt: skip
LOINC = "http://loinc.org"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DECIMAL = re.compile(r'"\\u0000([^"]*)\\u0000"')
_KIND = re.compile(r"[A-Z][A-Za-z]+")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class RefusedError(Exception):
    """`status` is that of HTTP, `code` one of FHIR's issue-type."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass(frozen=True)
class Stored:
    """A version of a resource. `status`: 201 where it was created, else 200."""

    kind: str
    id: str
    version: int
    json: str
    status: int = 200

    @property
    def etag(self) -> str:
        """As HTTP has it."""
        return f'W/"{self.version}"'

    @property
    def location(self) -> str:
        """Relative to the base."""
        return f"{self.kind}/{self.id}/_history/{self.version}"


def loads(text: bytes | str) -> Resource:
    """Raises RefusedError for what is no JSON object."""
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise RefusedError(400, "structure", "no JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "structure", "no resource")
    return found


def dumps(resource: Resource) -> str:
    """With decimals as they came."""
    text = json.dumps(resource, ensure_ascii=False, default=lambda number: f"\0{number}\0")
    return _DECIMAL.sub(r"\1", text)


def outcome(code: str, text: str, severity: str = "error") -> Resource:
    """An OperationOutcome of one issue."""
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": text}]}


class FhirStore:
    """Resources by kind and id, each version of them."""

    def __init__(self, table: Table, faults: Faults) -> None:
        self._table, self._faults = table, faults

    def read(self, kind: str, id_: str) -> Stored:
        """The newest version. Raises RefusedError where there is none."""
        found = self._table.db.execute(
            "SELECT version, json FROM resource WHERE kind = ? AND id = ? ORDER BY version DESC LIMIT 1", [kind, id_]
        ).fetchone()
        if found is None:
            raise RefusedError(404, "not-found", f"no {kind} with this id")
        return Stored(kind, id_, found[0], found[1])

    def search(self, kind: str, query: str) -> list[Stored]:
        """By `identifier=system|value` alone. Raises RefusedError for any other parameter."""
        name, _, sent = query.lstrip("?").partition("=")
        system, bar, value = unquote(sent).replace("\\|", "\0").replace("\\,", ",").partition("|")
        if name != "identifier" or "&" in query or not bar:
            raise RefusedError(400, "not-supported", "search by identifier=system|value alone")
        found = self._table.db.execute(
            "SELECT id FROM resource_identifier WHERE kind = ? AND system = ? AND value = ? ORDER BY id",
            [kind, system.replace("\0", "|"), _unescaped(value)],
        ).fetchall()
        return [self.read(kind, id_) for (id_,) in found]

    def create(self, kind: str, resource: Resource, if_none_exist: str = "") -> Stored:
        """A new one, or that which the query finds. Raises RefusedError where it finds several."""
        if if_none_exist and not self._faults.is_on("duplicates"):
            found = self.search(kind, if_none_exist)
            if len(found) > 1:
                raise RefusedError(412, "multiple-matches", f"several {kind} have this identifier")
            if found:
                return found[0]
        return self._put(kind, str(uuid.uuid4()), resource, 1)

    def update(self, kind: str, id_: str, resource: Resource, if_match: str = "") -> Stored:
        """The next version of it. Raises RefusedError where the version that it is made of is not the newest."""
        if not _ID.fullmatch(id_) or resource.get("id") != id_:
            raise RefusedError(400, "invalid", "the id in the resource is another than in the URL")
        newest = self._newest(kind, id_)
        version = newest.version if newest else 0
        if if_match and if_match != f'W/"{version}"':
            raise RefusedError(412, "conflict", "another version is the newest")
        return self._put(kind, id_, resource, version + 1)

    def update_where(self, kind: str, query: str, resource: Resource) -> Stored:
        """The one that the query finds, or a new one."""
        found = self.search(kind, query)
        if len(found) > 1:
            raise RefusedError(412, "multiple-matches", f"several {kind} have this identifier")
        if not found:
            return self._put(kind, str(uuid.uuid4()), resource, 1)
        return self._put(kind, found[0].id, resource, found[0].version + 1)

    def transaction(self, bundle: Resource) -> Resource:
        """A transaction-response. Raises RefusedError, with nothing filed, where an entry cannot be."""
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
            raise RefusedError(400, "invalid", "not a Bundle of type transaction")
        entries = bundle.get("entry") or []
        with self._table.transaction():
            targets = self._targets(entries)
            ids = {str(entry["fullUrl"]): target for entry, target in zip(entries, targets, strict=True)
                   if entry.get("fullUrl")}  # fmt: skip
            stored = [
                self._entry(number, entry, target, ids)
                for number, (entry, target) in enumerate(zip(entries, targets, strict=True))
            ]
        return {
            "resourceType": "Bundle", "type": "transaction-response",
            "entry": [
                {"response": {"status": "201 Created" if each.status == 201 else "200 OK", "location": each.location,
                              "etag": each.etag}} for each in stored
            ],
        }  # fmt: skip

    def _targets(self, entries: list[Resource]) -> list[str]:
        """Kind and id of each entry's resource, before anything is filed: entries may refer to later ones."""
        targets: list[str] = []
        by_clause: dict[tuple[str, str], str] = {}
        for number, entry in enumerate(entries):
            method, url = _request(number, entry)
            path, _, query = url.partition("?")
            kind, _, id_ = path.partition("/")
            query = query or str(entry["request"].get("ifNoneExist") or "")
            is_doubled = method == "POST" and self._faults.is_on("duplicates")
            if not id_ and query and not is_doubled:
                id_ = by_clause.get((kind, query), "") or self._found(number, kind, query)
            id_ = id_ or str(uuid.uuid4())
            by_clause[kind, query] = id_
            targets.append(f"{kind}/{id_}")
        return targets

    def _found(self, number: int, kind: str, query: str) -> str:
        """The id of the one that the query finds; "" for none."""
        found = self.search(kind, query)
        if len(found) > 1:
            raise RefusedError(412, "multiple-matches", f"entry {number}: several {kind} have this identifier")
        return found[0].id if found else ""

    def _entry(self, number: int, entry: Resource, target: str, ids: dict[str, str]) -> Stored:
        method, url = _request(number, entry)
        kind, _, id_ = target.partition("/")
        resource = _referring(entry["resource"], ids)
        newest = self._newest(kind, id_)
        try:
            if method == "POST":  # where it is there already, ifNoneExist found it
                return newest or self._put(kind, id_, resource, 1)
            if "?" in url:
                return self._put(kind, id_, resource, newest.version + 1 if newest else 1)
            return self.update(kind, id_, resource, str(entry["request"].get("ifMatch") or ""))
        except RefusedError as refused:
            raise RefusedError(refused.status, refused.code, f"entry {number}: {refused.text}") from None

    def _newest(self, kind: str, id_: str) -> Stored | None:
        try:
            return self.read(kind, id_)
        except RefusedError:
            return None

    def _put(self, kind: str, id_: str, resource: Resource, version: int) -> Stored:
        if resource.get("resourceType") != kind:
            raise RefusedError(400, "invalid", f"the resource is no {kind}")
        if kind == "Observation":
            _check(resource)
        now = now_text()
        kept = {
            **resource,
            "id": id_,
            "meta": {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": now},
        }
        text = dumps(kept)
        db = self._table.db
        db.execute("INSERT INTO resource VALUES (?, ?, ?, ?, ?)", [kind, id_, version, text, now])
        db.execute("DELETE FROM resource_identifier WHERE kind = ? AND id = ?", [kind, id_])
        for each in resource.get("identifier") or []:
            db.execute(
                "INSERT OR IGNORE INTO resource_identifier VALUES (?, ?, ?, ?)",
                [kind, each.get("system", ""), each.get("value", ""), id_],
            )
        if kind == "Observation":
            self._file(kept, id_, version)
        return Stored(kind, id_, version, text, 201 if version == 1 else 200)

    def _file(self, observation: Resource, id_: str, version: int) -> None:
        identity = _first_identifier(observation) or id_
        for measured in observation.get("component") or [observation]:
            code = _code(measured.get("code", {}))
            value, unit = _value(measured)
            result = Result(
                identity=identity, code=code.get("code", ""), display=str(code.get("display") or ""),
                patient=self._identifier_of(observation.get("subject")),
                encounter=self._identifier_of(observation.get("encounter")), place=self._place_of(observation),
                device=self._identifier_of(observation.get("device")), value=value, unit=unit,
                status=observation["status"], observed_at=_observed_at(observation),
                message_id=f"Observation/{id_}/_history/{version}", way="fhir",
            )  # fmt: skip
            earlier = self._table.find(identity, result.code)
            self._table.file(result, earlier if version > 1 else None)

    def _place_of(self, observation: Resource) -> str:
        """Where the encounter says that it is."""
        encounter = self._referred(observation.get("encounter"))
        places = [self._referred(each.get("location")) for each in encounter.get("location") or []]
        return next((str(place.get("name") or _first_identifier(place)) for place in places), "")

    def _referred(self, reference: Resource | None) -> Resource:
        """Empty where it is not here."""
        kind, _, id_ = str((reference or {}).get("reference") or "").partition("/")
        found = self._newest(kind, id_)
        return loads(found.json) if found else {}

    def _identifier_of(self, reference: Resource | None) -> str:
        """The identifier of what is referred to, else the reference."""
        return _first_identifier(self._referred(reference)) or str((reference or {}).get("reference") or "")


def _request(number: int, entry: Resource) -> tuple[str, str]:
    request = entry.get("request") or {}
    method, url = request.get("method"), str(request.get("url") or "")
    if method not in ("POST", "PUT") or not _KIND.match(url) or not isinstance(entry.get("resource"), dict):
        raise RefusedError(400, "not-supported", f"entry {number}: POST or PUT of a resource alone")
    return method, url


def _check(observation: Resource) -> None:
    """Raises RefusedError for what is no Observation that can be filed."""
    if observation.get("status") not in STATUSES:
        raise RefusedError(422, "code-invalid", "Observation.status")
    if not _code(observation.get("code") or {}):
        raise RefusedError(422, "required", "Observation.code.coding")
    if not (observation.get("subject") or {}).get("reference"):
        raise RefusedError(422, "required", "Observation.subject")
    if not _INSTANT.fullmatch(_observed_at(observation)):
        raise RefusedError(422, "value", "Observation.effective[x] with an offset")
    for number, measured in enumerate(observation.get("component") or [observation]):
        has_value = any(name.startswith("value") for name in measured)
        if has_value == ("dataAbsentReason" in measured):
            raise RefusedError(422, "invariant", f"a value or dataAbsentReason, one of both ({number})")
        quantity = measured.get("valueQuantity")
        if quantity is not None and not isinstance(quantity.get("value"), (int, Decimal)):
            raise RefusedError(422, "value", f"Quantity.value is no number ({number})")


def _observed_at(observation: Resource) -> str:
    period = observation.get("effectivePeriod") or {}
    return str(observation.get("effectiveDateTime") or observation.get("effectiveInstant") or period.get("end") or "")


def _code(concept: Resource) -> Resource:
    """The first of LOINC's codings, else the first one."""
    codings = [coding for coding in concept.get("coding") or [] if coding.get("code")]
    by_loinc = [coding for coding in codings if coding.get("system") == LOINC]
    return next(iter(by_loinc + codings), {})


def _value(measured: Resource) -> tuple[str, str]:
    """As text, and its unit."""
    quantity = measured.get("valueQuantity")
    if quantity is not None:
        return f"{quantity.get('comparator', '')}{quantity['value']}", str(
            quantity.get("code") or quantity.get("unit") or ""
        )
    if "valueCodeableConcept" in measured:
        concept = measured["valueCodeableConcept"]
        return str(_code(concept).get("code") or concept.get("text") or ""), ""
    return next((str(value) for name, value in measured.items() if name.startswith("value")), ""), ""


def _first_identifier(resource: Resource) -> str:
    return next((str(each["value"]) for each in resource.get("identifier") or [] if each.get("value")), "")


def _unescaped(value: str) -> str:
    r"""A search parameter's \, \$ \| and \\ are what stands after the backslash."""
    return re.sub(r"\\(.)", r"\1", value.replace("\0", "|"))


def _referring(resource: Any, ids: dict[str, str]) -> Any:
    """With each reference to a fullUrl as kind/id."""
    if isinstance(resource, dict):
        return {
            name: ids.get(value, value) if name == "reference" and isinstance(value, str) else _referring(value, ids)
            for name, value in resource.items()
        }
    if isinstance(resource, list):
        return [_referring(each, ids) for each in resource]
    return resource
