from __future__ import annotations

from adapters.devices import astm as astm_driver
from adapters.devices import nonin as nonin_driver
from benchmarks.doctor import SPEAKERS
from vitalwire.doctor.port.line_settings import LineSettings, Sample
from vitalwire.doctor.port.reading import noticed_share, read_sample

SPOKEN = {speaker.name: b"".join(map(speaker.message, range(6))) for speaker in SPEAKERS}


def sample(data: bytes) -> Sample:
    return Sample(LineSettings(9600), data, bytes(len(data)))


def test_what_a_listening_began_in_the_middle_of_is_no_fault() -> None:
    reading = read_sample(nonin_driver.ASCII, sample(SPOKEN["nonin_ascii"][5:]))
    assert (reading.valid, reading.invalid, reading.score) == (5, 0, 1.0)


def test_a_spoilt_frame_counts_against_it() -> None:
    lines = SPOKEN["nonin_ascii"].replace(b"SPO2", b"SPQ2", 3).replace(b"SPQ2", b"SPO2", 2)
    reading = read_sample(nonin_driver.ASCII, sample(lines))
    assert (reading.valid, reading.invalid) == (5, 1)
    assert 0.8 <= reading.score < 0.9


def test_another_family_s_bytes_are_no_frames() -> None:
    assert read_sample(nonin_driver.DF2, sample(SPOKEN["nonin_ascii"] * 30)).valid == 0
    assert read_sample(nonin_driver.ASCII, sample(SPOKEN["nonin_df2"])).valid == 0
    assert read_sample(astm_driver.DRIVER, sample(SPOKEN["nonin_df2"])).score == 0.0


def test_a_request_to_send_is_no_frame_and_would_be_answered() -> None:
    reading = read_sample(astm_driver.DRIVER, sample(b"\x05"))
    assert (reading.valid, reading.invalid, reading.answers) == (0, 0, 1)


def test_damage_is_noticed_by_those_with_checksums_and_not_in_free_text() -> None:
    assert noticed_share(nonin_driver.DF2, sample(SPOKEN["nonin_df2"])) > 0.9
    assert noticed_share(nonin_driver.ASCII, sample(SPOKEN["nonin_ascii"])) > 0.6
    assert noticed_share(nonin_driver.ASCII, sample(b"NONIN a header of whatever text it likes\r\n")) < 0.4
