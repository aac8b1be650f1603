"""Where the processors' store is."""

from __future__ import annotations

from emr_store.connect import StoreError, open_store, with_password
from runtime.config import read_secret
from stream_processors.config import ProcessorsConfig


def conninfo(config: ProcessorsConfig) -> str:
    """The store's conninfo, with the password from its file; raises UserError where that cannot be read."""
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
