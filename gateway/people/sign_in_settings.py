"""How people sign in at these pages: what `gateway.toml` says, as the routes take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.people.lifetimes import Lifetimes
from gateway.people.oidc import Provider
from gateway.people.public_origin import PublicOrigin
from gateway.people.sign_in_links import SignInLinks
from runtime.pki import Pki


@dataclass(frozen=True)
class SignInSettings:
    """`provider`, `links` None: there are none. The default is that of loopback.

    `platform_keys`: also keys that are built into a machine, where every machine is one person's. `lock_after_s`: a
    workstation that nobody touches locks itself. `token_key`: the file by which tokens of machines are signed; None: a
    key of this process alone, so that they end with it. `pki`: issues certificates to boxes; None: a person must.
    """

    public_origin: PublicOrigin = field(default_factory=PublicOrigin)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    provider: Provider | None = None
    links: SignInLinks | None = None
    platform_keys: bool = False
    lock_after_s: int = 300
    token_key: Path | None = None
    pki: Pki | None = None
