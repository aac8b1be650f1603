import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASUREMENTS, arguments, chosen, main, rows
from benchmarks.goals import GOALS, Goal


def test_each_figure_is_measured_once_and_has_a_line_among_the_goals() -> None:
    figures = [figure for measurement in MEASUREMENTS for figure in measurement.figures]
    assert sorted(figures) == sorted(GOALS)


def test_a_part_or_one_figure_is_chosen_by_its_name() -> None:
    assert chosen([]) == list(MEASUREMENTS)
    assert {m.part for m in chosen(["edge"])} == {"edge"}
    (measurement,) = chosen(["pipeline_with_texts_ratio"])
    assert measurement.figures == ("pipeline_with_texts_ratio",)
    with pytest.raises(ValueError, match="'pipelin' is none of"):
        chosen(["pipelin"])


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["-h"], 0), (["--nonsense"], 2)])
def test_help_and_what_there_is_not_measure_nothing(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    shown = "".join(capsys.readouterr())
    assert "measuring" not in shown
    assert "--quick" in shown
    assert list(tmp_path.iterdir()) == []


def test_quick_and_names_are_taken_in_any_order() -> None:
    assert vars(arguments(["edge", "--quick", "hl7"])) == {"asked": ["edge", "hl7"], "quick": True}


def test_a_goal_is_judged_on_the_median() -> None:
    (row,) = rows({"pipeline_with_texts_ratio": [0.9, 0.1, 0.6]}).values()
    assert (row["min"], row["median"], row["max"], row["ok"]) == (0.1, 0.6, 0.9, True)
    (row,) = rows({"pipeline_with_texts_ratio": [0.9, 0.1, 0.4]}).values()
    assert row["ok"] is False


def test_of_figures_that_are_taken_together_only_the_one_asked_for_is_shown() -> None:
    samples = {"hl7_vs_hl7apy": [600.0], "hl7_vs_python_hl7": [30.0]}
    assert list(rows(samples, ["hl7_vs_hl7apy"])) == ["hl7_vs_hl7apy"]
    assert list(rows(samples, ["hl7"])) == list(samples)


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [(Goal("x", least=2), 2, True), (Goal("x", least=2), 1.9, False), (Goal("x", most=2), 2, True),
     (Goal("x", most=2), 2.1, False), (Goal("x"), 0, True)],
)  # fmt: skip
def test_a_goal_is_a_bound_that_counts(goal: Goal, value: float, met: bool) -> None:
    assert goal.met(value) is met


def test_a_part_and_a_figure_of_another_are_both_shown() -> None:
    samples = {
        "hl7_vs_hl7apy": [20.0],
        "hl7_vs_python_hl7": [2.0],
        "whose_day_p95_ms": [1.0],
        "verify_since_ratio": [0.1],
    }
    assert list(rows(samples, ["hl7", "whose_day_p95_ms"])) == [
        "hl7_vs_hl7apy",
        "hl7_vs_python_hl7",
        "whose_day_p95_ms",
    ]
