"""Changes that the database's owner can make, each with what `verify` says of it and where."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from benchmarks.databases import drop_database
from emr_store import acts
from emr_store.connect import open_store
from emr_store.verification import Verification
from evidence.act import Act
from evidence.log import Frontier
from evidence.verification import Trust
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import T0_US, Key, sealed
from tests.storing import EDGE, NOW_US
from tests.verifying import FIRST, SECOND_US, Ward, checkpoint_of, copy_of, masked, summarise, verify, vitals
from vitalwire.embedded import Addresses


@dataclass
class Honest:
    """A ward that nobody changed, what may be believed of it, and a copy of it as it was earlier."""

    address: str
    trust: Trust
    earlier: str


@pytest.fixture(scope="module")
def honest(embedded: Addresses) -> Iterator[Honest]:
    name = f"t{secrets.token_hex(8)}"
    address = urlsplit(embedded.database)._replace(path=f"/{name}").geturl()
    with psycopg.connect(embedded.database, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
    ward = Ward(address)
    ward.fill()
    with copy_of(address) as earlier:
        ward.write([ward.validate(ward.seal(vitals(FIRST, T0_US + 400 * SECOND_US)))])
        ward.seal_log()
        summarise(address)
        yield Honest(address, ward.trust(checkpoint_of(address)), earlier)
    drop_database(embedded.database, name)


@pytest.fixture
def store(honest: Honest) -> Iterator[psycopg.Connection]:
    """As the database's owner, who may do anything; what a test does is undone after it."""
    with open_store(honest.address) as conn, conn.transaction(force_rollback=True):
        yield conn


def change(store: psycopg.Connection, *statements: str) -> None:
    for statement in statements:
        assert store.execute(statement.encode()).rowcount != 0, f"changes nothing: {statement}"


def lines(result: Verification) -> list[str]:
    return [masked(f"{f.where}: {f.what}") for f in result.findings]


def test_an_honest_store_has_no_finding_and_everything_was_looked_at(honest: Honest) -> None:
    result = verify(honest.address, honest.trust)
    assert lines(result) == []
    counts = result.counts
    assert (counts["seals"], counts["batches"], counts["report"], counts["values"]) == (11, 20, 364, 1087)
    assert counts["validated again"] == counts["values"]
    others = (
        "waveform", "device_alarm", "device_setting", "channel words", "latest", "channel_set", "ledger", "device_edge",
        "alarm_transition",
    )  # fmt: skip
    assert [counts[what] for what in others] == [1, 1, 1, 1, 2, 5, 1, 2, 3]
    assert (counts["outside checkpoints"], counts["minutes"] > 4, counts["log entries"]) == (1, True, ENTRIES)
    assert not any("(give" in line or "--" in line for line in result.not_proved)  # all that can be given was


ENTRIES = 23  # 11 seals, 11 acts of people, and the act that begins the log
BATCH_3 = "batch ID (edge 45454545, live, number 3)"
BATCH_19 = "batch ID (edge 45454545, live, number 19)"
A_ROW = "batch = 3 AND leaf = 4"

CHANGES = {
    "a value": (f"UPDATE report SET value[1] = 42 WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's value is not what"),
    "texts": (
        f"UPDATE report SET texts = replace(texts::text, 'VT', 'SR')::jsonb WHERE {A_ROW}",
        f"{BATCH_3} leaf 4: the row's texts are not what",
    ),
    "texts taken away": (f"UPDATE report SET texts = NULL WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's texts"),
    "decimals": (f"UPDATE report SET decimals = NULL WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's decimals"),
    "validity": (f"UPDATE report SET validity = '{{0,3,0}}' WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's validity"),
    "a validation_result": (f"UPDATE report SET validation_result = '{{0,0,0}}' WHERE {A_ROW}",
        f"{BATCH_3} leaf 4: the row's validation_result"),
    "flags": (f"UPDATE report SET flags = 1 WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's flags"),
    "a sequence": (f"UPDATE report SET sequence = 7 WHERE {A_ROW}", f"{BATCH_3} leaf 4: the row's sequence"),
    "a moment": (
        f"UPDATE report SET observed_at = observed_at + interval '1 s' WHERE {A_ROW}",
        f"{BATCH_3} leaf 4: the row's observed_at",
    ),
    "a receipt": (
        f"UPDATE report SET received_at = received_at + interval '1 s' WHERE {A_ROW}",
        f"{BATCH_3} leaf 4: the row's received_at",
    ),
    "a row deleted": (f"DELETE FROM report WHERE {A_ROW}", f"{BATCH_3} leaf 4: its row is gone"),
    "a row twice": (
        f"INSERT INTO report SELECT * FROM report WHERE {A_ROW}",
        f"{BATCH_3} leaf 4: a row that no report stands behind",
    ),
    "two patients' values change places": (
        "UPDATE report SET device = 3 - device WHERE batch = 3 AND leaf IN (4, 5)",
        f"{BATCH_3} leaf 4: the row's device is not what was sealed",
    ),
    "a device becomes another": (
        "UPDATE device SET uuid = gen_random_uuid() WHERE device = 1",
        "the row's device is not what was sealed",
    ),
    "a forged row without a batch": (
        "INSERT INTO report SELECT observed_at, received_at, device, channel_set, kind, flags, sequence, 999999, 0,"
        f" value, decimals, validity, validation_result, channel_index, texts FROM report WHERE {A_ROW}",
        "batch number 999999 of this database leaf 0: a row that no report stands behind",
    ),
    "a wave's pointer": (
        "UPDATE waveform SET leaf = leaf + 1",
        f"{BATCH_19} leaf 0 record 0: waveform: its row is gone, or is not what was sealed",
    ),
    "a wave's samples": (
        "UPDATE waveform SET first_sample = 0",
        f"{BATCH_19} leaf 0 record 0: waveform: its row is gone, or is not what was sealed",
    ),
    "an alarm's priority": (
        "UPDATE device_alarm SET priority = 1",
        f"{BATCH_19} leaf 1 record 0: device_alarm: its row is gone, or is not what was",
    ),
    "a forged alarm": (
        "INSERT INTO device_alarm SELECT * FROM device_alarm",
        f"{BATCH_19} leaf 1 record 0: device_alarm: a row that no report stands behind",
    ),
    "a setting deleted": (
        "DELETE FROM device_setting",
        f"{BATCH_19} leaf 2 record 0: device_setting: its row is gone",
    ),
    "a channel's words": (
        """UPDATE channel SET words = '{"label": "T2"}'""",
        ": its words, or since when it has them, are not what was sealed",
    ),
    "SpO2 and pulse change places": (
        "UPDATE channel_set SET code = ARRAY[code[2], code[1], code[3]] WHERE cardinality(code) = 3",
        "channel_set 1: its code list is not its bytes: people read values under another code",
    ),
    "SpO2 and pulse, the bytes as well": (
        "UPDATE channel_set SET code = ARRAY[code[2], code[1], code[3]], channels ="
        " substr(channels, 13, 4) || substr(channels, 5, 8) || substr(channels, 1, 4) || substr(channels, 17)"
        " WHERE cardinality(code) = 3",
        "channel_set 1: its digest is not that of its bytes",
    ),
    "SpO2 and pulse, the digest as well": (
        "UPDATE channel_set SET code = ARRAY[code[2], code[1], code[3]], channels = c, digest = sha256(c) FROM (SELECT"
        " substr(channels, 13, 4) || substr(channels, 5, 8) || substr(channels, 1, 4) || substr(channels, 17) AS c"
        " FROM channel_set WHERE cardinality(code) = 3) AS n WHERE cardinality(code) = 3",
        f"{BATCH_3} leaf 4: the row's channel_set is not what was sealed",
    ),
    "a minute's mean": (
        "UPDATE report_minute SET mean[1] = mean[1] + 1 WHERE (device, minute) ="
        " (SELECT device, min(minute) FROM report_minute WHERE device = 1 GROUP BY 1)",
        "minute 2026-09-21 14:13 of device",
    ),
    "a minute deleted": (
        "DELETE FROM report_minute WHERE (device, minute) = (SELECT device, min(minute) FROM report_minute WHERE"
        " device = 1 GROUP BY 1)",
        "it has reports and no summary",
    ),
    "a forged minute": (
        "INSERT INTO report_minute SELECT device, minute + interval '10 min', channel_set, count, min, max, mean, last"
        " FROM report_minute LIMIT 1",
        "it has a summary and no reports",
    ),
    "a latest value": ("UPDATE latest SET value[1] = 99 WHERE device = 1", "it is not what the report that it points"),
    "a latest text": ("UPDATE latest SET texts = '[]' WHERE device = 1", "its texts are not what the report that it"),
    "when a latest value was stored": (
        "UPDATE latest SET stored_at = stored_at + interval '1 s' WHERE device = 1",
        "it is not what the report that it points",
    ),
    "an older latest value": (
        "UPDATE latest l SET observed_at = r.observed_at, received_at = r.received_at, value = r.value,"
        " batch = r.batch, leaf = r.leaf FROM report r WHERE r.batch = 3 AND r.leaf = 4 AND l.device = r.device",
        "it is not the newest report of this device",
    ),
    "a latest value deleted": ("DELETE FROM latest", "it is gone, though reports of the device are kept"),
    "a batch's number": (
        "UPDATE batch SET batch_no = 77 WHERE batch = 3", "number 77): its row's batch_no is not what its edge signed",
    ),
    "a batch's edge": (
        "UPDATE batch SET edge = gen_random_uuid() WHERE batch = 3", "its row's edge is not what its edge signed",
    ),
    "a batch's bytes": (
        "UPDATE batch_body SET sealed = set_byte(sealed, 400, 7) WHERE batch = 3", f"{BATCH_3}: its bytes are damaged",
    ),
    "a batch's signature": (
        "UPDATE batch_body SET sealed = set_byte(sealed, 300, get_byte(sealed, 300) # 1) WHERE batch = 3",
        f"{BATCH_3}: its edge's signature does not hold",
    ),
    "a batch's bytes deleted": (
        "DELETE FROM batch_body WHERE batch = 3", f"{BATCH_3}: its bytes are gone, and retention did not take them",
    ),
    "a batch's head deleted": (
        "DELETE FROM batch WHERE batch = 3", "batch ID: its bytes are kept, and its row in the list of batches is gone",
    ),
    "what validation found changes places": (
        "UPDATE batch_body b SET validation = o.validation FROM batch_body o WHERE b.batch + o.batch = 7"
        " AND b.batch IN (3, 4)",
        f"{BATCH_3}: it, or what validation found of it, is not what was sealed at place 1 of seal 2",
    ),
    "places in a seal change": (
        "UPDATE batch SET seal_index = 1 - seal_index WHERE batch IN (3, 4)",
        f"{BATCH_3}: it, or what validation found of it, is not what was sealed at place 2 of seal 2",
    ),
    "a seal's statement": (
        "UPDATE seal SET statement = set_byte(statement, 60, get_byte(statement, 60) # 1) WHERE seal = 2",
        "seal 2: its signature does not hold: it was changed after it was signed",
    ),
    "a seal's leaves": (
        "UPDATE seal SET leaves = set_byte(leaves, 5, get_byte(leaves, 5) # 1) WHERE seal = 2",
        "seal 2: its batches, or the validation results kept with them, are not those that it was signed over",
    ),
    "a seal deleted": ("DELETE FROM seal WHERE seal = 2", "log entry 3: the seal 2 that it is of is gone"),
    "a checkpoint's note": (
        "UPDATE checkpoint SET note = set_byte(note, 80, CASE get_byte(note, 80) WHEN 65 THEN 66 ELSE 65 END)"
        " WHERE size = (SELECT min(size) FROM checkpoint)",
        "the platform's key did not sign it",
    ),
    "an entry deleted": ("DELETE FROM log_entry WHERE position = 3", "its entries 3 to 3 are gone"),
    "the ledger's ranges": (
        "UPDATE ledger SET kept = kept - '{[3,4)}'::int8multirange",
        "ledger of edge 45454545, live: it says that {[1,3),[4,21)} are kept, and the batches kept are {[1,21)}",
    ),
    "the ledger's sums": ("UPDATE ledger SET accepted = 0", "its sums of accepted are not those of its batches"),
    "an alarm's message": (
        "UPDATE alarm_transition SET message = 'SpO2 99' WHERE kind = 'resolved'",
        "alarm transition 00000000-0000-0000-0000-000000000002 (resolved: SpO2 99): its message is not what was signed",
    ),
    "an alarm's priority lowered": (
        "UPDATE alarm_transition SET priority = 'low'", "(opened: SpO2 89 < 90): its priority is not what was signed",
    ),
    "an alarm's device": ("UPDATE alarm_transition SET device_uuid = gen_random_uuid()", "its device is not what was"),
    "an alarm forged": (
        "INSERT INTO alarm_transition SELECT gen_random_uuid(), gen_random_uuid(), kind, at, by, device_uuid,"
        " condition_kind, code, channel, side, priority, opened_at, late, message, statement FROM alarm_transition"
        " WHERE kind = 'resolved'",
        "its transition is not what was signed",
    ),
    "an open alarm forgotten": ("DELETE FROM alarm_open", "the list of open episodes does not agree with"),
    "a bed": ("UPDATE device_bed SET bed = 'ICU-09' WHERE bed = 'ICU-03'", "at bed ICU-09 since 2026-01-02"),
    "since when it is at a bed": (
        "UPDATE device_bed SET valid = tstzrange('2026-02-02', upper(valid)) WHERE bed = 'ICU-03'"
        " AND NOT upper_inf(valid)",
        "at bed ICU-03 since 2026-02-02T00:00:00+00:00: no act in the log says so",
    ),
    "a stay at a bed deleted": (
        "DELETE FROM device_bed WHERE bed = 'ICU-01'", "at bed ICU-01 since 2026-01-01T00:00:00+00:00: an act in",
    ),
    "what was believed of a bed": (
        "UPDATE device_bed SET recorded = tstzrange(lower(recorded), upper(recorded) + interval '1 s')"
        " WHERE bed = 'ICU-02' AND NOT upper_inf(recorded)",
        "at bed ICU-02",
    ),
    "a device's name": ("UPDATE registered_device SET name = 'x'", "its name, or the act that it names, is not what"),
    "an edge that a device is believed through": ("DELETE FROM device_edge", "an act in the log agreed to it, and"),
    "a channel's label": ("UPDATE channel SET label = 'T rectal'", "no act in the log called it T rectal"),
    "a channel's label erased": (
        "UPDATE channel SET label = NULL", "an act in the log called it T axilla, and here it has no such label",
    ),
    "an edge's registration invented": (
        "INSERT INTO edge VALUES ('00000000-0000-0000-0000-000000000009', 'invented')",
        "edge 00000000-0000-0000-0000-000000000009 (invented): no act in the log registered it: its registration was",
    ),
    "an edge's key invented": (
        "INSERT INTO edge_key (key_id, edge, public_der) SELECT sha256('x'), edge, 'x' FROM edge WHERE label = 'box'",
        "(box): no act in the log registered it: its registration was invented",
    ),
    "a key's revocation taken back": (
        "UPDATE edge_key SET revoked_at = NULL", "(spare): an act in the log revoked it, and here it is valid",
    ),
    "a key that is valid longer": (
        "UPDATE edge_key SET valid_until = 'infinity' WHERE isfinite(valid_until)",
        "(spare): its edge, or how long it is valid, is not what the act in the log says",
    ),
    "an act invented": (
        "INSERT INTO act SELECT sha256('x'), kind, body, statement, at FROM act WHERE kind = 'device.move' LIMIT 1",
        "its text is not what its id and kind say",
    ),
    "an act deleted": ("DELETE FROM act WHERE kind = 'key.revoke'", "the act that it is of is gone"),
    "the act that begins the log": (
        "UPDATE act SET body = replace(convert_from(body, 'UTF8'), 'vitalwire', 'somebody')::bytea",
        "its text is not what",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_with_its_place(name: str, store: psycopg.Connection, honest: Honest) -> None:
    statement, expected = CHANGES[name]
    change(store, statement)
    found = lines(verify(store, honest.trust))
    assert any(expected in finding for finding in found), found


def rebuild_log(store: psycopg.Connection) -> None:
    """Number the entries anew and compute the log's state again, as somebody would who can do anything but sign."""
    frontier = Frontier()
    for position, leaf in store.execute("SELECT position, leaf_hash FROM log_entry ORDER BY position").fetchall():
        store.execute("UPDATE log_entry SET position = %s WHERE position = %s", (frontier.size, position))
        frontier.append(bytes(leaf))
    store.execute("UPDATE log SET size = %s, frontier = %s", (frontier.size, frontier.to_bytes()))


TAKE_A_BLOCK_OUT = (
    "DELETE FROM report WHERE batch IN (9, 10)",
    "DELETE FROM batch_body WHERE batch IN (9, 10)",
    "DELETE FROM batch WHERE batch IN (9, 10)",
    "DELETE FROM seal WHERE seal = 5",
    "DELETE FROM log_entry WHERE seal = 5",
    "UPDATE ledger SET kept = kept - '{[9,11)}'::int8multirange, reports = reports - 40, accepted = accepted - 80,"
    " unmapped = unmapped - 40",
)


def test_a_block_in_the_middle_deleted_and_the_rest_renumbered(store: psycopg.Connection, honest: Honest) -> None:
    change(store, *TAKE_A_BLOCK_OUT)
    rebuild_log(store)
    found = lines(verify(store, honest.trust))
    assert any("entries are not those that it was signed over: the log was changed" in f for f in found), found


def test_a_block_in_the_middle_deleted_and_the_checkpoints_too(store: psycopg.Connection, honest: Honest) -> None:
    change(store, *TAKE_A_BLOCK_OUT, "DELETE FROM checkpoint WHERE size > 5")
    rebuild_log(store)
    found = lines(verify(store, honest.trust))
    expected = f"it was signed over {ENTRIES} entries of the log, and the log has {ENTRIES - 1}"
    assert any(f.startswith(f"checkpoint file edge-1.note: {expected}") for f in found), found


def test_a_batch_deleted_from_its_seal(store: psycopg.Connection, honest: Honest) -> None:
    change(
        store, "DELETE FROM report WHERE batch = 9", "DELETE FROM batch_body WHERE batch = 9",
        "DELETE FROM batch WHERE batch = 9", "UPDATE ledger SET kept = kept - '{[9,10)}'::int8multirange",
    )  # fmt: skip
    found = lines(verify(store, honest.trust))
    assert "seal 5: of the 2 batches that it was signed over 1 are gone (place 1)" in found


@pytest.mark.parametrize("with_batches", [False, True])
def test_two_seals_swapped(store: psycopg.Connection, honest: Honest, with_batches: bool) -> None:
    change(
        store,
        "UPDATE seal a SET statement = b.statement, leaves = b.leaves, signed_at = b.signed_at FROM seal b"
        " WHERE a.seal + b.seal = 5 AND a.seal IN (2, 3)",
        *(["UPDATE batch SET seal = 5 - seal WHERE seal IN (2, 3)"] if with_batches else []),
    )
    found = lines(verify(store, honest.trust))
    assert "seal 2: its entry in the log is of another seal" in found
    change(
        store,
        "UPDATE log_entry a SET leaf_hash = b.leaf_hash FROM log_entry b"
        " WHERE a.seal + b.seal = 5 AND a.seal IN (2, 3)",
    )
    rebuild_log(store)
    found = lines(verify(store, honest.trust))
    assert any("entries are not those that it was signed over: the log was changed" in f for f in found), found


def test_a_strangers_key_under_an_edges_key_id(store: psycopg.Connection, honest: Honest) -> None:
    stranger = Key().public_der
    change(store, f"UPDATE edge_key SET public_der = '\\x{stranger.hex()}' WHERE edge = '{UUID(bytes=EDGE)}'")
    found = lines(verify(store, honest.trust))
    assert len(found) == 1
    assert found[0].startswith("edge_key ")
    assert "another key stands under this id" in found[0]


def test_an_act_that_says_nothing_is_a_finding_and_no_crash(store: psycopg.Connection, honest: Honest) -> None:
    """Whoever owns the database may have put it before the sealer."""
    for kind in ("edge.register", "key.renew", "key.revoke", "device.assign", "device.agree", "channel.label"):
        acts.record(store, Act(kind, "nobody", 2**52, "", {"since": "yesterday"}))
    found = lines(verify(store, honest.trust))
    assert sum("what it says cannot be read" in finding for finding in found) == 6, found


def test_a_database_put_back_is_found_by_a_checkpoint_from_outside(honest: Honest) -> None:
    result = verify(honest.earlier, Trust(honest.trust.platform_keys, honest.trust.edge_keys))
    assert lines(result) == []
    assert any("put back" in line and "--checkpoint" in line for line in result.not_proved)
    assert lines(verify(honest.earlier, honest.trust)) == [
        f"checkpoint file edge-1.note: it was signed over {ENTRIES} entries of the log, and the log has {ENTRIES - 1}:"
        " the database was put back to an earlier state"
    ]


def test_a_database_of_another_incarnation_is_told_from_one_put_back(honest: Honest, database: str) -> None:
    Ward(database).seal_log()
    found = lines(verify(database, honest.trust))
    assert any("checkpoint file edge-1.note: " in finding for finding in found)


def test_a_value_changed_on_the_topic_is_refused_before_it_is_stored() -> None:
    """Validation and signing are one stage: what the topic carries is signed, and checked before it is stored."""
    edge, platform = Key(), Key()
    batch = sealed([vitals(FIRST, T0_US)], edge)
    memory = Memory({edge.key_id: EdgeKey(EDGE, edge.public_der, 0, 2**62, False)})
    (block,) = validate("live.raw", [batch], memory, NOW_US)
    assert isinstance(block, Block)
    message = sign_block(block, platform.key_id, platform.sign, NOW_US)
    open_message(message, platform.public_der)
    for at in range(len(message)):
        with pytest.raises(LayoutError):
            open_message(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], platform.public_der)
