"""The access table: which role may do what with which class of data by which relation. `access.toml`.

What no row says is denied. A cell that two rows answer is refused at load, as is a word that is none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

import msgspec

from gateway.access.words import Action, Answer, DataClass, Relation, Role
from schemas.errors import VitalwireError

Cell = tuple[Role, Action, DataClass, Relation]


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: list[Role]
    action: list[Action]
    data: list[DataClass]
    relation: list[Relation]
    answer: Answer


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    own_ward_after_h: int  # how long a stay remains a ward's after it left it
    row: list[_Row]


@dataclass(frozen=True)
class AccessTable:
    """As loaded: it is asked by `decision.may` alone."""

    cells: Mapping[Cell, Answer]
    own_ward_after_h: int

    def answer(self, role: Role, action: Action, data_class: DataClass, relation: Relation) -> Answer:
        """What a row says; DENIED where none does."""
        return self.cells.get((role, action, data_class, relation), Answer.DENIED)


def read_table(text: str) -> AccessTable:
    """Of a file's text; raises VitalwireError."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise VitalwireError(f"the access table cannot be read: {error}") from None
    cells: dict[Cell, Answer] = {}
    for row in found.row:
        for cell in product(row.role, row.action, row.data, row.relation):
            if cell in cells:
                raise VitalwireError(f"the access table answers twice for {' '.join(cell)}: keep one row")
            cells[cell] = row.answer
    return AccessTable(cells, found.own_ward_after_h)


@cache
def shipped_table() -> AccessTable:
    """That of gateway/access/access.toml."""
    return read_table((files("gateway.access") / "access.toml").read_text("utf-8"))
