import asyncio
from collections.abc import Sequence
from uuid import UUID

import psycopg
import pytest

from emr_store import registry
from emr_store.signed_block import SignedBlock
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from runtime import keys
from runtime.clock import now_us
from schemas.block import ReportFlag
from schemas.report import Lane
from stream_processors import validation_stage
from stream_processors.signed_message import open_message
from stream_processors.stage import Output
from stream_processors.validation_stage import Validator
from tests.making import Key, report, sealed
from tests.storing import Store
from tests.stream_processors.platform import NOWHERE, raw


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> keys.SigningKey:
    return keys.generate(tmp_path_factory.mktemp("key") / "platform.key")


def opened(validator: Validator, outputs: Sequence[Output]) -> list[SignedBlock | DeadLetter]:
    return [open_message(o.value, validator.key.public_der) for o in outputs]


def reasons(validator: Validator, outputs: Sequence[Output]) -> list[str]:
    """ "" for a block, the reason of a dead letter."""
    return [item.reason if isinstance(item, DeadLetter) else "" for item in opened(validator, outputs)]


class Reads:
    """How often the registry was asked, and whether it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.away = 0, False
        opened_store = validation_stage.open_store

        def open_store(conninfo: str) -> psycopg.Connection:
            self.count += 1
            return opened_store(NOWHERE if self.away else conninfo)

        monkeypatch.setattr(validation_stage, "open_store", open_store)


def test_nothing_is_validated_before_the_registry_was_read(store: Store, key: keys.SigningKey) -> None:
    validator = Validator(NOWHERE, key, 5.0)
    with pytest.raises(TimeoutError):  # which the stage takes for a service that is away
        asyncio.run(validator.validate_and_sign(Lane.LIVE, [raw(store.seal(report()))]))


def test_while_the_store_is_away_the_last_registry_holds(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        reads, validator = Reads(monkeypatch), Validator(store.address, key, 5.0)
        assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [raw(store.seal(report()))])) == [""]
        reads.away = True
        await validator.refresh()
        assert reads.count == 2
        assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [raw(store.seal(report()))])) == [""]

    asyncio.run(run())


def test_an_unknown_edge_has_the_registry_read_again_once_a_second(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        reads, validator, stranger = Reads(monkeypatch), Validator(store.address, key, 5.0), Key()
        message = raw(sealed([report()], stranger, edge=b"N" * 16))
        for _ in range(3):  # just read: not stale yet
            assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [message])) == ["unknown-edge"]
        assert reads.count == 1
        monkeypatch.setattr(validation_stage, "UNKNOWN_EDGE_WAIT_S", 0.0)
        assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [message])) == ["unknown-edge"]
        assert reads.count == 2
        with store.open() as conn:
            registry.add_edge(conn, UUID(bytes=b"N" * 16), "new", stranger.public_der)
        assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [message])) == [""]
        assert reads.count == 3
        with store.open() as conn:
            registry.revoke_edge(conn, UUID(bytes=b"N" * 16))
        await validator.refresh()
        assert reasons(validator, await validator.validate_and_sign(Lane.LIVE, [message])) == ["key-not-valid"]

    asyncio.run(run())


def test_blocks_stay_in_their_partitions(store: Store, key: keys.SigningKey) -> None:
    async def run() -> None:
        validator = Validator(store.address, key, 5.0)
        chunk = [raw(store.seal(report()), 2), raw(store.seal(report()), 0), raw(store.seal(report()), 2)]
        outputs = await validator.validate_and_sign(Lane.BACKFILL, chunk)
        blocks = [item for item in opened(validator, outputs) if isinstance(item, SignedBlock)]
        assert [(o.topic, o.partition) for o in outputs] == [("backfill.signed", 2), ("backfill.signed", 0)]
        assert [len(each.headers) for each in blocks] == [2, 1]

    asyncio.run(run())


def test_a_message_that_broke_the_stage_is_a_signed_dead_letter(store: Store, key: keys.SigningKey) -> None:
    async def run() -> None:
        validator, good = Validator(store.address, key, 5.0), store.seal(report())
        await validator.refresh()
        for message, outcome in ((b"odd", None), (good, ReceiptOutcome.QUARANTINED)):
            (letter,) = await validator.dead_letter(Lane.LIVE, raw(message, 3), "validate:KeyError")
            assert (letter.topic, letter.partition) == ("live.signed", 3)
            assert opened(validator, [letter]) == [DeadLetter("validate:KeyError", "live.raw", outcome, message)]

    asyncio.run(run())


def test_when_the_broker_appended_a_batch_goes_with_it(store: Store, key: keys.SigningKey) -> None:
    now = now_us()

    async def run() -> None:
        validator = Validator(store.address, key, 5.0, clock_us=lambda: now)
        chunk = [raw(store.seal(report()), appended_at_us=at_us) for at_us in (now - 7, None, now + 1)]
        (block,) = opened(validator, await validator.validate_and_sign(Lane.LIVE, chunk))
        assert isinstance(block, SignedBlock)
        assert block.block.appended_at_us.tolist() == [now - 7, now, now]

    asyncio.run(run())


def test_an_unknown_edge_in_the_chunk_hides_no_gap(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(validation_stage, "UNKNOWN_EDGE_WAIT_S", 0.0)
        validator, unknown = Validator(store.address, key, 5.0), raw(sealed([report()], Key(), edge=b"N" * 16))
        first, _, third = (store.seal(report()) for _ in range(3))
        await validator.validate_and_sign(Lane.LIVE, [raw(first)])
        validator.sent(Lane.LIVE)
        found = opened(validator, await validator.validate_and_sign(Lane.LIVE, [raw(third), unknown]))
        flags = [item.block.flags for item in found if isinstance(item, SignedBlock)]
        assert int(flags[0][0]) & ReportFlag.GAP

    asyncio.run(run())
