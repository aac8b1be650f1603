"""What commands about patients ask of the gateway: the same decision as for pages, and each answer is a look.

What they do goes where the pages' acts go: `/chart-act`, `/worklist/ITEM/resolve`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store import chart_entries, patient_acts, patients
from emr_store.chart_persons import persons
from emr_store.instants import us_of
from emr_store.registry import find_device
from gateway.access.targets import device_target, stay_targets
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.answers import Answering, Answers, as_json
from gateway.asking import Asking, asking_of
from gateway.command_reading import (
    BEDS,
    CHART,
    ENTRY,
    GAPS,
    LATEST,
    PATIENT,
    QUESTION,
    QUESTIONS,
    WHOSE,
    BedsShown,
    ChartShown,
    GapsShown,
    LatestShown,
    PatientShown,
    QuestionsShown,
    WhoseShown,
    chart_shown,
    questions_shown,
    read_beds,
    read_chart,
    read_gaps,
    read_latest,
    read_patient,
    read_whose,
)
from gateway.looks import Seen
from gateway.pages import chart, patient, ward, worklist
from gateway.permission import AccessRefusedError, note_stay, require
from schemas.errors import VitalwireError

LANGUAGES = ("en", "zh")


class ParameterError(Exception):
    """A parameter cannot be read; it names it."""


def beds(conn: Any, asking: Asking, at: datetime | None, believed_at: datetime | None) -> BedsShown:
    """Who is in which bed, of the stays that may be seen. Raises StoreError, AccessRefusedError."""
    found = read_beds(conn, at, believed_at)
    targets = stay_targets(conn, DataClass.IDENTITY, {each.encounter for each in found.beds}, asking.at_us)
    decisions = {key: asking.may(Action.SEE, target) for key, target in targets.items()}
    seen = {key: decision for key, decision in decisions.items() if decision.is_allowed}
    shown = [each for each in found.beds if each.encounter in seen]
    if shown:
        stays = sorted({each.encounter for each in shown})
        people = sorted({each.patient for each in shown if each.patient})
        restricted = any(targets[stay].restricted for stay in stays)
        asking.note(Action.SEE, seen[stays[0]], Seen(ward.PAGE.noun, stays, people, restricted=restricted))
    return BedsShown(beds=shown, names=found.names)


def latest(conn: Any, asking: Asking) -> LatestShown:
    """The newest values of the devices whose values may be seen: without a name. Raises StoreError."""
    found = read_latest(conn)
    devices = sorted({value.device for value in found.values})
    targets = {device: device_target(conn, DataClass.VITALS, device, asking.at_us) for device in devices}
    decisions = {device: asking.may(Action.SEE, target) for device, target in targets.items()}
    seen = [device for device in devices if decisions[device].is_allowed]
    of_stays = [device for device in seen if targets[device].encounter]
    if of_stays:
        stays = sorted({targets[device].encounter for device in of_stays})
        people = sorted(set(patients.patients_of(conn, stays).values()))
        restricted = any(targets[device].restricted for device in of_stays)
        seen_now = Seen(ward.PAGE.noun, stays, people, restricted=restricted)
        asking.note(Action.SEE, decisions[of_stays[0]], seen_now)
    shown = frozenset(seen)
    return LatestShown(
        values=[value for value in found.values if value.device in shown],
        labels=[label for label in found.labels if label[0] in shown],
    )


def of_patient(conn: Any, asking: Asking, key: str, believed_at: datetime | None) -> PatientShown | None:
    """The patient of this key or number, of the stays that may be seen; None: there is none."""
    seen = patient.seen_stays(conn, asking, key, [DataClass.IDENTITY])
    return None if seen is None else read_patient(conn, seen.patient, believed_at, seen.stays)


def whose(
    conn: Any, asking: Asking, device: str, at: datetime, believed_at: datetime | None
) -> WhoseShown | None:  # fmt: skip
    """Whose the values are at a moment. Where they were nobody's it is asked of the ward of the bed there and then."""
    try:
        uuid = find_device(conn, device)
    except VitalwireError:
        return None
    shown = read_whose(conn, uuid, at, believed_at)
    row = shown.found.whose if shown.found is not None else None
    named = {stay for stay in (row.encounter, row.proposed) if stay is not None} if row is not None else set()
    targets = list(stay_targets(conn, DataClass.IDENTITY, named, asking.at_us).values())
    if len(targets) < len(named):
        raise AccessRefusedError  # of a stay that is believed no more nobody can say whose it is
    if not targets:
        data_class = DataClass.VITALS if row is None else DataClass.IDENTITY
        targets = [device_target(conn, data_class, uuid, us_of(at))]
    decisions = [require(asking, Action.SEE, target) for target in targets]
    for target, decision in zip(targets, decisions, strict=True):
        if target.encounter:
            note_stay(conn, asking, Action.SEE, decision, "device", target)
    return shown


def of_chart(conn: Any, asking: Asking, key: str, since: datetime, until: datetime) -> ChartShown | None:
    """What the chart of this encounter says between two moments; None: there is none."""
    encounter = chart.encounter_of(conn, asking, key)
    return None if encounter is None else read_chart(conn, encounter, since, until)


def of_entry(conn: Any, asking: Asking, entry: str) -> ChartShown | None:
    """An entry by its id, or the beginning of it; None: there is none, or several."""
    try:
        kept = chart_entries.find_entry(conn, entry).entry
    except VitalwireError:
        return None
    acted = persons(conn, {version.act_id for version in kept.versions if version.act_id is not None})
    target = chart.entry_target(conn, kept, acted, asking.at_us)
    note_stay(conn, asking, Action.SEE, require(asking, Action.SEE, target), "chart", target)
    return chart_shown(conn, kept.key.encounter, [kept])


def gaps(
    conn: Any, asking: Asking, key: str, since: datetime, until: datetime, items: list[str]
) -> GapsShown | None:  # fmt: skip
    """Why slots of this encounter are empty; None: there is none, or nothing is charted here."""
    encounter, policies = chart.encounter_of(conn, asking, key), chart.noted_policies(conn)
    if encounter is None or policies is None:
        return None
    return read_gaps(conn, policies, encounter, since, until, items)


def questions(conn: Any, asking: Asking, believed_at: datetime | None, language: str, *, whole: bool) -> QuestionsShown:
    """What is asked of the stays and wards that may be seen. Raises AccessRefusedError, StoreError."""
    if not worklist.sees_any(asking):
        raise AccessRefusedError
    asked = patient_acts.questions(conn, believed_at, whole=whole)
    seen = worklist.seen_questions(conn, asking, asked)
    _note_questions(conn, asking, seen)
    return questions_shown(conn, [each for each in asked if each.item in seen], language, with_facts=False)


def question(conn: Any, asking: Asking, item: int, language: str) -> QuestionsShown | None:
    """One of them, with its facts; None: there is none, or it may not be seen."""
    try:
        asked = patient_acts.question_or_ceased(conn, item)
    except VitalwireError:
        return None
    seen = worklist.seen_questions(conn, asking, [asked])
    if not seen:
        return None
    _note_questions(conn, asking, seen)
    return questions_shown(conn, [asked], language, with_facts=True)


def _note_questions(conn: Any, asking: Asking, seen: dict[int, list[Target]]) -> None:
    targets = [target for of_item in seen.values() for target in of_item if target.encounter]
    if not targets:
        return
    stays = sorted({target.encounter for target in targets})
    people = sorted(set(patients.patients_of(conn, stays).values()))
    restricted = any(target.restricted for target in targets)
    decision = asking.may(Action.SEE, targets[0])
    asking.note(Action.SEE, decision, Seen(worklist.PAGE.noun, stays, people, restricted=restricted))


def command_routes(answers: Answers) -> list[Route]:
    """All of them."""

    def read(ask: Callable[[Any, Request], object]) -> Answering:
        answering = answers.json(ask)

        def answer(request: Request) -> Response:
            try:
                return answering(request)
            except ParameterError as error:
                return as_json({"refused": "unreadable", "parameter": str(error)}, 400)

        return answer

    return [
        Route(LATEST, read(lambda conn, r: latest(conn, asking_of(r)))),
        Route(BEDS, read(lambda conn, r: beds(conn, asking_of(r), _instant(r, "at"), _instant(r, "believed_at")))),
        Route(PATIENT, read(
            lambda conn, r: of_patient(conn, asking_of(r), _text(r, "patient"), _instant(r, "believed_at"))
        )),
        Route(WHOSE, read(lambda conn, r: whose(
            conn, asking_of(r), _text(r, "device"), _moment(r, "at"), _instant(r, "believed_at")
        ))),
        Route(CHART, read(lambda conn, r: of_chart(
            conn, asking_of(r), _text(r, "encounter"), _moment(r, "since"), _moment(r, "until")
        ))),
        Route(ENTRY, read(lambda conn, r: of_entry(conn, asking_of(r), _text(r, "entry")))),
        Route(GAPS, read(lambda conn, r: gaps(
            conn, asking_of(r), _text(r, "encounter"), _moment(r, "since"), _moment(r, "until"),
            r.query_params.getlist("item"),
        ))),
        Route(QUESTIONS, read(lambda conn, r: questions(
            conn, asking_of(r), _instant(r, "believed_at"), _language(r), whole=r.query_params.get("all") == "true"
        ))),
        Route(QUESTION, read(lambda conn, r: question(conn, asking_of(r), _number(r, "item"), _language(r)))),
    ]  # fmt: skip


def _text(request: Request, name: str) -> str:
    found = request.query_params.get(name, "")
    if not found:
        raise ParameterError(name)
    return found


def _instant(request: Request, name: str) -> datetime | None:
    return _moment(request, name) if request.query_params.get(name) else None


def _moment(request: Request, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(_text(request, name))
    except ValueError:
        raise ParameterError(name) from None
    if found.tzinfo is None:
        raise ParameterError(name)
    return found


def _number(request: Request, name: str) -> int:
    found = _text(request, name)
    if not (found.isascii() and found.isdigit() and len(found) <= 18):
        raise ParameterError(name)
    return int(found)


def _language(request: Request) -> str:
    found = request.query_params.get("language") or "en"
    if found not in LANGUAGES:
        raise ParameterError("language")
    return found
