from __future__ import annotations

from emr_store.connect import open_store
from emr_store.migrate import migrate
from gateway.people.attempts import SignInAttempts
from gateway.people.emergency import ACCOUNTS, EmergencyAccounts, Unopened
from tests.commands import vitalwire


def sealed_passwords(database: str) -> dict[str, str]:
    code, text = vitalwire("people", "emergency", "seal", "--database", database)
    assert code == 0
    return dict(line.split() for line in text.splitlines()[: len(ACCOUNTS)])


def test_each_seal_prints_passwords_that_open_until_the_next(database: str) -> None:
    migrate(database)
    first = sealed_passwords(database)
    assert set(first) == set(ACCOUNTS)
    assert len(set(first.values())) == 2
    accounts = EmergencyAccounts(database, SignInAttempts(database))
    assert accounts.open("emergency-1", first["emergency-1"], "127.0.0.1") == "emergency:emergency-1"
    assert accounts.open("emergency-1", first["emergency-2"], "127.0.0.1") == (Unopened.WRONG, 0)
    second = sealed_passwords(database)
    assert accounts.open("emergency-1", first["emergency-1"], "127.0.0.1") == (Unopened.WRONG, 0)
    assert accounts.open("emergency-1", second["emergency-1"], "127.0.0.1") == "emergency:emergency-1"
    with open_store(database) as conn:
        kept = str(conn.execute("SELECT array_agg(hash) FROM emergency_account").fetchone())
        said = str(conn.execute("SELECT array_agg(convert_from(body, 'UTF8')) FROM act").fetchone())
    for password in (*first.values(), *second.values()):
        assert password not in kept
        assert password not in said
