"""Transactions to the simulated EMR: what was sent before its answer was lost is found there, and not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web

from adapters.emr.answer import Outcome
from emr_store import acts, deliver
from emr_store.deliver import Accepted, Delivered, Made
from runtime.config import decode
from simulators.emr import Emr, EmrPlan, running_emr
from stream_processors.config import DestinationConfig, ProcessorsConfig
from stream_processors.deliver_fhir import (
    FOUND,
    FhirReceiver,
    basic,
    found_observations,
    is_as_sent,
    known_as,
    sent_observations,
)
from stream_processors.deliver_receiver import AwayError, Outgoing, Reply
from stream_processors.deliver_writing import FhirWriter
from stream_processors.destinations import receiver
from tests.delivering import Said, admit, say, take_all
from tests.storing import NOW_US, Store

TIMEOUT_S = 0.5
Conversation = Callable[[Emr, FhirReceiver], Awaitable[None]]


class House:
    """Writes the transactions of a chart, one after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        admit(store, "V1", "V2")
        with store.open() as conn:
            self.number = deliver.open_destination(conn, "emr", acts.now(conn) - timedelta(days=9))

    def next(self, *versions: Said) -> Outgoing:
        with self.store.open() as conn:
            say(conn, *versions)
            take_all(conn, self.number)
            messages = deliver.next_messages(conn, self.number, (), 1)
            writer = FhirWriter("emr", preliminary=False, identifier_systems={})
            (made,) = writer.write(conn, self.number, messages, NOW_US)
            assert isinstance(made, Made)
            deliver.keep_bodies(conn, [made])
        return Outgoing(
            made.delivery,
            "P1",
            made.control_id,
            made.body,
            0,
            tuple(made.said),
            tuple(made.said_versions),
            resend=False,
        )

    def accepted(self, outgoing: Outgoing, reply: Reply) -> None:
        had = [
            Delivered(each, number, reply.receiver_versions.get(each, ""))
            for each, number in zip(outgoing.said, outgoing.said_versions, strict=True)
        ]
        with self.store.open() as conn:
            deliver.settle(conn, self.number, [Accepted(outgoing.delivery, "200", had)])


def resent(outgoing: Outgoing) -> Outgoing:
    return Outgoing(
        outgoing.delivery, outgoing.patient, outgoing.control_id, outgoing.body, 1, outgoing.said,
        outgoing.said_versions, resend=True,
    )  # fmt: skip


@pytest.fixture
def house(database: str) -> House:
    return House(Store(database))


def talk(conversation: Conversation, faults: str = "") -> None:
    async def both() -> None:
        async with running_emr(EmrPlan(faults=faults)) as emr:
            to_emr = FhirReceiver(emr.fhir_url, tls=None, timeout_s=TIMEOUT_S, meanings={}, headers={})
            await conversation(emr, to_emr)
            await to_emr.close()

    asyncio.run(asyncio.wait_for(both(), 30))


def filed(emr: Emr) -> list[tuple[str, str, int]]:
    """Value, status and version of each row."""
    return [(row.value, row.status, row.version) for row in emr.table.rows()]


def test_a_version_replaces_the_one_before(house: House) -> None:
    async def conversation(emr: Emr, to_emr: FhirReceiver) -> None:
        first = house.next(Said(1, value=97))
        reply = await to_emr.send(first)
        assert reply.answer.outcome is Outcome.ACCEPTED
        assert set(reply.receiver_versions) == {UUID(int=1)}
        house.accepted(first, reply)
        second = house.next(Said(1, 2, "amended", value=79))
        assert b'"ifMatch":"W/' in second.body
        assert (await to_emr.send(second)).answer.outcome is Outcome.ACCEPTED
        assert filed(emr) == [("79", "amended", 2)]

    talk(conversation)


def test_what_was_filed_before_its_answer_was_lost_is_not_sent_again(house: House) -> None:
    async def conversation(emr: Emr, to_emr: FhirReceiver) -> None:
        for outgoing in (house.next(Said(1, value=97)), None):
            sent = outgoing or house.next(Said(1, 2, "amended", value=79))
            await emr.set_faults("lost=1 duplicates")  # it would file a second row, and refuse a second replacement
            with pytest.raises(AwayError) as error:
                await to_emr.send(sent)
            assert error.value.timed_out
            reply = await to_emr.send(resent(sent))
            assert (reply.answer.outcome, reply.answer.reason) == (Outcome.ACCEPTED, FOUND)
            assert set(reply.receiver_versions) == {UUID(int=1)}
            house.accepted(sent, reply)
        assert filed(emr) == [("79", "amended", 2)]

    talk(conversation)


def test_what_never_arrived_is_sent_again(house: House) -> None:
    async def conversation(emr: Emr, to_emr: FhirReceiver) -> None:
        assert (await to_emr.send(resent(house.next(Said(1, value=97))))).answer.outcome is Outcome.ACCEPTED
        assert filed(emr) == [("97", "final", 1)]

    talk(conversation)


@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [("ae=1", Outcome.PARK, "422"), ("ar=1", Outcome.RETRY, "503"), ("error_inside=1", Outcome.PARK, "200"),
     ("other=1", Outcome.PARK, "200")],
)  # fmt: skip
def test_what_each_answer_means(house: House, fault: str, outcome: Outcome, code: str) -> None:
    async def conversation(emr: Emr, to_emr: FhirReceiver) -> None:
        reply = await to_emr.send(house.next(Said(1, value=97)))
        assert (reply.answer.outcome, reply.answer.code) == (outcome, code)
        assert reply.raw

    talk(conversation, fault)


def test_one_that_refuses_connections_is_away(house: House) -> None:
    async def conversation(emr: Emr, to_emr: FhirReceiver) -> None:
        await emr.set_faults("down")
        outgoing = house.next(Said(1, value=97))
        for each in (outgoing, resent(outgoing)):
            with pytest.raises(AwayError, match="refuses connections") as error:
                await to_emr.send(each)
            assert not error.value.timed_out
        await emr.set_faults("none")
        assert (await to_emr.send(outgoing)).answer.outcome is Outcome.ACCEPTED

    talk(conversation)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refuses our token or password"), (404, "is not the base URL"), (307, "sends us elsewhere")],
)
def test_what_a_server_says_to_all_parks_nothing(house: House, status: int, words: str) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"} if status == 307 else {})

    async def both() -> None:
        app = web.Application()
        app.router.add_post("/fhir", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port, *_ = runner.addresses[0]
        for meanings in ({}, {str(status): Outcome.PARK}):
            to_server = FhirReceiver(
                f"http://{host}:{port}/fhir/", tls=None, timeout_s=TIMEOUT_S, meanings=meanings,
                headers={"Authorization": basic("us", "secret")},
            )  # fmt: skip
            if meanings:
                reply = await to_server.send(outgoing)
                assert reply.answer.outcome is Outcome.PARK
            else:
                with pytest.raises(AwayError, match=words):
                    await to_server.send(outgoing)
            await to_server.close()
        await runner.cleanup()

    outgoing = house.next(Said(1, value=97))
    asyncio.run(asyncio.wait_for(both(), 20))
    assert seen == ["Basic dXM6c2VjcmV0"] * 2


def test_what_a_server_has_is_held_against_what_was_sent(house: House) -> None:
    (sent,) = sent_observations(house.next(Said(1, value=97)).body).values()
    assert is_as_sent(sent, {**sent, "id": "7", "subject": {"reference": "Patient/3"}, "meta": {"versionId": "2"}})
    assert not is_as_sent(sent, {**sent, "status": "amended"})
    assert not is_as_sent(sent, {**sent, "valueQuantity": {**sent["valueQuantity"], "value": 79}})
    assert known_as({"id": "7", "meta": {"versionId": "2"}}) == 'Observation/7 W/"2"'
    assert known_as({"id": "7"}) == "Observation/7"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"entry": [{}]}', b'{"entry": 7}', b'{"entry": [{"resource":'
    b' {"resourceType": "Observation"}}]}', b'{"entry": [{"resource": {"resourceType": "Observation", "identifier":'
    b' [{"value": "x"}]}}]}'])  # fmt: skip
def test_a_search_whose_answer_cannot_be_read_finds_nothing(body: bytes) -> None:
    assert found_observations(body) == {}


def test_a_token_is_read_from_its_file(tmp_path: Path, house: House) -> None:
    token = tmp_path / "token"
    token.write_text("abc\n")
    token.chmod(0o600)
    config: DestinationConfig = decode(
        '[[destination]]\nname = "emr"\nprotocol = "fhir"\naddress = "http://127.0.0.1:1"\nsecret_file = "token"\n',
        ProcessorsConfig, "processors.toml", tmp_path,
    ).destination[0]  # fmt: skip
    made = receiver(config)()
    assert isinstance(made, FhirReceiver)
    assert made._headers == {"Authorization": "Bearer abc"}
