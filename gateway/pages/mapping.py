"""Mapping: every parameter that devices ever sent: which have a code, whose unit is in doubt, what the others may be.

Nothing is mapped here: the site's file lies with its boxes, and `vitalwire mapping set` edits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.routing import Route

from adapters.mapping_proposal import Proposal, proposals
from emr_store import parameters, patients
from emr_store.instants import moment
from emr_store.parameters import Parameter
from gateway.access.targets import device_target
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.answers import Answers
from gateway.asking import Asking, asking_of
from gateway.looks import Seen
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds
from gateway.permission import require

PAGE = Page("mapping", "/mapping")


def mapping_routes(answers: Answers) -> list[Route]:
    """What the page asks for."""
    return [Route("/parameter-list", answers.json(_parameters_asked))]


def _parameters_asked(conn: Any, request: Request) -> dict[str, Any]:
    return parameters_shown(conn, asking_of(request))


def parameters_shown(conn: Any, asking: Asking) -> dict[str, Any]:
    """Device by device, for whom boxes are their business; samples for who may see the device's values, too.

    Raises StoreError, AccessRefusedError.
    """
    require(asking, Action.SEE, Target(DataClass.FLEET))
    found = parameters.parameters(conn)
    by_device: dict[UUID, list[Parameter]] = {}
    for each in found:
        by_device.setdefault(each.device, []).append(each)
    with_samples = _devices_with_samples(conn, asking, by_device)
    covered = {of.device: of for of in parameters.coverage(found, moment(asking.at_us))}
    return {
        "now": asking.at_us // 1000,
        "devices": [_device(of, covered, has_samples=device in with_samples) for device, of in by_device.items()],
    }


def _devices_with_samples(conn: Any, asking: Asking, devices: Iterable[UUID]) -> frozenset[UUID]:
    """Those whose values may be seen; that those of patients were seen is noted."""
    targets = {device: device_target(conn, DataClass.VITALS, device, asking.at_us) for device in devices}
    decisions = {device: asking.may(Action.SEE, target) for device, target in targets.items()}
    seen = [device for device, decision in decisions.items() if decision.is_allowed]
    of_stays = [device for device in seen if targets[device].encounter]
    if of_stays:
        stays = sorted({targets[device].encounter for device in of_stays})
        people = sorted(set(patients.patients_of(conn, stays).values()))
        restricted = any(targets[device].restricted for device in of_stays)
        asking.note(Action.SEE, decisions[of_stays[0]], Seen(PAGE.noun, stays, people, restricted=restricted))
    return frozenset(seen)


def _device(
    of: list[Parameter], covered: Mapping[UUID, parameters.Coverage], *, has_samples: bool
) -> dict[str, Any]:  # fmt: skip
    first = of[0]
    coverage = covered.get(first.device)
    return {
        "device": str(first.device), "name": first.claim or str(first.device), "bed": first.bed,
        "mapped": coverage.mapped if coverage else 0, "unmapped": coverage.unmapped if coverage else 0,
        "unit_in_doubt": coverage.unit_in_doubt if coverage else 0,
        "parameters": [_parameter(each, has_samples=has_samples) for each in of],
    }  # fmt: skip


def _parameter(of: Parameter, *, has_samples: bool) -> dict[str, Any]:
    return {
        "name": of.name, "state": of.state, "unit": of.unit_words, "samples": of.samples if has_samples else (),
        "count": of.value_count, "last": milliseconds(of.last_seen), "proposals": [
            {
                "metric": each.metric, "short": each.short, "percent": round(100 * each.score),
                "en": "; ".join(reason.en for reason in each.reasons),
                "zh": "；".join(reason.zh for reason in each.reasons),
            } for each in proposed_for(of)
        ],
    }  # fmt: skip


def proposed_for(parameter: Parameter) -> list[Proposal]:
    """What one without a code may be; nothing of one that has one."""
    if parameter.code != 0:
        return []
    code, _, text = parameter.sent_code.partition("^")
    return proposals(parameter.sent_system, code, text, parameter.sent_unit, parameter.samples)
