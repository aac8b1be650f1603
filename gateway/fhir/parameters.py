"""What can be asked: of which type which search parameters. Routes, parsers and CapabilityStatement are built of it.

Parameters that are stated several times must all hold, of alternatives between commas one (search.html, 3.1.1.4.2).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from gateway.fhir.cursor import CURSOR_CHARS_MAX
from gateway.fhir.refusals import Issue, IssueType, RequestError, Severity, bad_parameter
from gateway.fhir.values import (
    Span,
    Token,
    parse_id,
    parse_reference,
    parse_span,
    parse_token,
    split_or,
    unescape,
)

COUNT_DEFAULT, COUNT_MAX = 50, 1000
REPEATS_MAX = 10  # of one parameter


class ParameterKind(StrEnum):
    """http://hl7.org/fhir/search-param-type, those that are used here."""

    TOKEN = "token"
    REFERENCE = "reference"
    DATE = "date"
    NUMBER = "number"
    STRING = "string"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`targets`: the types that a reference may be to. `is_id`: a token that is an id. `about`: how it is answered."""

    name: str
    kind: ParameterKind
    about: str
    targets: tuple[str, ...] = ()
    is_id: bool = False
    definition: str = ""  # of the SearchParameter, behind http://hl7.org/fhir/SearchParameter/; "": HL7 defines none


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """A type, and what can be done with it. `needs`: of these parameters a search must have one."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    needs: tuple[str, ...]
    has_versions: bool = False
    sorts: tuple[str, ...] = ()
    counts_all: bool = False  # _total and _summary=count are answered

    def parameter(self, name: str) -> Parameter | None:
        """The one of this name."""
        return next((each for each in self.parameters if each.name == name), None)


def _token(name: str, about: str, definition: str, is_id: bool = False) -> Parameter:
    return Parameter(name=name, kind=ParameterKind.TOKEN, about=about, definition=definition, is_id=is_id)


def _reference(name: str, about: str, definition: str, *targets: str) -> Parameter:
    return Parameter(name=name, kind=ParameterKind.REFERENCE, about=about, definition=definition, targets=targets)


def _date(name: str, about: str, definition: str) -> Parameter:
    return Parameter(name=name, kind=ParameterKind.DATE, about=about, definition=definition)


_ID = _token("_id", "The id of the resource.", "Resource-id", is_id=True)
OBSERVATION = ResourceType(
    name="Observation",
    about="Entries of charts, in their newest version. With `_tag=device` instead: values of devices, attributed to the"
    " patient at their moment, that no policy charted.",
    has_versions=True,
    sorts=("date", "-date", "_lastUpdated"),
    counts_all=True,
    needs=("_id", "identifier", "patient", "subject", "encounter", "device", "_lastUpdated"),
    parameters=(
        _ID,
        _token("identifier", "The UUID of an entry, with or without its system.", "clinical-identifier"),
        _reference("patient", "Whose it is, as is known now.", "clinical-patient", "Patient"),
        _reference("subject", "The same as patient.", "Observation-subject", "Patient"),
        _reference("encounter", "Under which encounter it stands.", "clinical-encounter", "Encounter"),
        _reference("device", "Which device measured it.", "Observation-device", "Device"),
        _token("code", "LOINC or MDC of the observation; of a panel its own code.", "clinical-code"),
        _token("combo-code", "The same, or of one of its components.", "Observation-combo-code"),
        _token("category", "vital-signs and others.", "Observation-category"),
        _token("status", "preliminary, final, amended or entered-in-error.", "Observation-status"),
        _date("date", "When it was measured (effective[x]).", "clinical-date"),
        _date("_lastUpdated", "When this version was recorded.", "Resource-lastUpdated"),
        _token("_tag", "`device`: values of devices that no policy charted.", "Resource-tag"),
    ),
)
PATIENT = ResourceType(
    name="Patient",
    about="Patients who have an encounter here, by the number that they are known by now.",
    needs=("_id", "identifier"),
    parameters=(_ID, _token("identifier", "The patient's own number.", "Patient-identifier")),
)
ENCOUNTER = ResourceType(
    name="Encounter",
    about="As is believed now.",
    needs=("_id", "identifier", "patient", "subject", "location"),
    parameters=(
        _ID,
        _token("identifier", "The number of the visit.", "clinical-identifier"),
        _reference("patient", "Whose it is, as is known now.", "clinical-patient", "Patient"),
        _reference("subject", "The same as patient.", "Encounter-subject", "Patient"),
        _token("status", "in-progress, finished and others.", "Encounter-status"),
        _reference("location", "The bed that it is in now.", "Encounter-location", "Location"),
    ),
)
LOCATION = ResourceType(
    name="Location",
    about="Beds, rooms and wards that are in use.",
    needs=(),
    parameters=(
        _ID,
        _token("identifier", "The key of a bed, room or ward.", "Location-identifier"),
        _reference("partof", "In which room or ward it is.", "Location-partof", "Location"),
    ),
)
DEVICE = ResourceType(
    name="Device",
    about="Devices that were heard.",
    needs=(),
    parameters=(_ID, _token("identifier", "The UUID of a device, or what it claims to be.", "Device-identifier")),
)
PROVENANCE = ResourceType(
    name="Provenance",
    about="Of which values an entry's newest version is made, and who stands behind it.",
    needs=("_id", "target"),
    parameters=(_ID, _reference("target", "An Observation.", "Provenance-target", "Observation")),
)
AUDIT_EVENT = ResourceType(
    name="AuditEvent",
    about="Looks: who saw what, from when until when, without a value. For auditors; whoever else asks finds none.",
    needs=("_id", "patient", "agent", "date"),
    parameters=(
        _ID,
        _reference("patient", "At whom somebody looked.", "AuditEvent-patient", "Patient"),
        _reference(
            "agent", "Who looked: the staff number, with or without its type.", "AuditEvent-agent", "Practitioner"
        ),
        _date("date", "When the look began (recorded).", "AuditEvent-date"),
    ),
)
TYPES: dict[str, ResourceType] = {
    each.name: each for each in (OBSERVATION, PATIENT, ENCOUNTER, LOCATION, DEVICE, PROVENANCE, AUDIT_EVENT)
}

Value = Token | Span | str  # a token, a date, the id of a reference


@dataclass(frozen=True)
class Search:
    """What is asked: of each parameter what must hold, each with its alternatives. `warnings`: what was ignored."""

    type: ResourceType
    asked: Mapping[str, Sequence[Sequence[Value]]]
    count: int = COUNT_DEFAULT
    sort: str = ""
    total: bool = False
    count_only: bool = False
    cursor: str = ""
    said: tuple[tuple[str, str], ...] = ()  # what goes into links: without the cursor
    warnings: tuple[Issue, ...] = field(default=())

    @property
    def digest(self) -> bytes:
        """Which search it is, whatever its page and the order of its parameters."""
        listed = sorted(pair for pair in self.said if pair[0] not in ("_count", "_total", "_format"))
        return sha256(repr((self.type.name, listed)).encode()).digest()

    def tokens(self, name: str) -> list[list[Token]]:
        """Of a parameter of tokens."""
        return [[each for each in group if isinstance(each, Token)] for group in self.asked.get(name, ())]

    def ids(self, *names: str) -> set[str] | None:
        """The ids that these parameters leave; None: they are not asked for."""
        left: set[str] | None = None
        for name in names:
            for group in self.asked.get(name, ()):
                stated = {each if isinstance(each, str) else each.code for each in group if not isinstance(each, Span)}
                left = stated if left is None else left & stated
        return left

    def span(self, name: str) -> Span:
        """What all dates of this parameter have in common."""
        whole = Span()
        for group in self.asked.get(name, ()):
            for each in group:
                if isinstance(each, Span):
                    whole = whole.cut(each)
        return whole


# --- parsing ---------------------------------------------------------------------------------------------------------


def parse_search(kind: ResourceType, pairs: Iterable[tuple[str, str]], base: str, lenient: bool = False) -> Search:
    """Raises RequestError with the parameter's name. `lenient`: what is not known is ignored, with a warning."""
    stated: dict[str, list[str]] = defaultdict(list)
    for name, text in pairs:
        stated[name].append(text)
    asked: dict[str, list[list[Value]]] = {}
    results: dict[str, str] = {}
    warnings: list[Issue] = []
    for name, texts in stated.items():
        if len(texts) > REPEATS_MAX:
            raise bad_parameter(_name(name), f"stated {len(texts)} times, at most {REPEATS_MAX} are possible")
        if name in _RESULT_PARAMETERS:
            results[name] = _once(name, texts)
            continue
        parameter, targets = _known(kind, name)
        if parameter is None:
            if not lenient:
                raise bad_parameter(_name(name), _unknown(kind, name), IssueType.NOT_SUPPORTED)
            warnings.append(_ignored(name))
            continue
        asked.setdefault(parameter.name, []).extend(_parsed(name, parameter, text, targets, base) for text in texts)
    if kind.needs and not asked.keys() & set(kind.needs):
        named = ", ".join(kind.needs)
        raise RequestError(400, IssueType.REQUIRED, f"a search of {kind.name} needs one of {named}", kind.needs[-1])
    known = {*asked, *results}
    said = tuple(
        (n, t) for n, texts in stated.items() for t in texts if n.partition(":")[0] in known and n != "_cursor"
    )
    return Search(
        kind, asked, said=said, warnings=tuple(warnings), cursor=_cursor(results), count=_count(results),
        sort=_sort(kind, results), total=_total(kind, results), count_only=_count_only(kind, results),
    )  # fmt: skip


_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,40}", re.ASCII)
_RESULT_PARAMETERS = frozenset({"_count", "_sort", "_total", "_summary", "_format", "_cursor"})


def _name(name: str) -> str:
    """A name as it is repeated: nothing that is none, however it came here."""
    return name if _NAME.fullmatch(name) else "?"


def _unknown(kind: ResourceType, name: str) -> str:
    plain, colon, _ = name.partition(":")
    if colon and kind.parameter(plain):
        return "this modifier is not supported"
    return f"{kind.name} has no such search parameter here: /fhir/metadata lists those that it has"


def _ignored(name: str) -> Issue:
    return Issue(
        code=IssueType.NOT_SUPPORTED,
        diagnostics=f"{_name(name)}: ignored, as was asked for by Prefer: handling=lenient",
        parameter=_name(name),
        severity=Severity.WARNING,
    )


def _known(kind: ResourceType, name: str) -> tuple[Parameter | None, tuple[str, ...]]:
    """With the types that its references may be to; `subject:Patient` says one of them."""
    plain, colon, modifier = name.partition(":")
    parameter = kind.parameter(plain)
    if parameter is None or not colon:
        return parameter, parameter.targets if parameter else ()
    return (parameter, (modifier,)) if modifier in parameter.targets else (None, ())


def _parsed(name: str, parameter: Parameter, text: str, targets: tuple[str, ...], base: str) -> list[Value]:
    try:
        alternatives = split_or(text)
        match parameter.kind:
            case ParameterKind.DATE:
                if len(alternatives) > 1:
                    raise ValueError("several dates between commas are not supported: repeat the parameter for a range")
                return [parse_span(text)]
            case ParameterKind.REFERENCE:
                return [parse_reference(unescape(each), targets, base) for each in alternatives]
        if parameter.is_id:
            return [parse_id(each) for each in alternatives]
        return [parse_token(each) for each in alternatives]
    except ValueError as error:
        raise bad_parameter(_name(name), str(error)) from None


def _once(name: str, texts: list[str]) -> str:
    if len(texts) != 1:
        raise bad_parameter(name, "is stated once")
    return texts[0]


def _cursor(results: dict[str, str]) -> str:
    cursor = results.get("_cursor", "")
    if "_cursor" in results and not 0 < len(cursor) <= CURSOR_CHARS_MAX:
        raise bad_parameter("_cursor", "it is no cursor of this search: follow the link `next` as it is")
    return cursor


def _count(results: dict[str, str]) -> int:
    text = results.get("_count")
    if text is None:
        return COUNT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise bad_parameter("_count", f"a number from 0 to {COUNT_MAX}; more is answered with {COUNT_MAX}")
    return min(int(text), COUNT_MAX)


def _sort(kind: ResourceType, results: dict[str, str]) -> str:
    text = results.get("_sort")
    if text is None:
        return ""
    if text not in kind.sorts:
        possible = f"one of {', '.join(kind.sorts)}" if kind.sorts else f"{kind.name} is not sorted here"
        raise bad_parameter("_sort", possible, IssueType.NOT_SUPPORTED)
    return text


def _total(kind: ResourceType, results: dict[str, str]) -> bool:
    text = results.get("_total")
    if text in (None, "none"):
        return False
    if text not in ("accurate", "estimate"):
        raise bad_parameter("_total", "one of none, estimate, accurate")
    if not kind.counts_all:
        raise bad_parameter("_total", f"{kind.name} is not counted here", IssueType.NOT_SUPPORTED)
    return True


def _count_only(kind: ResourceType, results: dict[str, str]) -> bool:
    """`_summary=count`, and `_count=0`, which means the same (3.1.1.5.3)."""
    text = results.get("_summary")
    if text not in (None, "false", "count") or (text == "count" and not kind.counts_all):
        possible = "false or count" if kind.counts_all else "false"
        raise bad_parameter("_summary", f"{possible} alone is supported", IssueType.NOT_SUPPORTED)
    if text == "count":
        return True
    if results.get("_count", "").strip("0") == "" and results.get("_count"):
        if not kind.counts_all:
            raise bad_parameter("_count", f"0 asks for the number, and {kind.name} is not counted here")
        return True
    return False
