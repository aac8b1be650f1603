"""What a tile's detail asks for: values, alarms and the patient of a device, and where a batch came from."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from emr_store.bed_names import bed_names
from gateway.answers import Answers
from gateway.asking import asking_of
from gateway.pages import detail


def detail_routes(answers: Answers) -> list[Route]:
    """By the device's id; of a batch by its own."""
    return [
        Route("/batch/{batch_id}", answers.json(_batch)),
        Route("/values/{uuid:uuid}", answers.json(_values)),
        Route("/whose/{uuid:uuid}", answers.json(_whose)),
        Route("/alarms/{uuid:uuid}", answers.json(_alarms)),
    ]


def _batch(conn: Any, request: Request) -> detail.Answer:
    return detail.batch(conn, asking_of(request), request.path_params["batch_id"])


def _values(conn: Any, request: Request) -> detail.Answer:
    return detail.values(conn, asking_of(request), request.path_params["uuid"])


def _whose(conn: Any, request: Request) -> detail.Answer:
    return detail.whose(conn, asking_of(request), request.path_params["uuid"], bed_names(conn))


def _alarms(conn: Any, request: Request) -> detail.Answer:
    return detail.device_alarms(conn, asking_of(request), request.path_params["uuid"])
