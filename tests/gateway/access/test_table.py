from __future__ import annotations

import pytest

from gateway.access.table import NEARER, read_table, shipped_table
from gateway.access.words import Action, Answer, DataClass, Relation, Role
from schemas.errors import VitalwireError

OTHERS = [role.value for role in Role if role is not Role.NURSE]


def row(role: str | list[str], action: str, data: str, relation: str | list[str], answer: str = "allowed") -> str:
    roles = [role] if isinstance(role, str) else role
    found = [relation] if isinstance(relation, str) else relation
    return (
        f'[[row]]\nrole = {roles}\naction = ["{action}"]\ndata = ["{data}"]\nrelation = {found}\nanswer = "{answer}"\n'
    )


def table(*rows: str, hours: int = 24) -> str:
    """With a row for everybody but the nurse."""
    return "".join([f"own_ward_after_h = {hours}\n", row(OTHERS, "see", "devices", "unplaced"), *rows])


GLASS = row("nurse", "break_glass", "identity", ["none", "break_glass"])


def test_what_is_answered_without_a_relation_holds_by_every_nearer_one() -> None:
    found = read_table(table(row("nurse", "see", "devices", "none")))
    for relation in (*NEARER, Relation.NONE):
        assert found.answer(Role.NURSE, Action.SEE, DataClass.DEVICES, relation) is Answer.ALLOWED
    assert found.answer(Role.NURSE, Action.SEE, DataClass.DEVICES, Relation.UNPLACED) is Answer.DENIED


def test_who_is_asked_without_a_relation_may_be_allowed_by_one() -> None:
    asked = row("nurse", "see", "chart", "none", "ask_reason")
    found = read_table(table(GLASS, row("nurse", "see", "chart", ["own_ward", "break_glass"]), asked))
    said = [found.answer(Role.NURSE, Action.SEE, DataClass.CHART, relation) for relation in NEARER]
    assert said == [Answer.ALLOWED, Answer.ASK_REASON, Answer.ASK_REASON, Answer.ASK_REASON, Answer.ALLOWED]
    assert found.glass_breakers == {Role.NURSE}


NURSE_SEES = row("nurse", "see", "devices", "none")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("own_ward_after_h = 1\nrow = 3", "cannot be read"),
        (table(row("king", "see", "chart", "none")), "cannot be read"),
        (table(NURSE_SEES, NURSE_SEES), "answers twice for nurse see devices none, in row 2 and in row 3: keep one"),
        (table(), "no row for nurse"),
        (table(NURSE_SEES, hours=-1), "own_ward_after_h is -1"),
        (table(NURSE_SEES, row("nurse", "see", "devices", "team", "denied")),
         r"row 3 \(nurse see devices team\): allowed without a relation, by row 2"),
        (table(row("nurse", "see", "chart", "none", "ask_reason")),
         r"row 2 \(nurse see chart none\): the role is asked for a reason, and may not break_glass"),
        (table(GLASS, row("nurse", "see", "chart", "none", "ask_reason")),
         r"row 3 \(nurse see chart none\): a reason leads nowhere: the same by break_glass"),
        (table(GLASS, row("nurse", "see", "chart", "break_glass"),
               row("nurse", "see", "chart", "unplaced", "ask_reason")),
         r"row 4 \(nurse see chart unplaced\): a reason leads nowhere: what is unplaced"),
        (table(row("nurse", "break_glass", "chart", "none")), r"row 2 \(nurse break_glass chart none\): .* identity"),
        (table(row("nurse", "break_glass", "identity", "team")), r"row 2 \(nurse break_glass identity team\)"),
        (table(NURSE_SEES, row("station_display", "enter", "chart", "own_ward")),
         r"row 3 \(station_display enter chart own_ward\): what is no person may see"),
        (table(NURSE_SEES, row("machine", "export", "chart", "none")), r"row 3 \(machine export chart none\)"),
        (table(NURSE_SEES, row("machine", "break_glass", "identity", "none")), "what is no person may see"),
    ],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_refused_with_its_row(text: str, why: str) -> None:
    with pytest.raises(VitalwireError, match=why):
        read_table(text)


def test_the_shipped_table_asks_the_roles_that_may_answer() -> None:
    assert shipped_table().glass_breakers == {
        Role.NURSE, Role.PHYSICIAN, Role.TECHNICIAN, Role.TRAINEE, Role.BIOMEDICAL_ENGINEER, Role.RECORD_OFFICE,
    }  # fmt: skip
