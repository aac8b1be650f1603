"""A program that asks the API with a key of its own, and can also lie."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey

from emr_store import machine_clients
from emr_store.connect import open_store
from gateway.people.machine_routes import ASSERTION_TYPE, FORM
from gateway.people.machines import TOKEN_S
from tests.gateway.fhir.asking import Answer


@dataclass
class Machine:
    """Registered at the store of this address."""

    address: str
    port: int
    name: str = field(default_factory=lambda: f"machine-{uuid4().hex[:8]}")
    scope: str = "system/*.rs"
    wards: tuple[str, ...] = ()
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))

    def __post_init__(self) -> None:
        with open_store(self.address) as conn:
            machine_clients.register(conn, self.name, self.public_der, self.scope.split(), self.wards)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def public_der(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def key(self) -> ECKey:
        return ECKey.import_key(self.private)

    def claims(self, **other: Any) -> dict[str, Any]:
        """As they must be, but for `other`; None leaves one away."""
        now_s = int(time.time())
        said = {
            "iss": self.name, "sub": self.name, "aud": f"{self.origin}/token", "jti": uuid4().hex,
            "iat": now_s, "exp": now_s + TOKEN_S - 10,
        } | other  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def assertion(self, header: dict[str, Any] | None = None, **other: Any) -> str:
        named = {"alg": "ES384", "typ": "JWT", "kid": "k1"} | (header or {})
        named = {name: value for name, value in named.items() if value is not None}
        body = json.dumps(self.claims(**other))
        registry = jws.JWSRegistry(algorithms=["ES384", "ES256"], strict_check_header=False)
        return jws.serialize_compact(named, body, self.key, registry=registry)

    def ask_token(self, assertion: str | None = None, **fields: str) -> Answer:
        form = {
            "grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion() if assertion is None else assertion,
        } | fields  # fmt: skip
        return self.request("POST", "/token", urlencode(form).encode(), {"Content-Type": FORM})

    def token(self, **fields: str) -> str:
        answer = self.ask_token(**fields)
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])

    def get(self, path: str, token: str) -> Answer:
        return self.request("GET", path, None, {"Authorization": f"Bearer {token}"})

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found
