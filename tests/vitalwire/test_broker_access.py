"""What a broker answers that is to refuse a box, and what people are told; tests/integration has one that does."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from emr_store import registry
from tests.commands import vitalwire
from tests.storing import EDGE, Store
from vitalwire.broker_access import Denial, Denied, command, deny, words

BOX = UUID(int=7)


def test_a_broker_without_an_authorizer_says_so_and_nothing_is_changed(kafka: str) -> None:
    denied = deny({"bootstrap.servers": kafka, "log_level": 0}, BOX)
    assert denied.outcome is not Denial.DENIED
    assert "until its certificate ends" in words(denied, kafka, BOX)


def test_a_broker_that_is_away_is_said_with_what_to_run_there() -> None:
    denied = deny({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, BOX)
    assert denied.outcome is Denial.FAILED
    assert command("127.0.0.1:1", BOX) in words(denied, "127.0.0.1:1", BOX)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Denial.DENIED, f"refuses User:CN={BOX} from now on"),
        (Denial.NO_AUTHORIZER, "set authorizer.class.name"),
        (Denial.EVERYBODY, "would shut out everybody else too, so none was written"),
        (Denial.FAILED, "did not take it: the word"),
    ],
)
def test_each_outcome_has_its_words(outcome: Denial, text: str) -> None:
    assert text in words(Denied(outcome, "the word"), "broker:9094", BOX)


def test_what_to_run_names_the_box_as_its_certificate_does() -> None:
    assert command("b:9094", BOX).startswith(
        f"kafka-acls.sh --bootstrap-server b:9094 --add --deny-principal 'User:CN={BOX}' --deny-principal 'User:{BOX}'"
    )


def test_the_command_revokes_whatever_the_broker_answers_and_can_be_run_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store, edge = Store(database), UUID(bytes=EDGE)
    for count in (1, 0):
        code, text = vitalwire(f"registry edge revoke {edge} --kafka 127.0.0.1:1")
        assert code == 0
        assert text.startswith(f"revoked {count} keys\n")
        assert "kafka-acls.sh" in text
    with store.open() as conn:
        assert [each.revoked_at is not None for each in registry.edges(conn)] == [True]
    assert vitalwire(f"registry edge revoke {UUID(int=9)} --kafka 127.0.0.1:1")[0] == 2


def test_a_client_that_cannot_be_is_refused_before_anything_is_revoked(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    store = Store(database)
    missing = tmp_path / "no.crt"
    code, _ = vitalwire(f"registry edge revoke {UUID(bytes=EDGE)} --kafka broker:9094 --kafka-ca {missing}")
    assert code == 2
    with store.open() as conn:
        assert [each.revoked_at for each in registry.edges(conn)] == [None]
