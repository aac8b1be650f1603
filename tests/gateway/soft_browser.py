"""A browser at http://localhost with a security key in software: it keeps cookies, and its pages send what ours do."""

from __future__ import annotations

import http.client
import json
from http.cookies import SimpleCookie
from typing import Any

from gateway.people.cookies import CSRF_HEADER, csrf_token
from gateway.people.sessions import COOKIE
from tests.gateway.authenticator import Lie, SoftKey
from tests.gateway.ward import Page

PATIENCE_S = 20


class SoftBrowser:
    """At one workstation."""

    def __init__(self, page: Page, cookie: str = "") -> None:
        self.page, self.cookies = page, dict([cookie.split("=", 1)] if cookie else [])
        self.origin = f"http://localhost:{page.port}"
        self.honest = Lie(origin=self.origin, rp_id="localhost")

    def get(self, path: str) -> tuple[int, Any]:
        """Status, and JSON where it is JSON."""
        return self._ask("GET", path, b"")

    def post(self, path: str, wish: Any = None, **headers: str) -> tuple[int, Any]:
        """As a page of ours; "" takes a header away."""
        sent = {
            "Origin": self.origin, "Content-Type": "application/json",
            CSRF_HEADER: csrf_token(self.cookies.get(COOKIE, "")),
        } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
        return self._ask("POST", path, json.dumps(wish or {}).encode(), **{k: v for k, v in sent.items() if v})

    def options(self, path: str, wish: Any = None) -> bytes:
        """What a key is asked."""
        status, found = self.post(path, wish)
        assert status == 200, found
        return json.dumps(found).encode()

    def sign_in(self, key: SoftKey, lie: Lie | None = None) -> tuple[int, Any]:
        """By a touch of this key."""
        return self.post(
            "/sign-in/key", {"credential": key.get(self.options("/sign-in/key/begin"), lie or self.honest)}
        )

    def enrol(self, key: SoftKey, label: str = "blue", lie: Lie | None = None) -> tuple[int, Any]:
        """As who is signed in."""
        made = key.create(self.options("/keys/begin"), lie or self.honest)
        return self.post("/keys", {"credential": made, "label": label})

    def enrol_by_link(self, key: SoftKey, link: str) -> tuple[int, Any]:
        """As who has the link."""
        code = link.rpartition("/")[2]
        status, found = self.post("/sign-in/enrol-begin", {"code": code})
        if status != 200:
            return status, found
        made = key.create(json.dumps(found["options"]).encode(), self.honest)
        return self.post("/sign-in/enrol", {"code": code, "credential": made})

    def who(self) -> str:
        """The staff number of who is in; "" for nobody."""
        status, found = self.get("/me")
        return str(found["id"]) if status == 200 else ""

    def _ask(self, method: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=PATIENCE_S)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path, body, {"Host": f"localhost:{self.page.port}", "Cookie": cookie, **headers})
        answer = connection.getresponse()
        found = answer.read()
        for given in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(given).items():
                self.cookies[name] = morsel.value
        connection.close()
        if (answer.headers["Content-Type"] or "").startswith("application/json"):
            return answer.status, json.loads(found)
        return answer.status, answer.headers["Location"] or ""
