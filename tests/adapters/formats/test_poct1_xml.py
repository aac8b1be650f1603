"""XML as POCT1-A devices write it, and as they must not."""

from __future__ import annotations

import pytest

from adapters.formats.poct1_xml import DEPTH_MAX, read_message, written
from schemas.errors import FrameError


def test_fields_are_attributes() -> None:
    found = read_message(
        b'<?xml version="1.0" encoding="ISO-8859-1"?><OBS.R01><HDR><HDR.control_id V=" 7 "/></HDR>'
        b'<SVC><SVC.role_cd V="OBS"/><OBS><OBS.value V="5.4" U="\xb5mol/L"/></OBS></SVC></OBS.R01>'
    )
    assert (found.type, found.control_id, found.value("SVC", "role_cd")) == ("OBS.R01", "7", "OBS")
    service = found.root.first("SVC")
    assert service is not None
    (result,) = service.all("OBS")
    assert (result.value("value"), result.value("value", "U"), result.value("status_cd")) == ("5.4", "µmol/L", "")


def test_what_is_not_there_is_empty() -> None:
    found = read_message(b"<HEL.R01/>")
    assert (found.control_id, found.value("DCP", "application_timeout")) == ("", "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-xml"),
        (b"<OBS.R01>", "not-xml"),
        (b"<a></b>", "not-xml"),
        (b"<a/><b/>", "not-xml"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "not-xml"),
        (b"<a>\xff</a>", "not-xml"),
        (b'<!DOCTYPE a [<!ENTITY x "yyyy">]><a>&x;</a>', "xml-declarations"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "xml-declarations"),
        (b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1), "xml-too-large"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as raised:
        read_message(data)
    assert raised.value.reason == reason


def test_what_we_write_is_read_by_us() -> None:
    sent = written("ACK.R01", 7, "2026-03-09T14:05:09+00:00", (("ACK", (("note_txt", "<\"&'>"),)),))
    found = read_message(sent)
    assert (found.type, found.control_id, found.value("ACK", "note_txt")) == ("ACK.R01", "7", "<\"&'>")
