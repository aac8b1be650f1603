"""What is backed up, and where to: backup.toml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from emr_store.connect import StoreError, server_of, with_password
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.tls import database_problem

AS_POSTGRES = ("runuser", "-u", "postgres", "--")


class BackupConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """vitalwire backup and restore: what is kept where (docs/backup.md)."""

    folder: Annotated[
        Path, Meta(description="base backups, the log, keys; on another disk", examples=["/var/backups/vitalwire"])
    ]
    database: Annotated[
        str,
        Meta(description="conninfo of a login with REPLICATION", examples=["host=/run/postgresql dbname=vitalwire"]),
    ]
    database_password_file: Annotated[Path | None, Meta(description="instead of a password in `database`")] = None
    insecure: Annotated[bool, Meta(description="plaintext beyond this machine")] = False
    programs: Annotated[Path, Meta(description="PostgreSQL's own, of the server's version")] = Path(
        "/usr/lib/postgresql/17/bin"
    )
    run_as: Annotated[
        tuple[str, ...] | None,
        Meta(description="what those are called with; left out: by root as the user postgres, else as they are"),
    ] = None
    include: Annotated[
        tuple[Path, ...], Meta(description="keys and configuration to keep beside it", examples=[["/etc/vitalwire"]])
    ] = ()
    recipient: Annotated[
        Path | None, Meta(description="they are encrypted for: the .pub of `vitalwire backup keygen`")
    ] = None
    passphrase_file: Annotated[Path | None, Meta(description="or encrypted with this passphrase")] = None
    keep: Annotated[int, Meta(ge=1, description="base backups that stay, with the log from the oldest on")] = 7
    receipt_hold_h: Annotated[
        float, Meta(ge=0, description="as in edge.toml: how long edges can send again what they have a receipt for")
    ] = 24.0
    note_every_s: Annotated[
        float, Meta(ge=1, description="`backup wal` notes how much the store holds: what a restore is counted against")
    ] = 60.0

    def __post_init__(self) -> None:
        """Raises ValueError where keys would be kept as they are, or it is unclear how."""
        if self.recipient is not None and self.passphrase_file is not None:
            raise ValueError("recipient and passphrase_file both say how keys are encrypted: leave one out")
        if self.include and self.recipient is None and self.passphrase_file is None:
            raise ValueError("include needs recipient or passphrase_file: keys are never kept as they are")

    @property
    def prefix(self) -> tuple[str, ...]:
        """What PostgreSQL's programs are called with."""
        if self.run_as is not None:
            return self.run_as
        return AS_POSTGRES if os.geteuid() == 0 else ()


def conninfo(config: BackupConfig) -> str:
    """With the password from its file; raises UserError: no conninfo, or plaintext would leave this machine."""
    try:
        where = server_of(config.database)
    except StoreError as error:
        raise UserError(f"database: {str(error).strip()}: write it as host=... dbname=... user=...") from None
    if problem := database_problem(where.hosts, where.ssl_mode, insecure=config.insecure):
        raise UserError(problem)
    if config.database_password_file is None:
        return config.database
    return with_password(config.database, read_secret(config.database_password_file))
