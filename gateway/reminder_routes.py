"""GET /reminders: what the person who is signed in is reminded of now; static/reminders.mjs shows it as a band."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answers import HEADERS
from gateway.asking import asking_of
from gateway.reminders import ShownReminder

_MS_US = 1000


def reminder_routes() -> list[Route]:
    """Answered from memory: pages ask often."""
    return [Route("/reminders", _reminders)]


async def _reminders(request: Request) -> Response:
    asking = asking_of(request)
    shown = asking.looks.reminders.of(asking.viewer.id, asking.at_us)
    said = {"now": asking.at_us // _MS_US, "reminders": [_reminder(each) for each in shown]}
    return Response(msgspec.json.encode(said), media_type="application/json", headers=HEADERS)


def _reminder(shown: ShownReminder) -> dict[str, Any]:
    reminder = shown.reminder
    return {
        "id": str(shown.review), "kind": reminder.kind, "at": shown.at_us // _MS_US, "stays": reminder.stays,
        "until": None if reminder.until_us is None else reminder.until_us // _MS_US,
    }  # fmt: skip
