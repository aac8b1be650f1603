from __future__ import annotations

from pathlib import Path

import pytest

from gateway.access.words import Role
from gateway.people.oidc_tokens import Expected
from gateway.people.sign_in_config import GatewayConfig, address, sign_in_settings
from runtime.config import load, sample
from runtime.errors import UserError

BASE = 'database = "postgresql:///x"\n'
TLS = 'tls_cert = "a.crt"\ntls_key = "a.key"\n'
NAMED = f'public_origin = "https://icu.example"\n{TLS}'
PROVIDER = '[provider]\nissuer = "https://id.example/icu"\nclient_id = "vitalwire"\nclient_secret_file = "secret"\n'


def configured(folder: Path, text: str, secret: str = "s3cret") -> GatewayConfig:
    (folder / "secret").touch(0o600)
    (folder / "secret").write_text(secret)
    file = folder / "gateway.toml"
    file.write_text(BASE + text)
    return load(file, GatewayConfig)


def test_what_a_file_says_is_what_the_routes_take(tmp_path: Path) -> None:
    config = configured(tmp_path, f'listen = "0.0.0.0:443"\n{NAMED}{PROVIDER}[session]\nidle_min = {{ nurse = 10 }}\n')
    settings = sign_in_settings(config)
    assert address(config) == ("0.0.0.0", 443)
    assert settings.public_origin.origin == "https://icu.example"
    assert settings.provider is not None
    assert (settings.provider.client_secret, settings.provider.staff_claim) == ("s3cret", "preferred_username")
    assert settings.links is None
    idle = [settings.lifetimes.idle_s(role) for role in (Role.NURSE, Role.PHYSICIAN, Role.AUDITOR)]
    assert idle == [600, 1800, 900]
    assert (settings.platform_keys, settings.lock_after_s, settings.token_key) == (False, 300, None)


def test_how_strong_a_sign_in_at_the_provider_must_be_is_as_the_file_says(tmp_path: Path) -> None:
    asks_each_time = sign_in_settings(configured(tmp_path, f"{NAMED}{PROVIDER}")).provider
    assert asks_each_time is not None
    assert (asks_each_time.acr, asks_each_time.amr, asks_each_time.max_age_s) == ((), (), 0)
    text = f'{NAMED}{PROVIDER}acr = ["loa2"]\namr = ["pwd", "otp"]\nmax_age_s = 600\n'
    provider = sign_in_settings(configured(tmp_path, text)).provider
    assert provider is not None
    assert (provider.acr, provider.amr, provider.max_age_s) == (("loa2",), ("pwd", "otp"), 600)
    assert provider.expected == Expected(
        provider.issuer, "vitalwire", "preferred_username", ("loa2",), ("pwd", "otp"), 600
    )


def test_keys_and_machines_are_as_the_file_says(tmp_path: Path) -> None:
    text = '[keys]\nplatform_keys = true\nlock_after_min = 2\n[machines]\ntoken_key = "token.key"\n'
    config = configured(tmp_path, text)
    settings = sign_in_settings(config)
    assert (settings.platform_keys, settings.lock_after_s) == (True, 120)
    assert settings.token_key is not None
    assert settings.token_key.name == "token.key"


def test_a_sample_file_shows_keys_and_machines() -> None:
    text = sample(GatewayConfig, "vitalwire page")
    for word in ("[keys]", "platform_keys = false", "lock_after_min = 5", "[machines]", 'token_key = "token.key"'):
        assert word in text


def test_loopback_needs_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path, "")
    assert address(config) == ("127.0.0.1", 8420)
    settings = sign_in_settings(config)
    assert (settings.public_origin.is_https, settings.provider) == (False, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('listen = "0.0.0.0:8420"', "is beyond loopback: give tls_cert"),
        (f'listen = "0.0.0.0:8420"\n{TLS}', "stands without public_origin"),
        ('listen = "8420"', "write host:port"),
        (f'public_origin = "https://10.0.0.7"\n{TLS}', "is an IP address: security keys are enrolled for a DNS name"),
        ('public_origin = "https://icu.example"', "tls_cert and tls_key must be there too"),
        (NAMED + PROVIDER.replace("https://id.example", "http://id.example"), "the issuer must be https"),
        (NAMED + PROVIDER.replace("https://id", "id"), "write the https address"),
        (f'{NAMED}{PROVIDER}scopes = ["profile"]\n', "without it there is no ID token"),
        ("[session]\nidle_min = { nurse = 0 }\n", "idle_min"),
        ("[session]\nabsolute_h = { nurse = 25 }\n", "absolute_h"),
        ("[keys]\nlock_after_min = 0\n", "lock_after_min"),
        ("[session]\nidle_min = { doctor = 10 }\n", "'doctor' is no role: nurse, physician"),
        ('public_orign = "x"', "did you mean 'public_origin'"),
    ],
)
def test_what_is_not_safe_does_not_start_and_says_why(tmp_path: Path, text: str, why: str) -> None:
    def start() -> None:
        config = configured(tmp_path, text)
        address(config)
        sign_in_settings(config)

    with pytest.raises(UserError, match=why):
        start()


def test_a_secret_that_others_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        sign_in_settings(configured(tmp_path, NAMED + PROVIDER, secret=""))
    config = configured(tmp_path, NAMED + PROVIDER)
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(UserError, match="can be read by others"):
        sign_in_settings(config)
