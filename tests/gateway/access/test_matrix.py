"""Every cell of the access table, held against pictures that were drawn by hand and not made from it.

A picture has a line for each class of data and a column for each relation. A letter is an act that is allowed; acts
before a question mark are asked for a reason; a dot is nothing at all.

    s see        p print      x export     e enter      c confirm    k correct    w withdraw   r resolve a question
    o reopen an archived chart
    m move a device           d deliver    g grant      b break the glass         t restrict a record
    z seal a copy             v close a review          a manage people
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from gateway.access.decision import may
from gateway.access.table import NEARER, shipped_table
from gateway.access.viewer import Grant, Licence, Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role

NOW_US = 1_700_000_000_000_000
WARD, OTHER = "h^icu", "h^ward2"

ACT = {
    "s": Action.SEE, "p": Action.PRINT, "x": Action.EXPORT, "e": Action.ENTER, "c": Action.CONFIRM,
    "k": Action.CORRECT, "w": Action.WITHDRAW, "r": Action.RESOLVE, "m": Action.PLACE, "d": Action.DELIVER,
    "g": Action.GRANT, "b": Action.BREAK_GLASS, "t": Action.RESTRICT, "z": Action.SEAL_COPY, "o": Action.REOPEN,
    "v": Action.CLOSE_REVIEW, "a": Action.MANAGE,
}  # fmt: skip
COLUMN = {
    "my-ward": Relation.OWN_WARD, "my-team": Relation.TEAM, "consulted": Relation.CONSULTED,
    "my-trainee's": Relation.MY_TRAINEE, "glass-broken": Relation.BREAK_GLASS, "no-bed": Relation.UNPLACED,
    "stranger": Relation.NONE,
}  # fmt: skip

PICTURES: dict[Role, str] = {
    Role.NURSE: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      sp        sp        sp         sp            sp            s       sp?
    identity    spg       spg       sp         sp            spb           .       sp?b
    waveforms   sp        sp        sp         sp            sp            s       sp?
    alarms      sp        sp        sp         sp            sp            s       sp?
    chart       specwk    specwk    specwk     specwk        specwk        .       specwk?
    worklist    sr        sr        sr         sr            sr            sr      sr?
    devices     sm        sm        sm         sm            sm            sm      sm
    """,
    Role.PHYSICIAN: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      sp        sp        sp         sp            sp            s       sp?
    identity    spg       spg       sp         sp            spb           .       sp?b
    waveforms   sp        sp        sp         sp            sp            s       sp?
    alarms      sp        sp        sp         sp            sp            s       sp?
    chart       specwk    specwk    specwk     specwk        specwk        .       specwk?
    worklist    sr        sr        sr         sr            sr            sr      sr?
    devices     sm        sm        sm         sm            sm            sm      sm
    """,
    Role.TECHNICIAN: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      sp        sp        sp         sp            sp            s       sp?
    identity    sp        sp        sp         sp            spb           .       sp?b
    waveforms   sp        sp        sp         sp            sp            s       sp?
    alarms      sp        sp        sp         sp            sp            s       sp?
    chart       sp        sp        sp         sp            sp            .       sp?
    devices     sm        sm        sm         sm            sm            sm      sm
    """,
    Role.TRAINEE: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      sp        sp        sp         sp?           sp            s       sp?
    identity    sp        sp        sp         sp?b          spb           .       sp?b
    waveforms   sp        sp        sp         sp?           sp            s       sp?
    alarms      sp        sp        sp         sp?           sp            s       sp?
    chart       specwk    specwk    specwk     spewk?        specwk        .       specwk?
    devices     s         s         s          s             s             s       s
    """,
    Role.BIOMEDICAL_ENGINEER: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      s         s         s          s             s             s       s
    identity    .         .         .          .             .             .       .
    waveforms   s         s         s          s             s             s       s
    alarms      s         s         s          s             s             s       s
    chart       .         .         .          .             .             .       .
    deliveries  sd        sd        sd         sd            sd            sd      sd
    devices     sm        sm        sm         sm            sm            sm      sm
    boxes       .         .         .          .             .             sa      .
    fleet       .         .         .          .             .             s       .
    """,
    Role.RECORD_OFFICE: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      .         .         .          .             .             .       .
    identity    spxzt     spxzt     spxzt      spxzt         spxzt         .       spxzt
    chart       spxzo     spxzo     spxzo      spxzo         spxzo         .       spxzo
    worklist    sr        sr        sr         sr            sr            sr      sr
    """,
    Role.AUDITOR: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    audit       .         .         .          .             .             spv     .
    """,
    Role.SECOND_AUDITOR: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    audit       .         .         .          .             .             spv     .
    """,
    Role.ADMINISTRATOR: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    deliveries  sd        sd        sd         sd            sd            sd      sd
    people      .         .         .          .             .             sa      .
    boxes       .         .         .          .             .             sa      .
    fleet       .         .         .          .             .             s       .
    """,
    Role.STATION_DISPLAY: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      s         .         .          .             .             .       .
    identity    .         .         .          .             .             .       .
    waveforms   s         .         .          .             .             .       .
    alarms      s         .         .          .             .             .       .
    """,
    Role.MACHINE: """
                my-ward   my-team   consulted  my-trainee's  glass-broken  no-bed  stranger
    vitals      s         s         s          s             s             s       s
    identity    s         s         s          s             s             s       s
    waveforms   s         s         s          s             s             s       s
    alarms      s         s         s          s             s             s       s
    chart       s         s         s          s             s             s       s
    devices     s         s         s          s             s             s       s
    """,
}

# Of a restricted record, to a stranger: a line as above. Who has a relation loses nothing.
RESTRICTED_TO_A_STRANGER: dict[Role, str] = {
    Role.NURSE: "vitals sp? | identity sp?b | waveforms sp? | alarms sp? | chart specwk? | worklist sr? | devices sm",
    Role.PHYSICIAN: "vitals sp? | identity sp?b | waveforms sp? | alarms sp? | chart specwk? | worklist sr?"
    " | devices sm",
    Role.TECHNICIAN: "vitals sp? | identity sp?b | waveforms sp? | alarms sp? | chart sp? | devices sm",
    Role.TRAINEE: "vitals sp? | identity sp?b | waveforms sp? | alarms sp? | chart specwk? | devices s",
    Role.BIOMEDICAL_ENGINEER: "vitals s? | waveforms s? | alarms s? | identity b | deliveries sd | devices sm",
    Role.RECORD_OFFICE: "identity spxz?bt | chart spxz?o | worklist sr?",
    Role.AUDITOR: "",
    Role.SECOND_AUDITOR: "",
    Role.ADMINISTRATOR: "deliveries sd",
    Role.STATION_DISPLAY: "",
    Role.MACHINE: "devices s",
}


@dataclass(frozen=True)
class Case:
    """Somebody, something, and what has to come of it."""

    viewer: Viewer
    action: Action
    target: Target
    answer: Answer

    def __str__(self) -> str:
        return f"{self.viewer.role} {self.action} {self.target.data_class}"


def acts(cell: str) -> dict[Action, Answer]:
    """What a cell of a picture says."""
    asked, mark, rest = cell.partition("?")
    first = Answer.ASK_REASON if mark else Answer.ALLOWED
    said = {ACT[letter]: first for letter in asked if letter != "."}
    return said | {ACT[letter]: Answer.ALLOWED for letter in rest}


def picture(role: Role) -> dict[tuple[DataClass, Relation], dict[Action, Answer]]:
    """What is not drawn is denied."""
    head, *lines = [line.split() for line in PICTURES[role].strip().splitlines()]
    columns = [COLUMN[word] for word in head]
    drawn = {}
    for word, *cells in lines:
        assert len(cells) == len(columns), (role, word)
        for relation, cell in zip(columns, cells, strict=True):
            drawn[DataClass(word), relation] = acts(cell)
    return drawn


def person(role: Role, relation: Relation, **more: Any) -> Viewer:
    """With one relation to E1, which lies on WARD, and none to anything else; E2's grant is nothing to it."""
    granted = relation in (Relation.TEAM, Relation.CONSULTED, Relation.BREAK_GLASS)
    grants = {"E2": (Grant(Relation.TEAM, NOW_US - 1, NOW_US + 1),)}
    if granted:
        grants["E1"] = (Grant(relation, NOW_US - 1, NOW_US + 1),)
    viewer = Viewer(
        "1",
        "a",
        role,
        licence=Licence.NONE if role is Role.TRAINEE else Licence.HERE,
        wards=frozenset({WARD} if relation is Relation.OWN_WARD else {OTHER}),
        grants=grants,
        trainees=frozenset({"T"} if relation is Relation.MY_TRAINEE else ()),
    )
    return replace(viewer, **more)


def thing(data_class: DataClass, relation: Relation, **more: Any) -> Target:
    if relation is Relation.UNPLACED:
        return Target(data_class, **more)
    authors = frozenset({"T"} if relation is Relation.MY_TRAINEE else ())
    return Target(data_class, "E1", frozenset({WARD}), authors=authors, **more)


def wrong(cases: Iterator[Case]) -> tuple[int, list[str]]:
    """How many were asked, and those that came out otherwise."""
    asked, found = 0, []
    for case in cases:
        asked += 1
        decision = may(case.viewer, case.action, case.target, NOW_US)
        if decision.answer is not case.answer:
            found.append(f"{case}: {decision}, not {case.answer}")
    return asked, found


def cases(
    role: Role, relation: Relation, drawn: Mapping[DataClass, Mapping[Action, Answer]], *, restricted: bool = False,
    **more: Any,
) -> Iterator[Case]:  # fmt: skip
    viewer = person(role, relation, **more)
    for data_class in DataClass:
        target = thing(data_class, relation, restricted=restricted)
        for action in Action:
            yield Case(viewer, action, target, drawn.get(data_class, {}).get(action, Answer.DENIED))


def column(role: Role, relation: Relation) -> dict[DataClass, dict[Action, Answer]]:
    return {data_class: acts for (data_class, drawn), acts in picture(role).items() if drawn is relation}


@pytest.mark.parametrize("relation", Relation)
@pytest.mark.parametrize("role", Role)
def test_each_cell_is_as_it_was_drawn(role: Role, relation: Relation) -> None:
    asked, found = wrong(cases(role, relation, column(role, relation)))
    assert found == []
    assert asked == len(Action) * len(DataClass) == 204


def test_the_pictures_leave_nothing_out() -> None:
    assert set(PICTURES) == set(RESTRICTED_TO_A_STRANGER) == set(Role)
    assert set(ACT.values()) == set(Action)
    assert set(COLUMN.values()) == set(Relation)
    assert all({relation for _, relation in picture(role)} == set(Relation) for role in Role)


@pytest.mark.parametrize("role", Role)
def test_a_restricted_record_asks_strangers_alone(role: Role) -> None:
    drawn = {}
    for part in filter(None, RESTRICTED_TO_A_STRANGER[role].split(" | ")):
        word, cell = part.split()
        drawn[DataClass(word)] = acts(cell)
    assert wrong(cases(role, Relation.NONE, drawn, restricted=True))[1] == []


@pytest.mark.parametrize("role", Role)
def test_who_has_a_relation_loses_nothing_to_a_restriction(role: Role) -> None:
    """And a broken glass may be broken again before its end, where a stranger would be asked."""
    for relation in NEARER:
        drawn = column(role, relation)
        if relation is Relation.BREAK_GLASS and role in (Role.BIOMEDICAL_ENGINEER, Role.RECORD_OFFICE):
            drawn[DataClass.IDENTITY] = drawn[DataClass.IDENTITY] | {Action.BREAK_GLASS: Answer.ALLOWED}
        assert wrong(cases(role, relation, drawn, restricted=True))[1] == []


@pytest.mark.parametrize("role", Role)
def test_a_locked_workstation_keeps_numbers_and_alarms_alone(role: Role) -> None:
    for relation, restricted in product(Relation, (False, True)):
        viewer, locked = person(role, relation), person(role, relation, locked=True)
        for data_class, action in product(DataClass, Action):
            target = thing(data_class, relation, restricted=restricted)
            answer = may(locked, action, target, NOW_US).answer
            if action is Action.SEE and data_class in (DataClass.VITALS, DataClass.ALARMS):
                assert answer is may(viewer, action, target, NOW_US).answer
            else:
                assert answer is Answer.DENIED


@pytest.mark.parametrize("role", Role)
def test_the_glass_may_be_broken_exactly_where_somebody_is_asked(role: Role) -> None:
    """And by who has broken it already, until its end."""
    for relation, restricted in product(Relation, (False, True)):
        viewer, stranger = person(role, relation), person(role, Relation.NONE)
        asks = stranger if relation is Relation.BREAK_GLASS else viewer
        seen = [thing(data_class, relation, restricted=restricted) for data_class in DataClass]
        asked = any(may(asks, Action.SEE, target, NOW_US).answer is Answer.ASK_REASON for target in seen)
        glass = thing(DataClass.IDENTITY, relation, restricted=restricted)
        assert may(viewer, Action.BREAK_GLASS, glass, NOW_US).is_allowed == asked, (relation, restricted)


@pytest.mark.parametrize("role", Role)
def test_a_reason_opens_what_it_was_asked_for(role: Role) -> None:
    asked, opened = person(role, Relation.NONE), person(role, Relation.BREAK_GLASS)
    for data_class, restricted in product(DataClass, (False, True)):
        target = thing(data_class, Relation.NONE, restricted=restricted)
        for action in Action:
            if may(asked, action, target, NOW_US).answer is Answer.ASK_REASON:
                decision = may(opened, action, target, NOW_US)
                assert (decision.answer, decision.relation) == (Answer.ALLOWED, Relation.BREAK_GLASS)


@pytest.mark.parametrize("role", Role)
def test_values_of_nobody_belong_to_the_beds_ward(role: Role) -> None:
    """There is no stay whose glass could be broken, so nobody is asked for a reason."""
    on_ward = column(role, Relation.OWN_WARD)
    elsewhere = column(role, Relation.NONE)
    for data_class in (DataClass.VITALS, DataClass.WAVEFORMS, DataClass.ALARMS):
        bed = Target(data_class, wards=frozenset({WARD}))
        allowed = on_ward.get(data_class, {}).get(Action.SEE, Answer.DENIED)
        assert may(person(role, Relation.OWN_WARD), Action.SEE, bed, NOW_US).answer is allowed
        stranger = elsewhere.get(data_class, {}).get(Action.SEE, Answer.DENIED)
        expected = Answer.DENIED if stranger is Answer.ASK_REASON else stranger
        assert may(person(role, Relation.NONE), Action.SEE, bed, NOW_US).answer is expected


@pytest.mark.parametrize("role", Role)
def test_an_archived_stay_is_read_as_before_and_nobody_changes_its_chart(role: Role) -> None:
    """Not even who would be asked for a reason."""
    for relation, restricted in product(Relation, (False, True)):
        viewer = person(role, relation)
        for data_class, action in product(DataClass, Action):
            target = thing(data_class, relation, restricted=restricted)
            answer = may(viewer, action, replace(target, archived=True), NOW_US).answer
            if action in (Action.ENTER, Action.CONFIRM, Action.CORRECT, Action.WITHDRAW):
                assert answer is Answer.DENIED
            else:
                assert answer is may(viewer, action, target, NOW_US).answer


@pytest.mark.parametrize("role", [Role.NURSE, Role.PHYSICIAN, Role.TRAINEE])
@pytest.mark.parametrize("licence", Licence)
def test_who_has_no_licence_confirms_nobody_elses_entry(role: Role, licence: Licence) -> None:
    viewer = person(role, Relation.OWN_WARD, licence=licence)
    is_licensed = role is not Role.TRAINEE and licence is not Licence.NONE
    for authors, expected in (({"T"}, is_licensed), ({"1"}, True), ({"1", "T"}, is_licensed), (set(), True)):
        entry = Target(DataClass.CHART, "E1", frozenset({WARD}), authors=frozenset(authors))
        assert may(viewer, Action.CONFIRM, entry, NOW_US).is_allowed == expected
        assert may(viewer, Action.CORRECT, entry, NOW_US).is_allowed


def test_the_table_has_no_cell_that_the_pictures_do_not_know() -> None:
    """Also where `may` never gets to it: a relation that holds beside another one."""
    for (role, action, data_class, relation), answer in shipped_table().cells.items():
        if action is not Action.BREAK_GLASS and relation is not Relation.MY_TRAINEE:
            assert picture(role)[data_class, relation].get(action) is answer, (role, action, data_class, relation)
