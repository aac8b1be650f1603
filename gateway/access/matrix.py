"""The access table as people read it: lines of what is answered alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.access.table import AccessTable
from gateway.access.words import Action, Answer, DataClass, Relation, Role

# In the order of the columns.
RELATION_WORDS: Mapping[Relation, str] = {
    Relation.OWN_WARD: "my ward",
    Relation.TEAM: "my team",
    Relation.CONSULTED: "consulted",
    Relation.MY_TRAINEE: "my trainee's",
    Relation.BREAK_GLASS: "glass broken",
    Relation.NONE: "none",
    Relation.UNPLACED: "no bed",
}
ANSWER_WORDS: Mapping[Answer, str] = {Answer.ALLOWED: "yes", Answer.ASK_REASON: "reason", Answer.DENIED: "-"}


@dataclass(frozen=True)
class MatrixLine:
    """Acts with classes of data to which the same is answered by every relation. `answers`: as RELATION_WORDS."""

    role: Role
    data_classes: tuple[DataClass, ...]
    actions: tuple[Action, ...]
    answers: tuple[Answer, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Data, acts, and an answer for each relation."""
        data = ", ".join(word_of(each) for each in self.data_classes)
        acts = ", ".join(word_of(each) for each in self.actions)
        return (data, acts, *(ANSWER_WORDS[answer] for answer in self.answers))


def matrix(table: AccessTable, role: Role) -> list[MatrixLine]:
    """Of a role; what is denied whatever the relation has no line."""
    classes_alike: dict[tuple[tuple[Action, ...], tuple[Answer, ...]], list[DataClass]] = {}
    for data_class in DataClass:
        actions_alike: dict[tuple[Answer, ...], list[Action]] = {}
        for action in Action:
            answers = tuple(table.answer(role, action, data_class, relation) for relation in RELATION_WORDS)
            if set(answers) != {Answer.DENIED}:
                actions_alike.setdefault(answers, []).append(action)
        for answers, actions in actions_alike.items():
            classes_alike.setdefault((tuple(actions), answers), []).append(data_class)
    return [
        MatrixLine(role, tuple(classes), actions, answers) for (actions, answers), classes in classes_alike.items()
    ]  # fmt: skip


def word_of(name: Role | Action | DataClass) -> str:
    """As it is written for people."""
    return name.value.replace("_", " ")
