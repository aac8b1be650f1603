"""The publisher before a real (embedded) broker: what the hospital has no receipt for comes again, the same bytes."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException

from edge_agent import resend
from edge_agent.events import event
from edge_agent.publisher.sender import IN_FLIGHT_BYTES_MAX
from evidence.checkpoint import Checkpoint, log_origin, sign_checkpoint
from runtime.clock import now_us
from schemas import topics
from schemas.errors import VitalwireError
from schemas.report import Kind, Lane
from tests.edge_agent.publisher.bench import EDGE, PLATFORM, Bench, put, put_batches, until
from tests.making import Key, report


def test_a_report_reaches_the_hospital_and_its_receipt_releases_it(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 3)
    put(spool, report(at_us=now_us() - 60_000_000))
    until(lambda: publisher.counts["released"] == 4, "receipts")
    assert hospital.numbers() == [1, 2, 3]
    assert hospital.numbers(Lane.BACKFILL) == [1]
    assert (spool.figures.open_batches, spool.figures.reports) == (0, 0)
    assert spool.figures.held_bytes == sum(len(sealed) for _, _, sealed in hospital.came)
    assert publisher.counts["sent"] == 4
    assert publisher.alive


def test_while_no_broker_or_no_topic_is_there_nothing_is_cut(bench: Bench) -> None:
    spool, publisher = bench.edge()
    put(spool)
    bench.broker.start(with_topics=False)
    until(lambda: publisher.broker, "the broker is reached")
    time.sleep(0.2)  # some ticks: longer than a report waits
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 0)
    bench.broker.create_topics()
    hospital = bench.hospital()
    until(lambda: publisher.counts["released"], "receipt")
    assert hospital.numbers() == [1]
    bench.broker.kill()
    until(lambda: publisher.broker is None, "the broker is missed")
    put(spool)
    time.sleep(0.2)
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 0)
    assert bench.events == ["broker-reached", "broker-lost"]
    start = time.monotonic()
    publisher.stop()
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("cluster_id", ["", "the-same"])
def test_from_a_broker_that_comes_back_empty_all_without_a_receipt_comes_again(bench: Bench, cluster_id: str) -> None:
    """By the cluster's id, or where that is the same, because it had gone."""
    bench.broker.start(cluster_id)
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 2, "receipts")
    hospital.answers = False
    put_batches(spool, 3)
    until(lambda: len(hospital.came) == 5, "all have come")
    before = {number: sealed for _, number, sealed in hospital.came}
    hospital.stop()
    bench.broker.kill()
    until(lambda: publisher.broker is None, "the broker is missed")
    bench.broker.start(cluster_id)
    hospital = bench.hospital()
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 6, "receipts")
    assert spool.figures.open_batches == 0
    assert set(hospital.numbers()) == {3, 4, 5, 6}
    assert all(sealed == before.get(number, sealed) for _, number, sealed in hospital.came)
    assert publisher.counts["rebuilt"] >= 1


def test_killed_after_the_brokers_word_it_sends_the_same_bytes_again(bench: Bench, tmp_path: Path) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 2)
    until(lambda: len(hospital.came) == 2, "both have come")
    shutil.copytree(tmp_path / "spool", tmp_path / "after-the-kill")
    publisher.stop()
    hospital.answers = True
    again, publisher = bench.edge("after-the-kill")
    until(lambda: publisher.counts["released"] == 2, "receipts")
    assert hospital.numbers() == [1, 2, 2, 1]
    assert sorted(hospital.came[:2]) == sorted(hospital.came[2:])
    assert again.spool_id == spool.spool_id


def test_a_batch_that_was_overtaken_is_sent_again_by_backfill(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "OVERTAKEN_S", 0.3)
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.silent_for = {1}
    put_batches(spool, 1)
    until(lambda: hospital.came, "the first has come")
    hospital.silent_for = set()
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 3, "receipts")
    assert hospital.copies() == {1: 2, 2: 1, 3: 1}
    assert hospital.by_backfill == [1]
    assert publisher.counts["resent"] == 1


def test_receipts_of_others_release_nothing_and_are_counted(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 1)
    until(lambda: hospital.came, "it has come")
    sealed = hospital.came[0][2]
    hospital.answer(sealed, key=Key())
    hospital.answer(sealed, edge=b"F" * 16)
    hospital._producer.produce(topics.RECEIPTS, b"rubbish", EDGE, topics.receipt_partition(EDGE))
    until(lambda: publisher.counts["receipt signature"] and publisher.counts["receipt magic"], "both are read")
    assert not publisher.counts["receipt stored"]
    assert spool.figures.open_batches == 1
    hospital.answer(sealed)
    until(lambda: spool.figures.open_batches == 0, "receipt")


@pytest.mark.parametrize("error", [BufferError("full"), KafkaException(KafkaError(KafkaError._FATAL))])
def test_a_client_that_takes_nothing_is_built_anew(bench: Bench, error: Exception) -> None:
    """A producer in its fatal state raises for ever, and tells it only to who polls."""

    class Broken:
        def produce(self, *_: object, **__: object) -> None:
            raise error

        def __getattr__(self, name: str) -> Callable[..., object]:
            return lambda *_, **__: 0

    bench.broker.start()
    _, (spool, publisher) = bench.hospital(), bench.edge()
    until(lambda: publisher.broker, "the broker is reached")
    publisher._sender._producer = Broken()  # type: ignore[assignment]
    put(spool)
    until(lambda: publisher.counts["released"] == 1, "receipt")
    assert publisher.counts["rebuilt"] == 1


def test_after_the_store_was_restored_all_that_is_held_comes_again(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 3)
    until(lambda: publisher.counts["released"] == 3, "receipts")
    hospital.store = b"B" * 16
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 7, "receipts of the new store")
    assert hospital.copies() == {1: 2, 2: 2, 3: 2, 4: 1}
    assert hospital.by_backfill == [3, 2, 1]  # what was lost, was lost last
    assert "store-changed" in bench.events


def test_new_batches_do_not_wait_for_all_that_a_restored_store_wants_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers what is sent again: its budget is used up, and what is cut comes and is released all the same."""
    monkeypatch.setattr(resend, "RESEND_BYTES_MAX", 3_000)
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 20)
    until(lambda: publisher.counts["released"] == 20, "receipts")
    sealed_bytes = {number: len(sealed) for _, number, sealed in hospital.came}
    hospital.silent_for = set(range(1, 21))
    hospital.store = b"B" * 16
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 21, "the new store's receipt")
    until(lambda: hospital.by_backfill, "some of the old ones have come")
    for number in range(22, 32):
        put_batches(spool, 1)
        until(lambda number=number: number in hospital.copies(), "a new one has come")  # type: ignore[misc]
    until(lambda: publisher.counts["released"] == 31, "receipts of new ones")
    before = list(hospital.by_backfill)
    assert before == list(range(20, 20 - len(before), -1))
    assert sum(sealed_bytes[number] for number in before[:-1]) < 3_000
    hospital.silent_for = set()
    for _, number, sealed in hospital.came[:]:
        if number in before:
            hospital.answer(sealed)
    until(lambda: publisher.counts["released"] >= 51, "all is released")
    until(lambda: spool.unreceipted(Lane.LIVE, 0, 1) == [], "nothing is wanted any more")
    assert set(hospital.by_backfill) == set(range(1, 21))


def test_what_the_hospital_refuses_is_kept_said_and_no_more_is_sealed_with_that_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 1, "receipt")
    hospital.refuses = "expired-key"
    put_batches(spool, 1)
    until(lambda: publisher.refusal, "it is refused")
    until(lambda: publisher.refused_batches == 1, "it is counted")
    assert publisher.refusal == "expired-key"
    assert bench.events[-1] == "batches-refused"
    put(spool)
    time.sleep(0.3)  # some ticks: longer than a report waits
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 1)
    assert hospital.copies() == {1: 1, 2: 1}
    # The next start, with a key that is registered: what waits is sealed, and what was refused is refused again.
    publisher.stop()
    spool.close()
    hospital.refuses_numbers = {2}
    spool, publisher = bench.edge()
    until(lambda: publisher.counts["released"] == 1, "receipt of what waited")
    until(lambda: publisher.refused_batches == 1, "the old one is refused again")
    assert publisher.refusal == ""
    assert spool.figures.open_batches == 1
    hospital.refuses, hospital.refuses_numbers = "", set()
    monkeypatch.setattr(publisher._sender._streams[Lane.LIVE], "_retry_at", 0.0)  # the time for another try has come
    until(lambda: bench.events[-1] == "batches-taken-again", "it is taken after all")
    assert publisher.counts["released"] == 2
    assert (publisher.refused_batches, spool.figures.open_batches) == (0, 0)


def test_checkpoints_come_with_receipts_and_are_kept(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    checkpoint = Checkpoint(log_origin("ward", hospital.store), 7, bytes(32))
    hospital.checkpoint = sign_checkpoint(checkpoint, PLATFORM.public_der, PLATFORM.sign)
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 2, "receipts")
    until(lambda: spool.checkpoints(), "it is kept")
    assert [(each.origin, each.size, each.note) for each in spool.checkpoints()] == [
        (checkpoint.origin, 7, hospital.checkpoint)
    ]
    forked = Checkpoint(checkpoint.origin, 7, b"x" * 32)
    hospital.checkpoint = sign_checkpoint(forked, PLATFORM.public_der, PLATFORM.sign)
    put_batches(spool, 1)
    until(lambda: publisher.contradiction, "the fork is seen")
    assert "log-forked" in bench.events
    until(lambda: publisher.counts["released"] == 3, "it is no reason to hold anything back")


def test_while_receipts_are_missing_what_is_in_flight_has_a_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resend, "IN_FLIGHT_BATCHES_MAX", 2)
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 2)
    until(lambda: len(hospital.came) == 2, "two have come")
    put(spool)
    time.sleep(0.3)
    assert (len(hospital.came), spool.figures.reports) == (2, 1)
    hospital.answers = True
    for _, _, sealed in hospital.came[:2]:
        hospital.answer(sealed)
    until(lambda: publisher.counts["released"] == 3, "receipts")


def test_a_backlog_beyond_all_limits_gets_through(bench: Bench) -> None:
    spool, _ = bench.edge()
    for n in range(60):  # 12 MiB that cannot be compressed
        put(spool, event("bed", "noise", str(n), now_us(), Kind.REJECTED, secrets.token_bytes(200_000)))
    bench.broker.start()
    hospital = bench.hospital()
    until(lambda: spool.figures.reports == spool.figures.open_batches == 0, "all is sent and has its receipt")
    assert sum(len(sealed) for _, _, sealed in hospital.came) > 2 * IN_FLIGHT_BYTES_MAX[Lane.LIVE]


def test_a_ca_that_is_none_is_said_in_one_line(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(VitalwireError, match=r"kafka: a certificate.* cannot be used: .*ssl\.ca\.location.*: run"):
        bench.edge(ca=tmp_path / "ca.pem")


class Answer:
    """What the client says of a message that the broker has."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return "live.raw"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_NOT_AVAILABLE, 0


def test_offsets_that_go_back_are_another_log(bench: Bench) -> None:
    bench.broker.start()
    _, publisher = bench.edge()
    until(lambda: publisher.broker, "the broker is reached")
    publisher.stop()
    stream = publisher._sender._streams[Lane.LIVE]
    for offset, is_stale in ((0, False), (1, False), (-1, False), (7, False), (7, True)):
        publisher._sender._delivered(publisher._sender._producer, stream, 1, 0, 0, None, Answer(offset))  # type: ignore[arg-type]
        assert publisher._watch.is_stale is is_stale
    assert publisher.broker is None
    assert publisher._watch._log == 1  # a new consumer too


def test_only_the_edges_own_partition_of_receipts_is_read(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 2)
    until(lambda: len(hospital.came) == 2, "both have come")
    own = topics.receipt_partition(EDGE)
    for partition in set(range(topics.RECEIPT_PARTITIONS)) - {own}:
        hospital.answer(hospital.came[0][2], partition=partition)
    hospital.answer(hospital.came[1][2])
    until(lambda: publisher.counts["released"] == 1, "the receipt in its own partition")
    assert publisher.counts["receipt stored"] == 1
    assert [number for number, _ in spool.unreceipted(Lane.LIVE, 0, 1 << 20)] == [1]


def test_adt_goes_before_waves_and_both_are_released(bench: Bench) -> None:
    spool, publisher = bench.edge()
    for lane in (Lane.WAVEFORM, Lane.ADT):
        put(spool, msgspec.structs.replace(report(at_us=now_us()), lane=lane))
    bench.broker.start()
    hospital = bench.hospital()
    until(lambda: publisher.counts["released"] == 2, "receipts")
    assert {lane for lane, _, _ in hospital.came} == {Lane.ADT, Lane.WAVEFORM}
    assert list(IN_FLIGHT_BYTES_MAX) == [Lane.LIVE, Lane.ADT, Lane.WAVEFORM, Lane.BACKFILL]
    assert spool.figures.open_batches == 0


def test_with_a_new_certificate_every_client_is_made_anew_and_nothing_is_lost(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 2, "receipts")
    before = publisher.broker
    publisher.reconnect()
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 4, "receipts through clients that are new")
    until(lambda: publisher.broker != before, "the watch has asked anew")
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 5, "receipts")
    assert set(hospital.numbers()) == {1, 2, 3, 4, 5}
    assert publisher.counts["rebuilt"] == 1
    assert (bench.events, publisher.alive) == (["broker-reached"], True)
