from __future__ import annotations

from gateway.access.matrix import RELATION_WORDS, matrix
from gateway.access.table import shipped_table
from gateway.access.words import Answer, Relation, Role


def test_the_lines_are_the_cells_and_nothing_else() -> None:
    """However they are gathered."""
    said = {}
    for role in Role:
        for line in matrix(shipped_table(), role):
            for data_class in line.data_classes:
                for action in line.actions:
                    for relation, answer in zip(RELATION_WORDS, line.answers, strict=True):
                        cell = (role, action, data_class, relation)
                        assert cell not in said
                        said[cell] = answer
    assert {cell: answer for cell, answer in said.items() if answer is not Answer.DENIED} == shipped_table().cells


def test_every_relation_has_a_column() -> None:
    assert set(RELATION_WORDS) == set(Relation)
