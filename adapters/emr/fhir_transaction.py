"""One transaction per encounter and slot, and what the receiver answers (FHIR R4, http.html#transaction).

Patient, Location, Device and Encounter are created where the receiver finds none with the same identifier, and are
never changed: they are the receiver's own, and ours are copies of what its admission office sent. An Observation

- of version 1 is created where none with its identifier exists, so that a transaction sent twice files once;
- of a later one replaces the one that the receiver told of, if that still has the version that was told (`ifMatch`):
  what somebody changed there is not overwritten, it is answered with 412;
- of a later one that the receiver never told of replaces whatever has its identifier, or is created.

A receiver answers 412 also where several resources have an identifier. References are to fullUrls of the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from uuid import NAMESPACE_URL, uuid5

import msgspec

from adapters.emr import fhir_codes
from adapters.emr.answer import Answer, Outcome
from adapters.emr.fhir_json import (
    References,
    device_body,
    encounter_body,
    encounter_identifiers,
    levels,
    location_body,
    observation_body,
    one_device,
    patient_body,
    patient_identifiers,
    percent_encoded,
)
from adapters.emr.observation import ChartedObservation
from clinical.charted import Instrument, Person, Place, Stay
from schemas.errors import VitalwireError

RESPONSE_MAX_BYTES = 8_000_000
_NO_SYSTEMS: Mapping[str, str] = {}
# Of fullUrls: they mean something within one bundle alone.
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:vitalwire:bundle-entry")
_KNOWN = re.compile(r'(Observation/([A-Za-z0-9.-]{1,64}))(?: (W/"[A-Za-z0-9.-]{1,64}"))?')
_LOCATION = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?")
_ETAG = re.compile(r'(?:W/)?"?([A-Za-z0-9.-]{1,64})"?')
_STATUS = re.compile(r"([1-5]\d\d)(?: .*)?", re.DOTALL)
# In a search parameter's value these have a meaning of their own (search.html#escaping).
_SEARCH_SPECIAL = re.compile(r"([\\,$|])")
_SAFE = frozenset(b":/")
_REQUEST_TIMEOUT, _CONFLICT, _PRECONDITION_FAILED, _TOO_MANY_REQUESTS = 408, 409, 412, 429
# FHIR R4 issue-type. Of an answer nothing else is repeated: its words may name a patient.
_ISSUE_CODES = frozenset({
    "business-rule", "code-invalid", "conflict", "deleted", "duplicate", "exception", "expired", "extension",
    "forbidden", "incomplete", "informational", "invalid", "invariant", "lock-error", "login", "multiple-matches",
    "no-store", "not-found", "not-supported", "processing", "required", "security", "structure", "suppressed",
    "throttled", "timeout", "too-costly", "too-long", "transient", "unknown", "value",
})  # fmt: skip


class FhirAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction came to.

    `versions`: of each observation that the receiver filed, by its id, what to pass as `known_versions` from now on:
    Observation/<the receiver's id> W/"<its version>", the second part left out where the receiver told no version.
    """

    answer: Answer
    versions: dict[str, str]


def transaction(
    observations: Sequence[ChartedObservation],
    known_versions: Mapping[str, str],
    identifier_systems: Mapping[str, str] = _NO_SYSTEMS,
) -> bytes:
    """The bundle: the same observations, in whatever order, and the same known versions are the same bytes.

    `known_versions`: `FhirAnswer.versions` of earlier answers; of other observations it may hold anything.
    `identifier_systems`: an authority (CX-4) to the system that the receiver has for its numbers.
    Raises VitalwireError where nothing may leave: a person who has been erased, or nobody knows whose it is. Raises
    ValueError for observations of several encounters, slots or persons.
    """
    stay, person = _of_one(observations)
    subject, encounter = _full_url("Patient", person.key), _full_url("Encounter", stay.key)
    entries = [
        _created("Patient", subject, patient_identifiers(person, identifier_systems)[0],
                 patient_body(person, identifier_systems)),
    ]  # fmt: skip
    places = _distinct_places(observations)
    entries += _location_entries(places)
    entries += _device_entries(observations)
    bed = _full_url("Location", places[-1].key) if places else None
    body = encounter_body(stay, subject, bed, identifier_systems)
    entries.append(_created("Encounter", encounter, encounter_identifiers(stay, identifier_systems)[0], body))
    for observation in sorted(observations, key=lambda each: (each.members[0].item, each.id)):
        device = one_device(observation)
        refers = References(
            subject=subject,
            encounter=encounter,
            device=None if device is None else _full_url("Device", device.uuid),
        )
        entries.append(_observation_entry(observation, refers, known_versions.get(observation.id)))
    return f'{{"resourceType":"Bundle","type":"transaction","entry":[{",".join(entries)}]}}'.encode()


def _of_one(observations: Sequence[ChartedObservation]) -> tuple[Stay, Person]:
    members = [member for observation in observations for member in observation.members]
    if len({(member.stay.key, member.slot_us) for member in members}) != 1:
        raise ValueError("a transaction is of one encounter and one slot")
    people = {member.person.key: member.person for member in members if member.person is not None}
    if not people or any(member.person is None for member in members):
        raise VitalwireError("nobody knows whose the encounter is: two patients whom no merge made one")
    if len(people) != 1:
        raise ValueError("a transaction is of one person")
    (person,) = people.values()
    if person.erased:
        raise VitalwireError("the person has been erased: nothing of them leaves the house")
    newest = max(observations, key=lambda each: (each.newest.version.recorded_at_us, each.id)).newest
    return newest.stay, person


def _distinct_places(observations: Iterable[ChartedObservation]) -> list[Place]:
    """The one of the value that was measured last comes last."""
    measured = sorted(
        (member.version.observed_at_us, member.place.key, member.place)
        for observation in observations
        for member in observation.members
        if member.place is not None
    )
    last_first = {key: place for _, key, place in reversed(measured)}
    return list(reversed(last_first.values()))


def _location_entries(places: Iterable[Place]) -> list[str]:
    found = {level.key: level for place in places for level in levels(place)}
    entries: list[str] = []
    for key in sorted(found):
        parent = found[key].parent
        body = location_body(found[key], None if parent is None else _full_url("Location", parent))
        entries.append(_created("Location", _full_url("Location", key), (fhir_codes.LOCATION, key, ""), body))
    return entries


def _device_entries(observations: Iterable[ChartedObservation]) -> list[str]:
    devices: dict[str, Instrument] = {}
    for observation in observations:
        device = one_device(observation)
        if device is not None:
            devices[device.uuid] = device
    return [
        _created("Device", _full_url("Device", uuid), (fhir_codes.DEVICE, uuid, ""), device_body(devices[uuid]))
        for uuid in sorted(devices)
    ]


def _observation_entry(observation: ChartedObservation, refers: References, known: str | None) -> str:
    body = observation_body(observation, refers)
    full_url = f"urn:uuid:{observation.id}"
    search = _search(fhir_codes.ENTRY, observation.id)
    if known is None and observation.version == 1:
        return _entry(
            full_url, f'{{"resourceType":"Observation",{body}', "POST", "Observation", ("ifNoneExist", search)
        )
    if known is None:
        return _entry(full_url, f'{{"resourceType":"Observation",{body}', "PUT", f"Observation?{search}")
    read = _KNOWN.fullmatch(known)
    if read is None:
        raise ValueError('known_versions: Observation/<id> or Observation/<id> W/"<version>"')
    url, receivers_id, etag = read.groups()
    condition = ("ifMatch", etag) if etag else None
    return _entry(full_url, f'{{"resourceType":"Observation","id":"{receivers_id}",{body}', "PUT", url, condition)


def _created(kind: str, full_url: str, identifier: tuple[str, str, str], body: str) -> str:
    """Where the receiver has none with that identifier."""
    system, value, _ = identifier
    resource = f'{{"resourceType":"{kind}",{body}'
    return _entry(full_url, resource, "POST", kind, ("ifNoneExist", _search(system, value)))


def _entry(full_url: str, resource: str, method: str, url: str, condition: tuple[str, str] | None = None) -> str:
    request = {"method": method, "url": url}
    if condition is not None:
        name, value = condition
        request[name] = value
    encoded = msgspec.json.encode(request).decode()
    return f'{{"fullUrl":"{full_url}","resource":{resource},"request":{encoded}}}'


def _full_url(kind: str, key: str) -> str:
    return f"urn:uuid:{uuid5(_NAMESPACE, f'{kind}/{key}')}"


def _search(system: str, value: str) -> str:
    """The query of a conditional create or update, without what stands before its question mark."""
    escaped = (percent_encoded(_SEARCH_SPECIAL.sub(r"\\\1", part), _SAFE) for part in (system, value))
    return f"identifier={'|'.join(escaped)}"


def read_transaction_response(status: int, body: bytes, sent: bytes) -> FhirAnswer:
    """What the answer to `sent` (a transaction's bytes) means. `status` is that of HTTP.

    Accepted alone where each entry was: 200 with an error inside is none. 408, 429 and 5xx are tried again.
    """
    code = str(status)
    if status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS) or status >= 500:
        return _answered(Outcome.RETRY, code, f"the receiver could not now: HTTP {code}{_issues(_decoded(body))}")
    if status in (_CONFLICT, _PRECONDITION_FAILED):
        said = "somebody else changed it there, or several have its identifier"
        return _answered(Outcome.PARK, code, f"{said}: HTTP {code}{_issues(_decoded(body))}")
    answer = _decoded(body)
    if status != 200:
        return _answered(Outcome.PARK, code, f"the receiver refuses it: HTTP {code}{_issues(answer)}")
    if answer is None:
        return _answered(Outcome.PARK, code, "HTTP 200 with a body that cannot be read")
    if answer.get("resourceType") == "OperationOutcome":
        return _answered(Outcome.PARK, code, f"HTTP 200 with an OperationOutcome instead of a Bundle{_issues(answer)}")
    if answer.get("resourceType") != "Bundle" or answer.get("type") != "transaction-response":
        return _answered(Outcome.PARK, code, "HTTP 200 without a Bundle of type transaction-response")
    return _read_entries(code, _objects(answer.get("entry")), _objects(_decoded_request(sent).get("entry")))


def _read_entries(code: str, answers: list[dict[str, object]], requests: list[dict[str, object]]) -> FhirAnswer:
    """Answers come in the order of the requests."""
    if len(answers) != len(requests):
        reason = f"HTTP {code} that answers {len(answers)} entries of {len(requests)}"
        return _answered(Outcome.PARK, code, reason)
    versions: dict[str, str] = {}
    for number, (answer, request) in enumerate(zip(answers, requests, strict=True)):
        resource = _object(request.get("resource"))
        kind = str(resource.get("resourceType"))
        response = _object(answer.get("response"))
        problem = _problem(answer, response) or _wrong_location(response, kind, request)
        if problem:
            return _answered(Outcome.PARK, code, f"HTTP {code}, but entry {number} ({kind}): {problem}")
        filed = _filed(response) if kind == "Observation" else None
        if filed is not None:
            versions[str(_objects(resource.get("identifier"))[0].get("value"))] = filed
    return FhirAnswer(answer=Answer(outcome=Outcome.ACCEPTED, code=code, reason=""), versions=versions)


def _problem(answer: Mapping[str, object], response: Mapping[str, object]) -> str:
    status = response.get("status")
    read = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if read is None:
        return "no status"
    outcomes = [_object(response.get("outcome")), _object(answer.get("resource"))]
    issues = "".join(_issues(outcome, ("error", "fatal")) for outcome in outcomes)
    if not read[1].startswith("2"):
        return f"status {read[1]}{issues}"
    return f"an error inside{issues}" if issues else ""


def _wrong_location(response: Mapping[str, object], kind: str, request: Mapping[str, object]) -> str:
    """Whether the answer is about another resource: of another kind, or under another id than was asked for."""
    location = response.get("location")
    if location is None:
        return ""
    read = _LOCATION.fullmatch(location) if isinstance(location, str) else None
    if read is None or read[1] != kind:
        return "a location that is none of its kind"
    asked = _KNOWN.fullmatch(str(_object(request.get("request")).get("url")))
    return "the location of another one" if asked is not None and asked[2] != read[2] else ""


def _filed(response: Mapping[str, object]) -> str | None:
    """None: the receiver does not say where it filed it."""
    location, etag = response.get("location"), response.get("etag")
    read = _LOCATION.fullmatch(location) if isinstance(location, str) else None
    if read is None:
        return None
    tagged = _ETAG.fullmatch(etag) if isinstance(etag, str) else None
    version = tagged[1] if tagged is not None else read[3]
    return f"Observation/{read[2]}" + (f' W/"{version}"' if version else "")


def _issues(outcome: Mapping[str, object] | None, severities: tuple[str, ...] = ()) -> str:
    """The codes of an OperationOutcome's issues, "" where there are none; `severities` empty: of any."""
    if outcome is None or outcome.get("resourceType") != "OperationOutcome":
        return ""
    codes = [
        str(issue.get("code")) if issue.get("code") in _ISSUE_CODES else "unknown"
        for issue in _objects(outcome.get("issue"))
        if not severities or issue.get("severity") in severities
    ]
    return f" ({', '.join(dict.fromkeys(codes))})" if codes else ""


def _decoded(body: bytes) -> dict[str, object] | None:
    """None: it cannot be read."""
    if len(body) > RESPONSE_MAX_BYTES:
        return None
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _decoded_request(sent: bytes) -> dict[str, object]:
    decoded: dict[str, object] = msgspec.json.decode(sent)
    return decoded


def _object(found: object) -> dict[str, object]:
    return found if isinstance(found, dict) else {}


def _objects(found: object) -> list[dict[str, object]]:
    return [_object(each) for each in found] if isinstance(found, list) else []


def _answered(outcome: Outcome, code: str, reason: str) -> FhirAnswer:
    return FhirAnswer(answer=Answer(outcome=outcome, code=code, reason=reason), versions={})
