"""Provenance: of which values an observation is made, and who stands behind it."""

from __future__ import annotations

from typing import Any

from gateway.asking import Asking
from gateway.fhir import observations
from gateway.fhir.directory import paged
from gateway.fhir.parameters import Search
from gateway.fhir.refusals import RequestError
from gateway.fhir.resource import Found, Resource


def provenance(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError."""
    return observations.provenance(conn, asking, identity)


def search_provenances(conn: Any, asking: Asking, asked: Search) -> Found:
    """Of newest versions by their targets, of any by their ids. Raises RequestError."""
    ids, targets = asked.ids("_id"), asked.ids("target")
    found: list[Resource] = []
    if targets is not None:
        found = observations.provenances(conn, asking, targets)
        found = [each for each in found if ids is None or each.id in ids]
    else:
        for identity in sorted(ids or ()):
            try:
                found.append(observations.provenance(conn, asking, identity))
            except RequestError:  # a search says nothing of what is not there
                continue
    return paged(asked, found)
