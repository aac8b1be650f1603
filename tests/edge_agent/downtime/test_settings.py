"""What `[downtime]` says of the page, what is made for it, and what `edge check` says of both."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509

from edge_agent.config import DowntimeConfig, EdgeConfig
from edge_agent.downtime.check import downtime_findings
from edge_agent.downtime.settings import fingerprint_of, opened, prepare
from runtime.errors import UserError
from vitalwire.embedded.services import free_port

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def beyond(folder: Path, **more: Any) -> DowntimeConfig:
    files = {"certificate": folder / "d.crt", "certificate_key": folder / "d.key", "code_file": folder / "d.code"}
    return DowntimeConfig(**{"listen": f"0.0.0.0:{free_port()}", **files, **more})


def found(config: DowntimeConfig, now: datetime = NOW) -> list[str]:
    findings = downtime_findings(EdgeConfig(edge=str(UUID(int=7)), spool=Path("spool"), downtime=config), now)
    return [f"{'WRONG ' if each.wrong else ''}{each.what}: {each.mend}" for each in findings]


def test_on_loopback_it_needs_nothing() -> None:
    page = opened(DowntimeConfig())
    assert (page.host, page.port, page.code, page.fingerprint) == ("127.0.0.1", 9480, "", "")


def test_what_is_missing_is_made_once_readable_to_us_alone(tmp_path: Path) -> None:
    config = beyond(tmp_path)
    assert len(list(prepare(config, NOW))) == 2
    for name, mode in (("d.crt", 0o644), ("d.key", 0o600), ("d.code", 0o600)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
    page = opened(config)
    assert page.code.isdigit()
    assert len(page.code) == 10
    assert page.fingerprint == fingerprint_of(tmp_path / "d.crt")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert list(prepare(config, NOW)) == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_its_certificate_is_for_servers_and_signs_no_other(tmp_path: Path) -> None:
    list(prepare(beyond(tmp_path, listen="10.0.0.7:9480"), NOW))
    made = x509.load_pem_x509_certificate((tmp_path / "d.crt").read_bytes())
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert "localhost" in names.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"certificate": None, "certificate_key": None}, "beyond loopback: set certificate"),
        ({"code_file": None}, "beyond loopback: set certificate"),
        ({}, "does not exist: .*--prepare"),
        ({"listen": "nonsense"}, "is no address: write host:port"),
        ({"enabled": False}, "set it to true"),
        ({"listen": "127.0.0.1:1", "certificate": None, "code_file": None}, "does not exist"),
    ],
)
def test_what_cannot_be_served_is_said_with_its_mend(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        opened(beyond(tmp_path, **more))


def test_a_code_that_others_can_read_or_guess_is_refused(tmp_path: Path) -> None:
    config = beyond(tmp_path)
    list(prepare(config, NOW))
    (tmp_path / "d.code").chmod(0o644)
    with pytest.raises(UserError, match="can be read by others"):
        opened(config)
    (tmp_path / "d.code").chmod(0o600)
    (tmp_path / "d.code").write_text("1234567")
    with pytest.raises(UserError, match="8 letters or more"):
        opened(config)


def test_a_key_without_its_certificate_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "d.key").write_text("mine")
    with pytest.raises(UserError, match="one is there alone"):
        list(prepare(beyond(tmp_path), NOW))
    assert (tmp_path / "d.key").read_text() == "mine"


def test_where_nothing_is_named_there_is_nothing_to_make() -> None:
    with pytest.raises(UserError, match="nothing to make"):
        list(prepare(DowntimeConfig(), NOW))


def test_what_edge_check_says(tmp_path: Path) -> None:
    assert found(DowntimeConfig(enabled=False)) == [
        "not enabled: with the hospital's side away this box shows nothing: "
    ]
    kept, page = found(DowntimeConfig(listen=f"127.0.0.1:{free_port()}"))
    assert kept == "the last 24 hours are kept in spool/downtime.history, at most 8 MB: "
    assert page.endswith("without a code: ")
    config = beyond(tmp_path)
    assert found(config)[1].startswith("WRONG ")
    list(prepare(config, NOW))
    _, page = found(config)
    assert fingerprint_of(tmp_path / "d.crt") in page
    assert page.endswith("with a code: ")
    (*_, ends) = found(config, NOW + timedelta(days=3640))
    assert "in 10 days" in ends
    assert "--prepare" in ends
    assert found(config, NOW + timedelta(days=3660))[-1].startswith("WRONG ")
