"""Values of devices that no policy charted, as Observations with the tag `device`: preliminary, under one version.

Their ids are made of the public identity of the value, which survives a restore: base32(batch id)-leaf-record.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from binascii import Error as BinasciiError
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from adapters.emr import fhir_codes
from adapters.emr.fhir_json import identifier_json, instant, observation_body, references, source_text
from adapters.emr.observation import ChartedObservation
from clinical.chart import Source
from clinical.charted import ChartedVersion
from emr_store import fhir_search
from emr_store.chart_entries import NewVersion
from emr_store.fhir_search import Stretch, Values
from emr_store.visible_stays import Sight
from gateway.fhir.matching import DEVICE_TAG, Looked, items_of, matches
from gateway.fhir.parameters import Search
from gateway.fhir.resource import Resource
from gateway.fhir.values import Span

_ID = re.compile(r"([a-z2-7]{52})-([0-9a-f]{1,8})-([0-9a-f]{1,8})")
_INT4_MAX = (1 << 31) - 1
_FIRST_WINDOW_US = 240_000_000  # how much of a stretch is read at first; each further time twice as much
Stretches = Sequence[tuple[UUID, Stretch]]


def value_id(source: Source) -> str:
    """At most 64 characters, as FHIR's ids are, where a batch has fewer than a million reports."""
    batch = b32encode(source.batch_id).decode().lower().rstrip("=")
    return f"{batch}-{source.leaf:x}-{source.record:x}"


def source_of(identity: str) -> Source | None:
    """None: it is no id of a value."""
    found = _ID.fullmatch(identity)
    if found is None:
        return None
    batch, leaf, record = found[1], int(found[2], 16), int(found[3], 16)
    try:
        source = Source(b32decode(batch.upper() + "===="), leaf, record)
    except BinasciiError:
        return None
    return source if value_id(source) == identity and max(leaf, record) <= _INT4_MAX else None


def source_of_identifier(value: str) -> Source | None:
    """Of `source_text`; None: it is none."""
    batch, _, rest = value.partition("/")
    leaf, _, record = rest.partition("/")
    if not re.fullmatch("[0-9a-f]{64}", batch) or not all(re.fullmatch("[0-9]{1,9}", each) for each in (leaf, record)):
        return None
    return Source(bytes.fromhex(batch), int(leaf), int(record))


def look_at(source: Source, version: ChartedVersion) -> Looked:
    """A value as an observation."""
    identity = value_id(source)
    named = msgspec.structs.replace(version, entry=identity)
    observation = ChartedObservation(id=identity, version=1, members=(named,))
    return Looked(observation, references(observation), ((fhir_codes.SOURCE, source_text(source)),), (DEVICE_TAG,))


def resource_of(source: Source, looked: Looked) -> Resource:
    """As JSON."""
    observation = looked.observation
    tag = f'"tag":[{{"system":"{fhir_codes.TAG}","code":"{DEVICE_TAG}"}}]'
    meta = f'"versionId":"1","lastUpdated":"{instant(looked.updated_us)}"'
    body = observation_body(observation, looked.refers, meta)
    # Of an entry of a chart it has neither the identifier nor a tag.
    body = body.replace(identifier_json(fhir_codes.ENTRY, observation.id), _identifier(source), 1)
    body = body.replace(meta, f"{meta},{tag}", 1)
    return Resource(
        kind="Observation", id=observation.id, version=1, updated_us=looked.updated_us,
        body=f'{{"resourceType":"Observation","id":"{observation.id}",{body}'.encode(),
        encounters=(observation.newest.stay.key,),
    )  # fmt: skip


def _identifier(source: Source) -> str:
    return identifier_json(fhir_codes.SOURCE, source_text(source))


def one(conn: Any, source: Source, sight: Sight) -> Looked | None:
    """This value; None: it is not accepted, of no stay in sight, or charted."""
    found = fhir_search.value_of(conn, source, sight)
    return None if found is None else _looked(conn, [found])[0]


class _Window(NamedTuple):
    """[from_us, until_us)."""

    from_us: int
    until_us: int


def page(
    conn: Any, search: Search, stretches: Stretches, after: tuple[int, Source] | None, now_us: int
) -> tuple[list[tuple[Source, Looked]], bool]:
    """More than a page has, and whether that is all there is.

    The stretches are read window by window, so that a first page of a year costs what a first page of a minute does.
    """
    descending = search.sort == "-date"
    items = items_of(search, in_panels=False)
    left = _outer(stretches, search.span("date"), after, descending, now_us)
    values = Values(items=None if items is None else list(items), after=after, limit=search.count + 1)
    found: list[tuple[Source, Looked]] = []
    width_us = _FIRST_WINDOW_US
    while left.from_us < left.until_us and len(found) <= search.count:
        if descending:
            window = _Window(max(left.from_us, left.until_us - width_us), left.until_us)
        else:
            window = _Window(left.from_us, min(left.until_us, left.from_us + width_us))
        got = fhir_search.uncharted_values(conn, _cut(stretches, window), values, descending)
        looked = _looked(conn, got)
        found += [(source, each) for (source, _), each in zip(got, looked, strict=True) if matches(search, each)]
        if len(got) == values.limit:  # there may be more of this window
            source, last = got[-1]
            edge_us = last.version.observed_at_us
            values = values._replace(after=(edge_us, source))
            left = _Window(left.from_us, edge_us + 1) if descending else _Window(edge_us, left.until_us)
            continue
        left = _Window(left.from_us, window.from_us) if descending else _Window(window.until_us, left.until_us)
        width_us *= 2
    return found, left.from_us >= left.until_us and len(found) <= search.count


def _looked(conn: Any, values: Sequence[tuple[Source, NewVersion]]) -> list[Looked]:
    if not values:
        return []
    versions = fhir_search.versions_of_values(conn, [version for _, version in values])
    found = []
    for (source, _), version in zip(values, versions, strict=True):
        found.append(look_at(source, version))
    return found


def _outer(
    stretches: Stretches, dates: Span, after: tuple[int, Source] | None, descending: bool, now_us: int
) -> _Window:  # fmt: skip
    """What is left of the stretches' whole time."""
    if not stretches:
        return _Window(0, 0)
    from_us = min(stretch.from_us or 0 for _, stretch in stretches)
    until_us = max(now_us if stretch.until_us is None else stretch.until_us for _, stretch in stretches)
    if after is not None and descending:
        until_us = min(until_us, after[0] + 1)
    elif after is not None:
        from_us = max(from_us, after[0])
    if dates.from_us is not None:
        from_us = max(from_us, dates.from_us)
    if dates.until_us is not None:
        until_us = min(until_us, dates.until_us)
    return _Window(from_us, until_us)


def _cut(stretches: Stretches, window: _Window) -> list[tuple[UUID, Stretch]]:
    """What lies in the window."""
    found = []
    for device, stretch in stretches:
        from_us = max(window.from_us, stretch.from_us or window.from_us)
        until_us = window.until_us if stretch.until_us is None else min(window.until_us, stretch.until_us)
        if from_us < until_us:
            found.append((device, Stretch(stretch.encounter, from_us, until_us)))
    return found
