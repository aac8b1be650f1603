"""What people did and what was charted comes back from the log alone: no edge could send it again."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from clinical.chart_policy import read_policies
from emr_store import chart_policies
from emr_store.connect import open_store
from emr_store.store_counts import count_store
from evidence.verification import Trust
from tests.adt import group
from tests.charting import POLICIES, Ward, spo2
from tests.vitalwire.backup.conftest import Hospital, silent
from vitalwire.backup.plan import plan_restore
from vitalwire.backup.restoring import restore


def charted_ward(address: str) -> Ward:
    """With entries of three hours, and the acts behind them."""
    ward = Ward(address, read_policies(POLICIES))
    ward.place()
    ward.hospital.emit_records([group("A01", 0)])
    with ward.store.open() as conn:
        chart_policies.note_policies(conn, POLICIES)
    for second in (50, 3650, 7250):
        ward.emit(spo2(second, 97))
    ward.chart()
    while ward.store.seal_log():
        pass
    return ward


def test_acts_and_entries_of_a_database_that_no_base_backup_knows(hospital: Hospital) -> None:
    with open_store(hospital.config.database) as conn:
        conn.execute("CREATE DATABASE ward")  # its schema, too, is in the log alone
    config = structs.replace(hospital.config, database=hospital.config.database.replace("=vitalwire ", "=ward ", 1))
    with hospital.received():
        ward = charted_ward(config.database)
        with ward.store.open() as conn:
            before = count_store(conn)
        hospital.catch_up()
        ward.store.hang_up()
    assert before.chart_entries > 0
    assert before.acts > 0
    plan = plan_restore(config, None, silent)
    found = restore(config, plan, hospital.target(), silent, trust=Trust(), verify_last=timedelta.max,
                    known=before, keep_history=False)  # fmt: skip
    assert not any(found.missing.values())
    assert (found.counts.chart_entries, found.counts.acts) == (before.chart_entries, before.acts)
    assert found.verification is not None
    assert not found.verification.findings
    assert found.verification.counts["chart_entry"] == before.chart_entries
