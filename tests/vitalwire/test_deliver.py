"""`vitalwire deliver`, as people type it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from emr_store import acts, deliver
from emr_store.deliver import Accepted, Message, Parked, Retry
from tests.commands import as_json, vitalwire
from tests.delivering import Said, accepted, made, say, take_all
from tests.storing import Store

CONFIG = """
[[destination]]
name = "emr"
protocol = "fhir"
address = "https://emr.example/fhir"
secret_file = "token"
preliminary = true
[[destination]]
name = "archive"
protocol = "hl7v2"
address = "127.0.0.1:2575"
begins = "2026-11-24T10:00Z"
"""


class House:
    """A destination `emr`, and what became of its messages."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.open() as conn:
            self.number = deliver.open_destination(conn, "emr", acts.now(conn) - timedelta(days=9))

    def open(self) -> psycopg.Connection:
        return self.store.open()

    def next(self, *versions: Said) -> list[Message]:
        with self.open() as conn:
            say(conn, *versions)
            take_all(conn, self.number)
            messages = deliver.next_messages(conn, self.number, (), 99)
            deliver.keep_bodies(conn, [made(each) for each in messages if each.body is None])
            return messages

    def settle(self, *results: Accepted | Retry | Parked) -> None:
        with self.open() as conn:
            deliver.settle(conn, self.number, results)

    def states(self) -> list[str]:
        return [str(row[0]) for row in self.store.rows("SELECT state FROM delivery ORDER BY delivery")]

    def acts(self) -> list[tuple[str, str, object]]:
        with self.open() as conn:
            return [
                (each.kind, each.why, each.details.get("delivery") or each.details.get("deliveries"))
                for each in acts.acts(conn) if each.kind.startswith("deliver.")
            ]  # fmt: skip


@pytest.fixture
def house(database: str, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return House(Store(database))


@pytest.fixture
def parked(house: House) -> House:
    """Delivery 1 is parked, 2 behind it; 3 was accepted, 4 waits to be tried again."""
    first, second, third = house.next(
        Said(1), Said(3, visit="V2"), Said(4, visit="V3")
    )  # fmt: skip
    house.next(Said(1, 2, "amended"))
    with house.open() as conn:
        later = acts.now(conn) + timedelta(hours=1)
    house.settle(
        Parked(first.delivery, 1, "AE", "AE: at OBX-5", b"\x0bMSA|AE|\x1b[31m\r"),
        accepted(second),
        Retry(third.delivery, 1, "AR", "AR", later),
    )
    return house


def shows(command: str, *more: str) -> str:
    code, text = vitalwire(command, *more)
    assert code == 0, text
    return text


def test_status_says_what_waits_and_what_is_parked(parked: House) -> None:
    (row,) = as_json("deliver status")
    assert (row["name"], row["waiting"], row["parked"], row["parked_behind"]) == ("emr", 1, 1, 1)
    assert row["last_accepted_at"] is not None
    assert "answers" in shows("deliver status")
    with parked.open() as conn:
        deliver.note_away(conn, parked.number, "it refuses connections")
    assert "no answer for 0 s: it refuses connections" in shows("deliver status")


def test_the_page_over_ssh_names_a_destination_in_trouble_and_no_other(house: House) -> None:
    (message,) = house.next(Said(1))
    assert "Deliveries in trouble" not in shows("status")
    house.settle(Parked(message.delivery, 1, "AE", "AE: at OBX-5", b""))
    assert "Deliveries in trouble" in shows("status")
    code, text = vitalwire("status", "--json")
    assert (code, [each["parked"] for each in json.loads(text)["destinations"]]) == (0, [1])


def test_list_says_why(parked: House) -> None:
    text = shows("deliver list")
    assert "AE: at OBX-5" in text
    assert "waits for 1, which is parked" in text
    assert "AR; again at" in text
    assert [row["delivery"] for row in as_json("deliver list --state accepted --destination emr")] == [2]
    assert as_json("deliver list --destination other") == []
    assert [row["delivery"] for row in as_json("deliver list --limit 1 --before 4")] == [3]
    assert vitalwire("deliver list --state lost") == (
        2, "--state 'lost' is none of waiting, parked, accepted, skipped"
    )  # fmt: skip


def test_show_obeys_no_control_byte(parked: House) -> None:
    text = shows("deliver show 1")
    assert r"\x0bMSA|AE|\x1b[31m" in text
    assert "\x1b" not in text
    assert "sent, 3 bytes:\n  1.1\n" in text
    assert as_json("deliver show 1")["answer"] == b"\x0bMSA|AE|\x1b[31m\r".hex()
    assert vitalwire("deliver show 99") == (2, "there is no delivery 99: see `vitalwire deliver list`")


def test_one_that_is_parked_is_sent_again_with_what_is_behind_it(parked: House) -> None:
    assert "2 wait to be sent" in shows("deliver retry 1", "--why", "the EMR was mended")
    assert parked.states() == ["waiting", "accepted", "waiting", "waiting"]
    (message,) = [each for each in parked.next() if each.delivery == 1]
    assert message.body == b"1.1"
    assert parked.acts() == [("deliver.retry", "the EMR was mended", [1])]
    assert vitalwire("deliver retry 1") == (2, "delivery 1 is waiting, not parked: see `vitalwire deliver show 1`")


def test_its_bytes_are_made_anew_where_somebody_says_so(parked: House) -> None:
    shows("deliver retry 1 --anew")
    (message,) = [each for each in parked.next() if each.delivery == 1]
    assert message.body is None


def test_all_that_is_parked_is_sent_again(parked: House) -> None:
    assert "2 wait to be sent" in shows("deliver retry --all --destination emr")
    assert "0 wait to be sent" in shows("deliver retry --all")
    assert vitalwire("deliver retry")[1].startswith("name one that is parked, or say --all")
    assert vitalwire("deliver retry 1 --all")[1].startswith("name one that is parked, or say --all")
    assert vitalwire("deliver retry 1 --destination emr") == (2, "--destination goes with --all")
    assert vitalwire("deliver retry --all --destination other") == (
        2, "there is no destination 'other': there are emr"
    )  # fmt: skip


def test_one_that_is_skipped_lets_go_what_is_behind_it(parked: House) -> None:
    assert vitalwire("deliver skip 1", "--why", " ")[1].startswith("say why")
    assert vitalwire("deliver skip 4 --why x") == (2, "delivery 4 is parked behind 1: retry or skip that one")
    assert "1 is skipped; 1 that were behind it" in shows("deliver skip 1", "--why", "written there by hand")
    assert parked.states() == ["skipped", "accepted", "waiting", "waiting"]
    assert parked.acts() == [("deliver.skip", "written there by hand", 1)]
    assert parked.store.rows("SELECT body FROM delivery WHERE delivery = 1") == [(None,)]


def test_a_destination_is_paused_and_resumed_by_acts(house: House) -> None:
    assert "`vitalwire deliver resume emr` goes on" in shows("deliver pause emr", "--why", "upgrade")
    assert "paused for 0 s" in shows("deliver status")
    assert vitalwire("deliver pause emr")[1].startswith("emr is paused already")
    assert "served again" in shows("deliver resume emr")
    assert vitalwire("deliver resume emr")[1].startswith("emr is not paused")
    assert [each[:2] for each in house.acts()] == [("deliver.pause", "upgrade"), ("deliver.resume", "")]
    assert vitalwire("deliver pause other") == (2, "there is no destination 'other': there are emr")


def test_a_configuration_is_checked_in_words(tmp_path: Path) -> None:
    file, token = tmp_path / "processors.toml", tmp_path / "token"
    file.write_text(CONFIG)
    code, text = vitalwire(f"deliver check --config {file}")
    assert (code, "destination 'emr': " in text, "token cannot be read" in text) == (2, True, True)
    token.write_text("abc")
    token.chmod(0o644)
    assert "can be read by others: chmod 600" in vitalwire(f"deliver check --config {file}")[1]
    token.chmod(0o600)
    text = shows(f"deliver check --config {file}")
    assert "FHIR R4 transactions, TLS, a token" in text
    assert "final and preliminary entries from its first start on" in text
    assert "HL7 2.5.1 ORU^R01 in UNICODE UTF-8, plaintext" in text
    file.write_text("")
    assert vitalwire(f"deliver check --config {file}")[1].startswith(f"{file} has no [[destination]]")
