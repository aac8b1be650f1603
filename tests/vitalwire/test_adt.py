"""`vitalwire adt explain`: each message of a file in words."""

from __future__ import annotations

from pathlib import Path

from tests.commands import as_json, vitalwire

PID, V1 = "PID|||1^^^HOSP^PI||Zhang^San", "PV1||I|{}||||||||||||||||V1^^^HOSP^VN"


def message(event: str, second: int, *lines: str, processing: str = "P") -> str:
    head = [
        rf"MSH|^~\&|HIS|H|||20260921141{second:03}+0800||ADT^{event}|{event}.{second}|{processing}|2.5",
        f"EVN||20260921141{second:03}",
    ]
    return "".join(f"{line}\n" for line in (*head, *lines))


def test_what_each_message_would_do(tmp_path: Path) -> None:
    file = tmp_path / "ward.hl7"
    admission = message("A01", 300, PID, V1.format("ICU^^1"))
    merge = message("A40", 310, "PID|||1^^^HOSP^PI", "MRG|2^^^HOSP^PI")
    file.write_text(
        admission + message("A02", 305, PID, V1.format("ICU^^2")) + "\n" + admission + merge
        + message("A03", 320, PID, "PV1||N") + message("A01", 330, PID, V1.format("ICU^^3"), processing="X")
        + message("A28", 340, PID) + "MSH|^~\\&|||||||ORU^R01|1|P|2.5\n", "utf-8",
    )  # fmt: skip
    first, move, again, merged, lost, training, person, other = as_json(f"adt explain {file}")
    assert first["title"].startswith("A01 (admit) at 2026-09-21T06:13:00+00:00 of visit V1, bed ICU^^1")
    assert first["effects"] == ["visit V1 in bed icu 1 since 2026-09-21T06:13:00+00:00 from then on"]
    assert [effect.split(" in ")[0] for effect in move["effects"]] == [
        "no longer believed: visit V1", "visit V1", "visit V1"
    ]  # fmt: skip
    assert again["effects"] == ["the same message again: nothing changes"]
    assert merged["effects"] == ["2 (HOSP) is 1 (HOSP) (merge)"]
    assert lost["questions"] == ["An A03 names no visit and had no effect. Say which visit is meant."]
    assert training["effects"] == ["a test or training message (MSH-11): without effect"]
    assert person["effects"] == ["no effect on any stay"]
    assert other["problem"].startswith("is not read as ADT: unsupported-type")
    assert "asks: An A03 names no visit" in vitalwire(f"adt explain {file}")[1]
    assert "8. 不作为ADT读取：unsupported-type" in vitalwire(f"adt explain {file} --language zh")[1]
    assert "   待办：A03消息未指明就诊" in vitalwire(f"adt explain {file} --language zh")[1]
    assert as_json(f"adt explain {file} --language zh")[2]["effects"] == ["重复消息：无变化"]


def test_by_the_configuration_of_the_processors(tmp_path: Path) -> None:
    (tmp_path / "processors.toml").write_text(
        '[[adt_source]]\nname = "his"\n[[bed]]\nname = "ICU-1"\nlocation = "ICU^^1^H"\naliases = ["ICU^^V1"]\n', "utf-8"
    )
    file = tmp_path / "ward.hl7"
    file.write_text(message("A01", 300, PID, V1.format("ICU^^V1")) + message("A02", 305, PID, V1.format("ICU^^9")))
    alias, unknown = as_json(f"adt explain {file} --config {tmp_path / 'processors.toml'}")
    assert alias["effects"] == ["visit V1 in bed ICU-1 since 2026-09-21T06:13:00+00:00 from then on"]
    assert "ICU^^9 (not registered)" in unknown["title"]
    assert unknown["questions"] == ["ADT names a bed that is not registered: ICU^^9. Register it or give it an alias."]


def test_what_a_user_can_get_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.hl7").write_text("nothing")
    (tmp_path / "processors.toml").write_text('[[adt_source]]\nname = "his"\n', "utf-8")
    for command, message in (
        (f"adt explain {tmp_path / 'none.hl7'}", "cannot be read"),
        (f"adt explain {tmp_path / 'empty.hl7'}", "has no HL7 message"),
        (f"adt explain {tmp_path / 'empty.hl7'} --time-zone Mars/Base", "is no zone"),
        (f"adt explain {tmp_path / 'empty.hl7'} --config {tmp_path / 'processors.toml'} --source x", "it has his"),
    ):
        code, text = vitalwire(command)
        assert code != 0
        assert message in text
