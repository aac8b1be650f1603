"""Where the processors' store is."""

from __future__ import annotations

from emr_store.connect import StoreError, open_store, server_of, with_password
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.tls import database_problem
from stream_processors.config import ProcessorsConfig


def conninfo(config: ProcessorsConfig) -> str:
    """The store's conninfo, with the password from its file.

    Raises UserError where that cannot be read, where `database` is no conninfo, and where plaintext would leave this
    machine.
    """
    try:
        where = server_of(config.database)
    except StoreError as error:
        raise UserError(f"database: {str(error).strip()}: write it as host=... dbname=... user=...") from None
    if problem := database_problem(where.hosts, where.ssl_mode, insecure=config.insecure):
        raise UserError(problem)
    if config.database_password_file is None:
        return config.database
    return with_password(config.database, read_secret(config.database_password_file))


def reachable(where: str) -> bool:
    """Whether the store answers now."""
    try:
        open_store(where).close()
    except StoreError:
        return False
    return True
