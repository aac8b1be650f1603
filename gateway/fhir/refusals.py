"""What is refused, as OperationOutcome. No diagnostics repeat a value that was sent: it may be a patient's number."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

MEDIA_TYPE = "application/fhir+json; charset=utf-8"


class IssueType(StrEnum):
    """http://hl7.org/fhir/issue-type, those that are used here."""

    INVALID = "invalid"
    VALUE = "value"
    REQUIRED = "required"
    NOT_SUPPORTED = "not-supported"
    NOT_FOUND = "not-found"
    DELETED = "deleted"
    TOO_LONG = "too-long"
    TOO_COSTLY = "too-costly"
    TRANSIENT = "transient"
    PROCESSING = "processing"
    LOGIN = "login"
    FORBIDDEN = "forbidden"


class Severity(StrEnum):
    """http://hl7.org/fhir/issue-severity, those that are used here."""

    ERROR = "error"
    WARNING = "warning"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """`parameter`: the search parameter that it is about; "": none."""

    code: IssueType
    diagnostics: str
    parameter: str = ""
    severity: Severity = Severity.ERROR


class RequestError(Exception):
    """A request that is not answered; `status` is HTTP's. `headers`: beside those of every answer."""

    def __init__(
        self, status: int, code: IssueType, diagnostics: str, parameter: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.issue = Issue(code=code, diagnostics=diagnostics, parameter=parameter)
        self.headers = headers or {}


def bad_parameter(parameter: str, why: str, code: IssueType = IssueType.VALUE) -> RequestError:
    """400 with the parameter's name."""
    return RequestError(400, code, f"{parameter}: {why}", parameter)


def outcome(issues: Sequence[Issue]) -> dict[str, Any]:
    """An OperationOutcome (http://hl7.org/fhir/R4/operationoutcome.html)."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    said: dict[str, Any] = {
        "severity": issue.severity.value, "code": issue.code.value, "diagnostics": issue.diagnostics,
    }  # fmt: skip
    if issue.parameter:
        said["expression"] = [f"http.{issue.parameter}"]
    return said


# To whom nobody knows, whatever was wrong with what he showed.
FHIR_REFUSED_BODY = msgspec.json.encode(
    outcome([Issue(code=IssueType.LOGIN, diagnostics="sign in, or ask with a token of /token: docs/machines.md")])
)
