"""Transactions to a FHIR server over HTTP (FHIR R4, http.html#transaction).

Before a transaction is sent a second time, because its answer was lost, the server is asked by identifier whether it
has what was sent: servers have filed what is to be created "if none exists" twice, and refuse a replacement (`ifMatch`)
that they have made already.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aiohttp
import msgspec
from yarl import URL

from adapters.emr import fhir_codes
from adapters.emr.answer import Answer, Outcome
from adapters.emr.fhir_transaction import RESPONSE_MAX_BYTES, read_transaction_response
from stream_processors.deliver_receiver import ANSWER_BYTES_MAX, AwayError, Outgoing, Reply

JSON = "application/fhir+json"
FOUND = "found there, as it was sent before its answer was lost"
_COMPARED = ("status", "issued", "effectiveDateTime", "dataAbsentReason", "component")
# Of the server as a whole, whatever is sent to it: nothing is parked for it.
_UNUSABLE = {401: "it refuses our token or password", 404: "its address is not the base URL of a FHIR server",
             405: "its address is not the base URL of a FHIR server"}  # fmt: skip


class FhirReceiver:
    """A connection to a FHIR server."""

    def __init__(
        self, url: str, *, tls: ssl.SSLContext | None, timeout_s: float, meanings: Mapping[str, Outcome],
        headers: Mapping[str, str],
    ) -> None:  # fmt: skip
        """`headers`: those that authorise us."""
        self._url, self._tls, self._timeout_s = url.rstrip("/"), tls, timeout_s
        self._meanings, self._headers = meanings, dict(headers)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, outgoing: Outgoing) -> Reply:
        """Raises AwayError."""
        try:
            if outgoing.resend and (found := await self._found(outgoing)):
                answer = Answer(outcome=Outcome.ACCEPTED, code="200", reason=FOUND)
                return Reply(answer, b"", found)
            status, body = await self._post(outgoing.body)
        except TimeoutError:
            await self.close()
            raise AwayError(f"no answer within {self._timeout_s:g} s", timed_out=True) from None
        except aiohttp.ClientConnectorCertificateError:
            raise AwayError("its certificate cannot be trusted") from None
        except aiohttp.ClientConnectorError as error:
            raise AwayError("it refuses connections" if error.errno else "it cannot be reached") from None
        except aiohttp.ClientPayloadError:
            await self.close()
            raise AwayError("it broke off its answer", timed_out=True) from None
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise AwayError(f"it broke the connection ({type(error).__name__})", timed_out=True) from None
        return self._read(outgoing, status, body)

    async def close(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _read(self, outgoing: Outgoing, status: int, body: bytes) -> Reply:
        known = self._meanings.get(str(status))
        if known is None and (status in _UNUSABLE or 300 <= status < 400):
            raise AwayError(f"HTTP {status}: {_UNUSABLE.get(status, 'it sends us elsewhere: write that address')}")
        found = read_transaction_response(status, body, outgoing.body)
        answer = found.answer
        if known is not None and status // 100 != 2:
            answer = Answer(outcome=known, code=answer.code, reason=answer.reason)
        versions = {UUID(each): version for each, version in found.versions.items()}
        return Reply(answer, body[:ANSWER_BYTES_MAX], versions)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        url, headers = URL(self._url, encoded=True), {"Content-Type": JSON}
        # A redirection would take names and our token to an address that nobody configured.
        async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status, await _all(response)

    async def _found(self, outgoing: Outgoing) -> dict[UUID, str]:
        """What the server has of this transaction, where it has all of it as it was sent; else nothing."""
        sent = sent_observations(outgoing.body)
        asked = ",".join(f"{quote(fhir_codes.ENTRY, safe='')}%7C{each}" for each in sent)
        url = URL(f"{self._url}/Observation?identifier={asked}", encoded=True)
        async with self._open().get(url, allow_redirects=False) as response:
            body = await _all(response)
            if response.status != 200:
                return {}
        there = found_observations(body)
        versions: dict[UUID, str] = {}
        for each, resource in sent.items():
            found = there.get(each)
            if found is None or not is_as_sent(resource, found):
                return {}
            versions[UUID(each)] = known_as(found)
        return versions

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1, ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={"Accept": JSON, **self._headers},
                raise_for_status=False,
                auto_decompress=False,
            )
        return self._session


async def _all(response: aiohttp.ClientResponse) -> bytes:
    """Its body, as far as it is read."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > RESPONSE_MAX_BYTES:
            break
    return b"".join(chunks)


def basic(user: str, password: str) -> str:
    """The header Authorization of a name and a password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


# --- what the server has ---------------------------------------------------------------------------------------------


def sent_observations(bundle: bytes) -> dict[str, dict[str, Any]]:
    """The observations of a transaction of ours, by our ids."""
    resources = [entry["resource"] for entry in msgspec.json.decode(bundle)["entry"]]
    return {_our_id(each): each for each in resources if each["resourceType"] == "Observation"}


def found_observations(body: bytes) -> dict[str, dict[str, Any]]:
    """The observations of a searchset, by our ids; of one that is there twice, or cannot be read, nothing."""
    try:
        entries = msgspec.json.decode(body)["entry"]
        resources = [each["resource"] for each in entries if each["resource"]["resourceType"] == "Observation"]
        ids = [_our_id(each) for each in resources]
    except (msgspec.DecodeError, LookupError, TypeError, StopIteration, UnicodeDecodeError, RecursionError):
        return {}
    return {each: resource for each, resource in zip(ids, resources, strict=True) if ids.count(each) == 1}


def is_as_sent(sent: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether a server's observation says what was sent. References are its own."""
    names = [*_COMPARED, *(name for name in {*sent, *found} if name.startswith("value"))]
    return all(sent.get(name) == found.get(name) for name in names)


def known_as(found: Mapping[str, Any]) -> str:
    """As `FhirAnswer.versions` says it: Observation/<the server's id> W/"<its version>"."""
    version = found.get("meta", {}).get("versionId")
    return f"Observation/{found['id']}" + (f' W/"{version}"' if version else "")


def _our_id(resource: Mapping[str, Any]) -> str:
    identifiers: Sequence[Mapping[str, Any]] = resource["identifier"]
    return next(str(each["value"]) for each in identifiers if each.get("system") == fhir_codes.ENTRY)
