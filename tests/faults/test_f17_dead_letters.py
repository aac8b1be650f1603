"""F17: a dead letter on the topics: kept in `kept` with reason and bytes, its edge told, replay works, neighbours
unhurt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from emr_store import registry
from emr_store.connect import open_store
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome, read_receipt
from evidence.seal import batch_id
from schemas import topics
from schemas.batch import read_header
from schemas.layout import BODY_START
from schemas.report import Lane, Report
from tests.faults import ward
from tests.faults.oracles import Outcome, count, settle, until
from tests.faults.senders import Sender
from tests.faults.system import ROOT, System
from tests.faults.topics import ends, messages
from tests.making import Key, report, sealed

WAIT_S = 20
NEVER_US = -(2**62)  # a moment that no PostgreSQL holds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_f17_dead_letters(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Damaged, forged and senseless messages, beside two healthy batches in one block with them."""
    with ward.running(tmp_path, kafka, database) as (system, senders):
        stranger = Key()
        now_us = time.time_ns() // 1000
        good = batch(system, [report("faults:before", now_us)])
        damaged = bytearray(batch(system, [report("faults:damaged", now_us)]))
        damaged[-1] ^= 1
        refused = batch(system, [report("faults:refused", NEVER_US)])
        unknown = sealed([report("faults:unknown", now_us)], stranger, edge=system.edge_id.bytes, spool=b"U" * 16)
        after, unsent = (batch(system, [report(f"faults:{name}", now_us)]) for name in ("after", "unsent"))
        reported = {"body-hash": bytes(damaged), "root": wrong_root(system, good)}
        noise = {
            name: os.urandom(300) for name in (*(topics.raw(n) for n in Lane), topics.signed(Lane.LIVE), topics.ALERTS)
        }
        forged = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, unsent).encode(
            stranger.key_id, stranger.sign
        )
        system.signal_workers(signal.SIGSTOP)  # so that all of it comes to the workers at once
        live = topics.raw(Lane.LIVE)
        publish(system, [*((live, m) for m in (good, *reported.values(), refused, unknown, after)), *noise.items()])
        publish(system, [(topics.signed(Lane.LIVE), forged)])
        system.signal_workers(signal.SIGCONT)
        until(
            lambda: count(system, "SELECT count(*) FROM dead_letter") >= 5 + len(noise),
            WAIT_S,
            "all a dead letter is in `dead`",
        )
        kept = kept_dead_letters(system)
        assert kept[refused][0].startswith("store:"), [reason for reason, _ in kept.values()]
        assert {kept[m][0]: m for m in reported.values()} == reported
        assert kept[forged] == ("signature", None)
        assert {kept[m][0] for m in (unknown, *noise.values())} >= {"unknown-edge", "magic"}
        assert {m for m, (_, outcome) in kept.items() if outcome} == {*reported.values(), refused}
        until(
            lambda: receipts(system, [*reported.values(), refused]) == {ReceiptOutcome.QUARANTINED},
            WAIT_S,
            "their edge is told",
        )
        until(lambda: receipts(system, [good, after]) == {ReceiptOutcome.STORED}, WAIT_S, "neighbours are stored")
        assert receipts(system, [unknown]) == receipts(system, [unsent]) == set()
        check_commands(system, stranger, unknown)
        settle(system, senders, outcome, [spoken(name, now_us) for name in ("before", "after", "unknown")])
        assert '"event": "dead letter"' in (tmp_path / "processors.log").read_text()


def batch(system: System, reports: Sequence[Report]) -> bytes:
    """As the registered edge would seal it, out of a spool of its own."""
    key: Any = system.key  # signs as a test's key does
    return sealed(reports, key, edge=system.edge_id.bytes, spool=os.urandom(16))


def spoken(name: str, at_us: int) -> Sender:
    """What the oracles are to find of a report made here."""
    sender = Sender(f"faults:{name}", 1)
    sender.sent[sender.device, at_us] = sender.acked[sender.device, at_us] = 97.0
    return sender


def wrong_root(system: System, good: bytes) -> bytes:
    """A batch that the registered edge has signed, whose root is not that of its leaves."""
    header = replace(read_header(good), root=bytes(32), spool=os.urandom(16)).encode()
    return header + system.key.sign(header) + good[BODY_START:]


def publish(system: System, given: Sequence[tuple[str, bytes]]) -> None:
    """All keyed by the edge: into one partition of each topic."""
    producer = Producer({"bootstrap.servers": system.kafka, "acks": "all"})
    for topic, message in given:
        producer.produce(topic, message, system.edge_id.bytes)
    assert producer.flush(WAIT_S) == 0


def kept_dead_letters(system: System) -> dict[bytes, tuple[str, int | None]]:
    """Reason of each dead message, and what its edge is told."""
    with open_store(system.database) as conn:
        rows = conn.execute("SELECT message, reason, outcome FROM dead_letter ORDER BY id").fetchall()
    return {bytes(message): (reason, outcome) for message, reason, outcome in rows}


def receipts(system: System, of: Sequence[bytes]) -> set[ReceiptOutcome]:
    """What the edge has been told of these, if it has been told of each."""
    read = [
        read_receipt(m.value() or b"", system.platform_der)
        for m in messages(system.kafka, ends(system.kafka, topics.RECEIPTS))
    ]
    found = {named.batch_id: r.outcome for r in read for named in r.batches}
    ids = [batch_id(sealed) for sealed in of]
    return {found[i] for i in ids} if all(i in found for i in ids) else set()


def check_commands(system: System, stranger: Key, unknown: bytes) -> None:
    """`dead list`, `show`, `replay`: a stranger's batch is stored once a person has registered its key."""
    listed = json.loads(dead_command(system, "list", "--json"))
    number = next(str(d["id"]) for d in listed if d["reason"] == "unknown-edge")
    assert "unknown-edge on live.raw" in dead_command(system, "show", number)
    root = next(str(d["id"]) for d in listed if d["reason"] == "root")
    dead_command(system, "replay", root)
    with open_store(system.database) as conn:
        registry.add_edge(conn, system.edge_id, "faults", stranger.public_der)
    dead_command(system, "replay", number)
    until(lambda: receipts(system, [unknown]) == {ReceiptOutcome.STORED}, WAIT_S, "what is replayed is stored")
    again = json.loads(dead_command(system, "list", "--json"))
    assert [d["id"] for d in again] == [d["id"] for d in listed]
    assert sum(d["replayed_at"] is not None for d in again) == 2


def dead_command(system: System, *words: str) -> str:
    """What the command prints."""
    options = ["--database", system.database] + (["--kafka", system.kafka] if words[0] == "replay" else [])
    command = [sys.executable, "-m", "vitalwire", "dead", *words, *options]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
