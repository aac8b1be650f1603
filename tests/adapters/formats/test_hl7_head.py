"""What a message says it is."""

from __future__ import annotations

import pytest

from adapters.formats.hl7_head import MessageType, message_type
from adapters.formats.hl7v2 import syntax
from schemas.errors import FrameError

SYNTAX = syntax("|", r"^~\&", "ascii")


@pytest.mark.parametrize(
    ("msh_9", "msh_11", "found"),
    [
        ("ADT^A01^ADT_A01", "P", MessageType("ADT", "A01", "P", True)),
        ("adt^a04^ADT_A04", "p^T", MessageType("ADT", "A04", "P", True)),
        (" ADT ", "", MessageType("ADT", "", "P", True)),
        ("ADT^A01", '""', MessageType("ADT", "A01", "P", True)),
        ("ADT^A01", "T", MessageType("ADT", "A01", "T", False)),
    ],
)
def test_type_event_and_whether_it_is_live(msh_9: str, msh_11: str, found: MessageType) -> None:
    assert message_type(msh_9, msh_11, "2.5^DEU", SYNTAX, ("ADT", "ORU"), (" p ",)) == found


@pytest.mark.parametrize(
    ("msh_9", "msh_12", "reason"),
    [("QRY^A19", "2.5", "unsupported-type"), ("", "", "unsupported-type"), ("ADT^A01", "3", "unsupported-version")],
)
def test_what_is_not_read_is_refused_with_its_reason(msh_9: str, msh_12: str, reason: str) -> None:
    with pytest.raises(FrameError) as refused:
        message_type(msh_9, "P", msh_12, SYNTAX, ("ADT",), ("P",))
    assert refused.value.reason == reason
