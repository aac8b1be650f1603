"""`edge read`: stored frames through the session, driver, mapping and validation of the wire."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.errors import ConfigError
from vitalwire.__main__ import app

ROOT = Path(__file__).parents[2]
HEAD = "MSH|^~\\&|MON|ICU|||20260921141319+0000||ORU^R01^ORU_R01|{id}|P|2.6|||AL|NE\rPV1||I|ICU^^07\r"
ORU = HEAD + "OBR|1||||||20260921141319+0000\rOBX|1|NM|{code}||{value}|{unit}|||||F\r"
SPO2, PERCENT = "150456^MDC_PULS_OXIM_SAT_O2^MDC", "262688^MDC_DIM_PERCENT^MDC"


def oru(value: str = "97", code: str = SPO2, unit: str = PERCENT, ident: str = "1") -> str:
    return ORU.format(id=ident, value=value, code=code, unit=unit)


def read(*words: str | Path, json_lines: bool = True) -> str:
    result = CliRunner().invoke(app, ["edge", "read", *map(str, words), *(["--json"] if json_lines else [])])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def frames(folder: Path, *messages: str, options: tuple[str | Path, ...] = ("--driver", "hl7_oru")) -> list[Any]:
    paths = []
    for number, message in enumerate(messages):
        paths.append(folder / f"{number}.hl7")
        paths[-1].write_bytes(message.encode())
    return [json.loads(line) for line in read(*paths, *options).splitlines()]


def records(frame: Any, kind: str = "metric") -> list[Any]:
    return [record for report in frame["reports"] if report["kind"] == kind for record in report["records"]]


def test_a_value_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    (frame,) = frames(tmp_path, oru())
    assert (frame["answer"], frame["reason"]) == ("CA", "")
    metric = next(report for report in frame["reports"] if report["kind"] == "metric")
    assert metric["device"] == "read/PV1-3=ICU^^07"
    assert (metric["observed_at"], metric["clock"], metric["duplicate"]) == (
        "2026-09-21T14:13:19+00:00",
        "device",
        False,
    )
    assert records(frame) == [
        {
            "metric": "MDC_PULS_OXIM_SAT_O2", "code": "150456", "channel": 0, "value": 97, "bound": None, "unit": "%",
            "validity": "valid", "verdict": "accepted", "text": None, "marks": [],
        }
    ]  # fmt: skip


def test_frames_of_one_call_are_one_connection(tmp_path: Path) -> None:
    once, again = frames(tmp_path, oru(), oru())
    assert [report["kind"] for report in once["reports"]] == ["context", "metric"]
    assert [report["kind"] for report in again["reports"]] == ["metric"]  # the context has not changed
    assert again["reports"][0]["duplicate"]
    assert again["answer"] == "CA"


@pytest.mark.parametrize(
    ("message", "answer", "reason"),
    [
        (oru() + oru(ident="2"), "CE", "two-messages"),
        (oru().replace("ORU^R01", "QRY^A19"), "CR", "unsupported-type"),
        (oru().replace("|AL|NE", "||"), "AA", ""),
        (oru().replace("|AL|NE", "|NE|NE"), "", ""),
        ("nothing of HL7", "AE", "not-hl7"),
    ],
)
def test_the_answer_that_the_sender_would_get(message: str, answer: str, reason: str, tmp_path: Path) -> None:
    (frame,) = frames(tmp_path, message)
    assert (frame["answer"], frame["reason"]) == (answer, reason)
    assert (frame["reports"] == []) == bool(reason)


def test_bounds_texts_and_results_as_validation_gives_them(tmp_path: Path) -> None:
    found = [records(frame)[0] for frame in frames(tmp_path, *map(oru, ("<70", "36,5", "---", "140")))]
    assert [(r["bound"], r["value"], r["text"], r["verdict"]) for r in found] == [
        ("<", 70, None, "accepted-bound"),
        (None, None, "36,5", "doubtful-text"),
        (None, None, "---", "missing"),
        (None, 140, None, "doubtful-range"),
    ]


def test_a_mapping_is_tried_before_it_is_in_use(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[[mapping]]\nsender = "icu"\ncode = "0002"\ntext = "SpO2"\nmetric = "MDC_PULS_OXIM_SAT_O2"\n')
    options = ("--driver", "hl7_oru", "--mapping", site)
    labels = oru(code="0002^SpO2^L", unit="%"), oru("58", code="0002^Pulse^L", unit="bpm", ident="2")
    found = [records(frame)[0] for frame in frames(tmp_path, *labels, options=options)]
    assert [(r["metric"], r["code"], r["verdict"]) for r in found] == [
        ("MDC_PULS_OXIM_SAT_O2", "0002^SpO2", "accepted"),
        (None, "0002^Pulse", "unmapped-code"),
    ]


def test_settings_of_the_driver(tmp_path: Path) -> None:
    training = oru().replace("|P|2.6", "|T|2.6")
    options = ("--driver", "hl7_oru", "--settings", 'processing_ids_live = ["T"]', "--settings", 'device = "MSH-3"')
    (frame,) = frames(tmp_path, training, options=options)
    assert records(frame)[0]["verdict"] == "accepted"
    assert frame["reports"][-1]["device"] == "read/MSH-3=MON"
    (frame,) = frames(tmp_path, training)
    assert (records(frame)[0]["verdict"], records(frame)[0]["marks"]) == ("doubtful-training", ["training"])


def test_a_source_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[[mapping]]\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "bpm"\n')
    (tmp_path / "edge.toml").write_text(
        'edge = "x"\nmapping = "site.toml"\n[[source]]\nname = "ward"\ndriver = "mqtt_json"\n'
        'time_zone = "Asia/Shanghai"\nlink.type = "mqtt"\nsettings.time_field = "at"\n'
    )
    payload = tmp_path / "payload.json"
    payload.write_text('{"at": "2026-05-01T10:15:00", "hr": 71.0}')
    out = read(payload, "--config", tmp_path / "edge.toml", "--source", "ward")
    (report,) = json.loads(out)["reports"]
    assert report["observed_at"] == "2026-05-01T02:15:00+00:00"
    (record,) = report["records"]
    assert (record["metric"], record["value"], record["verdict"]) == ("MDC_ECG_HEART_RATE", 71.0, "accepted")


def test_a_stream_is_cut_as_on_the_wire(tmp_path: Path) -> None:
    stream = tmp_path / "oximeter.txt"
    stream.write_bytes(b"SPO2= 97 HR= 71\r\nSPO2=--- HR=---\r\n")
    first, second = (json.loads(line) for line in read(stream, "--driver", "nonin_ascii").splitlines())
    assert [r["value"] for r in records(first)] == [97, 71]
    assert [r["verdict"] for r in records(second)] == ["missing", "missing"]
    assert first["answer"] == ""


def test_a_table_for_people(tmp_path: Path) -> None:
    path = tmp_path / "frame.hl7"
    path.write_bytes(oru().encode())
    shown = read(path, "--driver", "hl7_oru", json_lines=False)
    assert "answered CA" in shown
    assert re.search(r"MDC_PULS_OXIM_SAT_O2 +- +97 +% +accepted", shown)


ADT = (
    "MSH|^~\\&|HIS|HOSP|||20260921141319+0000||ADT^A40|7|T|2.6|||AL|NE\rEVN||202609211413|||| yesterday\r"
    "PID|||1^^^H^PI||Zhang^San||1956|M\rPV1||I|ICU^^07|||ED|||||||||||||V9^^^H\rMRG|2^^^H^PI||A\r"
    "ZBE|M1|20260921141200|20260921141300|INSERT|Y|A02|ICU\r"
)


def test_an_adt_message_field_by_field(tmp_path: Path) -> None:
    path = tmp_path / "frame.hl7"
    path.write_text(ADT)
    shown = read(path, "--driver", "hl7_adt", json_lines=False)
    assert "context of adt:read at 2026-09-21T14:12:00+00:00 (device clock)" in shown
    rows = [line.split("  ")[0] + "=" + line.split("  ")[-1].strip() for line in map(str.rstrip, shown.splitlines())]
    expected = {
        "event=A40", "control id (MSH-10)=7", "patient (PID-3)=1 (H PI)", "bed (PV1-3)=ICU^^07", "prior bed (PV1-6)=ED",
        "visit (PV1-19)=V9 (H)", "retired patient (MRG-1)=2 (H PI)", "retired account (MRG-3)=A",
        "name (PID-5)=Zhang^San",
        "movement (ZBE)=INSERT M1 of A02 since 2026-09-21T14:12:00+00:00 until 2026-09-21T14:13:00+00:00, historic,"
        " ward ICU",
    }  # fmt: skip
    assert expected <= set(rows)
    assert "mark=training" in rows
    assert "happened" not in shown


def test_a_time_of_an_adt_message_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "frame.hl7"
    path.write_text(ADT.partition("ZBE")[0])
    shown = read(path, "--driver", "hl7_adt", json_lines=False)
    assert re.search(r"(?m)^note +EVN-6 as sent: yesterday", shown)
    assert "(doubtful clock)" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--driver", "hl7"), "'hl7' is none of nonin_ascii, nonin_df2"),
        (("--driver", "hl7_oru", "--settings", "dialekt = 1"), "dialekt"),
        (("--driver", "hl7_oru", "--settings", "dialect"), "--settings is not TOML"),
        (("--driver", "hl7_oru", "--time-zone", "Mars"), "Mars"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = tmp_path / "frame.hl7"
    path.write_text(oru())
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(path, *words)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.hl7", "--driver", "hl7_oru")


def test_drivers_are_listed_with_links_and_settings() -> None:
    result = CliRunner().invoke(app, ["edge", "drivers", "--json"])
    found = {driver["name"]: driver for driver in json.loads(result.stdout)}
    assert found["nonin_ascii"]["links"] == ["serial", "tcp"]
    assert "dialect" in found["hl7_oru"]["settings"]
    assert all(name in CliRunner().invoke(app, ["edge", "drivers"]).stdout for name in found)


def test_the_page_lists_every_key_and_word() -> None:
    from schemas.block import ValidationResult
    from vitalwire.edge_read import ReadFrame, ReadRecord, ReadReport

    page = (ROOT / "docs" / "edge-read.md").read_text("utf-8")
    names = {name for kind in (ReadFrame, ReadReport, ReadRecord) for name in kind.__struct_fields__}
    assert [name for name in names if f'"{name}"' not in page] == []
    assert [
        v.slug for v in ValidationResult if f"`{v.slug}`" not in page and v is not ValidationResult.ACCEPTED_TEXT
    ] == []
