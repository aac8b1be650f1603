"""F37: what is no token of ours opens nothing, whatever it says of itself; and what a token opens."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from structlog.testing import capture_logs

from emr_store import machine_clients
from emr_store.connect import open_store
from gateway.fhir.refusals import FHIR_REFUSED_BODY
from gateway.looks import Looks
from gateway.people.attempts import SignInAttempts
from gateway.people.machine_routes import ASSERTION_TYPE, CONFIGURATION, TOKEN, machine_routes
from gateway.people.machines import REFRESH_S, ClientRefusedError, Machines, token_key
from gateway.people.public_origin import PublicOrigin
from tests.gateway.chart_ward import ENCOUNTER, ChartWard
from tests.gateway.fhir.asking import Api
from tests.gateway.people.machine import Machine

SEARCH = "/fhir/Observation?_lastUpdated=gt2020-01-01&_count=1"


def encoded(part: bytes | dict[str, Any]) -> str:
    body = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(body).decode().rstrip("=")


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return tuple(json.loads(urlsafe_b64decode(each + "==")) for each in (header, claims))  # type: ignore[return-value]


def hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    body = f"{encoded(header)}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.digest(secret, body.encode(), 'sha256'))}"


def forget_tries(machine: Machine) -> None:
    """As after a quarter of an hour: who failed waits no longer."""
    with open_store(machine.address) as conn:
        conn.execute("DELETE FROM sign_in_attempt")


def pem_of(public_der: bytes) -> bytes:
    return load_der_public_key(public_der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_machine_reads_what_its_scopes_open_and_each_answer_is_a_look(machine: Machine, day: ChartWard) -> None:
    token = machine.token(scope="system/Observation.rs")
    found = machine.get(SEARCH, token)
    assert (found.status, len(found.resources)) == (200, 1)
    refused = machine.get("/fhir/Patient?identifier=1", token)
    assert refused.status == 403
    assert 'error="insufficient_scope", scope="system/Patient.s"' in refused.headers["www-authenticate"]
    assert machine.get("/emr/vital-signs", token).status == 403
    assert machine.get("/emr/vital-signs", machine.token()).status == 200
    rows = day.store.rows(
        "SELECT role, page, relation, encounters, detail FROM look WHERE person = %s ORDER BY from_at LIMIT 1",
        f"client:{machine.name}",
    )
    assert rows == [("machine", "fhir", "none", [ENCOUNTER], "Observation?_lastUpdated&_count")]


def test_a_token_opens_the_api_alone(machine: Machine) -> None:
    token = machine.token()
    for path in ("/worklist/items", "/delivery-list/parked", "/events"):
        assert machine.get(path, token).status == 401, path


def test_a_machine_of_another_ward_finds_nothing(day: ChartWard, api: Api) -> None:
    machine = Machine(day.store.address, api.port)
    with open_store(day.store.address) as conn:
        conn.execute("UPDATE machine_client SET wards = '{h^er}' WHERE client = %s", (machine.name,))
    assert machine.get(SEARCH, machine.token()).resources == []
    with open_store(day.store.address) as conn:
        conn.execute("UPDATE machine_client SET wards = '{h^icu}' WHERE client = %s", (machine.name,))
    time.sleep(REFRESH_S)
    assert len(machine.get(SEARCH, machine.token()).resources) == 1


def test_what_is_no_access_token_of_ours_gets_one_body(machine: Machine, day: ChartWard, api: Api) -> None:
    """By a gateway whose key the test has, else nobody could sign what is wrong in one thing alone."""
    key, address = token_key(None), day.store.address
    machines = Machines(address, address, Looks(address), key)
    good = machines.grant(machine.assertion(), "", machine.origin).token
    assert machines.asking(good, machine.origin, "") is not None
    header, claims = parts(good)
    other, now_s = token_key(None), int(time.time())
    jwk = ECKey.import_key(load_der_public_key(other.public_der)).as_dict(private=False)

    def by(signer: Any, more: dict[str, Any], **changed: Any) -> str:
        said = {name: value for name, value in (claims | changed).items() if value is not None}
        body = f"{encoded(header | more)}.{encoded(said)}"
        return f"{body}.{encoded(signer.sign(body.encode()))}"

    assert machines.asking(by(key, {}), machine.origin, "") is not None
    bad = {
        "none": f"{encoded(header | {'alg': 'none'})}.{encoded(claims)}.",
        "None": f"{encoded(header | {'alg': 'nOnE'})}.{encoded(claims)}.",
        "no signature": good.rpartition(".")[0] + ".",
        "HS256 with the public key as PEM": hs256(header | {"alg": "HS256"}, claims, pem_of(key.public_der)),
        "HS256 with the public key as DER": hs256(header | {"alg": "HS256"}, claims, key.public_der),
        "ES384 in the header": by(key, {"alg": "ES384"}),
        "another key": by(other, {}),
        "another kid": by(other, {"kid": other.key_id.hex()}),
        "kid of a file": by(other, {"kid": "../../../dev/null"}),
        "kid of SQL": by(other, {"kid": "' OR 1=1 --"}),
        "jwk": by(other, {"jwk": jwk}),
        "jku": by(other, {"jku": "http://127.0.0.1:1/keys"}),
        "x5u": by(other, {"x5u": "http://127.0.0.1:1/chain"}),
        "x5c": by(other, {"x5c": ["MA=="]}),
        "jku with our key": by(key, {"jku": "http://127.0.0.1:1/keys"}),
        "crit": by(key, {"crit": ["b64"], "b64": False}),
        "over": by(key, {}, exp=now_s - 1),
        "without exp": by(key, {}, exp=None),
        "not yet": by(key, {}, nbf=now_s + 600),
        "without nbf": by(key, {}, nbf=None),
        "exp as text": by(key, {}, exp=str(now_s + 100)),
        "another audience": by(key, {}, aud="https://elsewhere.example"),
        "another issuer": by(key, {}, iss="https://elsewhere.example"),
        "typ of an ID token": by(key, {"typ": "JWT"}),
        "no typ": by(key, {"typ": ""}),
        "nobody": by(key, {}, sub="nobody"),
        "sub is no text": by(key, {}, sub=7),
        "no scope": by(key, {}, scope=""),
        "its assertion": machine.assertion(),
        "no claims": f"{encoded(header)}.{encoded(b'[]')}.{encoded(bytes(64))}",
        "nothing": "",
        "not ASCII": "ä.ö.ü",
        "long": "a" * 9000,
    }
    for what, token in bad.items():
        assert machines.asking(token, machine.origin, "") is None, what
        if token.isascii():  # over HTTP: where the key is another one anyway
            answer = machine.get(SEARCH, token)
            assert (answer.status, answer.body) == (401, FHIR_REFUSED_BODY), what
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_what_is_no_assertion_gets_one_body(machine: Machine) -> None:
    another = Machine(machine.address, machine.port)
    replayed = machine.assertion()
    assert machine.ask_token(replayed).status == 200
    public_jwk = another.key.as_dict(private=False)
    header = {"alg": "ES384", "typ": "JWT"}
    bad = {
        "replayed": replayed,
        "none": f"{encoded(header | {'alg': 'none'})}.{encoded(machine.claims())}.",
        "HS256": hs256(header | {"alg": "HS256"}, machine.claims(), pem_of(machine.public_der)),
        "another's key": another.assertion(iss=machine.name, sub=machine.name),
        "another's key by jwk": another.assertion({"jwk": public_jwk}, iss=machine.name, sub=machine.name),
        "another's key by jku": another.assertion({"jku": f"{machine.origin}/k"}, iss=machine.name, sub=machine.name),
        "another's key by x5u": another.assertion({"x5u": f"{machine.origin}/k"}, iss=machine.name, sub=machine.name),
        "another's key by kid": another.assertion({"kid": machine.name}, iss=machine.name, sub=machine.name),
        "jku with its own key": machine.assertion({"jku": f"{machine.origin}/k"}),
        "sub of another": machine.assertion(sub=another.name),
        "nobody": machine.assertion(iss="nobody", sub="nobody"),
        "aud": machine.assertion(aud="https://elsewhere.example/token"),
        "no aud": machine.assertion(aud=None),
        "aud without /token": machine.assertion(aud=machine.origin),
        "typ": machine.assertion({"typ": "at+jwt"}),
        "no typ": machine.assertion({"typ": None}),
        "no jti": machine.assertion(jti=None),
        "no exp": machine.assertion(exp=None),
        "exp as text": machine.assertion(exp="soon"),
        "an access token": machine.token(),
        "no JWT": "x",
    }  # fmt: skip
    bodies = set()
    for what, assertion in bad.items():
        forget_tries(machine)
        answer = machine.ask_token(assertion)
        assert answer.status == 401, (what, answer.body)
        assert answer.json["error"] == "invalid_client", what
        bodies.add(answer.body)
    assert len(bodies) == 1


def test_a_clock_that_is_off_is_said(machine: Machine) -> None:
    now_s = int(time.time())
    with capture_logs() as logged:
        assert machine.ask_token(machine.assertion(iat=now_s + 20, exp=now_s + 315)).status == 200
    (said,) = [each for each in logged if each["event"] == "the clock of a client differs"]
    assert (said["client"], said["ahead_s"] in (19, 20)) == (machine.name, True)
    for off in ({"iat": now_s - 900, "exp": now_s - 600}, {"iat": now_s + 900, "exp": now_s + 1200},
                {"nbf": now_s + 200}, {"iat": now_s, "exp": now_s + 3600}):  # fmt: skip
        forget_tries(machine)
        answer = machine.ask_token(machine.assertion(**off))
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        assert "set both clocks by NTP" in answer.json["error_description"]


def test_who_is_revoked_asks_no_longer(machine: Machine) -> None:
    token = machine.token()
    assert machine.get(SEARCH, token).status == 200
    with open_store(machine.address) as conn:
        machine_clients.revoke(conn, machine.name)
    time.sleep(REFRESH_S)
    answer = machine.get(SEARCH, token)
    assert (answer.status, answer.body) == (401, FHIR_REFUSED_BODY)
    assert machine.ask_token().json["error"] == "invalid_client"
    kinds = {kind for (kind,) in open_store(machine.address).execute("SELECT kind FROM act WHERE kind LIKE 'client.%'")}
    assert kinds == {"client.register", "client.revoke"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"scope": "system/Observation.cud"}, "invalid_scope"),
        ({"scope": "user/Observation.rs"}, "invalid_scope"),
        ({"scope": "system/Patient.rs"}, "invalid_scope"),
    ],
)
def test_bad_requests_say_what_is_wrong(day: ChartWard, api: Api, fields: dict[str, str], error: str) -> None:
    machine = Machine(day.store.address, api.port, scope="system/Observation.rs")
    answer = machine.ask_token(**fields)
    assert (answer.status, answer.json["error"], answer.headers["cache-control"]) == (400, error, "no-store")


def test_where_the_token_is_got_is_public(machine: Machine) -> None:
    for path in ("/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration"):
        found = machine.request("GET", path, None, {}).json
        assert found["token_endpoint"] == f"{machine.origin}/token"
        assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    stated = machine.request("GET", "/fhir/metadata", None, {}).json["rest"][0]["security"]["service"][0]["coding"]
    assert [each["code"] for each in stated] == ["SMART-on-FHIR"]


def test_tokens_of_one_process_are_none_of_another(machine: Machine) -> None:
    address = machine.address
    first, second = (Machines(address, address, Looks(address), token_key(None)) for _ in range(2))
    token = first.grant(machine.assertion(), "", machine.origin).token
    assert first.asking(token, machine.origin, "") is not None
    assert second.asking(token, machine.origin, "") is None
    with pytest.raises(ClientRefusedError):
        first.grant(machine.assertion(), "", "http://localhost:1")


def test_tokens_are_of_the_public_origin_whatever_name_was_asked(machine: Machine, tmp_path: Any) -> None:
    """And outlive a restart, by the key's file."""
    origin, path = "https://icu.example", tmp_path / "token.key"

    def started() -> Machines:
        return Machines(machine.address, machine.address, Looks(machine.address), token_key(path))

    async def asked() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        attempts = SignInAttempts(machine.address)
        app = Starlette(routes=machine_routes(started(), PublicOrigin(origin), attempts))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://10.0.0.7:8420") as client:
            form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}
            ours = machine.assertion(aud=f"{origin}/token")
            other = machine.assertion(aud="http://10.0.0.7:8420/token")
            return (
                await client.get(CONFIGURATION),
                await client.post(TOKEN, data=form | {"client_assertion": ours}),
                await client.post(TOKEN, data=form | {"client_assertion": other}),
            )

    configuration, granted, refused = asyncio.run(asked())
    assert configuration.json()["token_endpoint"] == f"{origin}/token"
    assert (granted.status_code, refused.status_code) == (200, 401)
    token = granted.json()["access_token"]
    assert (parts(token)[1]["iss"], parts(token)[1]["aud"]) == (origin, origin)
    assert started().asking(token, origin, "") is not None


def test_a_key_file_is_made_once(tmp_path: Any) -> None:
    first = token_key(tmp_path / "token.key")
    assert token_key(tmp_path / "token.key").key_id == first.key_id
    assert (tmp_path / "token.key").stat().st_mode & 0o077 == 0
