"""Changes that the database's owner can make to what mapping acts made, each with what `verify` says of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from benchmarks.databases import drop_database
from emr_store import acts
from emr_store.connect import open_store
from emr_store.verification import Verification
from evidence.act import Act
from evidence.verification import Trust
from tests.emr_store.test_verify_tampering import Honest
from tests.making import T0_US
from tests.mapping import HR_ROW, TEMP_ROW, act, minute_of, work
from tests.verifying import FIRST, SECOND, SECOND_US, Ward, checkpoint_of, masked, summarise, verify
from vitalwire.embedded import Addresses


@pytest.fixture(scope="module")
def mapped(embedded: Addresses) -> Iterator[Honest]:
    """Three batches of two devices, the first two of them validated anew, the first twice."""
    name = f"t{secrets.token_hex(8)}"
    address = urlsplit(embedded.database)._replace(path=f"/{name}").geturl()
    with psycopg.connect(embedded.database, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
    ward = Ward(address)
    for minute in range(2):
        minute_of(ward, minute, FIRST, SECOND)
    act(ward, HR_ROW, TEMP_ROW)
    work(ward)
    act(ward, HR_ROW | {"metric": "MDC_PULS_OXIM_PULS_RATE"}, until_us=T0_US + 30 * SECOND_US)
    work(ward)
    minute_of(ward, 2, FIRST)
    ward.seal_log()
    summarise(address)
    yield Honest(address, ward.trust(checkpoint_of(address)), address)
    drop_database(embedded.database, name)


@pytest.fixture
def store(mapped: Honest) -> Iterator[psycopg.Connection]:
    """As the database's owner, who may do anything; what a test does is undone after it."""
    with open_store(mapped.address) as conn, conn.transaction(force_rollback=True):
        yield conn


def emitted(result: Verification) -> list[str]:
    return [masked(f"{f.where}: {f.what}") for f in result.findings]


def test_an_honest_store_has_no_finding(mapped: Honest) -> None:
    result = verify(mapped.address, mapped.trust)
    assert emitted(result) == []
    counts = result.counts
    assert (counts["batches"], counts["validated anew"], counts["seals"]) == (3, 2, 5)
    assert counts["validated again"] == 3 * 36 + 2 * 36 + 18  # each validation of each batch
    assert [line for line in result.not_proved if "mapping" in line] == [
        "that 2 mapping acts were applied to all that they are about: what each was applied to was checked"
    ]


BATCH_1 = "batch ID (edge 45454545, live, number 1)"

CHANGES = {
    "rows as they were before": (
        "UPDATE report r SET channel_set = (SELECT min(channel_set) FROM channel_set) WHERE batch = 1 AND leaf = 0",
        f"{BATCH_1} leaf 0: the row's channel_set is not what was sealed",
    ),
    "a value of what was mapped": (
        "UPDATE report SET value[3] = 41 WHERE batch = 2 AND leaf = 0",
        "batch ID (edge 45454545, live, number 2) leaf 0: the row's value is not what was sealed",
    ),
    "a later validation deleted": (
        "DELETE FROM batch_validation WHERE batch = 1 AND seal = (SELECT max(seal) FROM batch_validation)",
        "seal 4: of the 1 batches that it was signed over 1 are gone (place 1)",
    ),
    "all later validations deleted": (
        "DELETE FROM batch_validation", "seal 3: of the 2 batches that it was signed over 2 are gone (place 1, 2)",
    ),
    "a later validation changed": (
        "UPDATE batch_validation v SET validation = b.validation FROM batch_body b WHERE v.batch = 2 AND b.batch = 1",
        "batch ID (edge 45454545, live, number 2), validated anew under seal 3: what validation found is not what was"
        " sealed at place 2 of seal 3",
    ),
    "a later validation's bytes gone": (
        "UPDATE batch_validation SET validation = NULL WHERE batch = 2", "validated anew under seal 3: it is damaged",
    ),
    "the first validation replaced by the later one": (
        "UPDATE batch_body b SET validation = v.validation FROM batch_validation v WHERE v.batch = 2 AND b.batch = 2",
        "batch ID (edge 45454545, live, number 2): it, or what validation found of it, is not what was sealed",
    ),
    "places in an act's seal change": (
        "UPDATE batch_validation SET seal_index = 1 - seal_index WHERE seal = 3",
        "what validation found is not what was sealed at place 2 of seal 3",
    ),
    "another act named": (
        "UPDATE batch_validation SET act_id = (SELECT act_id FROM mapping_work ORDER BY act_id <> (SELECT act_id FROM"
        " batch_validation WHERE batch = 2) DESC LIMIT 1) WHERE batch = 2",
        ", validated anew under seal 3: the act that it names is not the one that its seal names",
    ),
    "an act that nobody has": (
        "UPDATE batch_validation SET act_id = sha256('x') WHERE batch = 2",
        ", validated anew under seal 3: no act 2d711642b726b044 is in the log: nobody asked for it",
    ),
    "the act deleted": (
        "DELETE FROM act WHERE kind = 'mapping.change'", "is in the log: nobody asked for it",
    ),
    "what the act says": (
        "UPDATE act SET body = replace(convert_from(body, 'UTF8'), 'MDC_TEMP', 'MDC_TEMP_BLD')::bytea"
        " WHERE convert_from(body, 'UTF8') LIKE '%MDC_TEMP%'",
        "its text is not what its id and kind say",
    ),
    "the seal of an act deleted": (
        "DELETE FROM seal WHERE seal = 3", ", validated anew under seal 3: the seal that it names is gone",
    ),
    "a batch whose first seal is an act's": (
        "UPDATE batch SET seal = 3 WHERE batch = 2",
        "batch ID (edge 45454545, live, number 2): the seal 3 that it names is that of an act, and not its first",
    ),
    "a validation of no batch": (
        "INSERT INTO batch_validation SELECT 77, seal, 5, act_id, validation FROM batch_validation WHERE batch = 2",
        "batch number 77 of this database, validated anew under seal 3: there is no such batch",
    ),
    "an old minute": (
        "INSERT INTO report_minute SELECT device, minute, (SELECT min(channel_set) FROM channel_set), count, min, max,"
        " mean, last FROM report_minute WHERE device = 1 ORDER BY minute LIMIT 1",
        "it has a summary and no reports",
    ),
    "the ledger's classes as before": (
        "UPDATE ledger SET unmapped = unmapped + 1, accepted = accepted - 1",
        "its sums of accepted, unmapped are not those of its batches",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_with_its_place(name: str, store: psycopg.Connection, mapped: Honest) -> None:
    statement, expected = CHANGES[name]
    assert store.execute(statement.encode()).rowcount > 0
    found = emitted(verify(store, mapped.trust))
    assert any(expected in finding for finding in found), found


def test_a_validation_by_an_act_of_another_kind_or_without_sense(store: psycopg.Connection, mapped: Honest) -> None:
    for kind, expected in (
        ("limits.change", "the act that it names says no mapping, but limits.change"),
        ("mapping.change", "it is damaged (text: an act that says no mapping"),
    ):
        act_id = acts.record(store, Act(kind, "nobody", 2**52, "", {"rows": 7}))
        store.execute("UPDATE batch_validation SET act_id = %s WHERE batch = 2", (act_id,))
        found = emitted(verify(store, Trust(mapped.trust.platform_keys, mapped.trust.edge_keys)))
        assert any(expected in finding for finding in found), found
