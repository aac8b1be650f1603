from __future__ import annotations

from clinical.adt_events import EVENTS
from clinical.adt_words import NAMES_ZH


def test_every_event_has_a_name_in_chinese() -> None:
    assert NAMES_ZH.keys() == EVENTS.keys()
    assert all(name and not name.isascii() for name in NAMES_ZH.values())
