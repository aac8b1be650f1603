"""The API as a program asks it: over HTTP, with the answer's JSON."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.gateway.ward import Page

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def resources(self) -> list[Any]:
        """Of a searchset."""
        return [entry["resource"] for entry in self.json.get("entry", ())]

    @property
    def next(self) -> str | None:
        """The path and query of the next page."""
        links = {link["relation"]: link["url"] for link in self.json["link"]}
        return links["next"].partition("/fhir/")[2] if "next" in links else None

    @property
    def parameter(self) -> str:
        """Of a refusal: what it is about."""
        assert self.json["resourceType"] == "OperationOutcome", self.json
        (issue,) = self.json["issue"]
        return str(issue.get("expression", [""])[0]).removeprefix("http.")


class Api:
    def __init__(self, page: Page) -> None:
        self.cookie, self.port, self.base = page.cookie, page.port, f"{page.url}/fhir"

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        named = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/fhir/{path}" if path else "/fhir", body, named)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def search(self, kind: str, *pairs: tuple[str, str], **parameters: str) -> Answer:
        """Parameters whose names are no Python names, and those that repeat, as pairs."""
        found = self.get(f"{kind}?{urlencode([*pairs, *parameters.items()])}")
        assert found.status == 200, found.body
        return found

    def refused(self, kind: str, *pairs: tuple[str, str], **parameters: str) -> str:
        """The parameter of a 400."""
        found = self.get(f"{kind}?{urlencode([*pairs, *parameters.items()])}")
        assert found.status == 400, (found.status, found.body)
        return found.parameter

    def all_of(self, kind: str, *pairs: tuple[str, str], **parameters: str) -> list[Any]:
        """Over all pages."""
        answer = self.search(kind, *pairs, **parameters)
        found = answer.resources
        while answer.next:
            answer = self.get(answer.next)
            assert answer.status == 200, answer.body
            found += answer.resources
        return found


@contextmanager
def serving(address: str) -> Iterator[Api]:
    """Of the store at this address."""
    page = Page(address)
    page.start()
    try:
        api = Api(page)
        give_up = time.monotonic() + PATIENCE_S
        while not _answers(api):
            assert time.monotonic() < give_up, "the page's server does not begin"
            time.sleep(0.01)
        yield api
    finally:
        page.stop()


def _answers(api: Api) -> bool:
    try:
        return api.get("metadata").status == 200
    except ConnectionRefusedError:
        return False
