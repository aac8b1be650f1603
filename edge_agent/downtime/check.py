"""What `vitalwire edge check` says of the downtime view."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from edge_agent.config import EdgeConfig
from edge_agent.downtime.ring_file import FILE_NAME, SLOT_BYTES
from edge_agent.downtime.settings import opened, read_certificate
from edge_agent.holders import listener_on
from edge_agent.settings_check import CheckFinding, problem
from runtime.errors import UserError

WHERE = "downtime"
ENDS_SOON_DAYS = 30


def downtime_findings(config: EdgeConfig, now: datetime) -> Iterator[CheckFinding]:
    """What is kept and where, and whether the page could be served."""
    if not config.downtime.enabled:
        yield CheckFinding(WHERE, "not enabled: with the hospital's side away this box shows nothing")
        return
    size_mb = config.downtime.channels_max * SLOT_BYTES / 1e6
    kept = f"the last 24 hours are kept in {config.spool / FILE_NAME}, at most {size_mb:.0f} MB"
    yield CheckFinding(WHERE, kept)
    try:
        found = opened(config.downtime)
    except UserError as error:
        yield problem(WHERE, str(error))
        return
    page = f"`vitalwire edge downtime` shows them on {config.downtime.listen}"
    page += f", certificate SHA-256 {found.fingerprint}" if found.fingerprint else ""
    page += ", with a code" if found.code else ", without a code"
    holder = listener_on(found.port)
    if holder is None:
        yield CheckFinding(WHERE, page)
    elif holder.is_downtime:
        yield CheckFinding(WHERE, f"{page}, and does so now (pid {holder.pid})")
    else:
        yield CheckFinding(WHERE, f"port {found.port} is taken by {holder}", "choose another [downtime] listen")
    if config.downtime.certificate is not None:
        yield from _certificate(config.downtime.certificate, now)


def _certificate(path: Path, now: datetime) -> Iterator[CheckFinding]:
    ends = read_certificate(path).not_valid_after_utc
    if (days := (ends - now).days) < ENDS_SOON_DAYS:
        mend = "remove it and its key, and run `vitalwire edge downtime --prepare`"
        yield CheckFinding(WHERE, f"{path} ends on {ends:%Y-%m-%d}, in {days} days", mend, note=ends > now)
