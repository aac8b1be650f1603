"""ADT facts: taken from the reports of admission offices, written once, read back with all that they touch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from clinical.adt_events import Effect
from clinical.facts import AdtFact, make_fact
from emr_store import pid_claims
from emr_store.attribution_site import AttributionSite
from emr_store.instants import moment, us_of
from schemas.adt import GROUP_CODE, PERSON_CODE, AdtGroup, Person, decode_group, decode_person
from schemas.identity import BatchId
from schemas.report import Kind
from schemas.scan import SCAN_CODE

NOT_UNDONE: LiteralString = "NOT EXISTS (SELECT FROM fact_undone u WHERE u.fact = f.fact)"  # of adt_fact f
READ_FACTS_MAX = 20_000  # some 2 kB each


class StoredGroup(NamedTuple):
    """An ADT group as it lies in the record."""

    batch_id: bytes  # a BatchId, or the id of the act that said it
    leaf: int
    source: str
    group: AdtGroup
    person: Person | None
    fact: AdtFact


class ScanReport(NamedTuple):
    """A scan as it lies in the record."""

    batch_id: BatchId
    leaf: int
    received_at: datetime
    device: UUID  # that stands for the source
    text: str
    retained: bool


class _Text(msgspec.Struct):
    """Of report.texts."""

    code: str = ""
    system: str = ""
    text: str = ""


class _Row(NamedTuple):
    batch_id: BatchId
    leaf: int
    received_at: datetime
    texts: str
    device: UUID
    claim: str | None


_texts = msgspec.json.Decoder(list[_Text])
_GROUPS_SQL = f"""
SELECT b.batch_id, r.leaf, r.received_at, r.texts::text, d.uuid, d.claim
FROM report r JOIN batch b USING (batch) JOIN device d USING (device)
WHERE r.kind = {int(Kind.CONTEXT)} AND r.batch = ANY(%s) AND r.texts IS NOT NULL ORDER BY r.batch, r.leaf
"""


@dataclass
class Groups:
    """Of some batches; `unreadable` are (batch_id, leaf, why) of those that an edge of a newer program made."""

    found: list[StoredGroup] = field(default_factory=list)
    scans: list[ScanReport] = field(default_factory=list)
    unreadable: list[tuple[BatchId, int, str]] = field(default_factory=list)


def groups_of(conn: psycopg.Connection, batches: Sequence[int], site: AttributionSite) -> Groups:
    """The ADT groups of these batches and the scans beside them, in the order in which they were stored."""
    groups = Groups()
    for row in map(_Row._make, conn.execute(_GROUPS_SQL, (list(batches),))):
        decoded = _texts.decode(row.texts)
        texts = {text.code: text.text for text in decoded if text.system == "vitalwire"}
        if SCAN_CODE in texts:
            groups.scans.append(_scan_report(row, decoded))
        if GROUP_CODE not in texts:
            continue
        source = site.source_of(row.device, row.claim)
        try:
            group = decode_group(texts[GROUP_CODE])
            person = decode_person(texts[PERSON_CODE]) if texts.get(PERSON_CODE) else None
        except msgspec.MsgspecError as error:
            groups.unreadable.append((row.batch_id, row.leaf, str(error)))
            continue
        fact = make_fact(group, source, site.beds, us_of(row.received_at))
        groups.found.append(StoredGroup(row.batch_id, row.leaf, source.name, group, person, fact))
    return groups


def scans_of(conn: psycopg.Connection, batches: Sequence[int]) -> Iterator[ScanReport]:
    """The scans of these batches, in the order in which they were stored."""
    for row in map(_Row._make, conn.execute(_GROUPS_SQL, (list(batches),))):
        decoded = _texts.decode(row.texts)
        if any((text.system, text.code) == ("vitalwire", SCAN_CODE) for text in decoded):
            yield _scan_report(row, decoded)


def _scan_report(row: _Row, texts: Sequence[_Text]) -> ScanReport:
    said = {text.code: text.text for text in texts if text.system == "vitalwire"}[SCAN_CODE]
    retained = any((text.system, text.code) == ("MQTT", "retain") for text in texts)
    return ScanReport(row.batch_id, row.leaf, row.received_at, row.device, said, retained)


def write_facts(conn: psycopg.Connection, groups: Sequence[StoredGroup], taken_at: datetime) -> list[AdtFact]:
    """Keep those that are not kept yet, with their links and persons; the new ones."""
    first = {stored.fact.id: stored for stored in reversed(groups)}
    known = _known(conn, first)
    new = [stored for key, stored in reversed(first.items()) if key not in known]
    with conn.cursor() as cursor:
        with cursor.copy(_COPY_FACTS_SQL) as copy:
            for stored in new:
                copy.write_row(_fact_row(stored, taken_at))
        links = [
            (table, (link.retired, link.survivor, link.kind, taken_at, link.fact))
            for stored in new
            if stored.fact.live
            for table, of in (("patient", stored.fact.patient_links), ("encounter", stored.fact.encounter_links))
            for link in of
        ]
        for of in ("patient", "encounter"):
            sql = f"INSERT INTO {of}_link VALUES (%s, %s, %s, tstzrange(%s, NULL), %s) ON CONFLICT DO NOTHING"
            cursor.executemany(sql.encode(), [row for table, row in links if table == of])
        named = [stored for stored in groups if stored.person and stored.fact.patients]
        erased = _erased(conn, {stored.fact.patients[0] for stored in named})
        cursor.executemany(_PUT_PERSON_SQL, [_person_row(s) for s in new if s.person and s.fact.patients])
        # Of a patient whose name was erased, what comes again has none either.
        cursor.executemany(
            "SELECT erase_person(batch, %s) FROM batch WHERE batch_id = %s",
            [(stored.leaf, stored.batch_id) for stored in named if stored.fact.patients[0] in erased],
        )
    return [stored.fact for stored in new]


_COPY_FACTS_SQL = """
COPY adt_fact (fact, source, batch_id, leaf, grp, control, digest, event, effect, live, received_at, recorded_at,
    happened_at, patient, patients, encounter, bed, bed_as_sent, cancels, movement, taken_at, said) FROM STDIN
"""
# The newest message says who it is; of one whose name was erased, none does.
_PUT_PERSON_SQL = """
INSERT INTO patient_person AS p (patient, family, given, name, birth_date, sex, said_at, fact)
SELECT %(patient)s, %(family)s, %(given)s, %(name)s, %(birth_date)s, %(sex)s, %(said_at)s, %(fact)s
WHERE NOT EXISTS (SELECT FROM patient_erased WHERE patient = %(patient)s)
ON CONFLICT (patient) DO UPDATE SET family = excluded.family, given = excluded.given, name = excluded.name,
    birth_date = excluded.birth_date, sex = excluded.sex, said_at = excluded.said_at, fact = excluded.fact
WHERE (excluded.said_at, excluded.fact) > (p.said_at, p.fact)
"""


def _erased(conn: psycopg.Connection, patients: Collection[str]) -> set[str]:
    rows = conn.execute("SELECT patient FROM patient_erased WHERE patient = ANY(%s)", (list(patients),))
    return {row[0] for row in rows}


def _known(conn: psycopg.Connection, facts: Collection[bytes]) -> set[bytes]:
    rows = conn.execute("SELECT fact FROM adt_fact WHERE fact = ANY(%s)", (list(facts),))
    return {bytes(row[0]) for row in rows}


def _fact_row(stored: StoredGroup, taken_at: datetime) -> tuple[object, ...]:
    fact = stored.fact
    return (
        fact.id, fact.source, stored.batch_id, stored.leaf, fact.group, fact.control, fact.digest, fact.event,
        fact.effect.value, fact.live, moment(fact.received_at_us), moment(fact.recorded_at_us),
        moment(fact.happened_at_us), next(iter(fact.patients), None), list(fact.patients), fact.encounter,
        fact.bed.key, fact.bed.as_sent, moment(fact.cancels_at_us), list(fact.movements), taken_at,
        msgspec.json.encode(stored.group).decode(),
    )  # fmt: skip


def _person_row(stored: StoredGroup) -> dict[str, object]:
    fact, person = stored.fact, stored.person
    assert person is not None
    said_at_us = fact.sent_at_us if fact.sent_at_us is not None else fact.received_at_us
    return msgspec.structs.asdict(person) | {
        "patient": fact.patients[0],
        "said_at": moment(said_at_us),
        "fact": fact.id,
    }


def reread(conn: psycopg.Connection, site: AttributionSite) -> int:
    """Read all facts and claims by this configuration where they were read by another; how many have other keys.

    What a message said is never changed; the keys that the site makes of it are. All encounters and devices wait then
    to be computed anew.
    """
    with conn.transaction():
        row = conn.execute("SELECT settings FROM attribution FOR UPDATE").fetchone()
        assert row is not None
        if bytes(row[0]) == site.digest:
            return 0
        conn.execute("UPDATE attribution SET settings = %s", (site.digest,))
        conn.execute(_WAIT_ANEW_SQL)
        changed = pid_claims.reread(conn, site)
        with conn.cursor("facts") as cursor:
            cursor.execute(_KEYS_SQL)
            for fact_id, said, source, received_at, *keys in cursor:
                fact = make_fact(decode_group(said), site.source_named(source), site.beds, us_of(received_at))
                if keys != [fact.live, list(fact.patients), fact.encounter, fact.bed.key]:
                    _rekey(conn, bytes(fact_id), fact)
                    changed += 1
        conn.execute("INSERT INTO attribution_encounter SELECT DISTINCT encounter FROM adt_fact WHERE live"
                     " AND encounter IS NOT NULL")  # fmt: skip
        return changed


_KEYS_SQL = "SELECT fact, said, source, received_at, live, patients, encounter, bed FROM adt_fact"
_WAIT_ANEW_SQL = """
INSERT INTO attribution_encounter SELECT encounter FROM encounter WHERE upper_inf(recorded);
INSERT INTO attribution_device
SELECT uuid FROM registered_device UNION SELECT device FROM whose WHERE upper_inf(recorded);
"""


def _rekey(conn: psycopg.Connection, fact_id: bytes, fact: AdtFact) -> None:
    conn.execute(
        "UPDATE adt_fact SET live = %s, patient = %s, patients = %s, encounter = %s, bed = %s WHERE fact = %s",
        (fact.live, next(iter(fact.patients), None), list(fact.patients), fact.encounter, fact.bed.key, fact_id),
    )
    for of, links in (("patient", fact.patient_links), ("encounter", fact.encounter_links)):
        conn.execute(f"DELETE FROM {of}_link WHERE fact = %s".encode(), (fact_id,))
        for link in links if fact.live else ():
            conn.execute(
                f"INSERT INTO {of}_link SELECT %s, %s, %s, tstzrange(taken_at, undone_at), fact FROM adt_fact"
                " LEFT JOIN fact_undone USING (fact) WHERE fact = %s ON CONFLICT DO NOTHING".encode(),
                (link.retired, link.survivor, link.kind, fact_id),
            )


# --- reading back ----------------------------------------------------------------------------------------------------


@dataclass
class Component:
    """Encounters and patients that have anything in common, by their raw keys, and all facts that speak of them."""

    encounters: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    facts: list[AdtFact] = field(default_factory=list)


def component_of(
    conn: psycopg.Connection, site: AttributionSite, encounters: Iterable[str], patients: Iterable[str]
) -> Component:
    """All that is joined to these by a fact or a link."""
    found = Component()
    new_encounters, new_patients = set(encounters), set(patients)
    while new_encounters or new_patients:
        found.encounters |= new_encounters
        found.patients |= new_patients
        asked = {"encounters": list(new_encounters), "patients": list(new_patients)}
        reached = conn.execute(_REACHED_SQL, asked).fetchall()
        new_encounters = {key for of, key in reached if of == "encounter"} - found.encounters
        new_patients = {key for of, key in reached if of == "patient"} - found.patients
    found.facts = facts_of(conn, site, found.encounters, found.patients)
    return found


_REACHED_SQL = """
SELECT 'patient', patient FROM adt_fact WHERE encounter = ANY(%(encounters)s) AND live AND patient IS NOT NULL
UNION SELECT 'encounter', encounter FROM adt_fact
    WHERE patient = ANY(%(patients)s) AND live AND encounter IS NOT NULL
UNION SELECT 'patient', survivor FROM patient_link WHERE retired = ANY(%(patients)s)
UNION SELECT 'patient', retired FROM patient_link WHERE survivor = ANY(%(patients)s)
UNION SELECT 'encounter', survivor FROM encounter_link WHERE retired = ANY(%(encounters)s)
UNION SELECT 'encounter', retired FROM encounter_link WHERE survivor = ANY(%(encounters)s)
"""
_OF_ENCOUNTERS = "f.encounter = ANY(%(encounters)s)"
_LINKING = """f.fact IN (
    SELECT fact FROM patient_link WHERE retired = ANY(%(patients)s) UNION
    SELECT fact FROM patient_link WHERE survivor = ANY(%(patients)s) UNION
    SELECT fact FROM encounter_link WHERE retired = ANY(%(encounters)s) UNION
    SELECT fact FROM encounter_link WHERE survivor = ANY(%(encounters)s))"""


def facts_of(
    conn: psycopg.Connection, site: AttributionSite, encounters: Collection[str], patients: Collection[str]
) -> list[AdtFact]:
    """Of these encounters, with the other group of each swap; and those that link these patients or encounters."""
    asked = {"encounters": list(encounters), "patients": list(patients)}
    facts = {f.id: f for where in (_OF_ENCOUNTERS, _LINKING) for f in _load(conn, site, where, asked)}
    swaps = [fact.digest for fact in facts.values() if fact.effect is Effect.SWAP]
    if swaps:
        partners = _load(conn, site, "f.digest = ANY(%(digests)s) AND f.effect = 'swap'", {"digests": swaps})
        facts |= {fact.id: fact for fact in partners}
    return list(facts.values())


def encounters_of_swaps(conn: psycopg.Connection, digests: Collection[bytes]) -> set[str]:
    """Both groups' of these messages."""
    rows = conn.execute(
        "SELECT encounter FROM adt_fact WHERE digest = ANY(%s) AND effect = 'swap' AND encounter IS NOT NULL",
        (list(digests),),
    )
    return {row[0] for row in rows}


def linking_facts(
    conn: psycopg.Connection, site: AttributionSite, encounters: Collection[str], patients: Collection[str]
) -> list[AdtFact]:
    """Those alone that link, of these and of all that is linked to them."""
    asked = {"encounters": list(encounters), "patients": list(patients)}
    row = conn.execute(_LINKED_SQL, asked).fetchone()
    assert row is not None
    asked = {"encounters": row[0], "patients": row[1]}
    return _load(conn, site, _LINKING, asked)


_LINKED_SQL = """
WITH RECURSIVE e (key) AS (SELECT unnest(%(encounters)s::text[]) UNION
    SELECT CASE l.retired WHEN e.key THEN l.survivor ELSE l.retired END
    FROM e JOIN encounter_link l ON l.retired = e.key OR l.survivor = e.key),
p (key) AS (SELECT unnest(%(patients)s::text[]) UNION
    SELECT CASE l.retired WHEN p.key THEN l.survivor ELSE l.retired END
    FROM p JOIN patient_link l ON l.retired = p.key OR l.survivor = p.key)
SELECT ARRAY(SELECT key FROM e), ARRAY(SELECT key FROM p)
"""


def facts_naming(conn: psycopg.Connection, site: AttributionSite, numbers: Collection[str]) -> list[AdtFact]:
    """One fact of each list of numbers that names any of these: enough to tell whose they are."""
    where = """f.fact IN (SELECT DISTINCT ON (patients) fact FROM adt_fact
        WHERE patients && %(numbers)s AND live ORDER BY patients)"""
    return _load(conn, site, where, {"numbers": list(numbers)}) if numbers else []


def _load(
    conn: psycopg.Connection, site: AttributionSite, where: LiteralString, asked: Mapping[str, object]
) -> list[AdtFact]:
    """A fact is never changed: what was read of it is kept, so that a long encounter costs its new facts alone."""
    known = site.read_facts
    ids = [
        bytes(row[0]) for row in conn.execute(f"SELECT f.fact FROM adt_fact f WHERE ({where}) AND {NOT_UNDONE}", asked)
    ]
    unread = [fact_id for fact_id in ids if fact_id not in known]
    found: dict[bytes, AdtFact] = {}
    if unread:
        sql = "SELECT fact, said, source, received_at FROM adt_fact WHERE fact = ANY(%s)"
        for fact_id, said, source, received_at in conn.execute(sql, (unread,)):
            fact = make_fact(decode_group(said), site.source_named(source), site.beds, us_of(received_at))
            found[bytes(fact_id)] = fact
    facts = [found[fact_id] if fact_id in found else known[fact_id] for fact_id in ids]
    known.update(found)
    while len(known) > READ_FACTS_MAX:
        del known[next(iter(known))]
    return facts
