"""The commands that look at the record, as people type them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from emr_store import conservation, places
from emr_store.connect import open_store
from emr_store.latest import channel_labels
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.errors import VitalwireError
from schemas.report import AsSent, ChannelWords, Kind, Mark, Record, RecordKind, device_id
from tests.commands import CLAIM, as_json, vitalwire
from tests.conftest import Databases, address_of
from tests.emr_store.test_alarms import OPENED, file
from tests.making import PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import EDGE, Store, event
from vitalwire.output import cell
from vitalwire.record import since_moment

T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)
NOWHERE = "host=127.0.0.1 port=1 user=u password=hush dbname=x"
READING = (
    "latest",
    "ledger",
    "status",
    "verify",
    "dead list",
    "devices list",
    "registry edge list",
    "acts list",
    "hold partitions",
)


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Store(database)


@pytest.fixture(scope="module")
def empty_store(module_database: str) -> Store:
    """Of which commands only read."""
    return Store(module_database)


@pytest.fixture(scope="module")
def full_store(databases: Databases) -> Iterator[Store]:
    """A ward, of which commands only read."""
    name = databases.make_migrated()
    made = Store(address_of(databases.server, name))
    a_ward(made)
    yield made
    databases.end(name)


@pytest.fixture(scope="module")
def no_schema(databases: Databases) -> Iterator[str]:
    """A database that lacks it, and stays so."""
    name = databases.make()
    yield address_of(databases.server, name)
    databases.end(name)


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "vitalwire", *arguments], env=os.environ | environment, capture_output=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


def a_ward(store: Store) -> None:
    """Some of everything."""
    counts = '{"frames:serial": 12}'
    store.emit(event(CLAIM, "connected", "ttyUSB0"), event(f"edge:{UUID(bytes=EDGE)}", "counts", counts, T0_US + 1))
    odd = Record(SPO2, PERCENT, mantissa=250), Record(PULSE, mantissa=1)  # no such percentage, no unit
    unknown = Record(mantissa=5, as_sent=AsSent("99L", "HR", "bpm"))
    store.emit(report(), report(at_us=T0_US + 1, records=[*odd, unknown]))
    store.write([], [DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, store.seal(report()))])
    file(store, OPENED)


# --- in general -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*READING, "mapping unmapped"])
def test_an_empty_store_is_no_error(empty_store: Store, command: str) -> None:
    code, text = vitalwire(command, "--database", empty_store.address)
    assert (code, "Traceback" in text) == (0, False)
    assert text.strip()


@pytest.mark.parametrize("command", READING)
def test_json_is_for_scripts(full_store: Store, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_DATABASE", full_store.address)
    assert as_json(command)


@pytest.mark.parametrize(
    "command",
    [*READING, "mapping unmapped", "dead show 1", "dead replay 1", "devices assign x --bed y", "migrate",
     f"registry edge revoke {UUID(bytes=EDGE)}"],
)  # fmt: skip
def test_a_store_that_cannot_be_reached_is_one_line_and_exit_3(command: str) -> None:
    code, text = vitalwire(command, "--database", NOWHERE)
    assert code == 3
    assert re.fullmatch(r"the store cannot be reached: .*Connection refused \(is it .*VITALWIRE_DATABASE\)", text)
    assert "hush" not in text


def test_a_store_that_nobody_names_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITALWIRE_DATABASE", raising=False)
    for command in ("ledger", "migrate", "page"):
        code, text = vitalwire(command)
        assert (code, text.split(":")[0]) == (2, "no store is named")
    code, text = vitalwire("latest")
    assert (code, text) == (2, "nobody is signed in here: vitalwire login (an operator: --database)")


def test_what_is_no_conninfo_is_one_line(store: Store) -> None:
    code, text = vitalwire("latest", "--database", "nonsense")
    assert (code, text.count("\n")) == (2, 0)
    assert text.startswith("the store refuses: ")


@pytest.mark.parametrize("command", READING)
def test_a_database_without_the_schema_is_told_of_migrate(no_schema: str, command: str) -> None:
    assert vitalwire(command, "--database", no_schema) == (
        2, "this database lacks tables of vitalwire: `vitalwire migrate` makes them"
    )  # fmt: skip


def test_migrate_says_what_it_did(empty_database: str) -> None:
    database = empty_database
    code, text = vitalwire("migrate", "--database", database)
    assert (code, text[:10]) == (0, "applied: 3")
    assert vitalwire("migrate", "--database", database) == (0, "the schema is up to date\n")
    with open_store(database) as conn:
        conn.execute("INSERT INTO schema_version VALUES (1000, now())")
    code, text = vitalwire("migrate", "--database", database)
    assert (code, text.endswith("install a newer vitalwire")) == (2, True)


def test_an_error_is_one_line_of_the_program() -> None:
    found = process("latest", VITALWIRE_DATABASE=NOWHERE)
    assert (found.returncode, found.stdout) == (3, b"")
    assert re.match(rb"vitalwire: the store cannot be reached: ", found.stderr)
    assert found.stderr.count(b"\n") == 1


def test_a_disk_that_is_full_is_one_line_too() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "vitalwire", "config", "sample", "edge"]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2], timeout=60)
    assert (found.returncode, found.stderr) == (1, b"vitalwire: No space left on device\n")


def test_chinese_is_read_in_a_c_locale_too(store: Store) -> None:
    store.emit(event(CLAIM, "connected", ""))
    with store.open() as conn:
        places.assign(conn, CLAIM, "重症-07", name="监护仪7", since=T0)
    found = process("devices", "list", LC_ALL="C", LANG="C", PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stderr) == (0, b"")
    assert "重症-07" in found.stdout.decode()
    assert "监护仪7" in found.stdout.decode()
    assert json.loads(process("devices", "list", "--json", LC_ALL="C", PYTHONUTF8="0").stdout)[0]["name"] == "监护仪7"


def test_to_a_pipe_nothing_is_wrapped(store: Store) -> None:
    a_ward(store)
    with store.open() as conn:
        places.assign(conn, CLAIM, "bed " + "long " * 60, since=T0)
    found = process("ledger", COLUMNS="40").stdout.decode()
    assert re.search(r"(?m)^edge +lane +batches +gaps +again +reports +accepted +doubtful +unmapped +missing", found)
    assert "bed " + "long " * 60 in process("latest", COLUMNS="40").stdout.decode()


def test_what_devices_send_is_shown_and_not_obeyed(store: Store) -> None:
    evil = "\x1b[31mred\r\n[bold]x[/bold]\u202e"
    text = Record(kind=RecordKind.TEXT, text=evil, as_sent=AsSent("", evil))
    store.emit(event(evil, "connected", evil), report(evil, records=[text, Record(SPO2, PERCENT, mantissa=97)]))
    shown = cell(evil)
    assert shown == r"\x1b[31mred\r\n[bold]x[/bold]\u202e"
    for command in ("latest", "status", "devices list"):
        code, output = vitalwire(command)
        assert code == 0
        assert shown in output
        assert evil not in output
    code, output = vitalwire(f"devices assign {device_id(evil)}", "--bed", evil)
    assert (code, output.rsplit(" since ")[0]) == (0, f"{device_id(evil)} is {shown} at {shown}")
    code, output = vitalwire("mapping unmapped")
    assert "\x1b" not in output
    tomllib.loads(output)  # a newline in the claim does not end the comment


# --- each command -----------------------------------------------------------------------------------------------------


def test_latest_shows_value_unit_and_doubt(store: Store) -> None:
    a_ward(store)
    code, text = vitalwire("latest")
    lines = [re.split(r" {2,}", line.strip()) for line in text.splitlines()[2:]]
    assert code == 0
    assert [f"(not registered) {CLAIM}", "SpO2", "250", "%"] == lines[1][:4]
    assert lines[1][5] == "doubtful range"
    values = as_json("latest")
    assert {(v["code"], v["value"]) for v in values} == {(SPO2, 250.0), (PULSE, 1.0)}
    assert all(len(v["batch_id"]) == 64 and "batch" not in v for v in values)  # and no number of the store's own
    with store.open() as conn:
        places.assign(conn, CLAIM, "ICU-07", since=T0)
    assert "ICU-07 " in vitalwire("latest")[1]


TEMP, DEGC = 150344, 268192
T1, T2 = ChannelWords(("MDC_DEV_ANALY", "1"), label="T1", body_site="axilla"), ChannelWords(label="T2")


def describe(store: Store) -> None:
    store.emit(event(CLAIM, "connected", ""), report(kind=Kind.DESCRIPTION, records=[
        Record(TEMP, channel=t.number, kind=RecordKind.TEXT, text=msgspec.json.encode(t).decode()) for t in (T1, T2)
    ]))  # fmt: skip


def test_latest_shows_bounds_with_their_sign_codes_by_their_words_and_like_channels_by_name(store: Store) -> None:
    describe(store)
    store.emit(report(records=[
        Record(TEMP, DEGC, T1.number, RecordKind.BOUND, mantissa=34, marks=Mark.LESS),
        Record(TEMP, DEGC, T2.number, mantissa=368, exponent=-1, marks=Mark.AMBIGUOUS),
        Record(TEMP, DEGC, 7, mantissa=36, marks=Mark.TRAINING),
        Record(SPO2, 0, 9, RecordKind.CODE, mantissa=3, text="searching"),
    ]))  # fmt: skip
    lines = [re.split(r" {2,}", line.strip()) for line in vitalwire("latest")[1].splitlines()[2:]]
    found = {line[1]: (line[2:-2], line[-1]) for line in lines}
    assert found == {
        "T #7": (["36", "Cel"], "doubtful training"), "T T1": (["<34", "Cel"], "accepted bound"),
        "T T2": (["36.8", "Cel"], "ambiguous channel"), "SpO2": (["searching"], "accepted code"),
    }  # fmt: skip
    assert {v["channel"]: v["bound"] for v in as_json("latest")}[T1.number] == "<"


def test_channels_are_listed_and_labelled(store: Store) -> None:
    assert vitalwire("devices channels") == (0, "Channels: nothing yet\n")
    describe(store)
    text = vitalwire("devices channels", CLAIM)[1]
    assert re.search(rf"(?m)^{CLAIM} +{T1.number} +T +- +MDC_DEV_ANALY/1, T1, axilla +2026-", text)
    labelled = vitalwire("devices label", CLAIM, str(T1.number), "T 腋下")
    assert labelled == (0, f"channel {T1.number} is T 腋下\n")
    assert {c["channel"]: c["label"] for c in as_json("devices channels")} == {T1.number: "T 腋下", T2.number: None}
    with store.open() as conn:
        assert channel_labels(conn)[device_id(CLAIM), TEMP, T1.number] == "T 腋下"
        vitalwire("devices label", CLAIM, str(T1.number), "")
        assert channel_labels(conn)[device_id(CLAIM), TEMP, T1.number] == "T1"
    assert vitalwire("devices label", CLAIM, "5", "x") == (
        2, f"{CLAIM!r} has described no channel 5: see `vitalwire devices channels`"
    )  # fmt: skip
    assert vitalwire("devices channels nobody")[0] == 2


def test_of_two_word_lists_with_one_number_neither_names_it(store: Store) -> None:
    store.emit(report(kind=Kind.DESCRIPTION, records=[
        Record(TEMP, channel=5, kind=RecordKind.TEXT, text=f'{{"label":"{label}"}}') for label in ("T1", "T2")
    ]))  # fmt: skip
    with store.open() as conn:
        assert channel_labels(conn) == {}
    assert len(as_json("devices channels")) == 2


def test_latest_shows_the_unit_that_a_value_is_stored_in(store: Store) -> None:
    etco2, kpa, degc = 151708, 265987, 268192
    for claim, unit in (("a", PERCENT), ("b", kpa), ("c", degc), ("d", 0)):
        store.emit(report(claim, records=[Record(etco2, unit, mantissa=5)]))
    lines = [re.split(r" {2,}", line.strip()) for line in vitalwire("latest")[1].splitlines()[2:]]
    assert [line[2:4] for line in lines] == [["5", "%"], ["38", "mm[Hg]"], ["5", "Cel"], ["5", "?"]]


def test_the_ledger_adds_up(store: Store) -> None:
    a_ward(store)
    found = as_json("ledger")
    assert found["total"] == {
        "said": 5, "stored": 4, "quarantined": 1, "accepted": 2, "doubtful": 2, "unmapped": 1, "missing": 0,
        "on_the_way": 0, "lost": 0, "unexplained": 0, "gaps": 0, "gap_s": 0,
    }  # fmt: skip
    (stream,) = found["streams"]
    assert (stream["duplicates"], stream["gaps"], stream["label"]) == (0, 0, "box")
    assert [(e["edge"], json.loads(e["counts"])) for e in found["edges"]] == [
        (str(UUID(bytes=EDGE)), {"frames:serial": 12})
    ]
    code, text = vitalwire("ledger")
    assert code == 0
    assert "reports  5 said = 4 stored + 1 quarantined + 0 on the way + 0 lost" in text
    assert "values   5 = 2 accepted + 2 doubtful + 1 unmapped + 0 missing" in text
    assert re.search(r"(?m)^edge 45454545 said .* ago: frames:serial 12$", text)


@pytest.mark.parametrize(
    "change", ["UPDATE ledger SET reports = reports + 1", "INSERT INTO sequence_noted SELECT * FROM sequence_noted",
               "DELETE FROM sequence_noted"],
)  # fmt: skip
def test_a_ledger_that_does_not_balance_is_exit_4(store: Store, change: str) -> None:
    a_ward(store)
    store.rows(f"{change} RETURNING 1")
    code, text = vitalwire("ledger")
    assert (code, text.splitlines()[-1][:6]) == (4, "WRONG:")
    code, text = vitalwire("ledger", "--json")
    assert (code, json.loads(text)["balances"]) == (4, False)


@pytest.mark.parametrize(
    ("text", "span"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)),
     ("7d", timedelta(days=7)), ("10min", timedelta(minutes=10)), ("0s", timedelta())],
)  # fmt: skip
def test_since_takes_a_span(text: str, span: timedelta) -> None:
    assert abs(datetime.now(UTC) - span - since_moment(text)) < timedelta(seconds=5)


def test_since_takes_an_instant() -> None:
    ten = datetime(2026, 11, 24, 10, tzinfo=UTC)
    for text in ("2026-11-24T10:00Z", "2026-11-24T18:00+08:00", "2026-11-24 10:00:00+00:00"):
        assert since_moment(text) == ten
    assert since_moment("2026-11-24T10:00") == datetime(2026, 11, 24, 10).astimezone()  # the hospital's zone


@pytest.mark.parametrize("text", ["", "h", "-1h", "1.5h", "1w", "yesterday", "24 h", "99999999999d", "٣d",
                                  "2026-13-01"])  # fmt: skip
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(VitalwireError, match="neither an instant"):
        since_moment(text)


def test_what_is_dead_is_listed_and_shown(store: Store) -> None:
    a_ward(store)
    (item,) = as_json("dead list")
    assert (item["reason"], item["receipted"], item["replayed_at"]) == ("root", True, None)
    assert re.search(r"(?m)^ *1 .* root +live\.raw +\d+ +-", vitalwire("dead list")[1])
    code, text = vitalwire("dead show 1")
    assert (code, text.splitlines()[0][:16]) == (0, "root on live.raw")
    assert text.splitlines()[1].startswith("00000000  56 57 42 41 54 43 48 ")
    assert text.splitlines()[1].split("  ")[2].startswith("VWBATCH.")
    assert vitalwire("dead show 7") == (2, "there is no dead message 7: see `vitalwire dead list`")
    assert vitalwire("dead replay 7") == (2, "there is no dead message 7: see `vitalwire dead list`")
    assert vitalwire("dead show x")[0] == 2


def test_a_broker_that_is_away_leaves_the_message_unmarked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitalwire.broker.TAKE_LIMIT_S", 0.3)
    a_ward(store)
    code, text = vitalwire("dead replay 1", "--kafka", "127.0.0.1:1")
    assert code == 3
    assert text.startswith("the broker at 127.0.0.1:1 did not take it: ")
    assert as_json("dead list")[0]["replayed_at"] is None


def test_what_is_replayed_is_marked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a_ward(store)
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("vitalwire.record.republish", lambda *what, **_: given.append(what) or "live.raw")
    assert vitalwire("dead replay 1", "--kafka", "k:1") == (0, "given to live.raw again; see `vitalwire ledger`\n")
    ((kafka, topic, message, *tls),) = given
    assert tls == [None, None, None]
    assert (kafka, topic, bytes(message)[:7]) == ("k:1", "live.raw", b"VWBATCH")  # type: ignore[call-overload]
    assert as_json("dead list")[0]["replayed_at"] is not None
    with store.open() as conn:
        assert [s.quarantined_reports for s in conservation.streams(conn)] == [1]  # the ledger waits until it is stored


@pytest.mark.parametrize("command", [*READING, "migrate", "page"])
def test_a_store_beyond_loopback_is_not_spoken_to_in_plaintext(command: str) -> None:
    for mode in ("", " sslmode=prefer", " sslmode=require"):
        code, text = vitalwire(command, "--database", f"host=store.example dbname=x connect_timeout=1{mode}")
        assert code == 2
        assert "give sslmode=verify-full" in text
        assert "VITALWIRE_INSECURE=true" in text


def test_plaintext_to_a_store_may_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ("--database", "host=store.invalid dbname=x")
    monkeypatch.setenv("VITALWIRE_INSECURE", "true")
    code, text = vitalwire("latest", *store)
    assert (code, "cannot be reached" in text) == (3, True)
    monkeypatch.setenv("VITALWIRE_INSECURE", "false")
    assert vitalwire("latest", *store)[0] == 2


def test_unmapped_names_are_rows_of_a_mapping_file_once_for_all_who_say_them(store: Store) -> None:
    a_ward(store)
    other = Record(mantissa=6, as_sent=AsSent("99L", "HR", "bpm"))
    store.emit(report("demo:nonin:2", at_us=T0_US + 2, records=[other]))
    code, text = vitalwire("mapping unmapped")
    assert (code, text.splitlines()[0]) == (0, f"# 2 times, e.g. '5' in bpm, from {CLAIM} and 1 more")
    (entry,) = tomllib.loads(text)["mapping"]
    assert (entry["system"], entry["code"]) == ("99L", "HR")
    assert "unit" not in entry  # the sender's own counts


def test_an_identifier_with_several_texts_is_a_row_for_each(store: Store) -> None:
    texts = ("SpO2", "Pulse", "Pulse")
    store.emit(report(records=[Record(mantissa=5, as_sent=AsSent("99L", f"101^{text}", "")) for text in texts]))
    text = vitalwire("mapping unmapped")[1]
    assert [(m["code"], m["text"]) for m in tomllib.loads(text)["mapping"]] == [("101", "Pulse"), ("101", "SpO2")]
    assert '# unit = ""  # the sender states none' in text
