"""The words of the access table: roles, relations, actions, classes of data, answers. docs/access.md says each."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """As what somebody works here, or what is no person."""

    NURSE = "nurse"
    PHYSICIAN = "physician"
    TECHNICIAN = "technician"
    BIOMEDICAL_ENGINEER = "biomedical_engineer"
    RECORD_OFFICE = "record_office"
    AUDITOR = "auditor"
    SECOND_AUDITOR = "second_auditor"  # sees who read the audit
    TRAINEE = "trainee"
    ADMINISTRATOR = "administrator"
    STATION_DISPLAY = "station_display"  # a screen of one ward
    MACHINE = "machine"  # a client of the API


class Relation(StrEnum):
    """What ties a viewer to a stay, or to a bed that nobody lies in."""

    OWN_WARD = "own_ward"  # the stay is, or was until a day ago, on a ward that is mine now
    TEAM = "team"  # by a grant: I am of those who treat
    CONSULTED = "consulted"  # by a grant of somebody who treats, until its end
    MY_TRAINEE = "my_trainee"  # a stay of somebody whom I supervise
    BREAK_GLASS = "break_glass"  # by my own word, with a reason and an end
    UNPLACED = "unplaced"  # values of nobody, from no ward that is known
    NONE = "none"


class Action(StrEnum):
    """What somebody wants to do with it."""

    SEE = "see"
    PRINT = "print"
    EXPORT = "export"
    ENTER = "enter"  # into a chart, by hand or taken from a device
    CONFIRM = "confirm"
    CORRECT = "correct"
    WITHDRAW = "withdraw"
    RESOLVE = "resolve"  # a question of the worklist
    PLACE = "place"  # assign a device to a bed, move, release
    DELIVER = "deliver"  # retry, skip, pause
    GRANT = "grant"  # a relation to somebody else
    BREAK_GLASS = "break_glass"
    RESTRICT = "restrict"  # make a record a restricted one, or end that
    REOPEN = "reopen"  # the chart of an archived stay, for a while
    SEAL_COPY = "seal_copy"  # make a custody copy, and open one
    CLOSE_REVIEW = "close_review"
    MANAGE = "manage"


class DataClass(StrEnum):
    """Of what kind it is."""

    VITALS = "vitals"  # numbers as devices say them
    IDENTITY = "identity"  # who the patient is
    WAVEFORMS = "waveforms"
    ALARMS = "alarms"
    CHART = "chart"
    AUDIT = "audit"  # who looked at what
    WORKLIST = "worklist"
    DELIVERIES = "deliveries"
    DEVICES = "devices"
    FLEET = "fleet"  # boxes: whether data flows, what waits on them
    PEOPLE = "people"  # staff, sessions, keys, displays, clients
    BOXES = "boxes"  # those that ask to be let in


class Answer(StrEnum):
    """What the table says."""

    ALLOWED = "allowed"
    ASK_REASON = "ask_reason"  # allowed to who gives one: breaks the glass
    DENIED = "denied"
