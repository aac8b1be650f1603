"""What the site calls its beds lies in the store, as the processors have it."""

from __future__ import annotations

from emr_store.bed_names import bed_names, keep_bed_names
from emr_store.connect import open_store
from stream_processors.attribute import Attributor
from tests.attributing import SITE


def test_those_of_the_configuration_and_no_others_are_kept(database: str) -> None:
    with open_store(database) as conn:
        assert bed_names(conn) == {}
        keep_bed_names(conn, {"h^icu^^1": "ICU-1", "h^icu^^2": "ICU-2"})
        keep_bed_names(conn, {"h^icu^^2": "bed two", "h^icu^^3": "ICU-3"})
        assert bed_names(conn) == {"h^icu^^2": "bed two", "h^icu^^3": "ICU-3"}


def test_who_attributes_keeps_them(database: str) -> None:
    attributor = Attributor(database, SITE)
    attributor.attribute()
    attributor.close()
    with open_store(database) as conn:
        assert bed_names(conn) == SITE.bed_names != {}
