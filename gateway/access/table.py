"""The access table: which role may do what with which class of data by which relation. `access.toml`.

What no row says is denied; what is answered without a relation holds by every nearer one. Refused at load: a cell that
two rows answer, a word that is none, and what makes no sense (`_validate`).
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

# Those by which something ties a viewer to a stay.
NEARER = (Relation.OWN_WARD, Relation.TEAM, Relation.CONSULTED, Relation.MY_TRAINEE, Relation.BREAK_GLASS)
_NO_PERSONS = (Role.STATION_DISPLAY, Role.MACHINE)
_GLASS = (Relation.NONE, Relation.BREAK_GLASS)
_LEAST_FIRST = (Answer.DENIED, Answer.ASK_REASON, Answer.ALLOWED)


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
    """As loaded: it is asked by `decision.may` and by `sight.sight_of` alone."""

    cells: Mapping[Cell, Answer]
    own_ward_after_h: int
    glass_breakers: frozenset[Role]  # to whom asking for a reason leads somewhere

    def answer(self, role: Role, action: Action, data_class: DataClass, relation: Relation) -> Answer:
        """What a row says; DENIED where none does."""
        return self.cells.get((role, action, data_class, relation), Answer.DENIED)


def read_table(text: str) -> AccessTable:
    """Of a file's text; raises VitalwireError, which names the row, the first one being 1."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise VitalwireError(f"the access table cannot be read: {error}") from None
    cells: dict[Cell, Answer] = {}
    row_numbers: dict[Cell, int] = {}
    for number, row in enumerate(found.row, 1):
        for cell in product(row.role, row.action, row.data, row.relation):
            if cell in cells:
                raise VitalwireError(
                    f"the access table answers twice for {' '.join(cell)}, in row {row_numbers[cell]} and in row"
                    f" {number}: keep one"
                )
            cells[cell] = row.answer
            row_numbers[cell] = number
    _extend_to_nearer(cells, row_numbers)
    _validate(cells, row_numbers, found.own_ward_after_h)
    breakers = {role for role in Role if _may_break_glass(cells, role)}
    return AccessTable(cells, found.own_ward_after_h, frozenset(breakers))


def _extend_to_nearer(cells: dict[Cell, Answer], row_numbers: dict[Cell, int]) -> None:
    """Who may do something without a relation may do it with one. Breaking the glass is for who has none."""
    for (role, action, data_class, relation), answer in list(cells.items()):
        if relation is not Relation.NONE or action is Action.BREAK_GLASS:
            continue
        far = (role, action, data_class, relation)
        for nearer in NEARER:
            near = (role, action, data_class, nearer)
            row_numbers.setdefault(near, row_numbers[far])
            if _LEAST_FIRST.index(cells.setdefault(near, answer)) < _LEAST_FIRST.index(answer):
                raise _wrong(near, row_numbers, f"{answer.value} without a relation, by row {row_numbers[far]}")


def _validate(cells: Mapping[Cell, Answer], row_numbers: Mapping[Cell, int], own_ward_after_h: int) -> None:
    """Raises VitalwireError where the table would lock somebody out, lead nowhere, or let a screen act."""
    if own_ward_after_h < 0:
        raise VitalwireError(f"the access table: own_ward_after_h is {own_ward_after_h}: give hours, 0 or more")
    for role in Role:
        if not any(cell[0] is role for cell in cells):
            raise VitalwireError(f"the access table has no row for {role.value}: say what it may do")
    for cell, answer in cells.items():
        role, action, data_class, relation = cell
        if answer is Answer.ASK_REASON:
            if not _may_break_glass(cells, role):
                raise _wrong(cell, row_numbers, "the role is asked for a reason, and may not break_glass identity none")
            if cells.get((role, action, data_class, Relation.BREAK_GLASS)) is not Answer.ALLOWED:
                raise _wrong(cell, row_numbers, "a reason leads nowhere: the same by break_glass is not allowed")
            if relation is Relation.UNPLACED:
                raise _wrong(cell, row_numbers, "a reason leads nowhere: what is unplaced has no stay to be opened")
        if action is Action.BREAK_GLASS and (data_class is not DataClass.IDENTITY or relation not in _GLASS):
            raise _wrong(cell, row_numbers, "break_glass is said of identity, for none and break_glass")
        if role in _NO_PERSONS and (action is not Action.SEE or answer is Answer.ASK_REASON):
            raise _wrong(cell, row_numbers, "what is no person may see, and is asked for no reason")


def _may_break_glass(cells: Mapping[Cell, Answer], role: Role) -> bool:
    return cells.get((role, Action.BREAK_GLASS, DataClass.IDENTITY, Relation.NONE)) is Answer.ALLOWED


def _wrong(cell: Cell, row_numbers: Mapping[Cell, int], why: str) -> VitalwireError:
    return VitalwireError(f"the access table, row {row_numbers[cell]} ({' '.join(cell)}): {why}: change the row")


@cache
def shipped_table() -> AccessTable:
    """That of gateway/access/access.toml."""
    return read_table((files("gateway.access") / "access.toml").read_text("utf-8"))
